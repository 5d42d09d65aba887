package rocks

import (
	"math"
	"sync/atomic"
)

// gate counts the users of a C object, so that closing it can't pull the
// memory from under a running call: the last one out runs free. A closed gate
// lets nobody in. It never blocks, so a user may close the gate it is inside.
type gate struct {
	// users is the number inside; closed adds gateClosed to it.
	users atomic.Int64
	free  func()
}

const gateClosed = math.MinInt64 / 2

// enter reports whether the caller may use the object; if so it must leave.
func (g *gate) enter() bool {
	for {
		n := g.users.Load()
		if n < 0 {
			return false
		}
		if g.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *gate) leave() {
	if g.users.Add(-1) == gateClosed {
		g.free()
	}
}

// close shuts the gate and reports whether this call did. It returns at once;
// free runs when the last user has left.
func (g *gate) close() bool {
	for {
		n := g.users.Load()
		if n < 0 {
			return false
		}
		if g.users.CompareAndSwap(n, n+gateClosed) {
			if n == 0 {
				g.free()
			}
			return true
		}
	}
}
