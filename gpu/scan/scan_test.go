package scan_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

var everyMetric = []wire.Metric{wire.Cosine, wire.L2, wire.Dot}

// open opens a device over a model, and checks in the end that all memory came back.
func open(t *testing.T, o scan.Options) (*scan.Device, *model) {
	m := newModel(t, 1<<30)
	d := scan.New(m, o)
	t.Cleanup(func() { closed(t, d) })
	return d, m
}

func closed(t *testing.T, d *scan.Device) {
	ok(t, d.Close())
	if used := d.Used(); used != 0 {
		t.Errorf("%d bytes are in use after everything was closed", used)
	}
}

// alone skips a test in which nothing runs beside anything else where tests are short,
// which is under the race detector.
func alone(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("nothing here runs beside anything else")
	}
}

// queries are random ones, with different K, some of them filtered: also by too short
// a filter, by one that allows nothing, and one filter shared by many.
func queries(rng *rand.Rand, n, dim, ids, most int) []serve.Query {
	shared := allowing(rng, (ids+63)/64, 0.3)
	qs := make([]serve.Query, n)
	for i := range qs {
		qs[i] = serve.Query{Vector: random(rng, dim), K: 1 + rng.IntN(most)}
		switch rng.IntN(8) {
		case 0, 1:
			qs[i].Allow = shared
		case 2:
			qs[i].Allow = allowing(rng, 1+rng.IntN((ids+63)/64), rng.Float64())
		case 3:
			qs[i].Allow = allowing(rng, (ids+63)/64+3, 0.01)
		case 4:
			qs[i].Allow = make([]uint64, rng.IntN(2))
		}
	}
	return qs
}

// TestHistory puts, replaces and deletes at random, and compares searches with a map.
func TestHistory(t *testing.T) {
	alone(t)
	for _, metric := range everyMetric {
		for _, codes := range []wire.Codes{wire.Int8, wire.BF16} {
			t.Run(fmt.Sprintf("%v/%v", metric, codes), func(t *testing.T) {
				d, _ := open(t, scan.Options{ScratchBytes: 1 << 20}) // about ten queries at a time
				history(t, d, metric, codes, uint64(metric)*2+uint64(codes), 2000)
			})
		}
	}
}

func history(t *testing.T, d *scan.Device, metric wire.Metric, codes wire.Codes, seed uint64, ids int) {
	rng := rand.New(rand.NewPCG(seed, 61))
	dim := 3 + rng.IntN(40)
	x, o := index(t, d, wire.IndexSpec{Dim: dim, Metric: metric, Codes: codes, Seed: seed})
	found, searched := 0.0, 0
	for step := range 12 {
		switch {
		case step%4 == 3:
			some := ascending(rng, rng.IntN(ids/2), ids+500)
			ok(t, x.Delete(some))
			o.delete(some)
		case step == 10:
			ok(t, x.Delete(o.ids()))
			o.delete(o.ids())
		default:
			some := ascending(rng, 1+rng.IntN(ids/2), ids)
			vectors := random(rng, dim*len(some))
			ok(t, x.Put(some, vectors))
			o.put(some, vectors)
		}
		if x.Len() != len(o.vectors) {
			t.Fatalf("step %d: %d vectors, want %d", step, x.Len(), len(o.vectors))
		}
		for _, exact := range []bool{false, true} {
			b := serve.Batch{Exact: exact, Queries: queries(rng, 1+rng.IntN(12), dim, ids, 60)}
			ok(t, x.Search(&b))
			for _, q := range b.Queries {
				found += o.check(t, q, exact)
				searched++
			}
		}
	}
	if recall := found / float64(searched); recall < 0.999 {
		t.Errorf("recall %.4f over %d searches", recall, searched)
	}
	ok(t, x.Close())
}

// TestSegments: an index that grows from part of a segment over several finds vectors
// of each, and those of rows that were taken again.
func TestSegments(t *testing.T) {
	alone(t)
	d, _ := open(t, scan.Options{})
	rng := rand.New(rand.NewPCG(62, 0))
	x, o := index(t, d, wire.IndexSpec{Dim: 4, Metric: wire.L2})
	n := 0
	for _, size := range []int{500, 700, 9000, 1000, 2*kernels.SegmentRows - 11200, 1, 3000} {
		ids := make([]uint32, size)
		for i := range ids {
			ids[i] = uint32(n + i)
		}
		n += size
		vectors := random(rng, 4*size)
		ok(t, x.Put(ids, vectors))
		o.put(ids, vectors)
		b := serve.Batch{Queries: []serve.Query{
			{Vector: vectors[:4], K: 1}, {Vector: o.vectors[uint32(n/2)], K: 1}, {Vector: vectors[len(vectors)-4:], K: 1},
		}}
		ok(t, x.Search(&b))
		for i, want := range []uint32{ids[0], uint32(n / 2), ids[size-1]} {
			if b.Queries[i].Hits[0].ID != want || b.Queries[i].Hits[0].Distance != 0 {
				t.Fatalf("after %d: %+v, want %d at 0", n, b.Queries[i].Hits, want)
			}
		}
	}
	before := x.Bytes()
	gone := ascending(rng, 5000, n)
	ok(t, x.Delete(gone))
	o.delete(gone)
	for i := range gone {
		gone[i] += uint32(n)
	}
	vectors := random(rng, 4*len(gone))
	ok(t, x.Put(gone, vectors))
	o.put(gone, vectors)
	b := serve.Batch{Exact: true, Queries: queries(rng, 3, 4, 2*n, 50)}
	ok(t, x.Search(&b))
	for _, q := range b.Queries {
		o.check(t, q, true)
	}
	if after := x.Bytes(); after-before > int64(8*n) { // what has the row of each id grew
		t.Errorf("%d bytes, %d before the rows were taken again", after, before)
	}
	ok(t, x.Close())
}

// TestOverflow: where the order of rows is the worst there is, so that all rows of the
// first phase are far and all others near, the answer is the same.
func TestOverflow(t *testing.T) {
	alone(t)
	d, m := open(t, scan.Options{})
	overflow(t, d)
	if m.launches("rerank") < 2 {
		t.Error("nothing overflowed")
	}
}

func overflow(t *testing.T, d *scan.Device) {
	const n = 9000
	rng := rand.New(rand.NewPCG(63, 0))
	x, o := index(t, d, wire.IndexSpec{Dim: 4, Metric: wire.L2})
	first := scan.FirstPhase(n)
	vectors := random(rng, 4*n)
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(i)
		if first[i] {
			vectors[4*i] += 100
		}
	}
	ok(t, x.Put(ids, vectors))
	o.put(ids, vectors)
	b := serve.Batch{Queries: queries(rng, 6, 4, n, 30)}
	for i := range b.Queries {
		b.Queries[i].Allow = nil
	}
	b.Queries[5].Vector[0] += 100 // this one finds in the first phase what there is
	ok(t, x.Search(&b))
	for _, q := range b.Queries {
		if recall := o.check(t, q, false); recall < 1 {
			t.Errorf("recall %v", recall)
		}
	}
	ok(t, x.Close())
}

// TestTies: of equal vectors those of the lowest ids are found, in their order, in
// whatever order they came and whatever rows they have.
func TestTies(t *testing.T) {
	alone(t)
	for _, exact := range []bool{false, true} {
		var first []wire.Hit
		for seed := range uint64(3) {
			rng := rand.New(rand.NewPCG(seed, 64))
			d, _ := open(t, scan.Options{})
			x, _ := index(t, d, wire.IndexSpec{Dim: 8, Metric: wire.Cosine})
			for _, i := range rng.Perm(60) { // 60 vectors, 50 times each
				v := random(rand.New(rand.NewPCG(uint64(i), 65)), 8)
				for _, at := range rng.Perm(50) {
					ok(t, x.Put([]uint32{uint32(at*60 + i)}, v))
				}
				if i%9 == 0 { // rows move
					ok(t, x.Delete([]uint32{uint32(i)}))
					ok(t, x.Put([]uint32{uint32(i)}, v))
				}
			}
			b := serve.Batch{Exact: exact, Queries: []serve.Query{{Vector: random(rand.New(rand.NewPCG(1, 66)), 8), K: 70}}}
			ok(t, x.Search(&b))
			hits := b.Queries[0].Hits
			if first == nil {
				first = hits
			}
			if !reflect.DeepEqual(hits, first) {
				t.Errorf("seed %d: %v, before %v", seed, hits, first)
			}
			for i := range 50 {
				if hits[i].ID != hits[0].ID%60+uint32(60*i) {
					t.Fatalf("hit %d is %v", i, hits[i])
				}
			}
			ok(t, x.Close())
		}
	}
}

// TestRecall: of the nearest ten, codes of a byte miss fewer than one in a thousand,
// also where the data have clusters.
func TestRecall(t *testing.T) {
	alone(t)
	const n, dim, searches = 4000, 96, 30
	for name, spread := range map[string]float32{"random": 1, "clustered": 0.2} {
		rng := rand.New(rand.NewPCG(67, 0))
		centres := make([][]float32, 20)
		for i := range centres {
			centres[i] = random(rng, dim)
		}
		draw := func() []float32 {
			v := random(rng, dim)
			if spread < 1 {
				for i, c := range centres[rng.IntN(len(centres))] {
					v[i] = c + spread*v[i]
				}
			}
			return v
		}
		for _, metric := range everyMetric {
			d, _ := open(t, scan.Options{})
			x, o := index(t, d, wire.IndexSpec{Dim: dim, Metric: metric, Seed: 5})
			var ids []uint32
			var vectors []float32
			for i := range n {
				ids, vectors = append(ids, uint32(i)), append(vectors, draw()...)
			}
			ok(t, x.Put(ids, vectors))
			o.put(ids, vectors)
			b := serve.Batch{}
			for range searches {
				b.Queries = append(b.Queries, serve.Query{Vector: draw(), K: 10})
			}
			ok(t, x.Search(&b))
			found := 0.0
			for _, q := range b.Queries {
				found += o.check(t, q, false)
			}
			if recall := found / searches; recall < 0.999 {
				t.Errorf("%s, %v: recall %.4f", name, metric, recall)
			}
			ok(t, x.Close())
		}
	}
}

// TestFarData: recall doesn't suffer where all vectors are far from the origin and near
// each other.
func TestFarData(t *testing.T) {
	alone(t)
	const n, dim, searches = 3000, 24, 20
	for _, metric := range everyMetric {
		for _, codes := range []wire.Codes{wire.Int8, wire.BF16} {
			d, _ := open(t, scan.Options{})
			rng := rand.New(rand.NewPCG(73, 0))
			draw := func() []float32 {
				v := random(rng, dim)
				for i := range v {
					v[i] += 20
				}
				return v
			}
			x, o := index(t, d, wire.IndexSpec{Dim: dim, Metric: metric, Codes: codes, Seed: 5})
			ids, vectors := ascending(rng, n, n), []float32{}
			for range n {
				vectors = append(vectors, draw()...)
			}
			ok(t, x.Put(ids, vectors))
			o.put(ids, vectors)
			b := serve.Batch{}
			for range searches {
				b.Queries = append(b.Queries, serve.Query{Vector: draw(), K: 10})
			}
			ok(t, x.Search(&b))
			found := 0.0
			for _, q := range b.Queries {
				found += o.check(t, q, false)
			}
			if recall := found / searches; recall < 0.999 {
				t.Errorf("%v, %v: recall %.4f", metric, codes, recall)
			}
			ok(t, x.Close())
		}
	}
}

// TestKernelChoice: few queries go one way over the rows, many in tiles.
func TestKernelChoice(t *testing.T) {
	alone(t)
	d, m := open(t, scan.Options{})
	x, _ := index(t, d, wire.IndexSpec{Dim: 5, Metric: wire.Dot})
	ok(t, x.Put([]uint32{7}, random(rand.New(rand.NewPCG(1, 1)), 5)))
	for n, kernel := range map[int]string{1: "b1", 2: "b2", 3: "b4", 4: "b4", 5: "tile8", 17: "tile32", 128: "tile128", 300: "tile128"} {
		for _, exact := range []bool{false, true} {
			b := serve.Batch{Exact: exact}
			for range n {
				b.Queries = append(b.Queries, serve.Query{Vector: []float32{1, 2, 3, 4, 5}, K: 3})
			}
			name := "scan_s8_" + kernel
			if exact {
				name = "scan_f32_" + map[bool]string{true: kernel, false: "b4"}[n <= 4]
			}
			before := m.launches(name)
			ok(t, x.Search(&b))
			if m.launches(name) != before+1 {
				t.Errorf("%d queries, exact %t: no %s", n, exact, name)
			}
			for _, q := range b.Queries {
				if len(q.Hits) != 1 || q.Hits[0].ID != 7 {
					t.Fatalf("%+v", q.Hits)
				}
			}
		}
	}
	ok(t, x.Close())
}

func code(err error) wire.Code {
	var e *wire.Error
	if !errors.As(err, &e) {
		return wire.Failed
	}
	return e.Code
}

// TestMemory: what doesn't fit is refused before anything is done, the rest goes on,
// and memory that is given back can be had again.
func TestMemory(t *testing.T) {
	alone(t)
	const dim = 256
	d, _ := open(t, scan.Options{MemoryLimit: 16 << 20})
	rng := rand.New(rand.NewPCG(68, 0))
	spec := wire.IndexSpec{Dim: dim, Metric: wire.Cosine}
	for range 2 {
		x, o := index(t, d, spec)
		var err error
		next := uint32(0)
		for err == nil {
			ids := []uint32{next, next + 1, next + 2}
			ids = append(ids, next+900)
			vectors := random(rng, dim*len(ids))
			if err = x.Put(ids, vectors); err == nil {
				o.put(ids, vectors)
				next += 1000
			}
		}
		if code(err) != wire.OutOfMemory {
			t.Fatal(err)
		}
		if x.Len() != len(o.vectors) || x.Bytes() > d.Info().MemoryLimit || x.Len() < 100 {
			t.Fatalf("%d vectors, want %d, in %d bytes", x.Len(), len(o.vectors), x.Bytes())
		}
		b := serve.Batch{Queries: []serve.Query{{Vector: o.vectors[900], K: 5}}}
		ok(t, x.Search(&b))
		if o.check(t, b.Queries[0], false) < 1 {
			t.Error("what was there isn't found")
		}
		bothAtOnce(t, x, o, dim)
		ok(t, x.Delete(o.ids()[:50]))
		ok(t, x.Put([]uint32{1}, random(rng, dim)))
		ok(t, x.Close())
	}
	x, _ := index(t, d, spec)
	if err := x.Put([]uint32{kernels.None - 1}, random(rng, dim)); code(err) != wire.OutOfMemory {
		t.Errorf("an id that needs 16 GiB: %v", err)
	}
	ok(t, x.Close())
}

// bothAtOnce makes two large batches at the same time, for which there is memory also
// where indexes have all that they may have.
func bothAtOnce(t *testing.T, x serve.Index, o *oracle, dim int) {
	t.Helper()
	var wg sync.WaitGroup
	batches := make([]serve.Batch, 2)
	for i := range batches {
		batches[i].Queries = queries(rand.New(rand.NewPCG(uint64(i), 72)), 60, dim, 900, 200)
		wg.Go(func() {
			if err := x.Search(&batches[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, b := range batches {
		for _, q := range b.Queries[:5] {
			o.check(t, q, false)
		}
	}
}

// TestIdleLanes: the memory of lanes that nobody uses is there for others.
func TestIdleLanes(t *testing.T) {
	d, _ := open(t, scan.Options{MemoryLimit: 200 << 10, ScratchBytes: 120 << 10})
	needA, backA, err := d.Lane()
	ok(t, err)
	needB, backB, err := d.Lane()
	ok(t, err)
	ok(t, needA(120<<10))
	if err := needB(120 << 10); code(err) != wire.OutOfMemory {
		t.Errorf("twice 120 of 200 KiB: %v", err)
	}
	backA()
	ok(t, needB(120<<10))
	backB()
	x, _ := index(t, d, wire.IndexSpec{Dim: 1})
	ok(t, x.Put([]uint32{1}, []float32{1}))
	ok(t, x.Close())
}

// TestLost: an error of the device is that of the call.
func TestLost(t *testing.T) {
	d, m := open(t, scan.Options{})
	x, _ := index(t, d, wire.IndexSpec{Dim: 2, Metric: wire.L2})
	ok(t, x.Put([]uint32{1, 2}, []float32{1, 0, 0, 1}))
	lost := wire.Errorf(wire.Lost, "gone")
	for _, call := range []func() error{
		func() error { return x.Put([]uint32{3}, []float32{1, 1}) },
		func() error { return x.Put([]uint32{5000}, []float32{1, 1}) },
		func() error { return x.Delete([]uint32{1}) },
		func() error { return x.Search(&serve.Batch{Queries: []serve.Query{{Vector: []float32{1, 1}, K: 1}}}) },
		func() error { _, err := d.NewIndex(wire.IndexSpec{Dim: 2}); return err },
	} {
		m.failing(lost)
		if err := call(); !errors.Is(err, lost) {
			t.Errorf("%v", err)
		}
	}
	ok(t, x.Close())
}

func TestInvalid(t *testing.T) {
	d, _ := open(t, scan.Options{})
	if _, err := d.NewIndex(wire.IndexSpec{Dim: wire.MaxDim + 1}); code(err) != wire.Invalid {
		t.Error(err)
	}
	x, _ := index(t, d, wire.IndexSpec{Dim: 2, Metric: wire.L2})
	search := func(q serve.Query) error { return x.Search(&serve.Batch{Queries: []serve.Query{q}}) }
	for i, err := range []error{
		x.Put([]uint32{1, 1}, make([]float32, 4)), x.Put([]uint32{2, 1}, make([]float32, 4)), x.Put([]uint32{1}, make([]float32, 3)),
		x.Put([]uint32{kernels.None}, make([]float32, 2)), x.Delete([]uint32{4, 3}),
		search(serve.Query{Vector: make([]float32, 3), K: 1}), search(serve.Query{Vector: make([]float32, 2)}),
		search(serve.Query{Vector: make([]float32, 2), K: wire.MaxK + 1}),
	} {
		if code(err) != wire.Invalid {
			t.Errorf("%d: %v", i, err)
		}
	}
	b := serve.Batch{Queries: []serve.Query{{Vector: []float32{1, 2}, K: 4}}}
	if err := x.Search(&b); err != nil || b.Queries[0].Hits == nil || len(b.Queries[0].Hits) > 0 {
		t.Errorf("an empty index finds %v, %v", b.Queries[0].Hits, err)
	}
	ok(t, x.Delete([]uint32{9}))
	ok(t, x.Close())
}

// TestParallel: searches and another index's changes at the same time.
func TestParallel(t *testing.T) {
	d, _ := open(t, scan.Options{})
	rng := rand.New(rand.NewPCG(69, 0))
	x, o := index(t, d, wire.IndexSpec{Dim: 6, Metric: wire.L2})
	ids := ascending(rng, 300, 400)
	vectors := random(rng, 6*300)
	ok(t, x.Put(ids, vectors))
	o.put(ids, vectors)
	batches := make([]serve.Batch, 8)
	for i := range batches {
		batches[i] = serve.Batch{Exact: i%2 == 0, Queries: queries(rng, 5, 6, 400, 20)}
	}
	var wg sync.WaitGroup
	for i := range batches {
		wg.Go(func() {
			if err := x.Search(&batches[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		y, err := d.NewIndex(wire.IndexSpec{Dim: 6, Metric: wire.Dot})
		if err == nil {
			err = errors.Join(y.Put(ids, vectors), y.Delete(ids[:20]), y.Close())
		}
		if err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	for _, b := range batches {
		for _, q := range b.Queries {
			o.check(t, q, b.Exact)
		}
	}
	ok(t, x.Close())
}

func TestTileStep(t *testing.T) {
	for tiles := 1; tiles < 2000; tiles++ {
		step := scan.TileStep(tiles)
		if gcd(uint32(step), uint32(tiles)) != 1 {
			t.Fatalf("%d tiles have the step %d", tiles, step)
		}
	}
	if rows := scan.FirstPhase(1 << 20); len(rows) != 4096 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestAppendQuery(t *testing.T) {
	q := kernels.Query{Threshold: 1 << 60, Filter: 2 << 50, FilterWords: 3 << 20, Scale: 0.1, Count: 5 << 20, Flags: 6 << 20, Keep: 7 << 20, K: 8 << 20}
	if got, want := scan.AppendQuery([]byte{9}, q), kernels.Append([]byte{9}, q); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// unpinned is a model that locks no memory into place.
type unpinned struct {
	*model
	code wire.Code
}

func (u unpinned) Pin([]byte) error { return wire.Errorf(u.code, "no") }

// TestPin: that memory can't be locked is no reason to do without the device.
func TestPin(t *testing.T) {
	for code, fails := range map[wire.Code]bool{wire.Unsupported: false, wire.OutOfMemory: false, wire.Lost: true} {
		d := scan.New(unpinned{newModel(t, 1<<20), code}, scan.Options{})
		if err := d.Pin(make([]byte, 10)); (err != nil) != fails {
			t.Errorf("%v: %v", code, err)
		}
		closed(t, d)
	}
}
