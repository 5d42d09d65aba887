// Package indextest is the test every vecindex.Index has to pass: random changes
// and searches compared with a map and a brute-force search in float64.
package indextest

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/nearest"
)

// New makes an empty index; Run closes it.
type New func(t *testing.T, metric vecindex.Metric, dim int) vecindex.Index

// Metrics are all metrics there are.
var Metrics = []vecindex.Metric{vecindex.Cosine, vecindex.L2, vecindex.Dot}

// Run runs all tests on an engine. With -short there is one history instead of four.
func Run(t *testing.T, newIndex New) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for _, metric := range Metrics {
		t.Run(metric.String(), func(t *testing.T) {
			for seed := range seeds {
				runModel(t, newIndex, metric, seed)
			}
		})
	}
	t.Run("refusals", func(t *testing.T) { refusals(t, newIndex) })
	t.Run("closed", func(t *testing.T) { closed(t, newIndex) })
	t.Run("canceled", func(t *testing.T) { canceled(t, newIndex) })
}

// cosineTolerance is how far a cosine distance of float32 unit vectors may be from
// the exact one. The other metrics are tested on small whole numbers, where float32
// is exact.
const cosineTolerance = 1e-6

// Distance is the exact distance of two vectors.
func Distance(metric vecindex.Metric, a, b []float32) float64 {
	var dot, aa, bb, l2 float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot += x * y
		aa += x * x
		bb += y * y
		l2 += (x - y) * (x - y)
	}
	switch metric {
	case vecindex.L2:
		return l2
	case vecindex.Dot:
		return 0 - dot
	default:
		return 1 - dot/math.Sqrt(aa*bb)
	}
}

type entry struct {
	stamp uint64
	vec   []float32
}

type model struct {
	metric  vecindex.Metric
	entries map[uint32]entry
}

// search is the answer an exact search has to give.
func (m *model) search(q vecindex.Query) []vecindex.Hit {
	var hits []vecindex.Hit
	for id, e := range m.entries {
		if q.Allow == nil || q.Allow.Contains(id) {
			hits = append(hits, vecindex.Hit{ID: id, Distance: float32(Distance(m.metric, q.Vector, e.vec)), Stamp: e.stamp})
		}
	}
	slices.SortFunc(hits, nearest.Compare)
	return hits[:min(q.K, len(hits))]
}

// check compares an answer with the model. An inexact one may hold other hits than
// the nearest, but as many, and each with its right distance and stamp.
func (m *model) check(t *testing.T, q vecindex.Query, got []vecindex.Hit, exact bool) {
	t.Helper()
	want := m.search(q)
	if len(got) != len(want) {
		t.Fatalf("k %d: %d hits, want %d", q.K, len(got), len(want))
	}
	tolerance := 0.0
	if m.metric == vecindex.Cosine {
		tolerance = cosineTolerance
	}
	seen := map[uint32]bool{}
	for i, h := range got {
		e, ok := m.entries[h.ID]
		switch {
		case !ok:
			t.Fatalf("hit %d: id %d was deleted", i, h.ID)
		case seen[h.ID]:
			t.Fatalf("hit %d: id %d twice", i, h.ID)
		case q.Allow != nil && !q.Allow.Contains(h.ID):
			t.Fatalf("hit %d: id %d isn't allowed", i, h.ID)
		case h.Stamp != e.stamp:
			t.Fatalf("hit %d: id %d has stamp %d, want %d", i, h.ID, h.Stamp, e.stamp)
		case math.Abs(float64(h.Distance)-Distance(m.metric, q.Vector, e.vec)) > tolerance:
			t.Fatalf("hit %d: id %d has distance %v, want %v", i, h.ID, h.Distance, Distance(m.metric, q.Vector, e.vec))
		case i > 0 && nearest.Compare(got[i-1], h) >= 0:
			t.Fatalf("hits %d and %d are out of order: %v %v", i-1, i, got[i-1], h)
		case exact && tolerance == 0 && h != want[i]:
			t.Fatalf("hit %d: %v, want %v", i, h, want[i])
		case exact && math.Abs(float64(h.Distance-want[i].Distance)) > tolerance:
			t.Fatalf("hit %d: distance %v, want %v", i, h.Distance, want[i].Distance)
		}
		seen[h.ID] = true
	}
}

// wholeVector has small whole numbers for elements, not all of them zero.
func wholeVector(rng *rand.Rand, dim int) []float32 {
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(rng.IntN(7) - 3)
	}
	if !slices.ContainsFunc(v, func(f float32) bool { return f != 0 }) {
		v[0] = 1
	}
	return v
}

func runModel(t *testing.T, newIndex New, metric vecindex.Metric, seed uint64) {
	const numOps, numIDs = 2500, 400
	rng := rand.New(rand.NewPCG(seed, 42))
	dim := 1 + rng.IntN(40)
	t.Logf("seed %d, dimension %d", seed, dim)
	ctx := context.Background()
	x := newIndex(t, metric, dim)
	defer closeIndex(t, x)
	m := &model{metric: metric, entries: map[uint32]entry{}}
	for op := range uint64(numOps) {
		id := rng.Uint32N(numIDs)
		switch p := rng.IntN(100); {
		case p < 55:
			e := entry{stamp: op, vec: wholeVector(rng, dim)}
			if err := x.Put(id, e.stamp, e.vec); err != nil {
				t.Fatal(err)
			}
			m.entries[id] = entry{e.stamp, slices.Clone(e.vec)}
			clear(e.vec) // the index must have its own copy
		case p < 75:
			x.Delete(id)
			delete(m.entries, id)
		case p < 76:
			if err := x.Drain(ctx); err != nil {
				t.Fatal(err)
			}
		default:
			q := randomQuery(rng, dim, numIDs)
			got, _, err := x.Search(ctx, q, nil)
			if err != nil {
				t.Fatal(err)
			}
			m.check(t, q, got, q.Exact)
		}
		if stamp, ok := x.Stamp(id); ok != (m.entries[id].vec != nil) || stamp != m.entries[id].stamp {
			t.Fatalf("id %d has stamp %d, %v; want %d", id, stamp, ok, m.entries[id].stamp)
		}
		if x.Len() != len(m.entries) {
			t.Fatalf("%d vectors, want %d", x.Len(), len(m.entries))
		}
	}
	if source, ok := x.(vecindex.Source); ok {
		m.checkSource(t, rng, source, dim, numIDs)
	}
	if st := x.Stats(); st.Live != len(m.entries) || st.Dimension != dim || st.Metric != metric {
		t.Errorf("stats: %+v, want %d live", st, len(m.entries))
	}
	if st, use := x.Stats(), x.Usage(); use.Live != st.Live || use.Bytes <= 0 && st.Live > 0 {
		t.Errorf("usage: %+v, stats: %+v", use, st)
	}
}

// checkSource: an index gives away what it has, and knows the distances of what was found
// elsewhere.
func (m *model) checkSource(t *testing.T, rng *rand.Rand, x vecindex.Source, dim, numIDs int) {
	t.Helper()
	seen := map[uint32]bool{}
	for id := range x.IDs() {
		if m.entries[id].vec == nil || seen[id] {
			t.Errorf("id %d is given away, seen before: %v", id, seen[id])
		}
		seen[id] = true
	}
	if len(seen) != len(m.entries) {
		t.Errorf("%d ids are given away, there are %d", len(seen), len(m.entries))
	}
	copied := make([]float32, dim)
	var among []uint32
	some := &bitmap.Set{}
	for id := range uint32(numIDs) {
		have := x.Vector(copied, id)
		if want := m.entries[id].vec; have != (want != nil) || have && Distance(m.metric, copied, want) > Distance(m.metric, want, want)+cosineTolerance {
			t.Errorf("the vector of id %d is %v (%v), want one like %v", id, copied, have, want)
		}
		if rng.IntN(3) == 0 {
			among = append(among, id)
			some.Add(id)
		}
	}
	rng.Shuffle(len(among), func(i, j int) { among[i], among[j] = among[j], among[i] })
	q := vecindex.Query{Vector: wholeVector(rng, dim), K: 20}
	hits, _, err := x.SearchAmong(context.Background(), q, among, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Exact, q.Allow = true, some
	m.check(t, q, hits, true)
	same, _, err := x.Search(context.Background(), q, nil)
	if err != nil || !slices.Equal(hits, same) {
		t.Errorf("among ids there are %v, with a filter %v, %v", hits, same, err)
	}
	q.Allow = &bitmap.Set{}
	if hits, _, err = x.SearchAmong(context.Background(), q, among, nil); err != nil || len(hits) != 0 {
		t.Errorf("what isn't allowed is found: %v, %v", hits, err)
	}
}

func randomQuery(rng *rand.Rand, dim, numIDs int) vecindex.Query {
	q := vecindex.Query{Vector: wholeVector(rng, dim), K: 1 + rng.IntN(12), Ef: rng.IntN(30), Exact: rng.IntN(2) == 0}
	if rng.IntN(2) == 0 {
		q.Allow = &bitmap.Set{}
		for range rng.IntN(2 * numIDs) {
			q.Allow.Add(rng.Uint32N(2 * uint32(numIDs)))
		}
	}
	return q
}

// closeIndex is how every test ends.
func closeIndex(t *testing.T, x vecindex.Index) {
	t.Helper()
	if err := x.Check(); err != nil {
		t.Error(err)
	}
	if err := x.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	if err := x.Check(); err != nil {
		t.Error(err)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

// refusals: what can't be measured is refused by name, and nothing changes.
func refusals(t *testing.T, newIndex New) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		metric vecindex.Metric
		vec    []float32
		code   string
	}{
		{vecindex.Cosine, []float32{1}, "dimension_mismatch"},
		{vecindex.Cosine, []float32{1, 2, 3}, "dimension_mismatch"},
		{vecindex.L2, nil, "dimension_mismatch"},
		{vecindex.Cosine, []float32{0, 0}, "zero_vector"},
		{vecindex.Cosine, []float32{1, inf}, "vector_not_finite"},
		{vecindex.L2, []float32{nan, 1}, "vector_not_finite"},
		{vecindex.L2, []float32{-inf, 1}, "vector_not_finite"},
		{vecindex.Dot, []float32{inf, -inf}, "vector_not_finite"},
		{vecindex.L2, []float32{3e38, 0}, "vector_too_large"},
		{vecindex.Dot, []float32{1e19, 1e19}, "vector_too_large"},
	} {
		x := newIndex(t, c.metric, 2)
		if err := x.Put(1, 10, []float32{1, 2}); err != nil {
			t.Fatal(err)
		}
		if err := x.Put(1, 11, c.vec); errs.CodeOf(err) != c.code || errs.KindOf(err) != errs.Invalid {
			t.Errorf("%v: put %v: %v, want %s", c.metric, c.vec, err, c.code)
		}
		q := vecindex.Query{Vector: c.vec, K: 1}
		if _, _, err := x.Search(context.Background(), q, nil); errs.CodeOf(err) != c.code {
			t.Errorf("%v: search %v: %v, want %s", c.metric, c.vec, err, c.code)
		}
		q = vecindex.Query{Vector: []float32{1, 2}, K: 0}
		if _, _, err := x.Search(context.Background(), q, nil); errs.CodeOf(err) != "invalid_k" {
			t.Errorf("search with k 0: %v", err)
		}
		hits, _, err := x.Search(context.Background(), vecindex.Query{Vector: []float32{1, 2}, K: 5}, nil)
		if err != nil || len(hits) != 1 || hits[0].Stamp != 10 {
			t.Errorf("%v: after a refused put: %v, %v", c.metric, hits, err)
		}
		closeIndex(t, x)
	}
	extremes(t, newIndex)
}

// extremes: the largest and smallest vectors taken have finite distances.
func extremes(t *testing.T, newIndex New) {
	for _, metric := range Metrics {
		vectors := [][]float32{{4e18, 4e18}, {-4e18, -4e18}, {1e-45, 0}, {0, -1e-45}, {1, 1}}
		if metric == vecindex.Cosine {
			vectors = append(vectors, []float32{math.MaxFloat32, math.MaxFloat32}, []float32{-math.MaxFloat32, 1})
		}
		x := newIndex(t, metric, 2)
		for i, v := range vectors {
			if err := x.Put(uint32(i), 0, v); err != nil {
				t.Fatalf("%v: put %v: %v", metric, v, err)
			}
		}
		for _, v := range vectors {
			hits, _, err := x.Search(context.Background(), vecindex.Query{Vector: v, K: len(vectors)}, nil)
			if err != nil || len(hits) != len(vectors) {
				t.Fatalf("%v: search %v: %v, %v", metric, v, hits, err)
			}
			for _, h := range hits {
				d := float64(h.Distance)
				if math.IsNaN(d) || math.IsInf(d, 0) || d == 0 && math.Signbit(d) {
					t.Errorf("%v: %v is %v away from %v", metric, v, d, vectors[h.ID])
				}
			}
		}
		closeIndex(t, x)
	}
}

// closed: after Close everything says so, and a second Close is nothing.
func closed(t *testing.T, newIndex New) {
	ctx := context.Background()
	x := newIndex(t, vecindex.L2, 2)
	if err := x.Put(1, 1, []float32{1, 2}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Put(2, 1, []float32{1, 2}); errs.CodeOf(err) != "vector_index_closed" {
		t.Errorf("put: %v", err)
	}
	if _, _, err := x.Search(ctx, vecindex.Query{Vector: []float32{1, 2}, K: 1}, nil); errs.CodeOf(err) != "vector_index_closed" {
		t.Errorf("search: %v", err)
	}
	x.Delete(1)
	if _, ok := x.Stamp(1); ok {
		t.Error("a closed index has a stamp")
	}
	x.Stats()
	x.Usage()
}

// canceled: a search whose context is done says so.
func canceled(t *testing.T, newIndex New) {
	x := newIndex(t, vecindex.L2, 2)
	defer closeIndex(t, x)
	for i := range uint32(3000) {
		if err := x.Put(i, 0, []float32{float32(i), 1}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	hits, _, err := x.Search(ctx, vecindex.Query{Vector: []float32{1, 2}, K: 3, Exact: true}, nil)
	if err != context.Canceled || len(hits) != 0 {
		t.Errorf("canceled search: %v, %v", hits, err)
	}
}
