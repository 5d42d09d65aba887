package hnsw

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vccdb/vccdb/vecindex/internal/offheap"
)

func TestKey(t *testing.T) {
	distances := []float32{-math.MaxFloat32, -2, -1e-30, 0, 1e-45, 0.5, 1, math.MaxFloat32}
	var last key
	for i, d := range distances {
		for _, slot := range []uint32{0, 1, 1<<31 - 1} {
			k := makeKey(d, slot)
			if k.distance() != d || k.slot() != slot {
				t.Errorf("key of %v, %d is %v, %d", d, slot, k.distance(), k.slot())
			}
			if (k|expanded).distance() != d || (k|expanded).slot() != slot {
				t.Errorf("expanded key of %v, %d is %v, %d", d, slot, (k | expanded).distance(), (k | expanded).slot())
			}
			if k <= last && i > 0 {
				t.Errorf("key of %v, %d isn't above the one before", d, slot)
			}
			last = k
		}
	}
}

// TestPool compares a pool with sorting everything.
func TestPool(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for limit := 1; limit < 40; limit++ {
		var p pool
		p.reset(limit)
		var all, expandedKeys []key
		for i := range 200 {
			k := makeKey(float32(rng.IntN(50)), uint32(i))
			all = append(all, k)
			if k < p.bound() {
				p.add(k)
			}
			if rng.IntN(3) == 0 {
				nearest := p.nearestLeft()
				want := farthest
				for _, k := range p.keys {
					if k&expanded == 0 {
						want = min(want, k)
					}
				}
				if nearest != want {
					t.Fatalf("limit %d: nearest left is %x, want %x", limit, nearest, want)
				}
				if nearest != farthest {
					p.expand()
					expandedKeys = append(expandedKeys, nearest)
				}
			}
		}
		slices.Sort(all)
		for i, k := range p.keys {
			if k&^expanded != all[i] {
				t.Fatalf("limit %d: key %d is %x, want %x", limit, i, k, all[i])
			}
			if isExpanded := k&expanded != 0; isExpanded != slices.Contains(expandedKeys, k&^expanded) {
				t.Fatalf("limit %d: key %d: expanded is %v", limit, i, isExpanded)
			}
		}
		if len(p.keys) != limit {
			t.Fatalf("limit %d: %d keys", limit, len(p.keys))
		}
	}
}

func TestHeap(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var h heap
	var model []key
	for range 3000 {
		if rng.IntN(5) < 3 {
			k := key(rng.IntN(100))
			h.push(k)
			model = append(model, k)
		} else if len(model) > 0 {
			i := slices.Index(model, slices.Min(model))
			if h.top() != model[i] {
				t.Fatalf("top is %d, want %d", h.top(), model[i])
			}
			h.pop()
			model = slices.Delete(model, i, i+1)
		}
	}
	for len(h) > 0 {
		h.pop()
	}
	if h.top() != farthest {
		t.Error("an empty heap has a top")
	}
}

func TestVisited(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var v visited
	for round := range 200 {
		size := uint32(1 + rng.IntN(5000))
		v.reset(size)
		model := map[uint32]bool{}
		for range rng.IntN(300) {
			row := make([]uint32, rng.IntN(33))
			var want []uint32
			ended := false
			for i := range row {
				row[i] = rng.Uint32N(2 * size)
				ended = ended || row[i] == 0
				// Slots beyond what the set was made for count as met.
				if slot := row[i] - 1; !ended && int(slot) < 64*len(v.bits) && !model[slot] {
					model[slot] = true
					want = append(want, slot)
				}
			}
			if got := v.meet(row); !slices.Equal(got, want) {
				t.Fatalf("round %d: meeting %v gave %v, want %v", round, row, got, want)
			}
		}
	}
}

func TestQueue(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	var q queue
	var in, out uint32
	for range 100_000 {
		if rng.IntN(2) == 0 || q.len() == 0 {
			q.push(in)
			in++
			continue
		}
		if got := q.pop(); got != out {
			t.Fatalf("popped %d, want %d", got, out)
		}
		out++
		if q.len() != int(in-out) {
			t.Fatalf("length %d, want %d", q.len(), in-out)
		}
	}
	if len(q.slots) > 4*q.len()+4096 {
		t.Errorf("%d slots of memory for %d", len(q.slots), q.len())
	}
}

func TestSparseSet(t *testing.T) {
	const n = 20_000
	var g offheap.Group
	set := newSparseSet(&g, n)
	defer g.Free()
	if err := set.grow(n); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	model := map[uint32]bool{}
	for round := range 50 {
		for range 100 {
			s := rng.Uint32N(n)
			if rng.IntN(2) == 0 {
				set.setLocked(s)
				model[s] = true
			} else {
				set.clearLocked(s)
				delete(model, s)
			}
			if set.has(s) != model[s] {
				t.Fatalf("has %d: %v", s, set.has(s))
			}
		}
		below := rng.Uint32N(n)
		var want []uint32
		for s := range model {
			if s < below {
				want = append(want, s)
			}
		}
		slices.Sort(want)
		if got := slices.Collect(set.below(below)); !slices.Equal(got, want) {
			t.Fatalf("round %d: below %d: %v, want %v", round, below, got, want)
		}
	}
}

// TestGate: a wait returns only when the calls that were inside have left, and lets
// others in meanwhile.
func TestGate(t *testing.T) {
	var g gate
	side, ok := g.enter()
	if !ok {
		t.Fatal("the gate is shut")
	}
	var waited atomic.Bool
	var waiter sync.WaitGroup
	waiter.Go(func() {
		g.wait()
		waited.Store(true)
	})
	for range 20 {
		time.Sleep(time.Millisecond)
		other, ok := g.enter()
		if !ok || waited.Load() {
			t.Fatalf("entered %v, waited %v", ok, waited.Load())
		}
		g.leave(other)
	}
	g.leave(side)
	waiter.Wait()
	if !g.shut() || g.shut() {
		t.Error("a gate shuts once")
	}
	if _, ok := g.enter(); ok {
		t.Error("entered a shut gate")
	}
	g.wait() // nobody is inside
}

// TestGateProtects is what the gate is for: something replaced is taken apart only
// after everybody who may see it has left.
func TestGateProtects(t *testing.T) {
	const replacements = 2000 / raceFactor
	type thing struct{ gone atomic.Bool }
	var g gate
	var current atomic.Pointer[thing]
	current.Store(&thing{})
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !stop.Load() {
				side, _ := g.enter()
				th := current.Load()
				for range 20 {
					if th.gone.Load() {
						t.Error("taken apart in use")
						stop.Store(true)
					}
				}
				g.leave(side)
			}
		})
	}
	for range replacements {
		old := current.Swap(&thing{})
		g.wait()
		old.gone.Store(true)
	}
	stop.Store(true)
	readers.Wait()
}
