//go:build unix && !race

package offheap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// minReservation is where giving up on a smaller and smaller reservation ends.
	minReservation = 1 << 20
	// hugeFrom is the size from which an array asks for huge pages: with 4 KiB
	// pages a random access to a big array costs a page walk on top of the cache
	// miss. Small arrays stay on small pages, to be cheap.
	hugeFrom = 16 << 20
	hugePage = 2 << 20
)

// mapping is reserved address space, inaccessible until committed.
type mapping struct{ bytes []byte }

func reserve(size int) (mapping, error) {
	for size = max(roundUp(size, hugePage), hugePage); ; size = roundUp(size/2, hugePage) {
		b, err := unix.Mmap(-1, 0, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
		if err == nil {
			return mapping{b}, nil
		}
		if size <= minReservation || size == hugePage {
			return mapping{}, err
		}
	}
}

func (m mapping) base() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(m.bytes)) }
func (m mapping) len() int             { return len(m.bytes) }

func (m mapping) commit(from, to int) error {
	if err := unix.Mprotect(m.bytes[from:to], unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return err
	}
	if to >= hugeFrom {
		adviseHuge(m.bytes[min(from, roundUp(from, hugePage)):to])
	}
	return nil
}

func (m mapping) free() error { return unix.Munmap(m.bytes) }
