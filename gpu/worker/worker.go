//go:build cuda

// Package worker is a device behind the CUDA driver, as a scan.Launcher. It is the
// one package that calls CUDA: through gorgonia.org/cu, and for the few calls which
// that lacks through its own (driver.go). Everything about vectors is above it, in
// package scan, and is tested without a device.
//
// Importing it needs a device: cu ends the process when it can't initialise the
// driver. Only cmd/themis_gpu does, which is a process of its own so that a fault
// of the device, the driver or a kernel ends nothing but that.
//
// A context belongs to a thread for as long as a call takes: each call locks its
// goroutine to the thread and makes the context current (enter), so that any
// goroutine may call. There are no goroutines here. A Launcher's lock guards its
// functions and what is pinned; a Stream is used by one goroutine at a time.
package worker

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"gorgonia.org/cu"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/wire"
)

// Launcher is an opened device. It is safe for concurrent use.
type Launcher struct {
	device cu.Device
	ctx    cu.CUContext
	module cu.Module
	info   scan.Info // as it was opened
	mu     struct {
		sync.Mutex
		functions map[string]*function
		pinned    [][]byte
	}
}

// function is a kernel of the module.
type function struct {
	cu.Function
	// shared is the most dynamic shared memory that it may be launched with.
	shared int
}

// defaultShared is the shared memory that a kernel may be launched with unless more
// is asked for first, by the CUDA C++ programming guide.
const defaultShared = 48 << 10

// Open makes a context on the device that CUDA counts as ordinal, and loads the
// kernels into it.
func Open(ordinal int) (*Launcher, error) {
	count, err := cu.NumDevices()
	if err != nil {
		return nil, failed("asking for devices", err)
	}
	if ordinal < 0 || ordinal >= count {
		return nil, wire.Errorf(wire.Unsupported, "there is no device %d; CUDA sees %d", ordinal, count)
	}
	device, err := cu.GetDevice(ordinal)
	if err != nil {
		return nil, failed("opening the device", err)
	}
	l := &Launcher{device: device}
	l.mu.functions = map[string]*function{}
	if err := l.describe(); err != nil {
		return nil, err
	}
	image, err := kernels.ImageFor(l.info.Major, l.info.Minor)
	if err != nil {
		return nil, wire.Errorf(wire.Unsupported, "%s: %v", l.info.Name, err)
	}
	l.info.Kernels = image.Name
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if l.ctx, err = device.MakeContext(cu.SchedAuto); err != nil {
		return nil, failed("making a context", err)
	}
	if l.module, err = cu.LoadData(string(image.Data)); err != nil {
		return nil, errors.Join(failed("loading the kernels for "+image.Name, err), l.ctx.Destroy())
	}
	return l, nil
}

// describe asks the driver for what doesn't change.
func (l *Launcher) describe() (err error) {
	if l.info.Name, err = l.device.Name(); err != nil {
		return failed("asking for the device's name", err)
	}
	version := cu.Version()
	l.info.Driver = fmt.Sprintf("%d.%d", version/1000, version%1000/10)
	for _, a := range []struct {
		attribute cu.DeviceAttribute
		value     *int
	}{
		{cu.ComputeCapabilityMajor, &l.info.Major},
		{cu.ComputeCapabilityMinor, &l.info.Minor},
		{cu.MultiprocessorCount, &l.info.Multiprocessors},
		{sharedOptIn, &l.info.SharedBytes},
	} {
		if *a.value, err = l.device.Attribute(a.attribute); err != nil {
			return failed("asking for the device's properties", err)
		}
	}
	return nil
}

// enter makes the context current for the calls until leave.
func (l *Launcher) enter() error {
	runtime.LockOSThread()
	if err := cu.SetCurrentContext(l.ctx); err != nil {
		runtime.UnlockOSThread()
		return failed("using the context", err)
	}
	return nil
}

func (l *Launcher) leave() { runtime.UnlockOSThread() }

// Info describes the device as it is now.
func (l *Launcher) Info() scan.Info {
	info := l.info
	if l.enter() == nil {
		defer l.leave()
		if free, total, err := cu.MemInfo(); err == nil {
			info.MemoryFree, info.MemoryTotal = free, total
		}
	}
	return info
}

// Alloc returns memory of the device.
func (l *Launcher) Alloc(bytes int64) (scan.Ptr, error) {
	if err := l.enter(); err != nil {
		return 0, err
	}
	defer l.leave()
	p, err := cu.MemAlloc(bytes)
	if err != nil {
		return 0, failed(fmt.Sprintf("allocating %d bytes", bytes), err)
	}
	return scan.Ptr(p), nil
}

// Free gives memory back.
func (l *Launcher) Free(p scan.Ptr) {
	if l.enter() == nil {
		defer l.leave()
		_ = cu.MemFree(cu.DevicePtr(p)) // the context is lost if that fails, and its memory with it
	}
}

// Pin locks memory into place until Close.
func (l *Launcher) Pin(memory []byte) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	if err := hostRegister(memory); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.pinned = append(l.mu.pinned, memory)
	return nil
}

// AllocHost returns locked memory of the host.
func (l *Launcher) AllocHost(bytes int) ([]byte, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	return hostAlloc(bytes)
}

// FreeHost gives what AllocHost gave back.
func (l *Launcher) FreeHost(memory []byte) {
	if l.enter() == nil {
		defer l.leave()
		_ = hostFree(memory) // as Free
	}
}

// kernel returns a kernel that may be launched with so much dynamic shared memory.
func (l *Launcher) kernel(name string, shared int) (cu.Function, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.mu.functions[name]
	if f == nil {
		fn, err := l.module.Function(name)
		if err != nil {
			return cu.Function{}, failed("looking for the kernel "+name, err)
		}
		f = &function{Function: fn, shared: defaultShared}
		l.mu.functions[name] = f
	}
	if shared > f.shared {
		if err := allowShared(f.Function, shared); err != nil {
			return cu.Function{}, failed(fmt.Sprintf("giving %s %d bytes of shared memory", name, shared), err)
		}
		f.shared = shared
	}
	return f.Function, nil
}

// Close destroys the context, with its memory and streams.
func (l *Launcher) Close() error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	for _, memory := range l.mu.pinned {
		err = errors.Join(err, hostUnregister(memory))
	}
	l.mu.pinned = nil
	if e := l.ctx.Destroy(); e != nil {
		err = errors.Join(err, failed("destroying the context", e))
	}
	return err
}

// NewStream makes a stream that waits for no other.
func (l *Launcher) NewStream() (scan.Stream, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	s, err := cu.MakeStream(cu.NonBlocking)
	if err != nil {
		return nil, failed("making a stream", err)
	}
	return &stream{l: l, s: s}, nil
}

// failed says what the driver didn't do. Memory may be missing and come back;
// after any other error of the driver nothing is certain of the context.
func failed(doing string, err error) *wire.Error {
	code := wire.Lost
	switch {
	case errors.Is(err, cu.OutOfMemory):
		code = wire.OutOfMemory
	case errors.Is(err, cu.NoBinaryForGpu), errors.Is(err, cu.InvalidPtx), errors.Is(err, cu.InvalidImage):
		code = wire.Unsupported
	}
	return wire.Errorf(code, "%s: CUDA says %v", doing, err)
}

// start is the address of a slice, which isn't empty.
func start(memory []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(memory)) }
