package hostrun

import (
	"slices"

	"github.com/vccdb/vccdb/gpu/kernels"
)

const page = 4096

// extent is a range of pages.
type extent struct{ offset, length int64 }

// memory hands out parts of the device's memory. Each ends where its last page does, but
// for the bytes to a multiple of 16, and the page behind can't be accessed.
type memory struct {
	bytes []byte      // all of it, mapped here
	base  kernels.Ptr // where the child has it
	free  []extent    // by offset
	used  map[kernels.Ptr]allocation
}

type allocation struct {
	pages extent // the one that can't be accessed included
	bytes int64
}

func newMemory(bytes []byte, base kernels.Ptr) *memory {
	return &memory{bytes: bytes, base: base, free: []extent{{page, int64(len(bytes)) - page}}, used: map[kernels.Ptr]allocation{}}
}

// take finds room for n bytes. ok is false if there is none.
func (m *memory) take(n int64) (p kernels.Ptr, a allocation, ok bool) {
	size := (n+page-1)/page*page + page
	for i, e := range m.free {
		if e.length < size {
			continue
		}
		a = allocation{extent{e.offset, size}, n}
		if m.free[i] = (extent{e.offset + size, e.length - size}); e.length == size {
			m.free = slices.Delete(m.free, i, i+1)
		}
		p = m.base + kernels.Ptr(e.offset+size-page-(n+15)/16*16)
		m.used[p] = a
		return p, a, true
	}
	return 0, allocation{}, false
}

// giveBack is the inverse of take.
func (m *memory) giveBack(p kernels.Ptr) (a allocation, ok bool) {
	if a, ok = m.used[p]; !ok {
		return a, false
	}
	delete(m.used, p)
	at, _ := slices.BinarySearchFunc(m.free, a.pages.offset, func(e extent, offset int64) int { return int(e.offset - offset) })
	m.free = slices.Insert(m.free, at, a.pages)
	if at+1 < len(m.free) && m.free[at].offset+m.free[at].length == m.free[at+1].offset {
		m.free[at].length += m.free[at+1].length
		m.free = slices.Delete(m.free, at+1, at+2)
	}
	if at > 0 && m.free[at-1].offset+m.free[at-1].length == m.free[at].offset {
		m.free[at-1].length += m.free[at].length
		m.free = slices.Delete(m.free, at, at+1)
	}
	return a, true
}

// at is the memory from p on, if n bytes there are of one allocation.
func (m *memory) at(p kernels.Ptr, n int64) ([]byte, bool) {
	for start, a := range m.used {
		if p >= start && n >= 0 && n <= a.bytes && p-start <= kernels.Ptr(a.bytes-n) {
			return m.bytes[p-m.base:][:n:n], true
		}
	}
	return nil, false
}

// left is how many bytes are free.
func (m *memory) left() int64 {
	sum := int64(0)
	for _, e := range m.free {
		sum += e.length
	}
	return sum
}
