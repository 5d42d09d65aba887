//go:build race || !unix

package offheap

import "unsafe"

// heapReservation caps an array in Go memory, which is all paid for at once.
const heapReservation = 16 << 20

// mapping is Go memory, so that the race detector (which knows no other) sees
// every access, and so that systems without mmap work at all. It holds words to
// be aligned for any element.
type mapping struct{ words []uint64 }

func reserve(size int) (mapping, error) {
	return mapping{make([]uint64, (max(1, min(size, heapReservation))+7)/8)}, nil
}

func (m mapping) base() unsafe.Pointer      { return unsafe.Pointer(unsafe.SliceData(m.words)) }
func (m mapping) len() int                  { return len(m.words) * 8 }
func (m mapping) commit(from, to int) error { return nil }
func (m mapping) free() error               { return nil }
