//go:build unix && !race

package offheap

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// minReservation is where giving up on a smaller and smaller reservation ends.
	minReservation = 1 << 20
	// hugeFrom is the size from which an array asks for huge pages: with 4 KiB
	// pages a random access to a big array costs a page walk on top of the cache
	// miss. Small arrays stay on small pages, to be cheap.
	hugeFrom = 4 << 20
)

// mapping is reserved address space, inaccessible until committed. What is
// committed is memory or, of what has a file, the file itself.
type mapping struct {
	bytes []byte
	file  *os.File
}

func reserve(size int) (mapping, error) {
	for size = max(roundUp(size, hugePage), hugePage); ; size = roundUp(size/2, hugePage) {
		b, err := unix.Mmap(-1, 0, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
		if err == nil {
			return mapping{bytes: b}, nil
		}
		if size <= minReservation || size == hugePage {
			return mapping{}, err
		}
	}
}

func reserveFile(file *os.File, size int) (mapping, error) {
	m, err := reserve(size)
	m.file = file
	return m, err
}

func (m mapping) base() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(m.bytes)) }
func (m mapping) len() int             { return len(m.bytes) }

func (m mapping) commit(from, to int) error {
	if m.file != nil {
		return m.commitFile(from, to)
	}
	if err := unix.Mprotect(m.bytes[from:to], unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return err
	}
	switch {
	case to < hugeFrom:
	case from < hugeFrom:
		adviseHuge(m.bytes[:to])
		collapseHuge(m.bytes[:from/hugePage*hugePage])
	default:
		adviseHuge(m.bytes[from:to])
	}
	return nil
}

// commitFile gives the file its disk space before it is mapped: a write to a
// mapping for which there is no space ends the process.
func (m mapping) commitFile(from, to int) error {
	if err := allocate(m.file, from, to); err != nil {
		return err
	}
	part := m.bytes[from:to]
	_, err := unix.MmapPtr(int(m.file.Fd()), int64(from), unsafe.Pointer(unsafe.SliceData(part)), uintptr(len(part)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED)
	if err != nil {
		return err
	}
	// Only a hint: reading ahead would bring in vectors that nobody asked for.
	_ = unix.Madvise(part, unix.MADV_RANDOM)
	return nil
}

// appendZeros makes a file size bytes long if it is shorter.
func appendZeros(file *os.File, size int) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, growQuantum)
	for at := info.Size(); at < int64(size); {
		n, err := file.WriteAt(zeros[:min(int64(len(zeros)), int64(size)-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// syncPart is how much is put on disk at a time, so that others who wait for the disk
// come in between.
const syncPart = 32 << 20

func (m mapping) sync(n int) error {
	for from := 0; from < n; from += syncPart {
		if err := unix.Msync(m.bytes[from:min(n, from+syncPart)], unix.MS_SYNC); err != nil {
			return err
		}
	}
	return m.file.Sync()
}

func (m mapping) free(int) error {
	err := unix.Munmap(m.bytes)
	if m.file != nil {
		err = errors.Join(err, m.file.Close())
	}
	return err
}
