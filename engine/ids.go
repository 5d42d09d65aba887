package engine

import (
	"math"
	"sync"

	"github.com/vccdb/vccdb/internal/errs"
)

// maxFreeIDs bounds the allocator's memory: 4 MB a table. Ids freed beyond it,
// and those free at a restart, stay unused: four billion are enough to forget some.
const maxFreeIDs = 1 << 20

// idAllocator hands out a table's numeric ids, dense and small because bitmaps
// and vector indexes are arrays over them. An id is free again once its
// entity's deletion is committed: a deletion removes all that pointed at it in
// the same batch, and a reader that still holds it from an older state meets
// another stamp.
type idAllocator struct {
	mu sync.Mutex
	// next is the lowest id never used; 64 bits so that it can pass the last.
	next uint64
	free []uint32
}

// take returns an unused id, a freed one if there is one.
func (a *idAllocator) take() (uint32, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.free); n > 0 {
		id := a.free[n-1]
		a.free = a.free[:n-1]
		return id, nil
	}
	if a.next > math.MaxUint32 {
		return 0, errs.New(errs.StorageFull, "table_full",
			"the table has used all of its 4,294,967,296 ids; nothing was written; copy its entities to a new table")
	}
	a.next++
	return uint32(a.next - 1), nil
}

// release makes id available again.
func (a *idAllocator) release(id uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.free) < maxFreeIDs {
		a.free = append(a.free, id)
	}
}
