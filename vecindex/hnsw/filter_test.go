package hnsw

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/vecindex"
)

// filterKinds are ways to allow a share of the ids, by how they lie to a query.
var filterKinds = map[string]func(c *clusters, share float64, byDistance []uint32) *bitmap.Set{
	"independent": func(c *clusters, share float64, ids []uint32) *bitmap.Set {
		allow := &bitmap.Set{}
		for _, id := range ids {
			if c.rng.Float64() < share {
				allow.Add(id)
			}
		}
		return allow
	},
	"near": func(_ *clusters, share float64, ids []uint32) *bitmap.Set {
		return bitmap.Of(ids[:int(share*float64(len(ids)))]...)
	},
	"far": func(_ *clusters, share float64, ids []uint32) *bitmap.Set {
		return bitmap.Of(ids[len(ids)-int(share*float64(len(ids))):]...)
	},
	"likelier far away": func(c *clusters, share float64, ids []uint32) *bitmap.Set {
		allow := &bitmap.Set{}
		for rank, id := range ids {
			if c.rng.Float64() < 2*share*float64(rank)/float64(len(ids)) {
				allow.Add(id)
			}
		}
		return allow
	},
}

// TestFilters is the gate: whatever share of the ids is allowed, and wherever they lie,
// an answer has only those, as many as there are, and nearly the nearest; and it costs
// no more than twice a scan of them.
func TestFilters(t *testing.T) { eachQuantization(t, testFilters) }

func testFilters(t *testing.T, quantization vecindex.Quantization) {
	if raceFactor > 1 {
		t.Skip("TestConcurrent and TestScanWhileItChanges are for the race detector")
	}
	const n, dim, k, ef, gate = 12_000, 24, 10, 100, 0.95
	c := newClusters(6, dim, 40)
	x, oracle := open(t, Options{Quantization: quantization, Dimension: dim, M: 12, EfConstruction: 100}), newFlat(t, vecindex.Cosine, dim)
	for id := range uint32(n) {
		v := c.vector()
		put(t, x, id, v)
		put(t, oracle, id, v)
	}
	drain(t, x)
	qs := queries(c, 20, k, ef)
	byDistance := make([][]uint32, len(qs))
	for i := range qs {
		all, _ := search(t, oracle, vecindex.Query{Vector: qs[i].Vector, K: n, Exact: true})
		for _, h := range all {
			byDistance[i] = append(byDistance[i], h.ID)
		}
	}
	plans := map[vecindex.Plan]int{}
	fallbacks := 0
	for kind, allowOf := range filterKinds {
		for _, share := range []float64{0.001, 0.01, 0.1, 0.3, 0.5, 0.9} {
			for i := range qs {
				qs[i].Allow = allowOf(c, share, byDistance[i])
				hits, stats := search(t, x, qs[i])
				plans[stats.Plan]++
				if stats.ExactFallback {
					fallbacks++
				}
				if most := 2*qs[i].Allow.Len() + 1500; stats.Distances > most {
					t.Errorf("%s, %v: %+v of %d allowed, want at most %d distances", kind, share, stats, qs[i].Allow.Len(), most)
				}
				for _, h := range hits {
					if !qs[i].Allow.Contains(h.ID) {
						t.Errorf("%s, %v: %d isn't allowed", kind, share, h.ID)
					}
				}
			}
			if got := recall(t, x, oracle, qs); got < gate {
				t.Errorf("%s, %v: recall@%d is %.3f", kind, share, k, got)
			}
		}
	}
	t.Logf("plans %v, given up %d", plans, fallbacks)
	if plans[vecindex.PlanScan] == 0 || plans[vecindex.PlanFiltered] == 0 || fallbacks == 0 {
		t.Error("the test has lost its force")
	}
}

// TestFilterFarAway allows only what is far from the query: the walk is given up early,
// and the answer is that of a scan.
func TestFilterFarAway(t *testing.T) {
	const n, dim = 30_000, 8
	if raceFactor > 1 {
		t.Skip("too many vectors for the race detector")
	}
	x := open(t, Options{Dimension: dim, Metric: vecindex.L2, M: 4, EfConstruction: 16})
	oracle := newFlat(t, vecindex.L2, dim)
	c := newClusters(7, dim, 1)
	allow := &bitmap.Set{}
	for id := range uint32(n) {
		v := c.vector()
		if id%2 == 0 {
			v[0] += 100
			allow.Add(id)
		}
		put(t, x, id, v)
		put(t, oracle, id, v)
	}
	drain(t, x)
	for _, ef := range []int{32, 800} { // with the latter 4,800 codes are foreseen
		q := vecindex.Query{Vector: c.vector(), K: 10, Ef: ef, Allow: allow}
		got, stats := search(t, x, q)
		want, _ := search(t, oracle, q)
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if stats.Plan != vecindex.PlanFiltered || !stats.ExactFallback {
			t.Errorf("no walk that was given up: %+v", stats)
		}
		if stats.Distances > allow.Len()+allow.Len()/8 {
			t.Errorf("ef %d: %d distances for %d allowed: it was given up late", ef, stats.Distances, allow.Len())
		}
	}
}

// TestScanWhileItChanges scans codes while vectors are put, replaced and deleted: what
// stays is found each time, once, with its distance.
func TestScanWhileItChanges(t *testing.T) {
	const stay, change, dim = 400, 400, 16
	c := newClusters(9, dim, 10)
	x := open(t, Options{Quantization: vecindex.Int8, Dimension: dim, Metric: vecindex.L2, M: 8, EfConstruction: 40, Workers: 2})
	allow := &bitmap.Set{}
	vectors := make([][]float32, stay)
	for id := range uint32(stay + change) {
		allow.Add(id)
		v := c.vector()
		if id < stay {
			vectors[id] = v
		}
		put(t, x, id, v)
	}
	stop := make(chan struct{})
	var writer sync.WaitGroup
	defer writer.Wait()
	defer close(stop)
	writer.Go(func() {
		w := newClusters(10, dim, 10)
		for stamp := uint64(1); ; stamp++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := x.Admit(context.Background()); err != nil {
				t.Error(err)
				return
			}
			id := stay + w.rng.Uint32N(change)
			if w.rng.IntN(4) == 0 {
				x.Delete(id)
			} else if err := x.Put(id, stamp, w.vector()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 300 / raceFactor {
		id := uint32(i % stay)
		hits, stats := search(t, x, vecindex.Query{Vector: vectors[id], K: 5, Ef: 32, Allow: allow})
		if stats.Plan != vecindex.PlanScan {
			t.Fatalf("%+v, want a scan", stats)
		}
		if !slices.ContainsFunc(hits, func(h vecindex.Hit) bool { return h.ID == id && h.Distance < 1e-3 }) {
			t.Errorf("%d isn't found where it is: %v", id, hits)
		}
		if !slices.IsSortedFunc(hits, func(a, b vecindex.Hit) int { return cmp.Compare(a.Distance, b.Distance) }) {
			t.Errorf("hits out of order: %v", hits)
		}
		ids := map[uint32]bool{}
		for _, h := range hits {
			if ids[h.ID] {
				t.Errorf("%d is there twice: %v", h.ID, hits)
			}
			ids[h.ID] = true
		}
	}
}

// TestScanOfEquallyFar scans vectors that are about equally far from the query, as those
// are that lie just beyond what a filter leaves out: by codes alone nobody can tell which
// are the nearest.
func TestScanOfEquallyFar(t *testing.T) {
	const n, dim, k = 900, 64, 10
	x := open(t, Options{Quantization: vecindex.Int8, Dimension: dim, Metric: vecindex.L2, M: 4, EfConstruction: 8})
	c := newClusters(11, dim, 1)
	q := make([]float32, dim)
	for i := range q {
		q[i] = float32(c.rng.NormFloat64())
	}
	allow := &bitmap.Set{}
	for _, id := range c.rng.Perm(n) {
		v, norm := make([]float32, dim), 0.0
		for i := range v {
			v[i] = float32(c.rng.NormFloat64())
			norm += float64(v[i]) * float64(v[i])
		}
		for i := range v {
			v[i] = q[i] + v[i]*float32((1+1e-4*float64(id))/math.Sqrt(norm))
		}
		put(t, x, uint32(id), v)
		allow.Add(uint32(id))
	}
	drain(t, x)
	hits, stats := search(t, x, vecindex.Query{Vector: q, K: k, Ef: 20, Allow: allow})
	if stats.Plan != vecindex.PlanScan {
		t.Fatalf("%+v, want a scan", stats)
	}
	for i, h := range hits {
		if h.ID != uint32(i) {
			t.Fatalf("the nearest are %v, want the ids in order", hits)
		}
	}
}
