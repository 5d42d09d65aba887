package device

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/hnsw"
	"github.com/vccdb/vccdb/vecindex/internal/indextest"
)

// TestIndex: an index with a copy is an index.
func TestIndex(t *testing.T) {
	indextest.Run(t, func(t *testing.T, metric vecindex.Metric, dim int) vecindex.Index {
		x := newIndex(t, newFakeWorker(), metric, dim, nil)
		until(t, "the device is ready", x.is(Ready))
		return x
	})
}

// story is a random history of an index and of the exact index that it has to agree
// with.
type story struct {
	t      *testing.T
	rng    *rand.Rand
	x      *Index
	oracle vecindex.Index
	w      *fakeWorker
	dim    int
	stamp  uint64
}

const historyIDs = 700

func newStory(t *testing.T, seed uint64, metric vecindex.Metric) *story {
	h := &story{t: t, rng: rand.New(rand.NewPCG(seed, 7)), w: newFakeWorker(), stamp: 1}
	h.dim = 1 + h.rng.IntN(24)
	h.x = newIndex(t, h.w, metric, h.dim, func(o *Options) { o.CanaryEvery, o.RoomEvery = 20*time.Millisecond, time.Millisecond })
	h.oracle = h.x.Unwrap()
	t.Cleanup(func() {
		if err := h.x.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *story) vector() []float32 {
	v := make([]float32, h.dim)
	for i := range v {
		v[i] = float32(h.rng.NormFloat64())
	}
	if h.rng.IntN(4) == 0 { // ties
		for i := range v {
			v[i] = float32(int(v[i]))
		}
		v[0] = 1
	}
	return v
}

func (h *story) change() {
	id := h.rng.Uint32N(historyIDs)
	if h.rng.IntN(4) == 0 {
		h.x.Delete(id)
		return
	}
	h.stamp++
	if err := h.x.Put(id, h.stamp, h.vector()); err != nil {
		h.t.Fatal(err)
	}
	if h.rng.IntN(8) > 0 || h.x.o.Metric == vecindex.Dot {
		return
	}
	v := make([]float32, h.dim)
	h.x.Vector(v, id)
	hits, _, err := h.x.Search(context.Background(), vecindex.Query{Vector: v, K: 200}, nil)
	if err != nil || !slices.ContainsFunc(hits, func(hit vecindex.Hit) bool { return hit.ID == id && hit.Stamp == h.stamp }) {
		h.t.Fatalf("what was just put under %d isn't found: %v, %v", id, hits, err)
	}
}

// search searches both ways. The copy's exact answers are the oracle's; the others are
// true and as many.
func (h *story) search() {
	q := vecindex.Query{Vector: h.vector(), K: 1 + h.rng.IntN(20), Exact: h.rng.IntN(2) == 0}
	if h.rng.IntN(2) == 0 {
		q.Allow = &bitmap.Set{}
		for range h.rng.IntN(historyIDs) {
			q.Allow.Add(h.rng.Uint32N(historyIDs + 100))
		}
	}
	h.ask(q)
}

func (h *story) ask(q vecindex.Query) {
	got, stats, err := h.x.Search(context.Background(), q, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	want, _, err := h.oracle.Search(context.Background(), q, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if q.Exact && !slices.Equal(got, want) || len(got) != len(want) {
		h.t.Fatalf("by %+v there are\n%v, want\n%v", stats.Placement, got, want)
	}
	for _, hit := range got {
		if !slices.Contains(want, hit) && (q.Allow != nil && !q.Allow.Contains(hit.ID) || hit.Distance < want[len(want)-1].Distance) {
			h.t.Fatalf("by %+v there is %v, which can't be", stats.Placement, hit)
		}
	}
}

// misbehave has the device do wrong for some time, or again right.
func (h *story) misbehave() {
	f := &h.w.faults
	switch h.rng.IntN(9) {
	case 0:
		h.w.kill()
	case 1:
		f.search.Store(wire.Errorf(wire.Code(h.rng.IntN(9)), "no search"))
	case 2:
		f.upload.Store(wire.Errorf(wire.Deadline, "no upload"))
	case 3:
		f.upload.Store(wire.Errorf(wire.Code(h.rng.IntN(9)), "no upload"))
	default:
		f.search.Store(nil)
		f.upload.Store(nil)
		if h.w.Session() == nil || h.rng.IntN(4) == 0 {
			h.w.kill()
			h.w.start()
		}
	}
}

// catchUp waits until a device that does right has everything. What it was taken for in
// this session, too small or unfit, it stays, so that is ended.
func (h *story) catchUp() {
	until(h.t, "the device has caught up", func() bool {
		d := h.x.Device()
		if d.State == TooLarge || d.State == Off {
			h.w.kill()
			h.w.start()
		}
		return d.State == Ready && d.Dirty == 0
	})
}

// recover has the device do right from now on, and waits until it is asked again.
func (h *story) recover() {
	h.w.faults.search.Store(nil)
	h.w.faults.upload.Store(nil)
	if h.w.Session() == nil {
		h.w.start()
	}
	h.catchUp()
	before := Searches(h.x.Device().GPU)
	until(h.t, "the device answers again", func() bool {
		h.search()
		return Searches(h.x.Device().GPU) > before
	})
}

// TestModel: whatever becomes of the device, answers are those of the CPU index, and the
// device is asked again once it does right.
func TestModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			h := newStory(t, seed, indextest.Metrics[seed%3])
			for step := range 1200 {
				if step == 300 { // before anything is done wrong
					h.catchUp()
				}
				switch p := h.rng.IntN(100); {
				case p < 40:
					h.change()
				case p < 95 || step < 300:
					h.search()
				case p < 97:
					h.misbehave()
				case h.w.faults.upload.Load() == nil && h.w.faults.search.Load() == nil && h.w.Session() != nil:
					h.catchUp()
				}
			}
			d := h.x.Device()
			t.Logf("%v by the device, %v by the CPU; %d fills", d.GPU, d.CPU, d.Fills)
			if Searches(d.GPU) == 0 {
				t.Error("the device answered nothing")
			}
			h.recover()
		})
	}
}

// lies are what a device may say that isn't so.
var lies = map[string]func([]wire.Hit) []wire.Hit{
	"distances": func(hits []wire.Hit) []wire.Hit {
		for i := range hits {
			hits[i].Distance /= 3
		}
		return hits
	},
	"ids": func(hits []wire.Hit) []wire.Hit {
		for i := range hits {
			hits[i].ID = (hits[i].ID + 1) % historyIDs
		}
		return hits
	},
	"nothing":  func([]wire.Hit) []wire.Hit { return nil },
	"the same": func(hits []wire.Hit) []wire.Hit { return slices.Repeat(hits[:min(1, len(hits))], len(hits)) },
}

// TestLies: lies don't get into answers, and end the use of the device.
func TestLies(t *testing.T) {
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			h := newStory(t, 11, vecindex.L2)
			for range 500 {
				h.change()
			}
			until(t, "the device is ready", h.x.is(Ready))
			until(t, "the device has everything", func() bool { return h.x.Device().Dirty == 0 })
			h.w.faults.lie.Store(&lie)
			for range 300 {
				h.search()
			}
			until(t, "the device is distrusted", h.x.is(Distrusted))
			h.w.kill()
			h.w.start()
			h.search()
			if d := h.x.Device(); d.State != Distrusted || !strings.Contains(d.Reason, "before a restart") {
				t.Errorf("after a restart of the worker it stands at %s: %s", d.State, d.Reason)
			}
		})
	}
}

// TestOmissions: a device that leaves rows out isn't seen by its answers, but by the check.
func TestOmissions(t *testing.T) {
	h := newStory(t, 12, vecindex.Cosine)
	for range 500 {
		h.change()
	}
	lie := func(hits []wire.Hit) []wire.Hit {
		return slices.DeleteFunc(hits, func(hit wire.Hit) bool { return hit.ID%2 == 0 })
	}
	h.w.faults.lie.Store(&lie)
	until(t, "the device is distrusted", h.x.is(Distrusted))
	if _, stats, _ := h.x.Search(context.Background(), vecindex.Query{Vector: h.vector(), K: 1}, nil); stats.Placement.Engine != vecindex.EngineCPU ||
		!strings.Contains(stats.Placement.Reason, "isn't used for this index") {
		t.Errorf("a distrusted device: %+v", stats.Placement)
	}
}

// TestOutOfMemory: what is too large stays on the CPU and says so, until there is room, or
// another worker.
func TestOutOfMemory(t *testing.T) {
	h := newStory(t, 13, vecindex.Cosine)
	h.w.faults.rows.Store(100)
	h.w.faults.used.Store(200 << 20)
	for range 1000 {
		h.change()
	}
	until(t, "it is too large", h.x.is(TooLarge))
	d := h.x.Device()
	for _, want := range []string{"data larger than the device's memory stays on the CPU", "the device has 512 MiB to give, 200 of them in use", "room for 100 rows"} {
		if !strings.Contains(d.Reason, want) {
			t.Errorf("the reason is %q, want %q in it", d.Reason, want)
		}
	}
	before := d.CPU["too_large"]
	for range 50 {
		h.search()
	}
	if d = h.x.Device(); d.CPU["too_large"] != before+50 || d.Dirty != 0 || d.Bytes != 0 {
		t.Errorf("an index that is too large: %+v", d)
	}
	h.w.faults.rows.Store(0)
	used := int64(200)
	until(t, "there is room", func() bool {
		used = 300 - used // others come and go
		h.w.faults.used.Store(used << 20)
		return h.x.Device().State == Ready
	})
	h.w.faults.rows.Store(100)
	h.x.Delete(0)
	if err := h.x.Put(0, h.stamp+1, h.vector()); err != nil {
		t.Fatal(err)
	}
	until(t, "it is too large again", h.x.is(TooLarge))
	h.w.faults.rows.Store(0)
	h.w.kill()
	h.w.start()
	until(t, "the next worker has it", h.x.is(Ready))
}

// TestHang: nobody waits for longer than the patience, and few do.
func TestHang(t *testing.T) {
	w := newFakeWorker()
	x := newIndex(t, w, vecindex.L2, 2, func(o *Options) { o.Patience, o.Retry = 5*time.Millisecond, time.Minute })
	defer x.Close()
	for id := range uint32(50) {
		if err := x.Put(id, 1, []float32{float32(id), 1}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the device is ready", x.is(Ready))
	w.faults.hang.Store(true)
	search := func(ctx context.Context) vecindex.Placement {
		hits, stats, err := x.Search(ctx, vecindex.Query{Vector: []float32{3, 1}, K: 2}, nil)
		if err != nil || len(hits) != 2 || hits[0].ID != 3 {
			t.Fatalf("a search found %v, %v", hits, err)
		}
		return stats.Placement
	}
	if p := search(context.Background()); p.Engine != vecindex.EngineCPU || !strings.Contains(p.Reason, "didn't answer in time") {
		t.Errorf("a device that hangs: %+v", p)
	}
	if p := search(context.Background()); !strings.Contains(p.Reason, "failed a short time ago") {
		t.Errorf("a device that has hung: %+v", p)
	}
	if d := x.Device(); d.CPU["timeout"] != 1 || d.CPU["resting"] != 1 {
		t.Errorf("searches were answered by the CPU for %v", d.CPU)
	}
	x.rest.Store(1) // it is over
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := x.Search(ended, vecindex.Query{Vector: []float32{3, 1}, K: 2}, nil); err == nil {
		t.Error("a search whose context ended was answered")
	}
}

// TestBehind: a search sees changes that the device doesn't have, or leaves it.
func TestBehind(t *testing.T) {
	w := newFakeWorker()
	x := newIndex(t, w, vecindex.L2, 1, func(o *Options) { o.MaxOverlay = 20 })
	defer x.Close()
	put := func(from, to uint32) {
		for id := from; id < to; id++ {
			if err := x.Put(id, 1, []float32{float32(id)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(0, 100)
	until(t, "the device has everything", func() bool { d := x.Device(); return d.State == Ready && d.Dirty == 0 })
	w.faults.upload.Store(wire.Errorf(wire.Busy, "not now"))
	search := func(want uint32) vecindex.SearchStats {
		hits, stats, err := x.Search(context.Background(), vecindex.Query{Vector: []float32{float32(want)}, K: 1}, nil)
		if err != nil || len(hits) != 1 || hits[0].ID != want {
			t.Fatalf("the nearest to %d is %v, %v", want, hits, err)
		}
		return stats
	}
	put(100, 110)
	if stats := search(105); stats.Placement.Engine == vecindex.EngineGPU && stats.Pending == 0 {
		t.Errorf("changes were not looked at: %+v", stats)
	}
	put(110, 130)
	if p := search(125).Placement; p.Engine != vecindex.EngineCPU {
		t.Errorf("a search with many changes: %+v", p)
	}
	w.faults.upload.Store(nil)
	until(t, "the device has caught up", func() bool { d := x.Device(); return d.State == Ready && d.Dirty == 0 })
	if p := search(125).Placement; p.Engine != vecindex.EngineGPU || p.Reason != "the index is set to the gpu engine" || p.Batch != 3 {
		t.Errorf("a search with no changes: %+v", p)
	}
}

// slowSource is an index whose searches take some time.
type slowSource struct {
	vecindex.Source
	takes time.Duration
}

func (s slowSource) Search(ctx context.Context, q vecindex.Query, dst []vecindex.Hit) ([]vecindex.Hit, vecindex.SearchStats, error) {
	time.Sleep(s.takes)
	return s.Source.Search(ctx, q, dst)
}

// TestAuto: where it isn't set who answers, the cheaper one does, as measured before the
// first search, and both costs are told.
func TestAuto(t *testing.T) {
	for _, c := range []struct {
		cpu, gpu time.Duration
		want     string
	}{{0, 25 * time.Millisecond, vecindex.EngineCPU}, {25 * time.Millisecond, 0, vecindex.EngineGPU}} {
		w := newFakeWorker()
		w.faults.slowSearch.Store(int64(c.gpu))
		x := newIndex(t, w, vecindex.L2, 2, func(o *Options) {
			o.Always = false
			o.CPU = slowSource{o.CPU, c.cpu}
			o.CanaryEvery = time.Hour
		})
		for id := range uint32(probeFrom + 100) {
			if err := x.Put(id, 1, []float32{float32(id), 1}); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "the last kind is measured", func() bool {
			curve := x.Device().Curve
			return len(curve) >= 5 && curve[len(curve)-1].Exact && curve[len(curve)-1].CPU.Samples >= probes
		})
		q := vecindex.Query{Vector: []float32{7, 1}, K: 10, Ef: probeEf}
		_, stats, err := x.Search(context.Background(), q, nil)
		p := stats.Placement
		if err != nil || p.Engine != c.want || p.PredictedCPU < c.cpu || p.PredictedGPU < c.gpu || p.PredictedCPU == 0 || p.PredictedGPU == 0 {
			t.Errorf("%v: a search was answered by %+v, %v", c, p, err)
		}
		curve := x.Device().Curve
		if len(curve) < 5 || curve[0].Choice != c.want || curve[0].CPU.Samples == 0 || curve[0].GPU.Samples == 0 {
			t.Errorf("%v: the curve is %+v", c, curve)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestDetach: a detached index is the CPU's, and there is nothing left on the device.
func TestDetach(t *testing.T) {
	w := newFakeWorker()
	x := newIndex(t, w, vecindex.L2, 2, nil)
	if err := x.Put(1, 1, []float32{1, 2}); err != nil {
		t.Fatal(err)
	}
	until(t, "the device is ready", x.is(Ready))
	x.Detach()
	s := w.Session().(*fakeSession)
	if len(s.indexes) != 0 {
		t.Errorf("%d indexes are left", len(s.indexes))
	}
	if hits, _, err := x.Search(context.Background(), vecindex.Query{Vector: []float32{1, 2}, K: 1}, nil); err != nil || len(hits) != 1 {
		t.Errorf("a detached index found %v, %v", hits, err)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

// TestWithoutWorker: where there is no worker, there is a reason.
func TestWithoutWorker(t *testing.T) {
	x := newIndex(t, nil, vecindex.L2, 2, func(o *Options) { o.Unavailable = "built without it" })
	defer x.Close()
	if err := x.Put(1, 1, []float32{1, 2}); err != nil {
		t.Fatal(err)
	}
	_, stats, err := x.Search(context.Background(), vecindex.Query{Vector: []float32{1, 2}, K: 1}, nil)
	if err != nil || stats.Placement.Engine != vecindex.EngineCPU || stats.Placement.Reason != "built without it" {
		t.Errorf("%+v, %v", stats.Placement, err)
	}
}

// TestConcurrent: writers, searches and a worker that comes and goes, all at once. What
// a writer's own search after a write doesn't find is lost.
func TestConcurrent(t *testing.T) {
	w := newFakeWorker()
	cpu, err := hnsw.New(hnsw.Options{Dimension: 4, Metric: vecindex.L2, Quantization: vecindex.Int8, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	x := New(Options{CPU: cpu, Dimension: 4, Metric: vecindex.L2, Worker: w, Always: true, Linger: time.Microsecond, Retry: time.Millisecond, CanaryEvery: 50 * time.Millisecond})
	defer x.Close()
	var writers, others sync.WaitGroup
	stop := make(chan struct{})
	for writer := range uint32(3) {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(writer), 3))
			for step := range uint64(600) {
				id := writer*100 + rng.Uint32N(60)
				v := []float32{rng.Float32(), rng.Float32(), rng.Float32(), rng.Float32()}
				if err := x.Put(id, step, v); err != nil {
					t.Error(err)
				}
				hits, stats, err := x.Search(context.Background(), vecindex.Query{Vector: v, K: 3, Exact: step%2 == 0}, nil)
				if err != nil || !slices.ContainsFunc(hits, func(h vecindex.Hit) bool { return h.ID == id && h.Stamp == step }) {
					t.Errorf("%d wasn't found by %+v: %v, %v", id, stats, hits, err)
				}
				if rng.IntN(3) == 0 {
					x.Delete(id)
				}
			}
		})
	}
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				w.kill()
				w.start()
				x.Device()
			}
		}
	})
	writers.Wait()
	close(stop)
	others.Wait()
	until(t, "the device is ready", x.is(Ready))
	if err := x.Check(); err != nil {
		t.Error(err)
	}
	t.Logf("%+v", x.Device())
}
