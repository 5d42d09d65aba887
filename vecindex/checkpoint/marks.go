package checkpoint

import (
	"sync/atomic"

	"github.com/vccdb/vccdb/vecindex/internal/offheap"
)

// Marks are the blocks of a column that changed since the last epoch.
type Marks struct {
	perBlock int
	shift    uint
	flags    *offheap.Array[uint32]
}

// NewMarks is for a column of up to capacity elements, perBlock of which (a power of
// two) are a block. The memory is g's.
func NewMarks(g *offheap.Group, capacity, perBlock int) *Marks {
	m := &Marks{perBlock: perBlock, flags: offheap.ReserveIn[uint32](g, blockCount(capacity, perBlock))}
	for 1<<m.shift < perBlock {
		m.shift++
	}
	return m
}

// PerBlock is the number of elements in a block.
func (m *Marks) PerBlock() int { return m.perBlock }

// Bytes is the memory of the marks.
func (m *Marks) Bytes() int64 { return m.flags.Bytes() }

// After is what Bytes becomes when the column grows to n elements.
func (m *Marks) After(n int) int64 { return m.flags.After(blockCount(n, m.perBlock)) }

// Grow makes marks for the elements below n.
func (m *Marks) Grow(n int) error { return m.flags.Grow(blockCount(n, m.perBlock)) }

// Mark says that an element was changed. It is called after the change, and may be
// by many at a time. Mostly it is a load: a store would take the line from the
// others who mark.
func (m *Marks) Mark(element uint32) {
	if flag := m.flags.At(element >> m.shift); atomic.LoadUint32(flag) == 0 {
		atomic.StoreUint32(flag, 1)
	}
}

func (m *Marks) has(block int) bool { return atomic.LoadUint32(m.flags.At(uint32(block))) != 0 }

// Changed is a set of blocks.
type Changed []uint64

func (c Changed) has(block int) bool {
	return c == nil || block>>6 < len(c) && c[block>>6]&(1<<(block&63)) != 0
}

// Take returns the marked blocks and clears the marks. Nobody may be between a
// change and its mark meanwhile.
func (m *Marks) Take() Changed {
	c := make(Changed, (m.flags.Len()+63)/64)
	for i := range uint32(m.flags.Len()) {
		if flag := m.flags.At(i); atomic.LoadUint32(flag) != 0 {
			atomic.StoreUint32(flag, 0)
			c[i>>6] |= 1 << (i & 63)
		}
	}
	return c
}

// Return marks again what Take returned and Save could not write.
func (m *Marks) Return(c Changed) {
	for i := range uint32(m.flags.Len()) {
		if c.has(int(i)) {
			atomic.StoreUint32(m.flags.At(i), 1)
		}
	}
}
