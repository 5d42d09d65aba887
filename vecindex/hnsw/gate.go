package hnsw

import (
	"sync"
	"sync/atomic"
	"time"
)

// gate counts the calls inside it, so that someone who has made a thing
// unreachable can wait until no call that may still hold it is left, without
// stopping new ones. It is the two-sided counter of sleepable RCU (McKenney):
// calls enter on the side of the current epoch, and a wait turns the epoch and
// waits for the old side to run empty, twice, because a call may be delayed
// between reading the epoch and counting itself.
type gate struct {
	closed atomic.Bool
	epoch  atomic.Uint32
	sides  [2]struct {
		calls atomic.Int64
		_     [56]byte // a cache line each
	}
	waiting sync.Mutex
}

// enter lets a call in, unless the gate is shut, and names the side it must leave.
func (g *gate) enter() (side uint32, ok bool) {
	side = g.epoch.Load() & 1
	g.sides[side].calls.Add(1)
	if g.closed.Load() {
		g.leave(side)
		return 0, false
	}
	return side, true
}

func (g *gate) leave(side uint32) { g.sides[side].calls.Add(-1) }

// shut refuses all further calls; it says whether it was open.
func (g *gate) shut() bool { return !g.closed.Swap(true) }

// wait returns when every call that was inside at its start has left.
func (g *gate) wait() {
	g.waiting.Lock()
	defer g.waiting.Unlock()
	for range 2 {
		old := (g.epoch.Add(1) - 1) & 1
		for pause := time.Microsecond; g.sides[old].calls.Load() != 0; pause = min(2*pause, time.Millisecond) {
			time.Sleep(pause)
		}
	}
}
