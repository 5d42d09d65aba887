//go:build race || !unix

package offheap

import (
	"errors"
	"io"
	"os"
	"unsafe"
)

// heapReservation caps an array in Go memory, which is all paid for at once.
const heapReservation = 16 << 20

// mapping is Go memory, so that the race detector (which knows no other) sees
// every access, and so that systems without mmap work at all. It holds words to
// be aligned for any element. What has a file is read from it at first and
// written to it by sync and free only.
type mapping struct {
	words []uint64
	file  *os.File
}

func reserve(size int) (mapping, error) {
	return mapping{words: make([]uint64, (max(1, min(size, heapReservation))+7)/8)}, nil
}

func reserveFile(file *os.File, size int) (mapping, error) {
	m, err := reserve(size)
	if err != nil {
		return m, err
	}
	m.file = file
	if _, err := file.ReadAt(m.all(), 0); err != nil && !errors.Is(err, io.EOF) {
		return m, err
	}
	return m, nil
}

func (m mapping) all() []byte               { return unsafe.Slice((*byte)(m.base()), m.len()) }
func (m mapping) base() unsafe.Pointer      { return unsafe.Pointer(unsafe.SliceData(m.words)) }
func (m mapping) len() int                  { return len(m.words) * 8 }
func (m mapping) commit(from, to int) error { return nil }

func (m mapping) sync(n int) error {
	if _, err := m.file.WriteAt(m.snapshot(n), 0); err != nil {
		return err
	}
	return m.file.Sync()
}

// snapshot copies what others may be writing at that time, as a kernel would; hence
// no detector of races here, which would also look into copy.
//
//go:norace
func (m mapping) snapshot(n int) []byte {
	b, all := make([]byte, n), m.all()
	for i := range b {
		b[i] = all[i]
	}
	return b
}

func (m mapping) free(n int) error {
	if m.file == nil {
		return nil
	}
	_, err := m.file.WriteAt(m.all()[:n], 0)
	return errors.Join(err, m.file.Close())
}
