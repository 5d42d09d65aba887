// Package offheap has arrays that live outside the Go heap: a stretch of address
// space is reserved once, memory is added at its end as it is needed, and an
// element never moves. The garbage collector neither scans nor counts them, so
// elements must not hold Go pointers, and Free gives the memory back at once.
//
// An array may be a file (ReserveFile): what is written to it needs no memory that
// the system can't take back, outlives the process, and is on disk once Sync has
// returned.
//
// In race builds the memory is Go's (and the capacity small), so that the race
// detector sees every access; a file is then written by Sync and Free only.
//
// An Array has no locks: Grow and Free must not run at the same time as each
// other, nor Free and Sync, but elements may be used while Grow adds more.
package offheap

import (
	"errors"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/vccdb/vccdb/internal/errs"
)

// growQuantum is the least memory added at a time: big enough to keep system
// calls rare, small enough for a process with many little arrays.
const growQuantum = 64 << 10

// hugePage is the size of a page of the larger kind on most machines.
const hugePage = 2 << 20

// Array is a growable array of up to Cap elements that never move. New elements
// are zero.
type Array[T any] struct {
	mem       mapping
	base      unsafe.Pointer
	capacity  int
	committed atomic.Int64 // bytes of mem that may be touched
}

// Reserve makes an array with room for want elements, or fewer where that much
// address space can't be had (Cap tells). No memory is used yet.
func Reserve[T any](want int) (*Array[T], error) {
	var zero T
	size := int(unsafe.Sizeof(zero))
	mem, err := reserve(want * size)
	if err != nil {
		return nil, errs.Wrap(err, errs.Unavailable, "out_of_address_space",
			"can't reserve address space for a vector index; raise the process's address space limit")
	}
	return &Array[T]{mem: mem, base: mem.base(), capacity: mem.len() / size}, nil
}

// ReserveFile is Reserve for an array that is the file at path, which is made if it
// isn't there and stays when the array is freed. Elements are what the file holds,
// zero beyond its end; they may be used after Grow as always. Nobody else may change
// the file meanwhile. A disk that can't read a part of the file any more ends the
// process when that part is used.
func ReserveFile[T any](path string, want int) (*Array[T], error) {
	var zero T
	size := int(unsafe.Sizeof(zero))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fileError(err)
	}
	mem, err := reserveFile(file, want*size)
	if err != nil {
		return nil, errors.Join(fileError(err), file.Close())
	}
	return &Array[T]{mem: mem, base: mem.base(), capacity: mem.len() / size}, nil
}

func fileError(err error) error {
	return errs.Wrap(err, errs.Unavailable, "vector_file_failed", "the file of a vector index can't be used")
}

// Cap is the number of elements the array can grow to.
func (a *Array[T]) Cap() int { return a.capacity }

// Len is the number of elements that are usable by now.
func (a *Array[T]) Len() int {
	var zero T
	return int(a.committed.Load()) / int(unsafe.Sizeof(zero))
}

// Bytes is how much memory, or of a file how much disk space, the array has asked
// for.
func (a *Array[T]) Bytes() int64 { return a.committed.Load() }

// Grow makes the elements [0, n) usable.
func (a *Array[T]) Grow(n int) error {
	if n > a.capacity {
		return errs.New(errs.Unavailable, "vector_index_full",
			"the vector index has no room for element %d (capacity %d); nothing was changed", n, a.capacity)
	}
	var zero T
	need, have := n*int(unsafe.Sizeof(zero)), int(a.committed.Load())
	if need <= have {
		return nil
	}
	need = a.step(have, need)
	if err := a.mem.commit(have, need); err != nil {
		if a.mem.file != nil {
			return errs.Wrap(err, errs.StorageFull, "vector_file_full",
				"the file of a vector index can't grow to %d bytes; nothing was changed. Make space on its disk", need)
		}
		return errs.Wrap(err, errs.Unavailable, "out_of_memory",
			"the system has no memory for a growing vector index; nothing was changed")
	}
	a.committed.Store(int64(need))
	return nil
}

// step is how many bytes there are when have don't suffice for need.
func (a *Array[T]) step(have, need int) int {
	// An eighth more, so that a growing array needs ever fewer calls.
	need = max(need, have+have/8)
	quantum := growQuantum
	if need >= hugePage {
		quantum = hugePage // a huge page is only taken if all of it may be touched
	}
	return min(roundUp(need, quantum), a.mem.len())
}

// After is what Bytes becomes when the array grows to n elements, one at a time.
func (a *Array[T]) After(n int) int64 {
	var zero T
	size := int(unsafe.Sizeof(zero))
	have := int(a.committed.Load())
	for need := min(n, a.capacity) * size; have < need; {
		have = a.step(have, have+size)
	}
	return int64(have)
}

// At is element i, which Grow has made usable. It isn't bounds-checked.
func (a *Array[T]) At(i uint32) *T {
	var zero T
	return (*T)(unsafe.Add(a.base, uintptr(i)*unsafe.Sizeof(zero)))
}

// Slice is the elements [i, i+n), which Grow has made usable.
func (a *Array[T]) Slice(i, n int) []T {
	var zero T
	return unsafe.Slice((*T)(unsafe.Add(a.base, uintptr(i)*unsafe.Sizeof(zero))), n)
}

// All is the whole reservation as one slice; only what Grow has made usable may
// be touched.
func (a *Array[T]) All() []T { return a.Slice(0, a.capacity) }

// Sync returns once what was written to an array that is a file is on disk. After
// an error a part may never get there. Elements may be used meanwhile; of what is
// written then, any part may be on disk or not.
func (a *Array[T]) Sync() error {
	if err := a.mem.sync(int(a.committed.Load())); err != nil {
		return fileError(err)
	}
	return nil
}

// Free gives everything back. The array and its elements must not be used again.
func (a *Array[T]) Free() error {
	a.base, a.capacity = nil, 0
	return a.mem.free(int(a.committed.Swap(0)))
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// Group makes arrays that are freed together. The zero value is ready to use.
type Group struct {
	arrays []interface {
		Free() error
		Bytes() int64
	}
	err error
}

// ReserveIn is Reserve as a member of g. A failure is kept for Err, so that many
// arrays can be reserved with one look at the error.
func ReserveIn[T any](g *Group, want int) *Array[T] {
	a, err := Reserve[T](want)
	if err != nil {
		g.err = errors.Join(g.err, err)
		return &Array[T]{}
	}
	g.arrays = append(g.arrays, a)
	return a
}

// ReserveFileIn is ReserveFile as a member of g, as ReserveIn is Reserve.
func ReserveFileIn[T any](g *Group, path string, want int) *Array[T] {
	a, err := ReserveFile[T](path, want)
	if err != nil {
		g.err = errors.Join(g.err, err)
		return &Array[T]{}
	}
	g.arrays = append(g.arrays, a)
	return a
}

// Err is what went wrong in reserving, nil if nothing did.
func (g *Group) Err() error { return g.err }

// Bytes is the sum of its arrays' Bytes.
func (g *Group) Bytes() (n int64) {
	for _, a := range g.arrays {
		n += a.Bytes()
	}
	return n
}

// Free frees every array of the group.
func (g *Group) Free() error {
	var err error
	for _, a := range g.arrays {
		err = errors.Join(err, a.Free())
	}
	g.arrays = nil
	return err
}
