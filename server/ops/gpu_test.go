package ops

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/gpu/wire"
	"github.com/vccdb/vccdb/internal/errs"
)

// fakeGPU is a machine with these devices.
type fakeGPU gpu.Status

func (f fakeGPU) Status(context.Context) gpu.Status { return gpu.Status(f) }

// fakeWorker is in a state, and notes that it was restarted.
type fakeWorker struct {
	status    supervisor.Status
	refuses   error
	restarted int
}

func (f *fakeWorker) Status() supervisor.Status { return f.status }
func (f *fakeWorker) Restart() error            { f.restarted++; return f.refuses }

func TestGPU(t *testing.T) {
	watts := 70.5
	f := newFixture().with(func(o *Options) {
		o.GPU = fakeGPU{DriverVersion: "550.54.15", Devices: []gpu.Device{
			{Index: 0, Name: "A", MemoryTotalBytes: 100, MemoryUsedBytes: 40, PowerWatts: &watts},
			{Index: 3, Name: "B", MemoryTotalBytes: 200},
		}}
	})
	_, body := f.get(t, "/metrics")
	samples := parse(t, body)
	for name, want := range map[string]float64{
		"vccdb_gpu_devices": 2, `vccdb_gpu_memory_total_bytes{index="0"}`: 100, `vccdb_gpu_memory_used_bytes{index="0"}`: 40,
		`vccdb_gpu_power_watts{index="0"}`: 70.5, `vccdb_gpu_memory_total_bytes{index="3"}`: 200,
		"vccdb_gpu_worker_wanted": 0, "vccdb_gpu_worker_up": 0, "vccdb_gpu_worker_restarts_total": 0, "vccdb_gpu_batch_size_count": 0,
		`vccdb_gpu_worker_failures_total{cause="hang"}`: 0,
	} {
		if got, ok := samples[name]; !ok || got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if _, ok := samples[`vccdb_gpu_power_watts{index="3"}`]; ok {
		t.Error("a figure that the device doesn't report is shown")
	}
	const devices = `"devices":[{"index":0,"name":"A","memory_total_bytes":100,"memory_used_bytes":40,"power_watts":70.5},{"index":3,"name":"B","memory_total_bytes":200,"memory_used_bytes":0}]`
	const head = `"gpu":{"enabled":false,"reason":"no vector index asks for a GPU: set vector_index.use_gpu to true, or the engine of an index to gpu","wanted":false,` +
		`"driver_version":"550.54.15","worker":{"state":"off","reason":"this server starts no worker","restarts":0,"failures":{},`
	if _, body := f.get(t, "/stats"); !strings.Contains(body, head) || !strings.Contains(body, devices) {
		t.Errorf("%s\nlacks %s or %s", body, head, devices)
	}

	f = newFixture().with(func(o *Options) { o.GPU = fakeGPU{Reason: "no driver"} })
	if _, body := f.get(t, "/stats"); !strings.Contains(body, `"gpu":{"enabled":false,"reason":"no driver","wanted":false,`) || !strings.Contains(body, `"devices":[]`) {
		t.Errorf("without a device: %s", body)
	}
	if _, body := f.get(t, "/metrics"); parse(t, body)["vccdb_gpu_devices"] != 0 || strings.Contains(body, "vccdb_gpu_memory") {
		t.Errorf("without a device: %s", body)
	}
}

// running is a worker in its second life.
func running() supervisor.Status {
	s := supervisor.Status{
		State: supervisor.Running, Since: time.Unix(1_790_000_000, 0).UTC(), PID: 4711,
		Device:    &wire.DeviceInfo{Name: "A", Kernels: "sm_90", MemoryUsed: 30, MemoryLimit: 90},
		LastCause: supervisor.CauseCrash, LastError: "signal: killed", LastEnd: time.Unix(1_789_999_999, 0).UTC(),
		Totals: supervisor.Totals{
			Starts: 2, Failures: map[supervisor.Cause]uint64{supervisor.CauseCrash: 1}, Searches: 40, Batches: 4,
			Queued: 1500 * time.Millisecond, Device: 250 * time.Millisecond,
		},
	}
	s.Totals.BatchSizes[0], s.Totals.BatchSizes[4], s.Totals.BatchSizes[len(supervisor.BatchSizes)] = 2, 1, 1
	return s
}

func TestWorker(t *testing.T) {
	memory := uint64(30)
	f := newFixture().with(func(o *Options) {
		o.Worker = &fakeWorker{status: running()}
		o.GPU = fakeGPU{Devices: []gpu.Device{{Name: "A", Processes: []gpu.Process{{PID: 7}, {PID: 4711, MemoryBytes: &memory}}}}}
	})
	_, body := f.get(t, "/metrics")
	samples := parse(t, body)
	for name, want := range map[string]float64{
		"vccdb_gpu_worker_wanted": 1, "vccdb_gpu_worker_up": 1, "vccdb_gpu_worker_restarts_total": 1, "vccdb_gpu_worker_memory_bytes": 30,
		`vccdb_gpu_worker_failures_total{cause="crash"}`: 1, `vccdb_gpu_worker_failures_total{cause="device_lost"}`: 0,
		"vccdb_gpu_batch_size_count": 4, "vccdb_gpu_batch_size_sum": 40, `vccdb_gpu_batch_size_bucket{le="1"}`: 2,
		`vccdb_gpu_batch_size_bucket{le="8"}`: 2, `vccdb_gpu_batch_size_bucket{le="16"}`: 3, `vccdb_gpu_batch_size_bucket{le="+Inf"}`: 4,
		"vccdb_gpu_queue_seconds_sum": 1.5, "vccdb_gpu_queue_seconds_count": 40, "vccdb_gpu_device_seconds_sum": .25, "vccdb_gpu_device_seconds_count": 4,
	} {
		if got, ok := samples[name]; !ok || got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	const want = `"worker":{"state":"running","since":"2026-09-21T14:13:20Z","pid":4711,"restarts":1,"failures":{"crash":1},` +
		`"last_cause":"crash","last_error":"signal: killed","last_end":"2026-09-21T14:13:19Z",` +
		`"device":{"name":"A","kernels":"sm_90","memory_used_bytes":30,"memory_limit_bytes":90},"answered":40,"batches":4,"queue_seconds":1.5,"device_seconds":0.25,` +
		`"batch_sizes":[{"up_to":1,"count":2},{"up_to":2,"count":0},{"up_to":4,"count":0},{"up_to":8,"count":0},{"up_to":16,"count":1},`
	_, body = f.get(t, "/stats")
	for _, part := range []string{
		want, `{"up_to":1024,"count":0},{"count":1}]}`, `"gpu":{"enabled":true,"wanted":true,`,
		`"processes":[{"pid":7},{"pid":4711,"memory_bytes":30,"worker":true}]`,
	} {
		if !strings.Contains(body, part) {
			t.Errorf("%s\nlacks %s", body, part)
		}
	}
}

func TestGPUIndexes(t *testing.T) {
	f := newFixture()
	checked := time.Unix(1_790_000_000, 0).UTC()
	index := engine.DeviceIndex{Table: "t", Column: "v", DeviceStats: engine.DeviceStats{
		State: "ready", Always: true, Uploaded: 10, Dirty: 2, Bytes: 640, Recall: .99, Checked: checked,
		GPU: map[string]uint64{"setting": 3, "cheaper": 1}, CPU: map[string]uint64{"few": 2}, Queued: time.Second, Device: 2 * time.Second, Batched: 6,
		Fills: 1, Errors: 5, Curve: []engine.DeviceCurvePoint{{EfFrom: 33, Ef: 64, ShareFrom: .25, ShareTo: 1, Choice: "gpu"}},
	}}
	index.Curve[0].CPU.Median, index.Curve[0].CPU.Samples = 1500*time.Nanosecond, 7
	f.db.stats.Devices = []engine.DeviceIndex{index, {Table: "u", Column: "v", DeviceStats: engine.DeviceStats{State: "waiting", Reason: "no worker"}}}
	f.db.stats.Device = engine.DeviceTotals{Indexes: 2, Ready: 1, Uploaded: 10, Dirty: 2, Bytes: 640, GPU: index.GPU, CPU: index.CPU}
	_, body := f.get(t, "/metrics")
	samples := parse(t, body)
	for name, want := range map[string]float64{
		"vccdb_gpu_indexes": 2, "vccdb_gpu_indexes_ready": 1, "vccdb_gpu_index_vectors": 10, "vccdb_gpu_index_dirty": 2, "vccdb_gpu_index_bytes": 640,
		"vccdb_gpu_searches_total": 4, `vccdb_gpu_fallbacks_total{reason="few"}`: 2, `vccdb_gpu_fallbacks_total{reason="timeout"}`: 0,
		`vccdb_vector_searches_total{mode="gpu_scan"}`: 0,
	} {
		if got, ok := samples[name]; !ok || got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	const want = `"searches":4,"fallbacks":{"few":2},"indexes":[{"table":"t","column":"v","state":"ready","always":true,"vectors":10,"dirty":2,"bytes":640,` +
		`"recall":0.99,"checked":"2026-09-21T14:13:20Z","searches":4,"fallbacks":{"few":2},"queue_seconds":1,"device_seconds":2,"mean_batch":1.5,"fills":1,"errors":5,` +
		`"curve":[{"exact":false,"ef_from":33,"ef":64,"share_from":0.25,"share_to":1,"cpu":{"median_us":1.5,"samples":7},"gpu":{"median_us":0,"samples":0},"choice":"gpu"}]},` +
		`{"table":"u","column":"v","state":"waiting","reason":"no worker","always":false,"vectors":0,"dirty":0,"bytes":0,"searches":0,"fallbacks":{},`
	if _, body := f.get(t, "/stats"); !strings.Contains(body, want) {
		t.Errorf("%s\nlacks %s", body, want)
	}
}

// TestReasons holds what is said of each state in which the CPU answers.
func TestReasons(t *testing.T) {
	for name, test := range map[string]struct {
		worker  supervisor.Status
		devices gpu.Status
		use     bool
		want    string
		missing string
	}{
		"no index":    {worker: supervisor.Status{State: supervisor.Off}, use: true, want: "there is no vector index that could use a GPU yet"},
		"no driver":   {worker: supervisor.Status{State: supervisor.Off}, devices: gpu.Status{Reason: "no driver"}, use: true, want: "no driver", missing: "no driver"},
		"unavailable": {worker: supervisor.Status{State: supervisor.Unavailable, Reason: "there is no device 1"}, devices: gpu.Status{Reason: "x"}, want: "there is no device 1", missing: "x"},
		"failed":      {worker: supervisor.Status{State: supervisor.GaveUp, Reason: "it crashed three times"}, want: "it crashed three times"},
		"one missing": {worker: running(), devices: gpu.Status{Reason: "device 1: lost"}, missing: "device 1: lost"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture().with(func(o *Options) {
				o.GPU, o.Worker, o.UseGPU = fakeGPU(test.devices), &fakeWorker{status: test.worker}, test.use
			})
			if s := f.gpuStats(t.Context(), &engine.Stats{}); s.Reason != test.want || s.Missing != test.missing || s.Wanted != (test.worker.State != supervisor.Off) {
				t.Errorf("%+v, want %q", s, test.want)
			}
		})
	}
}

func TestRestartWorker(t *testing.T) {
	w := &fakeWorker{status: supervisor.Status{State: supervisor.GaveUp, Reason: "it crashed"}}
	f := newFixture().with(func(o *Options) { o.Worker = w })
	if s, err := f.RestartWorker(); err != nil || s.State != "failed" || w.restarted != 1 {
		t.Errorf("%+v, %v, restarted %d times", s, err, w.restarted)
	}
	w.refuses = errs.New(errs.Unavailable, "shutting_down", "it is closed")
	if _, err := f.RestartWorker(); errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "it is closed") {
		t.Errorf("refused: %v", err)
	}
	w.status, w.restarted = supervisor.Status{State: supervisor.Off}, 0
	if _, err := f.RestartWorker(); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "set vector_index.use_gpu") || w.restarted != 0 {
		t.Errorf("not wanted: %v", err)
	}
	f.with(func(o *Options) { o.Worker = nil })
	if _, err := f.RestartWorker(); errs.CodeOf(err) != "gpu_not_wanted" {
		t.Errorf("without a worker: %v", err)
	}
}
