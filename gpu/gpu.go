// Package gpu tells which NVIDIA devices this machine has and how they are
// used. It asks the driver's management library (NVML), which is looked for when
// the first question comes: without it, or without a driver, there are no
// devices and a reason, and nothing else differs. No CUDA is needed.
//
// A Probe is safe for concurrent use. Calls into a sick driver can hang for
// good, so each reading is done by a goroutine of its own, which nobody waits
// for longer than Options.Timeout; while one hangs, no other is started. The
// Probe's lock guards the last reading and isn't held during calls; the library
// is used by one goroutine at a time.
package gpu

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Device is one device's figures. A pointer is nil where the device doesn't
// report the figure.
type Device struct {
	// Index counts from 0, in the driver's order.
	Index            int    `json:"index"`
	Name             string `json:"name"`
	MemoryTotalBytes uint64 `json:"memory_total_bytes"`
	MemoryUsedBytes  uint64 `json:"memory_used_bytes"`
	// UUID is the same after a restart, whatever the order. ComputeCapability is the
	// generation, as 9.0.
	UUID              string `json:"uuid,omitempty"`
	ComputeCapability string `json:"compute_capability,omitempty"`
	// UtilizationPercent is the share of the last sample period, a second or
	// less, in which a kernel ran.
	UtilizationPercent *float64 `json:"utilization_percent,omitempty"`
	TemperatureCelsius *float64 `json:"temperature_celsius,omitempty"`
	PowerWatts         *float64 `json:"power_watts,omitempty"`
	// Processes are those that run kernels; nil where the driver doesn't tell. In a
	// container their numbers may be those of the machine.
	Processes []Process `json:"processes,omitzero"`
}

// Process is a process that uses a device.
type Process struct {
	PID int `json:"pid"`
	// MemoryBytes of the device are the process'; nil where the driver doesn't tell.
	MemoryBytes *uint64 `json:"memory_bytes,omitempty"`
	// Worker says that it is this server's worker. Who knows its number sets it.
	Worker bool `json:"worker,omitzero"`
}

// Status is one reading.
type Status struct {
	Devices []Device
	// DriverVersion is empty where there is no driver, or it doesn't tell.
	DriverVersion string
	// Reason says why there are no devices, or why some are missing; else empty.
	Reason string
}

// Library is the part of NVML that a Probe calls; nvml.New returns one.
type Library interface {
	Init() nvml.Return
	Shutdown() nvml.Return
	SystemGetDriverVersion() (string, nvml.Return)
	DeviceGetCount() (int, nvml.Return)
	DeviceGetHandleByIndex(index int) (nvml.Device, nvml.Return)
}

// Options configure a Probe. The zero value of each field means its default.
type Options struct {
	// Library is nvml.New's, or a test's.
	Library Library
	// Timeout bounds the wait for the driver; 2 s.
	Timeout time.Duration
	// MaxAge is how old a reading may be, 1 s; RetryAfter how long the library is
	// taken to be missing or broken after it was, 30 s.
	MaxAge, RetryAfter time.Duration
	// Now is the clock, for tests.
	Now func() time.Time
}

// EnsureDefaults returns o with every unset field filled.
func (o Options) EnsureDefaults() Options {
	setDefault(&o.Timeout, 2*time.Second)
	setDefault(&o.MaxAge, time.Second)
	setDefault(&o.RetryAfter, 30*time.Second)
	if o.Library == nil {
		o.Library = nvml.New()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Probe reads the devices. Make one with New.
type Probe struct {
	o  Options
	mu struct {
		sync.Mutex
		last Status
		// until is when last is too old.
		until time.Time
		// underWay is closed when the reading under way is done; nil without one.
		underWay chan struct{}
		// initialized says that the library has to be shut down.
		initialized, closed bool
	}
}

// New returns a Probe. It does nothing until it is asked.
func New(o Options) *Probe { return &Probe{o: o.EnsureDefaults()} }

// Status returns the devices as they were within the last second. It takes
// Options.Timeout at most, and less when ctx ends.
func (p *Probe) Status(ctx context.Context) Status {
	done, last := p.begin()
	if done == nil {
		return last
	}
	timeout := time.NewTimer(p.o.Timeout)
	defer timeout.Stop()
	select {
	case <-done:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.mu.last
	case <-timeout.C:
		return Status{Reason: fmt.Sprintf("the NVIDIA driver did not answer within %v", p.o.Timeout)}
	case <-ctx.Done():
		return Status{Reason: "the NVIDIA driver did not answer in time"}
	}
}

// begin returns the last reading if it is young enough, or else what is closed
// when the next one is there.
func (p *Probe) begin() (done <-chan struct{}, last Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return nil, Status{Reason: "the server is shutting down"}
	}
	if p.mu.underWay == nil {
		if p.o.Now().Before(p.mu.until) {
			return nil, p.mu.last
		}
		p.mu.underWay = make(chan struct{})
		go p.read(p.mu.initialized)
	}
	return p.mu.underWay, Status{}
}

// read takes one reading.
func (p *Probe) read(initialized bool) {
	s, initialized := readDevices(p.o.Library, initialized)
	p.mu.Lock()
	defer p.mu.Unlock()
	age := p.o.MaxAge
	if !initialized {
		age = p.o.RetryAfter
	}
	p.mu.last, p.mu.until, p.mu.initialized = s, p.o.Now().Add(age), initialized
	close(p.mu.underWay)
	p.mu.underWay = nil
	if p.mu.closed && initialized {
		p.o.Library.Shutdown()
	}
}

// Close lets go of the library. It doesn't wait for a driver that hangs.
func (p *Probe) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return
	}
	p.mu.closed = true
	if p.mu.underWay == nil && p.mu.initialized {
		p.o.Library.Shutdown()
	}
}
