package wire

import (
	"sync"
	"unsafe"
)

// ViewAlign is what everything in the shared memory begins on a multiple of.
const ViewAlign = 64

const (
	// stagingAreas is how many parts of a put can be under way: one is filled while
	// the device takes the other.
	stagingAreas = 2
	// roomBlock is the smallest part of the room for filters: 32,768 ids.
	roomBlock = 4096
	// MinArena is the smallest shared memory: each staging area takes a row of the
	// largest vector, and there is room for a filter or two.
	MinArena = 128 << 10
)

// Area is a part of the shared memory.
type Area struct{ Offset, Size int64 }

// Arena is the memory that a server shares with its worker, as the server sees it. It
// alone says what is where: half of it are two staging areas for vectors, half is
// room for filters, given out in powers of two. Nothing the worker does changes that,
// and the server never reads what is in it.
type Arena struct {
	mem     []byte
	release func() error
	staging chan Area
	mu      struct {
		sync.RWMutex // held for reading while mem is written to
		closed       bool
	}
	room struct {
		sync.Mutex
		buddies
	}
}

// NewLocalArena returns an Arena in this process's own memory, for a worker that runs
// in it. bytes is raised to MinArena.
func NewLocalArena(bytes int64) *Arena {
	words := make([]uint64, arenaSize(bytes)/8)
	return newArena(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words)), func() error { return nil })
}

// arenaSize rounds a size so that its parts are whole.
func arenaSize(bytes int64) int64 { return max(bytes, MinArena) / (4 * roomBlock) * (4 * roomBlock) }

func newArena(mem []byte, release func() error) *Arena {
	a := &Arena{mem: mem, release: release, staging: make(chan Area, stagingAreas)}
	quarter := int64(len(mem) / 4)
	for i := range int64(stagingAreas) {
		a.staging <- Area{i * quarter, quarter}
	}
	a.room.buddies = newBuddies(2*quarter, 2*quarter/roomBlock)
	return a
}

// Size is how many bytes it has.
func (a *Arena) Size() int64 { return int64(len(a.mem)) }

// Memory is all of it, for a worker in this process.
func (a *Arena) Memory() []byte { return a.mem }

// Staging gives out the staging areas: whoever takes one from it hands it back with
// Unstage when the worker has answered.
func (a *Arena) Staging() <-chan Area { return a.staging }

// Unstage hands a staging area back.
func (a *Arena) Unstage(area Area) { a.staging <- area }

// RowsPerArea is how many ids with vectors of dim dimensions, 0 for ids alone, fit a
// staging area.
func (a *Arena) RowsPerArea(dim int) int { return (len(a.mem)/4 - ViewAlign) / (4 + 4*dim) }

// StageRows writes ids, and the vectors of dim dimensions that they have, to a staging
// area and returns where both are. The i-th row is the order[i]-th; with
// a nil order they are all, as they are. It does nothing after Close. The caller holds the area, and no more
// than RowsPerArea.
func (a *Arena) StageRows(area Area, ids []uint32, vectors []float32, dim int, order []int) (idsAt, vectorsAt uint64) {
	n := len(ids)
	if order != nil {
		n = len(order)
	}
	idsAt = uint64(area.Offset)
	vectorsAt = idsAt + (4*uint64(n)+ViewAlign-1)/ViewAlign*ViewAlign
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.mu.closed {
		return idsAt, vectorsAt
	}
	toIDs, _ := View[uint32](a.mem, idsAt, uint64(n))
	toVectors, _ := View[float32](a.mem, vectorsAt, uint64(n*dim))
	if order == nil {
		copy(toIDs, ids)
		copy(toVectors, vectors)
		return idsAt, vectorsAt
	}
	for to, from := range order {
		toIDs[to] = ids[from]
		copy(toVectors[to*dim:(to+1)*dim], vectors[from*dim:])
	}
	return idsAt, vectorsAt
}

// Filter copies the words of a filter into the arena; false if there is no room, or
// after Close. Free gives the room back, once the worker has answered.
func (a *Arena) Filter(words []uint64) (Area, bool) {
	a.room.Lock()
	area, ok := a.room.take(8 * int64(len(words)))
	a.room.Unlock()
	if !ok {
		return Area{}, false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.mu.closed {
		return Area{}, false
	}
	to, _ := View[uint64](a.mem, uint64(area.Offset), uint64(len(words)))
	copy(to, words)
	return area, true
}

// Free gives the room of a filter back.
func (a *Arena) Free(area Area) {
	a.room.Lock()
	defer a.room.Unlock()
	a.room.give(area)
}

// Close unmaps the memory. It waits for those who write to it. Calls afterwards do
// nothing.
func (a *Arena) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.closed {
		return nil
	}
	a.mu.closed = true
	return a.release()
}

// View returns count values at offset of the shared memory, without copying them;
// false if they don't lie in it or don't begin on a multiple of ViewAlign. Whoever
// shares the memory may change them at any time.
func View[T uint32 | uint64 | float32](mem []byte, offset, count uint64) ([]T, bool) {
	var v T
	size := uint64(unsafe.Sizeof(v))
	if offset%ViewAlign != 0 || offset > uint64(len(mem)) || count > (uint64(len(mem))-offset)/size {
		return nil, false
	}
	if count == 0 {
		return []T{}, true
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[offset])), count), true
}
