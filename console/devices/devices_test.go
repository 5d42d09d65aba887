package devices

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/gpu/wire"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
)

func TestMain(m *testing.M) { consoletest.Main(m) }

// database has the figures of a test.
type database struct{ stats engine.Stats }

func (d *database) Readiness() engine.Readiness  { return engine.Readiness{Ready: true} }
func (d *database) Stats() (engine.Stats, error) { return d.stats, nil }
func (d *database) Jobs() *jobs.Registry         { return nil }

// machine has the devices that a test gives it while samples are taken.
type machine struct{ status atomic.Pointer[gpu.Status] }

func (m *machine) Status(context.Context) gpu.Status { return *m.status.Load() }

func (m *machine) set(s gpu.Status) { m.status.Store(&s) }

// process is a worker in a state, and notes that it was restarted.
type process struct {
	status    supervisor.Status
	refuses   error
	restarted int
}

func (w *process) Status() supervisor.Status { return w.status }
func (w *process) Restart() error            { w.restarted++; return w.refuses }

// site is the page of a server, whose parts a test changes.
type site struct {
	*consoletest.Site
	machine machine
	worker  process
	db      database
}

func newSite(t *testing.T) *site {
	s := &site{}
	s.machine.set(gpu.Status{})
	past := history.New(history.Options{Database: &s.db, GPU: &s.machine})
	t.Cleanup(past.Close)
	s.worker.status.State = supervisor.Off
	s.Site = consoletest.Serve(t, func(f *page.Frame) console.Group {
		return New(f, Options{Ops: ops.New(ops.Options{Database: &s.db, GPU: &s.machine, Worker: &s.worker}), History: past, Device: 1})
	})
	return s
}

func pointer[T any](v T) *T { return &v }

func h100(index int) gpu.Device {
	return gpu.Device{
		Index: index, Name: "NVIDIA H100 80GB HBM3", MemoryTotalBytes: 80 << 30, MemoryUsedBytes: 20 << 30, UUID: "GPU-5a", ComputeCapability: "9.0",
		UtilizationPercent: pointer(37.0), TemperatureCelsius: pointer(41.0), PowerWatts: pointer(70.5),
		Processes: []gpu.Process{{PID: 7}, {PID: 4711, MemoryBytes: pointer[uint64](3 << 30)}},
	}
}

func TestNotWanted(t *testing.T) {
	s := newSite(t)
	s.machine.set(gpu.Status{Reason: "no NVIDIA driver is installed"})
	body := s.Page("gpu", "Searches use the CPU")
	s.Reads(body, []string{"off", "No NVIDIA driver is installed.", "this machine needs an NVIDIA device", "settings?q=gpu", "No devices", "No NVIDIA driver is installed."}, "Restart the worker", "Who answered", "data-chart")
	s.machine.set(gpu.Status{DriverVersion: "550.54", Devices: []gpu.Device{h100(0)}})
	body = s.Page("gpu")
	s.Reads(body, []string{"No vector index asks for a GPU: set vector_index.use_gpu to true", "driver 550.54", "NVIDIA H100", "20 GiB of 80 GiB", "37 %", "41 °C", "70.5 W", "4711", "3 GiB", "Devices busy"},
		"Restart the worker", "this server", "gpu.device</span>")
}

// TestStates holds what each state of the worker says, and that all of them offer to
// start it anew.
func TestStates(t *testing.T) {
	s := newSite(t)
	s.machine.set(gpu.Status{Devices: []gpu.Device{h100(1)}})
	for name, test := range map[string]struct {
		status supervisor.Status
		there  []string
	}{
		"starting":    {supervisor.Status{State: supervisor.Starting}, []string{"starting", "It opens the device"}},
		"unavailable": {supervisor.Status{State: supervisor.Unavailable, Reason: "there is no device 3; the driver lists 1"}, []string{"unavailable", "There is no device 3", "Set gpu.device to one of those below"}},
		"waiting":     {supervisor.Status{State: supervisor.Backoff, Reason: "the worker crashed", LastCause: supervisor.CauseCrash, LastError: "signal: killed", LastEnd: time.Now()}, []string{"waiting", "The worker crashed.", "after a pause", "Last failure", "crashed", "signal: killed"}},
		"given up":    {supervisor.Status{State: supervisor.GaveUp, Reason: "the worker failed 3 times"}, []string{"given up", `role="alert"`, "The worker failed 3 times.", "until it is started anew"}},
	} {
		s.worker.status = test.status
		body := s.Page("gpu")
		if !strings.Contains(body, "Restart the worker") {
			t.Errorf("%s: no restart", name)
		}
		s.Reads(body, append(test.there, "Indexes on the device", "Who answered", "CPU or GPU"), "Searches use the CPU")
	}
	s.machine.set(gpu.Status{})
	s.worker.status = supervisor.Status{State: supervisor.Unavailable, Reason: "no NVIDIA driver is installed"}
	s.Page("gpu", "Install NVIDIA&#39;s driver; a container has to be given the device")
}

// busy is a worker that has answered searches.
func busy() supervisor.Status {
	s := supervisor.Status{
		State: supervisor.Running, Since: time.Now().Add(-time.Hour), PID: 4711,
		Device: &wire.DeviceInfo{Name: "NVIDIA H100 80GB HBM3", Kernels: "sm_90", MemoryUsed: 3 << 30, MemoryLimit: 60 << 30},
		Totals: supervisor.Totals{Starts: 2, Searches: 100, Batches: 40, Queued: 50 * time.Millisecond, Device: 20 * time.Millisecond},
	}
	s.Totals.BatchSizes[0], s.Totals.BatchSizes[3] = 30, 10
	return s
}

func TestRunning(t *testing.T) {
	s := newSite(t)
	s.machine.set(gpu.Status{Devices: []gpu.Device{h100(0), h100(1)}, Reason: "device 2: ERROR_GPU_IS_LOST"})
	s.worker.status = busy()
	body := s.Page("gpu")
	s.Reads(body, []string{
		"running", "1 h", "4711", "kernels for sm_90", "3 GiB", "of 60 GiB that it may take", "Restarts", "1",
		"Mean batch", "2.5", "40 passes", "Mean wait", "0.5 ms", "Mean pass", "0.5 ms",
		"gpu.device", "this server", "Device 2: ERROR_GPU_IS_LOST.", "1 at once: 30 passes", "5–8 at once: 10 passes", "Devices busy",
	}, "alert-danger", "alert-warn")
	if strings.Count(body, "gpu.device</span>") != 1 {
		t.Error("the device that searches use isn't marked, or more are")
	}
	part := s.Get("gpu/now")
	s.Holds(part, http.StatusOK, `id="gpu-now"`, "40 passes")
	s.Lacks(part, "<main", "Restart the worker")
	if e := s.Stream("gpu/stream", "")(); e.Name != "answers" {
		t.Errorf("the stream begins with %+v", e)
	}
}

func TestRestart(t *testing.T) {
	s := newSite(t)
	s.worker.status = supervisor.Status{State: supervisor.GaveUp, Reason: "it crashed"}
	s.Holds(s.Post("gpu/restart"), http.StatusBadRequest, "type &#34;restart&#34;")
	s.Role = auth.ReadWrite
	s.Holds(s.Post("gpu/restart", "confirm", "restart"), http.StatusForbidden, "admin")
	s.Page("gpu", "needs the role admin")
	if s.worker.restarted != 0 {
		t.Fatal("it was restarted")
	}
	s.Role = auth.Admin
	s.Holds(s.Follow(s.Post("gpu/restart", "confirm", "restart")), http.StatusOK, "The worker is started anew")
	if s.worker.restarted != 1 {
		t.Errorf("restarted %d times", s.worker.restarted)
	}
	s.worker.refuses = errs.New(errs.Unavailable, "shutting_down", "it is closed")
	s.Holds(s.Post("gpu/restart", "confirm", "restart"), http.StatusServiceUnavailable, "it is closed")
	s.worker.status = supervisor.Status{State: supervisor.Off}
	s.Holds(s.Post("gpu/restart", "confirm", "restart"), http.StatusConflict, "no vector index asks for a GPU")
}

// TestHostileNames: whatever devices, workers and indexes are called is text.
func TestHostileNames(t *testing.T) {
	const hostile = `"><script>alert(1)</script>`
	recall := 0.5
	stats := ops.GPUStats{
		Wanted: true, Reason: hostile, Missing: hostile, DriverVersion: hostile,
		Worker:    ops.WorkerStats{State: "failed", Reason: hostile, LastCause: hostile, LastError: hostile, Device: &ops.WorkerDevice{Name: hostile, Kernels: hostile}},
		Devices:   []gpu.Device{{Name: hostile, UUID: hostile, ComputeCapability: hostile}},
		Fallbacks: map[string]uint64{hostile: 1},
		Indexes: []ops.GPUIndex{{Table: hostile, Column: hostile, State: hostile, Reason: hostile, Recall: &recall,
			Curve: []ops.CurvePoint{{Exact: true, ShareFrom: 1, ShareTo: 1, Choice: hostile, CPU: ops.Cost{MedianUs: 1, Samples: 1}}}}},
	}
	v := newView(&stats, 0, time.Now())
	for _, role := range []auth.Role{auth.ReadOnly, auth.Admin} {
		body := consoletest.Render(t, role, content(v)) + consoletest.Render(t, role, actions(v))
		if strings.Contains(body, "<script>alert") {
			t.Errorf("a script got through: %s", body)
		}
		if !strings.Contains(body, "&lt;script&gt;") {
			t.Error("the names are missing")
		}
	}
}
