package hnsw

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vccdb/vccdb/vecindex"
)

// TestPending: what isn't linked yet is found exactly, whether its rows are codes or not
// there yet, as after a load.
func TestPending(t *testing.T) {
	for _, quantization := range []vecindex.Quantization{vecindex.Unquantized, vecindex.Int8, vecindex.FastScan} {
		t.Run(quantization.String(), func(t *testing.T) { checkPending(t, quantization) })
	}
}

func checkPending(t *testing.T, quantization vecindex.Quantization) {
	const n, dim = 3000 / raceFactor, 16
	c := newClusters(8, dim, 10)
	x, oracle := open(t, Options{Dimension: dim, Workers: 1, Quantization: quantization}), newFlat(t, vecindex.Cosine, dim)
	release := holdLinkers(x)
	defer release() // also if the test fails: closing waits for linkers
	for id := range uint32(n) {
		v := c.vector()
		put(t, x, id, v)
		put(t, oracle, id, v)
	}
	if st := x.Stats(); st.Pending != n {
		t.Errorf("%d pending, want %d", st.Pending, n)
	}
	for _, q := range queries(c, 20, 10, 20) {
		want, _ := search(t, oracle, q)
		slot, _ := x.slots.placeOf(want[0].ID)
		x.slots.coded.clear(slot)
		if quantization != vecindex.Unquantized {
			x.rows.encode(x.rows.of(slot), opposite(q.Vector))
		}
		got, stats := search(t, x, q)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		if stats.Pending != n {
			t.Errorf("%+v, want %d pending", stats, n)
		}
		if scored := stats.Distances - n; quantization != vecindex.Unquantized && scored > n/2 {
			t.Errorf("%d of %d vectors were looked at behind their codes", scored, n)
		}
	}
	release()
	drain(t, x)
	if st := x.Stats(); st.Pending != 0 || sum(st.Levels) != n || sum(st.DegreeHistogram) != n {
		t.Errorf("after draining: %+v", st)
	}
}

// TestScanLooksTwice: where more rows than are kept may be those of the nearest, all of
// them are compared by their vectors, each once, also if their distances are too many to
// be remembered.
func TestScanLooksTwice(t *testing.T) {
	for _, remembered := range []int{0, 2998, 2997, 2000} { // 0: the default
		checkSecondLook(t, remembered)
	}
}

func checkSecondLook(t *testing.T, remembered int) {
	const n, dim, k = 3000, 64, 10
	x := open(t, Options{Dimension: dim, Metric: vecindex.L2, Workers: 1, Quantization: vecindex.Int8, remembered: remembered})
	oracle := newFlat(t, vecindex.L2, dim)
	release := holdLinkers(x)
	defer release()
	c := newClusters(12, dim, 1)
	q := vecindex.Query{Vector: make([]float32, dim), K: k, Ef: 20}
	for i := range q.Vector {
		q.Vector[i] = float32(c.rng.NormFloat64())
	}
	for id := range uint32(n) {
		v, norm := make([]float32, dim), 0.0
		for i := range v {
			v[i] = float32(c.rng.NormFloat64())
			norm += float64(v[i]) * float64(v[i])
		}
		for i := range v {
			v[i] = q.Vector[i] + v[i]*float32((1+1e-5*c.rng.Float64())/math.Sqrt(norm))
		}
		put(t, x, id, v)
		put(t, oracle, id, v)
	}
	want, _ := search(t, oracle, q)
	for _, h := range want[:2] { // of these only the vectors tell
		slot, _ := x.slots.placeOf(h.ID)
		x.slots.coded.clear(slot)
		x.rows.encode(x.rows.of(slot), opposite(q.Vector))
	}
	got, stats := search(t, x, q)
	if !slices.Equal(got, want) {
		t.Errorf("remembering %d: got %v, want %v", remembered, got, want)
	}
	// Of the rows, the vectors of the best, and the vectors of all that may be among the nearest.
	most := n + scanKeptLeast
	if remembered != 0 && remembered < n-2 {
		most += n
	}
	if stats.Distances <= most {
		t.Errorf("remembering %d: %d distances, which one look does", remembered, stats.Distances)
	}
}

func opposite(v []float32) []float32 {
	turned := make([]float32, len(v))
	for i, x := range v {
		turned[i] = -x
	}
	return turned
}

func sum(counts []int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}

// holdLinkers keeps linkers from linking until release is called. (Stats and Put
// only need to share linking.)
func holdLinkers(x *Index) (release func()) {
	x.graph.top.Lock() // a linker of the first nodes waits for it
	return sync.OnceFunc(x.graph.top.Unlock)
}

// TestAdmit: a writer is held up while the backlog is over its bound.
func TestAdmit(t *testing.T) {
	c := newClusters(9, 4, 1)
	x := open(t, Options{Dimension: 4, MaxPending: 10, Workers: 1})
	release := holdLinkers(x)
	for id := range uint32(10) {
		put(t, x, id, c.vector())
	}
	if err := x.Admit(context.Background()); err != nil {
		t.Errorf("10 pending of 10: %v", err)
	}
	put(t, x, 10, c.vector())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := x.Admit(ctx); err != context.DeadlineExceeded {
		t.Errorf("11 pending of 10: %v", err)
	}
	if err := x.Drain(ctx); err != context.DeadlineExceeded {
		t.Errorf("drain: %v", err)
	}
	admitted := make(chan error, 1)
	go func() { admitted <- x.Admit(context.Background()) }()
	release()
	if err := <-admitted; err != nil {
		t.Errorf("after the linkers went on: %v", err)
	}
}

// TestAllowBacklog: after a bulk load, writers may keep the backlog where it is, and
// are let go when it is back there, not only when it is worked off.
func TestAllowBacklog(t *testing.T) {
	const loaded, maxPending = 1000, 8
	c := newClusters(13, 4, 1)
	x := open(t, Options{Dimension: 4, MaxPending: maxPending, Workers: 1})
	release := holdLinkers(x)
	var id uint32
	putMore := func(n int) {
		for range n {
			put(t, x, id, c.vector())
			id++
		}
	}
	putMore(loaded)
	x.AllowBacklog()
	putMore(maxPending)
	if err := x.Admit(context.Background()); err != nil {
		t.Errorf("the backlog was allowed: %v", err)
	}
	putMore(1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := x.Admit(ctx); err != context.DeadlineExceeded {
		t.Errorf("more than was allowed: %v", err)
	}
	admitted := make(chan error, 1)
	go func() { admitted <- x.Admit(context.Background()) }()
	time.Sleep(10 * time.Millisecond) // so that it waits
	// As if the linkers had done a few.
	x.mu.Lock()
	for range maxPending {
		x.shrinkBacklogLocked()
	}
	x.mu.Unlock()
	if err := <-admitted; err != nil {
		t.Error(err)
	}
	x.mu.Lock()
	x.mu.backlog += maxPending
	x.mu.Unlock()
	release()
}

// TestPendingIsNotBudgeted: a long backlog makes a search longer by its exact scan,
// and doesn't make it give the walk up.
func TestPendingIsNotBudgeted(t *testing.T) {
	const linked, pending, dim = 2000, 4000, 8
	c := newClusters(15, dim, 5)
	x := open(t, Options{Dimension: dim, M: 6, EfConstruction: 30})
	for id := range uint32(linked) {
		put(t, x, id, c.vector())
	}
	drain(t, x)
	x.linking.Lock() // linkers stand still
	for id := range uint32(pending) {
		put(t, x, linked+id, c.vector())
	}
	_, stats := search(t, x, vecindex.Query{Vector: c.vector(), K: 1, Ef: 10})
	x.linking.Unlock()
	if stats.Pending != pending || stats.Hops == 0 || stats.ExactFallback {
		t.Errorf("%+v, want %d pending and a walk", stats, pending)
	}
}

// TestLinkersStandBack: after a search linkers leave gaps, and without one they don't.
func TestLinkersStandBack(t *testing.T) {
	const n, dim, breath = 20, 4, 5 * time.Millisecond
	c := newClusters(16, dim, 1)
	x := open(t, Options{Dimension: dim, Workers: 1, breath: breath})
	linkAll := func() time.Duration {
		began := time.Now()
		for id := range uint32(n) {
			put(t, x, id, c.vector())
		}
		drain(t, x)
		return time.Since(began)
	}
	linkAll()
	if x.searches.Load() != 0 {
		t.Fatal("there was a search")
	}
	search(t, x, vecindex.Query{Vector: c.vector(), K: 1})
	// The last slot has no gap behind it, and the first is linked before the search is seen.
	if took := linkAll(); took < (n-2)*breath {
		t.Errorf("%d slots were linked within %v after a search, want gaps of %v", n, took, breath)
	}
}

// TestLinkersHurry: the longer the backlog is than writers may make it, the less linkers
// stand back.
func TestLinkersHurry(t *testing.T) {
	const dim, maxPending = 4, 10
	c := newClusters(17, dim, 1)
	x := open(t, Options{Dimension: dim, MaxPending: maxPending})
	if x.breath() != fullBreath {
		t.Errorf("without a backlog: %v", x.breath())
	}
	x.linking.Lock()
	for id := range uint32(5 * maxPending) {
		put(t, x, id, c.vector())
	}
	if x.breath() != fullBreath/5 {
		t.Errorf("with five times what writers may cause: %v", x.breath())
	}
	x.linking.Unlock()
	drain(t, x)
}
