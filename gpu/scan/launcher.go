package scan

import "github.com/vccdb/vccdb/gpu/kernels"

// Ptr is an address in a device's memory; 0 is none.
type Ptr = kernels.Ptr

// Info is what a Launcher knows of its device.
type Info struct {
	// Name is the product's, Driver the version of the driver's programming interface,
	// such as 12.4, and Kernels which binary of the kernels is loaded, such as sm_90.
	Name, Driver, Kernels string
	// Major and Minor are the compute capability.
	Major, Minor int
	// Multiprocessors are the units that run blocks. SharedBytes is the most shared
	// memory that a block can have.
	Multiprocessors, SharedBytes int
	// MemoryTotal and MemoryFree are bytes, as of now and for all processes.
	MemoryTotal, MemoryFree int64
}

// Launcher is what an index needs of a device: memory, copies and kernels. It is
// safe for concurrent use. Errors are *wire.Error: out_of_memory for an Alloc that
// the device can't do, lost once nothing works any more.
type Launcher interface {
	Info() Info
	// Alloc returns memory with any content, aligned to 16 bytes at least.
	Alloc(bytes int64) (Ptr, error)
	// Free takes back what Alloc gave. Nothing may use it any more.
	Free(p Ptr)
	// Pin locks host memory into place, so that copies from and to it are as fast as
	// the bus. It stays so until Close. unsupported says that they work without.
	Pin(memory []byte) error
	// AllocHost returns zeroed memory of the host that is locked into place; FreeHost
	// takes it back.
	AllocHost(bytes int) ([]byte, error)
	FreeHost(memory []byte)
	NewStream() (Stream, error)
	// Close ends the streams too, and gives all memory back.
	Close() error
}

// Stream is a queue of work that is done in order. One goroutine at a time uses it.
// What fails, fails when it is waited for: after an error the rest of the queue may
// be skipped, and Sync says what was first. Host memory stays as it is, and in place,
// until Sync.
type Stream interface {
	CopyIn(dst Ptr, src []byte)
	CopyOut(dst []byte, src Ptr)
	Copy(dst, src Ptr, bytes int64)
	Fill(p Ptr, value byte, bytes int64)
	// Launch runs a kernel by name over grid blocks of block threads, with shared bytes
	// of dynamic shared memory. args is its one argument, a structure by value.
	Launch(kernel string, grid, block [3]int, shared int, args []byte)
	// Sync waits until the queue is empty.
	Sync() error
	Close() error
}
