package hnsw

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
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

func TestIndex(t *testing.T) {
	levels := simd.Levels()
	if raceFactor > 1 {
		levels = levels[:1] // the kernels are not what the race detector is for
	}
	for _, quantization := range quantizations {
		for _, level := range levels {
			t.Run(fmt.Sprint(quantization, "/", level), func(t *testing.T) {
				indextest.Run(t, func(t *testing.T, metric vecindex.Metric, dim int) vecindex.Index {
					// Few slots and links, so that sweeps and full rows happen.
					x, err := New(Options{
						Dimension: dim, Metric: metric, Quantization: quantization, Dir: t.TempDir(),
						M: 4, EfConstruction: 20, Ef: 10, Kernel: level, Capacity: 1 << 14, breath: 1,
					})
					if err != nil {
						t.Fatal(err)
					}
					return x
				})
			})
		}
	}
}

// quantizations are all that a graph can be made with.
var quantizations = []vecindex.Quantization{vecindex.Unquantized, vecindex.Int8, vecindex.FastScan}

// eachQuantization runs a test for all of them.
func eachQuantization(t *testing.T, run func(t *testing.T, quantization vecindex.Quantization)) {
	for _, q := range quantizations {
		t.Run(q.String(), func(t *testing.T) { run(t, q) })
	}
}

// TestSlotsAreReused: an index that is filled and emptied for ever stays as small as
// at first.
func TestSlotsAreReused(t *testing.T) {
	const n, rounds, dim = 1500, 3 + 5/raceFactor, 8
	c := newClusters(3, dim, 5)
	x := open(t, Options{Dimension: dim, M: 6, EfConstruction: 30})
	var first uint32
	for round := range rounds {
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
		x := open(t, Options{Dimension: dim, M: 6, EfConstruction: 40, Workers: 1, Seed: 5})
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
