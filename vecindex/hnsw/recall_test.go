package hnsw

import (
	"context"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/flat"
)

// recall is the share of the k nearest by the oracle that the index returns.
func recall(t testing.TB, x, oracle vecindex.Index, queries []vecindex.Query) float64 {
	t.Helper()
	found, total := 0, 0
	for _, q := range queries {
		want, _ := search(t, oracle, q)
		got, _ := search(t, x, q)
		if len(got) != len(want) {
			t.Fatalf("%d hits, want %d", len(got), len(want))
		}
		for _, h := range want {
			total++
			if slices.ContainsFunc(got, func(g vecindex.Hit) bool { return g.ID == h.ID }) {
				found++
			}
		}
	}
	return float64(found) / float64(total)
}

func queries(c *clusters, n, k, ef int) []vecindex.Query {
	qs := make([]vecindex.Query, n)
	for i := range qs {
		qs[i] = vecindex.Query{Vector: c.vector(), K: k, Ef: ef}
	}
	return qs
}

func newFlat(t testing.TB, metric vecindex.Metric, dim int) vecindex.Index {
	t.Helper()
	x, err := flat.New(metric, dim, flat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestRecallAfterUpdates replaces and deletes most of an index several times over.
// The graph stays as good as a new one, near enough, and takes no more slots.
func TestRecallAfterUpdates(t *testing.T) { eachQuantization(t, testRecallAfterUpdates) }

func testRecallAfterUpdates(t *testing.T, quantization vecindex.Quantization) {
	const n, rounds, dim, gate = 3000 / raceFactor, 6, 32, 0.93
	c := newClusters(2, dim, 50)
	x, oracle := open(t, Options{Quantization: quantization, Dimension: dim, M: 8, EfConstruction: 60, Workers: 2, MaxPending: 500}), newFlat(t, vecindex.Cosine, dim)
	for range rounds {
		for id := range uint32(n) {
			v := c.vector()
			if err := x.Admit(context.Background()); err != nil {
				t.Fatal(err)
			}
			put(t, x, id, v)
			put(t, oracle, id, v)
			if gone := c.rng.Uint32N(n); c.rng.IntN(3) == 0 {
				x.Delete(gone)
				oracle.Delete(gone)
			}
		}
	}
	drain(t, x)
	if got := recall(t, x, oracle, queries(c, 200, 10, 64)); got < gate {
		t.Errorf("recall@10 is %.3f, want at least %v", got, gate)
	} else {
		t.Logf("recall@10 %.4f", got)
	}
	// Live, as many dead as Admit lets be, and what was under way.
	if used, most := int(x.slots.high.Load()), 2*n+16*sweepMinimum+3*500+n/2; used > most {
		t.Errorf("%d updates of %d ids took %d slots, want at most %d", rounds*n, n, used, most)
	}
}

// TestStranded deletes all but a few of every cluster: what is left has lost its
// neighbours and their neighbours, and must be found all the same.
func TestStranded(t *testing.T) { eachQuantization(t, testStranded) }

func testStranded(t *testing.T, quantization vecindex.Quantization) {
	const numClusters, perCluster, dim = 100, 60 / raceFactor, 16
	c := newClusters(4, dim, numClusters)
	x := open(t, Options{Quantization: quantization, Dimension: dim, M: 6, EfConstruction: 40})
	vectors := map[uint32][]float32{}
	for id := range uint32(numClusters * perCluster) {
		v := c.in(int(id) % numClusters)
		put(t, x, id, v)
		if id < numClusters {
			vectors[id] = v
		}
	}
	drain(t, x)
	for id := uint32(numClusters); id < numClusters*perCluster; id++ {
		x.Delete(id)
	}
	await(t, "the sweep", func() bool { return x.linked.Load() < numClusters+sweepMinimum })
	missed := 0
	for id, v := range vectors {
		hits, stats := search(t, x, vecindex.Query{Vector: v, K: 1, Ef: 20})
		if stats.Hops == 0 {
			t.Fatal("this was to search the graph")
		}
		if hits[0].ID != id {
			missed++
		}
	}
	if missed > numClusters/50 {
		t.Errorf("%d of %d left alone were not found", missed, numClusters)
	}
}

// TestDuplicates: many equal vectors keep neither each other nor the rest from being
// found.
func TestDuplicates(t *testing.T) { eachQuantization(t, testDuplicates) }

func testDuplicates(t *testing.T, quantization vecindex.Quantization) {
	const copies, numOthers, dim = 300, 2000 / raceFactor, 12
	c := newClusters(5, dim, 20)
	x := open(t, Options{Quantization: quantization, Dimension: dim, Metric: vecindex.L2})
	same := c.vector()
	for id := range uint32(copies) {
		put(t, x, id, same)
	}
	others := map[uint32][]float32{}
	for id := range uint32(numOthers) {
		v := c.vector()
		others[copies+id] = v
		put(t, x, copies+id, v)
	}
	drain(t, x)
	hits, _ := search(t, x, vecindex.Query{Vector: same, K: 20, Ef: 64})
	for _, h := range hits {
		if h.Distance != 0 {
			t.Errorf("looking for %d equal vectors found %v", copies, h)
		}
	}
	missed := 0
	for id, v := range others {
		if hits, _ := search(t, x, vecindex.Query{Vector: v, K: 1, Ef: 64}); hits[0].ID != id {
			missed++
		}
	}
	if missed > len(others)/200 {
		t.Errorf("%d of %d others were not found", missed, len(others))
	}
}

// TestGhosts puts one vector again and again, hardly changed: the dead ones around it
// don't hide the living one.
func TestGhosts(t *testing.T) {
	const n, dim, times = 1500, 8, 600
	c := newClusters(16, dim, 5)
	x := open(t, Options{Dimension: dim, Metric: vecindex.L2, M: 4, EfConstruction: 16, Workers: 1})
	for id := range uint32(n) {
		put(t, x, id, c.vector())
	}
	v := c.vector()
	missed := 0
	for stamp := range uint64(times) {
		near := slices.Clone(v)
		near[stamp%dim] += 0.01
		if err := x.Put(n, stamp, near); err != nil {
			t.Fatal(err)
		}
		drain(t, x)
		hits, stats := search(t, x, vecindex.Query{Vector: v, K: 1, Ef: 16})
		if stats.Hops == 0 || stats.ExactFallback {
			t.Fatalf("%+v, want a walk", stats)
		}
		if hits[0].ID != n || hits[0].Stamp != stamp {
			missed++
		}
	}
	if missed > 0 {
		t.Errorf("missed %d of %d times", missed, times)
	}
}

// TestSlack: an early end makes searches cheaper, the more so the smaller the slack,
// costs little recall, and a slack that never ends a walk changes nothing.
func TestSlack(t *testing.T) { eachQuantization(t, testSlack) }

func testSlack(t *testing.T, quantization vecindex.Quantization) {
	const n, dim, k, ef = 4000, 32, 10, 200
	if raceFactor > 1 {
		t.Skip("too many vectors for the race detector")
	}
	c := newClusters(21, dim, 30)
	x := open(t, Options{Quantization: quantization, Dimension: dim, Metric: vecindex.L2})
	oracle := newFlat(t, vecindex.L2, dim)
	for id := range uint32(n) {
		v := c.vector()
		put(t, x, id, v)
		put(t, oracle, id, v)
	}
	drain(t, x)
	qs := queries(c, 50, k, ef)
	var before int
	for _, slack := range []float32{0, 1e9, 1.4, 1.1} {
		distances := 0
		for i := range qs {
			qs[i].Slack = slack
			_, stats := search(t, x, qs[i])
			distances += stats.Distances
		}
		got := recall(t, x, oracle, qs)
		t.Logf("slack %v: %d distances, recall %.3f", slack, distances/len(qs), got)
		switch {
		case slack == 1e9 && distances != before:
			t.Errorf("an end that is never reached: %d distances instead of %d", distances, before)
		case slack > 0 && slack < 1e9 && distances >= before:
			t.Errorf("slack %v: %d distances, no fewer than %d", slack, distances, before)
		case got < 0.9:
			t.Errorf("slack %v: recall %.3f", slack, got)
		}
		before = distances
	}
}
