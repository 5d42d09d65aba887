package gpu

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLibrary is an NVML with the devices of a test.
type fakeLibrary struct {
	init, version, count nvml.Return
	devices              []*fakeDevice
	// hang blocks counting until it is closed; nil doesn't.
	hang chan struct{}

	inits, counts, shutdowns atomic.Int32
}

func (f *fakeLibrary) Init() nvml.Return     { f.inits.Add(1); return f.init }
func (f *fakeLibrary) Shutdown() nvml.Return { f.shutdowns.Add(1); return nvml.SUCCESS }

func (f *fakeLibrary) SystemGetDriverVersion() (string, nvml.Return) {
	return "550.54.15", f.version
}

func (f *fakeLibrary) DeviceGetCount() (int, nvml.Return) {
	f.counts.Add(1)
	if f.hang != nil {
		<-f.hang
	}
	return len(f.devices), f.count
}

func (f *fakeLibrary) DeviceGetHandleByIndex(i int) (nvml.Device, nvml.Return) {
	return f.devices[i], f.devices[i].handle
}

// fakeDevice answers what readDevice asks.
type fakeDevice struct {
	nvml.Device
	handle, name, memory, rest nvml.Return
	// running are the processes, major the generation; 9 without.
	running []nvml.ProcessInfo
	major   int
}

func (f *fakeDevice) GetName() (string, nvml.Return) { return "NVIDIA H100 80GB HBM3", f.name }
func (f *fakeDevice) GetMemoryInfo() (nvml.Memory, nvml.Return) {
	return nvml.Memory{Total: 80 << 30, Used: 5 << 30}, f.memory
}
func (f *fakeDevice) GetUtilizationRates() (nvml.Utilization, nvml.Return) {
	return nvml.Utilization{Gpu: 37, Memory: 9}, f.rest
}
func (f *fakeDevice) GetTemperature(nvml.TemperatureSensors) (uint32, nvml.Return) {
	return 41, f.rest
}
func (f *fakeDevice) GetPowerUsage() (uint32, nvml.Return) { return 70_500, f.rest }
func (f *fakeDevice) GetUUID() (string, nvml.Return)       { return "GPU-5a", f.rest }
func (f *fakeDevice) GetCudaComputeCapability() (int, int, nvml.Return) {
	return cmp.Or(f.major, 9), 0, f.rest
}
func (f *fakeDevice) GetComputeRunningProcesses() ([]nvml.ProcessInfo, nvml.Return) {
	return f.running, f.rest
}

func TestReading(t *testing.T) {
	const head = `"name":"NVIDIA H100 80GB HBM3","memory_total_bytes":85899345920,"memory_used_bytes":5368709120`
	const figures = head + `,"uuid":"GPU-5a","compute_capability":"9.0","utilization_percent":37,"temperature_celsius":41,"power_watts":70.5`
	const full = `{"index":0,` + figures + `,"processes":[]}`
	const shared = `{"index":0,` + figures + `,"processes":[{"pid":7},{"pid":4711,"memory_bytes":1048576}]}`
	const bare = `{"index":1,` + head + `}`
	for name, test := range map[string]struct {
		fake            *fakeLibrary
		devices, reason string
	}{
		"no library":    {&fakeLibrary{init: nvml.ERROR_LIBRARY_NOT_FOUND}, "null", "no NVIDIA driver is installed (libnvidia-ml.so.1 was not found)"},
		"no driver":     {&fakeLibrary{init: nvml.ERROR_DRIVER_NOT_LOADED}, "null", "installed but not loaded"},
		"no permission": {&fakeLibrary{init: nvml.ERROR_NO_PERMISSION}, "null", "can't be used: ERROR_NO_PERMISSION"},
		"no count":      {&fakeLibrary{count: nvml.ERROR_UNKNOWN}, "null", "can't list its devices"},
		"no devices":    {&fakeLibrary{}, "null", "has no devices"},
		"all figures":   {&fakeLibrary{devices: []*fakeDevice{{}}}, "[" + full + "]", ""},
		"few figures":   {&fakeLibrary{devices: []*fakeDevice{{}, {rest: nvml.ERROR_NOT_SUPPORTED}}}, "[" + full + "," + bare + "]", ""},
		"processes": {&fakeLibrary{devices: []*fakeDevice{{running: []nvml.ProcessInfo{
			{Pid: 4711, UsedGpuMemory: 1 << 20}, {Pid: 7, UsedGpuMemory: ^uint64(0)},
		}}}}, "[" + shared + "]", ""},
		"one lost":       {&fakeLibrary{devices: []*fakeDevice{{}, {handle: nvml.ERROR_GPU_IS_LOST}}}, "[" + full + "]", "device 1: ERROR_GPU_IS_LOST"},
		"without name":   {&fakeLibrary{devices: []*fakeDevice{{name: nvml.ERROR_UNKNOWN}}}, "null", "device 0: its name"},
		"without memory": {&fakeLibrary{devices: []*fakeDevice{{memory: nvml.ERROR_UNKNOWN}}}, "null", "device 0: its memory"},
	} {
		t.Run(name, func(t *testing.T) {
			p := New(Options{Library: test.fake})
			defer p.Close()
			s := p.Status(t.Context())
			devices, err := json.Marshal(s.Devices)
			if err != nil || string(devices) != test.devices {
				t.Errorf("devices %s, want %s (%v)", devices, test.devices, err)
			}
			if (s.Reason == "") != (test.reason == "") || !strings.Contains(s.Reason, test.reason) {
				t.Errorf("reason %q, want %q", s.Reason, test.reason)
			}
		})
	}
}

func TestDriverVersion(t *testing.T) {
	for version, l := range map[string]*fakeLibrary{
		"550.54.15": {devices: []*fakeDevice{{}}},
		"":          {version: nvml.ERROR_NOT_SUPPORTED},
	} {
		p := New(Options{Library: l})
		if s := p.Status(t.Context()); s.DriverVersion != version {
			t.Errorf("%+v, want %q", s, version)
		}
		p.Close()
	}
}

// TestUnavailable holds what is said of a device that searches can't use.
func TestUnavailable(t *testing.T) {
	three := []*fakeDevice{{}, {major: 7}, {rest: nvml.ERROR_NOT_SUPPORTED}}
	for name, test := range map[string]struct {
		fake  *fakeLibrary
		index int
		want  string
	}{
		"there":           {&fakeLibrary{devices: three}, 0, ""},
		"old":             {&fakeLibrary{devices: three}, 1, "device 1 (NVIDIA H100 80GB HBM3) has compute capability 7.0; searches need 8.0 or newer"},
		"of unknown age":  {&fakeLibrary{devices: three}, 2, ""},
		"beyond":          {&fakeLibrary{devices: three}, 3, "there is no device 3; the driver lists 0 to 2"},
		"beyond the only": {&fakeLibrary{devices: three[:1]}, 1, "there is no device 1; the driver lists 0 (NVIDIA H100 80GB HBM3)"},
		"no driver":       {&fakeLibrary{init: nvml.ERROR_LIBRARY_NOT_FOUND}, 0, "no NVIDIA driver is installed (libnvidia-ml.so.1 was not found)"},
		"none":            {&fakeLibrary{}, 0, "the NVIDIA driver has no devices"},
		"lost":            {&fakeLibrary{devices: []*fakeDevice{{}, {handle: nvml.ERROR_GPU_IS_LOST}}}, 1, "device 1 isn't among those that can be used: device 1: ERROR_GPU_IS_LOST"},
	} {
		t.Run(name, func(t *testing.T) {
			p := New(Options{Library: test.fake})
			defer p.Close()
			if got := p.Unavailable(t.Context(), test.index); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestReadingsAreKept(t *testing.T) {
	l := &fakeLibrary{devices: []*fakeDevice{{}}}
	now := time.Unix(1000, 0)
	p := New(Options{Library: l, Now: func() time.Time { return now }})
	counts := func(want int32, when string) {
		t.Helper()
		p.Status(t.Context())
		if got := l.counts.Load(); got != want {
			t.Errorf("%s: %d readings, want %d", when, got, want)
		}
	}
	if l.inits.Load() != 0 {
		t.Error("the library was touched before a question came")
	}
	counts(1, "first")
	now = now.Add(999 * time.Millisecond)
	counts(1, "within a second")
	now = now.Add(time.Millisecond)
	counts(2, "after it")
	if l.inits.Load() != 1 {
		t.Errorf("initialized %d times", l.inits.Load())
	}

	l.count = nvml.ERROR_UNKNOWN
	now = now.Add(time.Second)
	counts(3, "breaking")
	l.count = nvml.SUCCESS
	now = now.Add(29 * time.Second)
	counts(3, "soon after it broke")
	now = now.Add(time.Second)
	counts(4, "later")
	if got := l.inits.Load(); got != 2 {
		t.Errorf("initialized %d times, want once more after the failure", got)
	}
	p.Close()
	p.Close()
	if got := l.shutdowns.Load(); got != 2 { // one of them when it broke
		t.Errorf("shut down %d times", got)
	}
	if s := p.Status(t.Context()); s.Reason == "" {
		t.Error("a closed probe answers")
	}
}

// TestHangingDriver holds that a driver that never answers costs one goroutine
// and nobody more than the timeout.
func TestHangingDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLibrary{devices: []*fakeDevice{{}}, hang: make(chan struct{})}
		p := New(Options{Library: l})
		start := time.Now()
		var readers sync.WaitGroup
		for range 10 {
			readers.Go(func() {
				if s := p.Status(context.Background()); !strings.Contains(s.Reason, "did not answer within 2s") {
					t.Errorf("%+v", s)
				}
			})
		}
		readers.Wait()
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if s := p.Status(ctx); !strings.Contains(s.Reason, "in time") {
			t.Errorf("%+v", s)
		}
		if got := l.counts.Load(); got != 1 {
			t.Errorf("%d readings were started", got)
		}
		p.Close() // doesn't wait
		close(l.hang)
		synctest.Wait()
		if got := l.shutdowns.Load(); got != 1 {
			t.Errorf("shut down %d times", got)
		}
	})
}

// TestThisMachine asks the real library, if there is one: it answers, or says
// why not.
func TestThisMachine(t *testing.T) {
	p := New(Options{Timeout: 20 * time.Second})
	defer p.Close()
	s := p.Status(t.Context())
	if len(s.Devices) == 0 && s.Reason == "" {
		t.Error("no devices, and no reason")
	}
	for _, d := range s.Devices {
		if d.Name == "" || d.MemoryTotalBytes == 0 || d.MemoryUsedBytes > d.MemoryTotalBytes {
			t.Errorf("%+v", d)
		}
	}
	t.Logf("%+v", s)
}
