package scan

import (
	"errors"
	"sync"

	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

// Options configure a Device. The zero value of each field means its default.
type Options struct {
	// MemoryLimit is the bytes of the device's memory that indexes and searches may
	// have; all that is free at first, less a sixteenth of the device's.
	MemoryLimit int64
	// ScratchBytes is about what one batch may have at a time for its candidates,
	// filters and vectors: a batch that needs more is done in parts. 256 MiB, or a
	// sixteenth of MemoryLimit if that is less.
	ScratchBytes int64
}

// EnsureDefaults returns o with every unset field filled, for a device.
func (o Options) EnsureDefaults(d Info) Options {
	if o.MemoryLimit <= 0 {
		o.MemoryLimit = max(0, d.MemoryFree-d.MemoryTotal/16)
	}
	if o.ScratchBytes <= 0 {
		o.ScratchBytes = min(256<<20, o.MemoryLimit/16)
	}
	return o
}

// Device has indexes in a device's memory. Make one with New.
type Device struct {
	l Launcher
	o Options
	// multiprocessors is of the launcher's Info, which is slow to ask.
	multiprocessors int
	mu              struct {
		sync.Mutex
		// used is the memory allocated, by what it is for.
		used   [purposes]int64
		idle   []*lane
		closed bool
	}
}

var (
	_ serve.Device = (*Device)(nil)
	_ serve.Index  = (*Index)(nil)
)

// New makes a Device, which owns l from then on.
func New(l Launcher, o Options) *Device {
	info := l.Info()
	return &Device{l: l, o: o.EnsureDefaults(info), multiprocessors: max(1, info.Multiprocessors)}
}

// Info describes the device as it is now.
func (d *Device) Info() wire.DeviceInfo {
	info := d.l.Info()
	d.mu.Lock()
	defer d.mu.Unlock()
	return wire.DeviceInfo{
		Name: info.Name, Driver: info.Driver, Kernels: info.Kernels,
		ComputeMajor: info.Major, ComputeMinor: info.Minor, Multiprocessors: info.Multiprocessors,
		MemoryTotal: info.MemoryTotal, MemoryFree: info.MemoryFree,
		MemoryUsed: d.mu.used[forSearches] + d.mu.used[forIndexes], MemoryLimit: d.o.MemoryLimit,
	}
}

// Pin locks the shared memory into place. Where the system doesn't let it, the driver
// copies by way of memory of its own: slower, and no reason to do without the device.
func (d *Device) Pin(arena []byte) error {
	err := d.l.Pin(arena)
	var e *wire.Error
	if full(err) || errors.As(err, &e) && e.Code == wire.Unsupported {
		return nil
	}
	return err
}

// Close closes the launcher, with all that is on the device.
func (d *Device) Close() error {
	d.mu.Lock()
	lanes := d.mu.idle
	d.mu.idle, d.mu.closed = nil, true
	d.mu.Unlock()
	var err error
	for _, l := range lanes {
		err = errors.Join(err, l.close())
	}
	return errors.Join(err, d.l.Close())
}

// lane takes an idle lane, or makes one.
func (d *Device) lane() (*lane, error) {
	d.mu.Lock()
	closed := d.mu.closed
	var l *lane
	if n := len(d.mu.idle); n > 0 {
		l, d.mu.idle = d.mu.idle[n-1], d.mu.idle[:n-1]
	}
	d.mu.Unlock()
	switch {
	case closed:
		return nil, wire.Errorf(wire.Lost, "the device is closed")
	case l != nil:
		return l, nil
	}
	s, err := d.l.NewStream()
	if err != nil {
		return nil, err
	}
	return &lane{Stream: s, d: d}, nil
}

// back puts a lane back for others.
func (d *Device) back(l *lane) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.idle = append(d.mu.idle, l)
}
