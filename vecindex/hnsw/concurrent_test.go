package hnsw

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/indextest"
)

// history is what writers have done to one id. Writes of an id have rising stamps;
// odd ones put, even ones delete (0: nothing yet).
type history struct {
	begun, done atomic.Uint64
}

// vectorOf is the vector that a stamp of an id is put with: small whole numbers, so
// that its l2 distances are exact.
func vectorOf(id uint32, stamp uint64, dim int) []float32 {
	rng := rand.New(rand.NewPCG(uint64(id), stamp))
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(rng.IntN(17) - 8)
	}
	return v
}

// TestConcurrent puts, replaces, deletes and searches from many goroutines at once,
// while linkers and sweeps run. Whatever a search returns must have been true at
// some moment between its start and its end.
func TestConcurrent(t *testing.T) { eachQuantization(t, testConcurrent) }

func testConcurrent(t *testing.T, quantization vecindex.Quantization) {
	const writers, searchers, opsEach, numIDs, dim = 3, 3, 12_000 / raceFactor, 600, 12
	x := open(t, Options{Quantization: quantization, Dimension: dim, Metric: vecindex.L2, M: 6, EfConstruction: 24, Ef: 16, MaxPending: 200, Workers: 3, breath: 1})
	histories := make([]history, numIDs)
	ctx := context.Background()
	write := func(w int) {
		rng := rand.New(rand.NewPCG(uint64(w), 99))
		for range opsEach {
			id := uint32(rng.IntN(numIDs/writers)*writers + w) // an id has one writer
			h := &histories[id]
			stamp := h.begun.Load() + 1
			if stamp%2 == 0 && id%2 == 0 { // even ids are never deleted
				stamp++
			}
			h.begun.Store(stamp)
			if stamp%2 == 0 {
				x.Delete(id)
			} else if err := x.Put(id, stamp, vectorOf(id, stamp, dim)); err != nil {
				t.Error(err)
			}
			h.done.Store(stamp)
			if err := x.Admit(ctx); err != nil {
				t.Error(err)
			}
		}
	}
	var writing, searching sync.WaitGroup
	var stop atomic.Bool
	for w := range writers {
		writing.Go(func() { write(w) })
	}
	var searches atomic.Int64
	for w := range searchers {
		searching.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 77))
			for !stop.Load() && !t.Failed() {
				searchOnce(t, x, histories, rng, dim)
				searches.Add(1)
				runtime.Gosched()
			}
		})
	}
	writing.Wait()
	stop.Store(true)
	searching.Wait()
	drain(t, x)
	live := 0
	for id := range histories {
		if histories[id].done.Load()%2 == 1 {
			live++
		}
	}
	if x.Len() != live {
		t.Errorf("%d live, want %d", x.Len(), live)
	}
	t.Logf("%d searches, %d slots for %d ids", searches.Load(), x.slots.high.Load(), numIDs)
}

// searchOnce makes one search, of a kind drawn at random, and checks every hit and
// every id that had to be one.
func searchOnce(t *testing.T, x *Index, histories []history, rng *rand.Rand, dim int) {
	all := rng.IntN(2) == 0
	q := vecindex.Query{Vector: vectorOf(rng.Uint32(), 0, dim), K: 1 + rng.IntN(8)}
	switch {
	case all:
		q.K, q.Exact = len(histories), rng.IntN(2) == 0
	case rng.IntN(4) == 0:
		q.Allow = &bitmap.Set{}
		for range len(histories) / 2 {
			q.Allow.Add(rng.Uint32N(uint32(len(histories))))
		}
	}
	done := make([]uint64, len(histories))
	for id := range histories {
		done[id] = histories[id].done.Load()
	}
	hits, _, err := x.Search(context.Background(), q, nil)
	if err != nil {
		t.Error(err)
		return
	}
	found := make([]bool, len(histories))
	for i, h := range hits {
		begun := histories[h.ID].begun.Load()
		switch {
		case found[h.ID]:
			t.Errorf("id %d twice", h.ID)
		case i > 0 && h.Distance < hits[i-1].Distance:
			t.Errorf("hit %d is nearer than the one before", i)
		case q.Allow != nil && !q.Allow.Contains(h.ID):
			t.Errorf("id %d isn't allowed", h.ID)
		case h.Stamp%2 == 0 || h.Stamp < done[h.ID] || h.Stamp > begun:
			t.Errorf("id %d: stamp %d, but %d was done before the search, and at most %d began", h.ID, h.Stamp, done[h.ID], begun)
		case float64(h.Distance) != indextest.Distance(vecindex.L2, q.Vector, vectorOf(h.ID, h.Stamp, dim)):
			t.Errorf("id %d, stamp %d: distance %v is not that vector's", h.ID, h.Stamp, h.Distance)
		}
		found[h.ID] = true
	}
	if !all {
		return
	}
	for id := range histories {
		begun := histories[id].begun.Load()
		there := done[id]%2 == 1 && (id%2 == 0 || begun == done[id])
		if there && !found[id] {
			t.Errorf("id %d was there (stamp %d, now %d), but not among all %d hits (exact %v)", id, done[id], begun, len(hits), q.Exact)
		}
	}
}

// TestReplacedIsFoundOnce replaces a vector by others near it, all the time. A search
// of the graph for it never finds two of them, and one of them as surely as it finds
// anything.
func TestReplacedIsFoundOnce(t *testing.T) { eachQuantization(t, testReplacedIsFoundOnce) }

func testReplacedIsFoundOnce(t *testing.T, quantization vecindex.Quantization) {
	const n, dim, enough = 2000 / raceFactor, 8, 5000 / raceFactor
	x := open(t, Options{Quantization: quantization, Dimension: dim, Metric: vecindex.L2, EfConstruction: 60, Workers: 2, breath: 1})
	c := newClusters(20, dim, 5)
	for id := range uint32(n) {
		put(t, x, id, c.vector())
	}
	centre := c.vector()
	put(t, x, n, centre)
	drain(t, x)
	var stop atomic.Bool
	var searching sync.WaitGroup
	var walks, missed atomic.Int64
	searching.Go(func() {
		for !stop.Load() && !t.Failed() {
			hits, stats, err := x.Search(context.Background(), vecindex.Query{Vector: centre, K: 2, Ef: 40}, nil)
			if err != nil || len(hits) != 2 || hits[0].ID == hits[1].ID {
				t.Errorf("hits %v, %v", hits, err)
			}
			if hits[0].ID != n {
				missed.Add(1)
			}
			if stats.Hops > 0 {
				walks.Add(1)
			}
		}
	})
	for i := uint64(0); walks.Load() < enough && !t.Failed(); i++ {
		v := slices.Clone(centre)
		v[i%dim] += 0.01
		if err := x.Put(n, i, v); err != nil {
			t.Error(err)
		}
		if i%4 == 0 {
			drain(t, x)
		}
	}
	stop.Store(true)
	searching.Wait()
	if missed.Load() > walks.Load()/100 {
		t.Errorf("missed in %d of %d searches", missed.Load(), walks.Load())
	}
}

// TestCloseWaits closes an index under way: calls end, either done or refused, and
// none touches memory that is gone.
func TestCloseWaits(t *testing.T) {
	const dim = 16
	for seed := range uint64(4) {
		x, err := New(Options{Dimension: dim, M: 4, EfConstruction: 16, MaxPending: 50, breath: 1})
		if err != nil {
			t.Fatal(err)
		}
		var calls sync.WaitGroup
		closedOr := func(err error) bool {
			if err != nil && errs.CodeOf(err) != "vector_index_closed" {
				t.Error(err)
			}
			return err != nil
		}
		for g := range uint64(2) {
			calls.Go(func() {
				c := newClusters(seed*10+g, dim, 5)
				for id := uint32(g); ; id += 2 {
					if closedOr(x.Put(id, 1, c.vector())) || closedOr(x.Admit(context.Background())) {
						return
					}
					x.Delete(id / 2)
				}
			})
			calls.Go(func() {
				c := newClusters(seed*10+g+5, dim, 5)
				for {
					if _, _, err := x.Search(context.Background(), vecindex.Query{Vector: c.vector(), K: 3}, nil); closedOr(err) {
						return
					}
					x.Stats()
				}
			})
		}
		for x.Len() < 100+int(seed)*100 {
			time.Sleep(time.Millisecond)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		calls.Wait()
		if err := x.Drain(context.Background()); !closedOr(err) {
			t.Error("a closed index drains")
		}
	}
}
