package ops

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/internal/errs"
)

// GPU tells which devices there are; *gpu.Probe is one.
type GPU interface {
	Status(context.Context) gpu.Status
}

// noGPU is a machine whose devices nobody asked for.
type noGPU struct{}

func (noGPU) Status(context.Context) gpu.Status {
	return gpu.Status{Reason: "this server doesn't look for devices"}
}

// Worker is the process that searches on a device; *supervisor.Supervisor is one.
type Worker interface {
	Status() supervisor.Status
	Restart() error
}

// noWorker is a server that can't start one.
type noWorker struct{}

func (noWorker) Status() supervisor.Status {
	return supervisor.Status{State: supervisor.Off, Reason: "this server starts no worker"}
}

func (noWorker) Restart() error { return errNoWorker }

var errNoWorker = errs.New(errs.Unavailable, "gpu_worker_unavailable", "This server starts no GPU worker.")

// GPUStats say whether searches use a GPU, and which devices there are.
type GPUStats struct {
	// Enabled says that searches use one now; Reason why they don't.
	Enabled bool   `json:"enabled"`
	Reason  string `json:"reason,omitempty"`
	// Wanted says that an index asks for one.
	Wanted        bool         `json:"wanted"`
	DriverVersion string       `json:"driver_version,omitempty"`
	Worker        WorkerStats  `json:"worker"`
	Devices       []gpu.Device `json:"devices"`
	// Missing says why there are no devices, or not all.
	Missing string `json:"missing,omitempty"`
	// Searches is the sum of those that the device answered, Fallbacks of those that the
	// CPU did instead, by why.
	Searches  uint64            `json:"searches"`
	Fallbacks map[string]uint64 `json:"fallbacks"`
	Indexes   []GPUIndex        `json:"indexes"`
}

// WorkerStats are the state of the process that searches on the device, and what it
// did since the server's start.
type WorkerStats struct {
	// State is off, unavailable, starting, running, backoff or failed.
	State string `json:"state"`
	// Reason says why it doesn't run.
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	PID    int       `json:"pid,omitzero"`
	// Restarts counts the starts but the first, Failures the ends by what caused them.
	Restarts uint64            `json:"restarts"`
	Failures map[string]uint64 `json:"failures"`
	// The last end that nobody asked for.
	LastCause string    `json:"last_cause,omitempty"`
	LastError string    `json:"last_error,omitempty"`
	LastEnd   time.Time `json:"last_end,omitzero"`
	// Device is the one that it opened.
	Device *WorkerDevice `json:"device,omitempty"`
	// Answered searches came in Batches: at once over the device.
	Answered uint64 `json:"answered"`
	Batches  uint64 `json:"batches"`
	// QueueSeconds is how long searches waited in all, DeviceSeconds how long the
	// device worked on batches.
	QueueSeconds  float64 `json:"queue_seconds"`
	DeviceSeconds float64 `json:"device_seconds"`
	// BatchSizes says how many batches had up to so many searches, and more than before.
	BatchSizes []BatchCount `json:"batch_sizes"`
}

// BatchCount counts batches. UpTo is 0 for those larger than all others.
type BatchCount struct {
	UpTo  int    `json:"up_to,omitzero"`
	Count uint64 `json:"count"`
}

// WorkerDevice is the device as the worker sees it.
type WorkerDevice struct {
	Name             string `json:"name"`
	Kernels          string `json:"kernels"`
	MemoryUsedBytes  int64  `json:"memory_used_bytes"`
	MemoryLimitBytes int64  `json:"memory_limit_bytes"`
}

// gpuStats is the whole section.
func (o *Ops) gpuStats(ctx context.Context, db *engine.Stats) GPUStats {
	devices, worker := o.o.GPU.Status(ctx), o.o.Worker.Status()
	s := GPUStats{
		Enabled: worker.State == supervisor.Running, Wanted: worker.State != supervisor.Off,
		DriverVersion: devices.DriverVersion, Worker: workerStats(&worker), Devices: marked(devices.Devices, worker.PID), Missing: devices.Reason,
		Searches: engine.DeviceSearches(db.Device.GPU), Fallbacks: counted(db.Device.CPU), Indexes: gpuIndexes(db.Devices),
	}
	switch {
	case s.Enabled:
	case s.Wanted:
		s.Reason = cmp.Or(worker.Reason, devices.Reason)
	default:
		s.Reason = cmp.Or(devices.Reason, o.unwanted())
	}
	return s
}

// unwanted says why no worker is started.
func (o *Ops) unwanted() string {
	if o.o.UseGPU {
		return "there is no vector index that could use a GPU yet"
	}
	return "no vector index asks for a GPU: set vector_index.use_gpu to true, or the engine of an index to gpu"
}

// marked are the devices with the worker's process marked.
func marked(devices []gpu.Device, worker int) []gpu.Device {
	devices = append([]gpu.Device{}, devices...)
	for i := range devices {
		devices[i].Processes = slices.Clone(devices[i].Processes)
		for j := range devices[i].Processes {
			p := &devices[i].Processes[j]
			p.Worker = worker != 0 && p.PID == worker
		}
	}
	return devices
}

func workerStats(s *supervisor.Status) WorkerStats {
	t := &s.Totals
	w := WorkerStats{
		State: string(s.State), Reason: s.Reason, Since: s.Since, PID: s.PID, Restarts: restarts(t), Failures: map[string]uint64{},
		LastCause: string(s.LastCause), LastError: s.LastError, LastEnd: s.LastEnd,
		Answered: t.Searches, Batches: t.Batches, QueueSeconds: t.Queued.Seconds(), DeviceSeconds: t.Device.Seconds(),
	}
	for cause, n := range t.Failures {
		w.Failures[string(cause)] = n
	}
	if d := s.Device; d != nil {
		w.Device = &WorkerDevice{Name: d.Name, Kernels: d.Kernels, MemoryUsedBytes: d.MemoryUsed, MemoryLimitBytes: d.MemoryLimit}
	}
	for i, n := range t.BatchSizes {
		count := BatchCount{Count: n}
		if i < len(supervisor.BatchSizes) {
			count.UpTo = supervisor.BatchSizes[i]
		}
		w.BatchSizes = append(w.BatchSizes, count)
	}
	return w
}

// restarts are the starts but the first.
func restarts(t *supervisor.Totals) uint64 { return max(t.Starts, 1) - 1 }

// RestartWorker gives new tries to a worker that was given up, or ends the one that
// runs and starts another. It doesn't wait for it.
func (o *Ops) RestartWorker() (WorkerStats, error) {
	if s := o.o.Worker.Status(); s.State == supervisor.Off {
		return WorkerStats{}, errs.New(errs.Conflict, "gpu_not_wanted", "There is no GPU worker to restart: %s.", cmp.Or(s.Reason, o.unwanted()))
	}
	if err := o.o.Worker.Restart(); err != nil {
		return WorkerStats{}, err
	}
	s := o.o.Worker.Status()
	return workerStats(&s), nil
}
