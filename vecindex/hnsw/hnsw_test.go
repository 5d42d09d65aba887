package hnsw

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/flat"
	"github.com/vccdb/vccdb/vecindex/internal/indextest"
	"github.com/vccdb/vccdb/vecindex/simd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open makes an index that is checked and closed at the end of the test.
func open(t testing.TB, o Options) *Index {
	t.Helper()
	x, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Check(); err != nil && errs.CodeOf(err) != "vector_index_closed" {
			t.Error(err)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func put(t testing.TB, x vecindex.Index, id uint32, v []float32) {
	t.Helper()
	if err := x.Put(id, uint64(id), v); err != nil {
		t.Fatal(err)
	}
}

func drain(t testing.TB, x vecindex.Index) {
	t.Helper()
	if err := x.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func search(t testing.TB, x vecindex.Index, q vecindex.Query) ([]vecindex.Hit, vecindex.SearchStats) {
	t.Helper()
	hits, stats, err := x.Search(context.Background(), q, nil)
	if err != nil {
		t.Fatal(err)
	}
	return hits, stats
}

// await waits for the background to bring a condition about.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// clusters draws vectors around random centres, as embeddings of topics lie.
type clusters struct {
	rng     *rand.Rand
	centres [][]float32
}

func newClusters(seed uint64, dim, n int) *clusters {
	c := &clusters{rng: rand.New(rand.NewPCG(seed, 7))}
	for range n {
		c.centres = append(c.centres, c.gaussian(make([]float32, dim), 1))
	}
	return c
}

func (c *clusters) gaussian(centre []float32, spread float64) []float32 {
	v := make([]float32, len(centre))
	for i := range v {
		v[i] = centre[i] + float32(spread*c.rng.NormFloat64())
	}
	return v
}

func (c *clusters) vector() []float32 { return c.in(c.rng.IntN(len(c.centres))) }

// in draws a vector of one cluster.
func (c *clusters) in(cluster int) []float32 { return c.gaussian(c.centres[cluster], 2) }

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

func TestIndex(t *testing.T) {
	levels := simd.Levels()
	if raceFactor > 1 {
		levels = levels[:1] // the kernels are not what the race detector is for
	}
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			indextest.Run(t, func(t *testing.T, metric vecindex.Metric, dim int) vecindex.Index {
				// Few slots and links, so that sweeps and full rows happen.
				x, err := New(Options{Dimension: dim, Metric: metric, M: 4, EfConstruction: 20, Ef: 10, Kernel: level, Capacity: 1 << 14})
				if err != nil {
					t.Fatal(err)
				}
				return x
			})
		})
	}
}

// TestRecall is the gate: recall@10 at the default widths, against the exact scan.
func TestRecall(t *testing.T) {
	const n, dim, gate = 4000 / raceFactor, 48, 0.95
	for _, metric := range indextest.Metrics {
		t.Run(metric.String(), func(t *testing.T) {
			c := newClusters(1, dim, 50)
			x, oracle := open(t, Options{Dimension: dim, Metric: metric}), newFlat(t, metric, dim)
			for id := range uint32(n) {
				v := c.vector()
				put(t, x, id, v)
				put(t, oracle, id, v)
			}
			drain(t, x)
			if got := recall(t, x, oracle, queries(c, 200, 10, 0)); got < gate {
				t.Errorf("recall@10 is %.3f, want at least %v", got, gate)
			} else {
				t.Logf("recall@10 %.4f", got)
			}
		})
	}
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
func TestRecallAfterUpdates(t *testing.T) {
	const n, rounds, dim, gate = 3000 / raceFactor, 6, 32, 0.93
	c := newClusters(2, dim, 50)
	x, oracle := open(t, Options{Dimension: dim, Workers: 2, MaxPending: 500}), newFlat(t, vecindex.Cosine, dim)
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

// TestSlotsAreReused: an index that is filled and emptied for ever stays as small as
// at first.
func TestSlotsAreReused(t *testing.T) {
	const n, dim = 1500, 8
	c := newClusters(3, dim, 5)
	x := open(t, Options{Dimension: dim, M: 6, EfConstruction: 30})
	var first uint32
	for round := range 8 {
		for id := range uint32(n) {
			put(t, x, id, c.vector())
		}
		drain(t, x)
		for id := range uint32(n) {
			x.Delete(id)
		}
		await(t, "the sweep", func() bool { return x.Stats().Tombstones < sweepMinimum+limboMaximum })
		if err := x.Check(); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			first = x.slots.high.Load()
		}
	}
	if last := x.slots.high.Load(); last > first+sweepMinimum+limboMaximum {
		t.Errorf("%d slots in use after the first round, %d after the last", first, last)
	}
	if x.Len() != 0 {
		t.Errorf("%d left", x.Len())
	}
	if hits, _ := search(t, x, vecindex.Query{Vector: c.vector(), K: 3}); len(hits) != 0 {
		t.Errorf("an emptied index finds %v", hits)
	}
}

// TestStranded deletes all but a few of every cluster: what is left has lost its
// neighbours and their neighbours, and must be found all the same.
func TestStranded(t *testing.T) {
	const numClusters, perCluster, dim = 100, 60 / raceFactor, 16
	c := newClusters(4, dim, numClusters)
	x := open(t, Options{Dimension: dim, M: 6, EfConstruction: 40})
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
func TestDuplicates(t *testing.T) {
	const copies, numOthers, dim = 300, 2000 / raceFactor, 12
	c := newClusters(5, dim, 20)
	x := open(t, Options{Dimension: dim, Metric: vecindex.L2})
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

// TestFilters: whatever share of the ids is allowed, an answer has only those, as
// many as there are, and nearly the nearest.
func TestFilters(t *testing.T) {
	const n, dim, k = 30_000 / raceFactor, 16, 10
	c := newClusters(6, dim, 40)
	x, oracle := open(t, Options{Dimension: dim, M: 8, EfConstruction: 60}), newFlat(t, vecindex.Cosine, dim)
	for id := range uint32(n) {
		v := c.vector()
		put(t, x, id, v)
		put(t, oracle, id, v)
	}
	drain(t, x)
	for _, share := range []float64{0.0001, 0.01, 0.3, 0.7, 0.95, 1} {
		allow := &bitmap.Set{}
		for id := range uint32(n) {
			if c.rng.Float64() < share {
				allow.Add(id)
			}
		}
		qs := queries(c, 50, k, 64)
		for i := range qs {
			qs[i].Allow = allow
		}
		if got := recall(t, x, oracle, qs); got < 0.95 {
			t.Errorf("%d of %d allowed: recall@%d is %.3f", allow.Len(), n, k, got)
		}
		hits, stats := search(t, x, qs[0])
		if allow.Len() > exactUpTo && (stats.Hops == 0 || stats.Distances > allow.Len()/2) {
			t.Errorf("%d of %d allowed: %+v, want a short walk", allow.Len(), n, stats)
		}
		if stats.Distances > 2*allow.Len()+1000 {
			t.Errorf("%d of %d allowed: %+v, want at most about twice an exact scan", allow.Len(), n, stats)
		}
		for _, h := range hits {
			if !allow.Contains(h.ID) {
				t.Errorf("%d isn't allowed", h.ID)
			}
		}
	}
}

// TestFilterFarAway allows only what is far from the query: the walk gives up where
// a scan is no dearer, and the answer is exact.
func TestFilterFarAway(t *testing.T) {
	const n, dim = 2*exactUpTo + 10_000, 8
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
	q := vecindex.Query{Vector: c.vector(), K: 10, Ef: 32, Allow: allow}
	got, stats := search(t, x, q)
	want, _ := search(t, oracle, q)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !stats.ExactFallback {
		t.Errorf("no exact fallback: %+v", stats)
	}
	if stats.Distances > 2*allow.Len()+1000 {
		t.Errorf("%d distances for %d allowed", stats.Distances, allow.Len())
	}
}

// TestPending: what isn't linked yet is found exactly.
func TestPending(t *testing.T) {
	const n, dim = 3000 / raceFactor, 16
	c := newClusters(8, dim, 10)
	x, oracle := open(t, Options{Dimension: dim, Workers: 1}), newFlat(t, vecindex.Cosine, dim)
	release := holdLinkers(x)
	for id := range uint32(n) {
		v := c.vector()
		put(t, x, id, v)
		put(t, oracle, id, v)
	}
	if st := x.Stats(); st.Pending != n {
		t.Errorf("%d pending, want %d", st.Pending, n)
	}
	for _, q := range queries(c, 20, 10, 20) {
		got, stats := search(t, x, q)
		want, _ := search(t, oracle, q)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		if stats.Pending != n {
			t.Errorf("%+v, want %d pending", stats, n)
		}
	}
	release()
	drain(t, x)
	if st := x.Stats(); st.Pending != 0 || sum(st.Levels) != n || sum(st.DegreeHistogram) != n {
		t.Errorf("after draining: %+v", st)
	}
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
	return x.graph.top.Unlock
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

// TestCapacity: a full index refuses and goes on, and takes more once a sweep has
// made room.
func TestCapacity(t *testing.T) {
	c := newClusters(10, 4, 1)
	// Address space comes in whole pages, so somewhat more may fit.
	x := open(t, Options{Dimension: 4, M: 4, EfConstruction: 16, Capacity: 2000})
	var n uint32
	var err error
	for ; err == nil; n++ {
		if n > 1<<20 {
			t.Fatal("there is no bound")
		}
		err = x.Put(n, 1, c.vector())
	}
	n--
	if errs.CodeOf(err) != "vector_index_full" {
		t.Fatalf("put %d: %v", n, err)
	}
	if x.Len() != int(n) {
		t.Errorf("%d vectors, want %d", x.Len(), n)
	}
	drain(t, x)
	for id := range n / 2 {
		x.Delete(id)
	}
	await(t, "room", func() bool { return x.Put(0, 2, c.vector()) == nil })
	if stamp, ok := x.Stamp(0); !ok || stamp != 2 {
		t.Errorf("stamp %d, %v", stamp, ok)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{},
		{Dimension: vecindex.MaxDimension + 1},
		{Dimension: 4, Metric: 7},
		{Dimension: 4, M: 1},
		{Dimension: 4, M: maxM + 1},
		{Dimension: 4, EfConstruction: -1},
		{Dimension: 4, Ef: maxEf + 1},
		{Dimension: 4, Workers: -1},
		{Dimension: 4, MaxPending: -1},
		{Dimension: 4, Capacity: math.MaxInt},
		{Dimension: 4, Kernel: 99},
	} {
		if x, err := New(o); err == nil {
			t.Errorf("%+v was taken", o)
			x.Close()
		} else if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v, want it to be invalid", o, err)
		}
	}
	x := open(t, Options{Dimension: vecindex.MaxDimension, M: maxM})
	if err := x.SetEf(0); errs.KindOf(err) != errs.Invalid || x.Ef() != 64 {
		t.Errorf("ef 0: %v, ef is %d", err, x.Ef())
	}
	if err := x.SetEf(100); err != nil || x.Ef() != 100 {
		t.Errorf("ef 100: %v, ef is %d", err, x.Ef())
	}
}

// TestWidestQuery: no k and ef are too large to ask for.
func TestWidestQuery(t *testing.T) {
	const n, dim = 1000, 4
	c := newClusters(14, dim, 3)
	x := open(t, Options{Dimension: dim, M: 4, EfConstruction: 16})
	for id := range uint32(n) {
		put(t, x, id, c.vector())
	}
	drain(t, x)
	for _, q := range []vecindex.Query{{K: math.MaxInt}, {K: 1, Ef: math.MaxInt}, {K: math.MaxInt, Ef: math.MaxInt}, {K: 1 << 32, Ef: 1 << 32}} {
		q.Vector = c.vector()
		if hits, _ := search(t, x, q); len(hits) != min(q.K, n) {
			t.Errorf("k %d, ef %d: %d hits", q.K, q.Ef, len(hits))
		}
	}
}

// TestEfCounts: a wider search scores more vectors, and the index's own width is
// what a query without one gets.
func TestEfCounts(t *testing.T) {
	const n, dim = 4000 / raceFactor, 24
	c := newClusters(11, dim, 10)
	x := open(t, Options{Dimension: dim})
	for id := range uint32(n) {
		put(t, x, id, c.vector())
	}
	drain(t, x)
	q := vecindex.Query{Vector: c.vector(), K: 1, Ef: 20}
	_, narrow := search(t, x, q)
	q.Ef = 200
	_, wide := search(t, x, q)
	if narrow.Distances >= wide.Distances || narrow.Hops >= wide.Hops {
		t.Errorf("ef 20: %+v, ef 200: %+v", narrow, wide)
	}
	if err := x.SetEf(200); err != nil {
		t.Fatal(err)
	}
	q.Ef = 0
	if _, own := search(t, x, q); own != wide {
		t.Errorf("ef 200: %+v, the same as the index's own: %+v", wide, own)
	}
}

// TestSeedRepeats: with one linker, a seed gives the same graph twice.
func TestSeedRepeats(t *testing.T) {
	const n, dim = 1000, 8
	var stats []string
	for range 2 {
		c := newClusters(12, dim, 5)
		x := open(t, Options{Dimension: dim, Workers: 1, Seed: 5})
		for id := range uint32(n) {
			put(t, x, id, c.vector())
		}
		drain(t, x)
		st := x.Stats()
		stats = append(stats, fmt.Sprint(st.Levels, st.DegreeHistogram))
	}
	if stats[0] != stats[1] {
		t.Errorf("%s\n%s", stats[0], stats[1])
	}
}
