package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/vecindex/device"
)

// pair is a table whose entities have a vector twice: in the column c, which the CPU
// answers for, and in g, which a device does.
type pair struct {
	*testkit.DB
	t       *testing.T
	rng     *rand.Rand
	process *gputest.Process
	pid     func() int
	live    map[string]bool
}

const pairDim = 12

func newPair(t *testing.T, metric string) *pair {
	p := &pair{t: t, rng: rand.New(rand.NewPCG(3, 9)), process: gputest.NewProcess(t, gputest.Faults{}), live: map[string]bool{}}
	supervisor := p.process.Supervise()
	p.pid = func() int { return supervisor.Status().PID }
	opts := testkit.Options(t.TempDir())
	opts.GPU.Worker = device.Supervised(supervisor)
	p.DB = testkit.OpenWith(t, opts)
	for column, who := range map[string]string{"c": schema.EngineCPU, "g": schema.EngineGPU} {
		p.Index(schema.IndexDef{Table: "t", Columns: []string{column}, Type: schema.Vector, Vector: &schema.VectorConfig{Dimension: pairDim, Metric: metric, M: 6, EfConstruction: 30, Ef: 40, Engine: who}})
	}
	p.Index(schema.IndexDef{Table: "t", Columns: []string{"n"}, Type: schema.Range})
	return p
}

func (p *pair) vector() []float32 {
	v := make([]float32, pairDim)
	for i := range v {
		v[i] = float32(p.rng.NormFloat64())
	}
	return v
}

// write puts or deletes some entities.
func (p *pair) write(n int) {
	var ops []engine.Op
	for range n {
		key := fmt.Sprintf("t:%d", p.rng.IntN(900))
		if p.live[key] && p.rng.IntN(3) == 0 {
			delete(p.live, key)
			ops = append(ops, engine.Op{Kind: engine.OpDelete, Key: testkit.Key(key)})
			continue
		}
		p.live[key] = true
		v := p.vector()
		ops = append(ops, testkit.Put(key, map[string]any{"c": v, "g": v, "n": p.rng.IntN(100)}))
	}
	p.Do(ops...)
}

func (p *pair) request() engine.SearchRequest {
	req := engine.SearchRequest{Table: "t", Vectors: [][]float32{p.vector()}, K: 1 + p.rng.IntN(6), Explain: true}
	if p.rng.IntN(2) == 0 {
		filter, err := query.ParseFilter(nil, fmt.Appendf(nil, `{"column":"n","op":"lt","value":%d}`, 20+p.rng.IntN(60)))
		if err != nil {
			p.t.Fatal(err)
		}
		req.Filter = filter
	}
	return req
}

func (p *pair) search(column string, req engine.SearchRequest) engine.SearchResult {
	p.t.Helper()
	req.Column = column
	results, err := p.Search(p.t.Context(), req)
	if err != nil {
		p.t.Fatal(err)
	}
	return results[0]
}

func (p *pair) device() *engine.DeviceStats {
	p.t.Helper()
	infos, err := p.VectorStats(p.t.Context(), "t", "g")
	if err != nil {
		p.t.Fatal(err)
	}
	return infos[0].Device
}

// awaitDevice waits until the device answers and has everything.
func (p *pair) awaitDevice() {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		d := p.device()
		if d != nil && d.State == engine.DeviceReady && d.Dirty == 0 {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the device isn't ready: %+v", d)
		}
	}
}

// compare searches both columns both ways. Exact answers are the same, also to what the
// device is asked; it finds as much as the CPU does.
func (p *pair) compare(n int) (byDevice int) {
	p.t.Helper()
	var right [2]int
	wanted := 0
	for range n {
		req := p.request()
		exact := req
		exact.Exact = true
		want, got := p.search("c", exact), p.search("g", exact)
		if !reflect.DeepEqual(want.Hits, got.Hits) {
			p.t.Errorf("exactly there are\n%v, by %+v\n%v", want.Hits, got.Plan.Device, got.Hits)
		}
		byCPU, byBoth := p.search("c", req), p.search("g", req)
		if len(byCPU.Hits) != len(want.Hits) || len(byBoth.Hits) != len(want.Hits) || byCPU.Plan.Device != nil {
			p.t.Errorf("there are %d hits, want %d; %+v", len(byBoth.Hits), len(want.Hits), byCPU.Plan.Device)
		}
		if d := byBoth.Plan.Device; d.Engine == "gpu" {
			byDevice++
			wanted += len(want.Hits)
			right[0] += common(want.Hits, byCPU.Hits)
			right[1] += common(want.Hits, byBoth.Hits)
		}
	}
	if float64(right[1]) < float64(right[0])-0.01*float64(wanted) {
		p.t.Errorf("of %d neighbours the CPU found %d, the device %d", wanted, right[0], right[1])
	}
	return byDevice
}

// common is how many hits are in both.
func common(a, b []engine.SearchHit) (n int) {
	for _, h := range b {
		if slices.ContainsFunc(a, func(w engine.SearchHit) bool { return w.Key == h.Key }) {
			n++
		}
	}
	return n
}

// TestDeviceAnswersLikeTheCPU: the same history has the same answers, with restarts of
// the worker and of the database in it.
func TestDeviceAnswersLikeTheCPU(t *testing.T) {
	metrics := []string{"cosine", "l2", "dot"}
	if testing.Short() {
		metrics = metrics[:1]
	}
	for _, metric := range metrics {
		t.Run(metric, func(t *testing.T) {
			p := newPair(t, metric)
			p.write(700)
			p.compare(3) // the device has some of it, or nothing
			p.awaitDevice()
			if n := p.compare(12); n == 0 {
				t.Errorf("the device answered nothing: %+v", p.device())
			}
			p.write(100)
			p.compare(3)
			p.Reopen()
			p.write(50)
			p.compare(3)
			p.awaitDevice()
			if n := p.compare(5); n == 0 {
				t.Error("after a restart the device answered nothing")
			}
			syscall.Kill(p.pid(), syscall.SIGKILL)
			p.write(50)
			p.compare(5)
			p.awaitDevice()
		})
	}
}

// TestDeviceKilled: a worker that is killed under load fails no request, and the next one
// takes over.
func TestDeviceKilled(t *testing.T) {
	p := newPair(t, "l2")
	p.write(700)
	var searches, longest atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(client), 1))
			for {
				select {
				case <-stop:
					return
				default:
				}
				v := make([]float32, pairDim)
				for i := range v {
					v[i] = rng.Float32()
				}
				began := time.Now()
				results, err := p.Search(context.Background(), engine.SearchRequest{Table: "t", Column: "g", Vectors: [][]float32{v}, K: 10, Exact: client == 0})
				if err != nil || len(results[0].Hits) != 10 {
					t.Errorf("a search got %v, %v", results, err)
					return
				}
				searches.Add(1)
				if took := int64(time.Since(began)); took > longest.Load() {
					longest.Store(took)
				}
			}
		})
	}
	for range 2 {
		p.awaitDevice()
		before := engine.DeviceSearches(p.device().GPU)
		for engine.DeviceSearches(p.device().GPU) < before+20 {
			time.Sleep(time.Millisecond)
		}
		syscall.Kill(p.pid(), syscall.SIGKILL)
		p.write(20)
	}
	p.awaitDevice()
	close(stop)
	clients.Wait()
	t.Logf("%d searches, the longest took %v: %v by the device, %v by the CPU", searches.Load(), time.Duration(longest.Load()), p.device().GPU, p.device().CPU)
}

// TestDeviceSettings: who answers is changed live, and survives a restart. Without a
// device, or the wish for one, there is no trace of it.
func TestDeviceSettings(t *testing.T) {
	p := newPair(t, "cosine")
	p.write(600)
	set := func(who string) {
		t.Helper()
		def, err := p.SetVectorConfig(t.Context(), "t", "g", schema.VectorConfig{Engine: who})
		if err != nil || def.Vector.Engine != who {
			t.Fatalf("%+v, %v", def, err)
		}
	}
	p.awaitDevice()
	set(schema.EngineAuto) // which doesn't mean the device here
	if d := p.device(); d != nil {
		t.Errorf("an index that uses no device says of it %+v", d)
	}
	if result := p.search("g", p.request()); result.Plan.Device != nil {
		t.Errorf("and a plan %+v", result.Plan.Device)
	}
	p.Reopen()
	if stats, err := p.Stats(); err != nil || p.device() != nil || stats.Device.Indexes != 0 || len(stats.Devices) != 0 {
		t.Errorf("after a restart: %+v, %v", stats.Devices, err)
	}
	set(schema.EngineGPU)
	p.write(100)
	p.awaitDevice()
	if result := p.search("g", engine.SearchRequest{Table: "t", Vectors: [][]float32{p.vector()}, K: 3, Explain: true}); result.Plan.Mode != "gpu_scan" || result.Plan.Device.Engine != "gpu" || result.Plan.Device.Batch == 0 {
		t.Errorf("a search on the device: %+v, %+v", result.Plan, result.Plan.Device)
	}
	many := engine.SearchRequest{Table: "t", Column: "g", K: 3}
	for range 100 {
		many.Vectors = append(many.Vectors, p.vector())
	}
	results, err := p.Search(t.Context(), many)
	if err != nil || len(results) != 100 || slices.ContainsFunc(results, func(r engine.SearchResult) bool { return len(r.Hits) != 3 }) {
		t.Errorf("a hundred vectors at once: %v, %v", results, err)
	}
	// What measures the graph doesn't ask the device.
	before := engine.DeviceSearches(p.device().GPU)
	if _, err := p.VectorRecall(t.Context(), engine.RecallRequest{Table: "t", Column: "g", Sample: 10}); err != nil {
		t.Error(err)
	}
	if after := engine.DeviceSearches(p.device().GPU); after != before {
		t.Errorf("a measurement of the graph took the device for %d searches", after-before)
	}
	stats, err := p.Stats()
	if d := stats.Device; err != nil || d.Indexes != 1 || d.Ready != 1 || d.Uploaded == 0 || engine.DeviceSearches(d.GPU) == 0 || stats.Devices[0].Column != "g" {
		t.Errorf("stats: %+v, %v", d, err)
	}
	p.SetOptions(func(o *engine.Options) { o.GPU = engine.GPUOptions{Unavailable: "there is none"} })
	p.Reopen()
	if d := p.search("g", p.request()).Plan.Device; d == nil || d.Engine != "cpu" || d.Reason != "there is none" {
		t.Errorf("a search without a device: %+v", d)
	}
}

// TestDeviceTooSmall: what doesn't fit the device stays on the CPU and says why.
func TestDeviceTooSmall(t *testing.T) {
	p := newPair(t, "l2")
	p.process.Set(gputest.Faults{Put: gputest.OutOfMemory})
	p.write(200)
	for deadline := time.Now().Add(time.Minute); p.device().State != "too_large"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it stands at %+v", p.device())
		}
	}
	if d := p.search("g", p.request()).Plan.Device; d.Engine != "cpu" || len(d.Reason) < 50 {
		t.Errorf("a search without room on the device: %+v", d)
	}
}
