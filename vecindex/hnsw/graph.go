package hnsw

import (
	"errors"
	"sync"
	"sync/atomic"

	"unsafe"

	"github.com/vccdb/vccdb/vecindex/checkpoint"
	"github.com/vccdb/vccdb/vecindex/internal/offheap"
	"github.com/vccdb/vccdb/vecindex/simd"
)

const (
	stripeCount = 4096
	rowQuantum  = 16 // links in a cache line; rows are padded to whole lines
)

// graph is the links of all nodes, off-heap. A row is the links of one node on one
// level: neighbours as slot+1, ended by a 0 or by the row's length. Rows are read
// without locks and written under the node's stripe.
type graph struct {
	arrays offheap.Group
	m      int // most links of a row above level 0
	m0     int // most links of a row on level 0
	row0   int // stride of level 0 rows
	rowUp  int // stride of the rows above

	level0  *offheap.Array[uint32] // row of slot s at s*row0
	upper   *offheap.Array[uint32] // the rows above level 0, a node's side by side
	upperAt *offheap.Array[uint32] // by slot: index of its level 1 row in upper

	neighbours *neighbours // the codes of the links of level 0, nil if there are none

	upperHigh uint32     // rows from here on were never used; guarded by the index's mu
	upperFree [][]uint32 // by level: first rows of free runs; guarded by the index's mu

	// marks are the slots whose level 0 rows changed since the last checkpoint, and
	// upperMarks the rows above.
	marks, upperMarks *checkpoint.Marks

	// entry is the node every search starts at, packed; changed under top.
	entry atomic.Uint64
	// top is held while the entry may change, and by the linkers of the first nodes.
	top     sync.Mutex
	stripes [stripeCount]sync.Mutex
}

func newGraph(capacity, m int) (*graph, error) {
	g := &graph{
		m: m, m0: 2 * m,
		row0:      roundUp(2*m, rowQuantum),
		rowUp:     roundUp(m, rowQuantum),
		upperFree: make([][]uint32, maxLevel+1),
	}
	g.level0 = offheap.ReserveIn[uint32](&g.arrays, capacity*g.row0)
	// A node has 1/(M-1) rows above level 0 on average, at most 1.
	g.upper = offheap.ReserveIn[uint32](&g.arrays, capacity*g.rowUp)
	g.upperAt = offheap.ReserveIn[uint32](&g.arrays, capacity)
	g.marks = checkpoint.NewMarks(&g.arrays, capacity, checkpoint.PerBlock(4*g.row0))
	g.upperMarks = checkpoint.NewMarks(&g.arrays, capacity, checkpoint.PerBlock(4*g.rowUp))
	if err := g.arrays.Err(); err != nil {
		return nil, errors.Join(err, g.arrays.Free())
	}
	return g, nil
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// growLocked makes the rows of the slots below n usable, those above level 0
// excepted.
func (g *graph) growLocked(n int) error {
	return firstError(g.level0.Grow(n*g.row0), g.upperAt.Grow(n), g.marks.Grow(n), g.neighbours.growLocked(n))
}

// takeUpperLocked gives a slot its rows above level 0.
func (g *graph) takeUpperLocked(slot uint32, level int) error {
	if level == 0 {
		return nil
	}
	at := g.upperHigh
	if free := g.upperFree[level]; len(free) > 0 {
		at = free[len(free)-1]
		g.upperFree[level] = free[:len(free)-1]
	} else {
		if err := g.growUpperLocked(int(at) + level); err != nil {
			return err
		}
		g.upperHigh += uint32(level)
	}
	*g.upperAt.At(slot) = at
	return nil
}

// growUpperLocked makes the first n rows above level 0 usable.
func (g *graph) growUpperLocked(n int) error {
	return firstError(g.upper.Grow(n*g.rowUp), g.upperMarks.Grow(n))
}

// dropUpperLocked takes a slot's rows above level 0 back.
func (g *graph) dropUpperLocked(slot uint32, level int) {
	if level > 0 {
		g.upperFree[level] = append(g.upperFree[level], *g.upperAt.At(slot))
	}
}

// row is a node's links on a level; its length is the most there can be.
func (g *graph) row(slot uint32, level int) []uint32 {
	if level == 0 {
		return g.level0.Slice(int(slot)*g.row0, g.m0)
	}
	return g.upper.Slice((int(*g.upperAt.At(slot))+level-1)*g.rowUp, g.m)
}

// appendLinks appends the neighbours in a row to dst.
func appendLinks(dst, row []uint32) []uint32 {
	for i := range row {
		link := atomic.LoadUint32(&row[i])
		if link == 0 {
			break
		}
		dst = append(dst, link-1)
	}
	return dst
}

// write makes links the row of a slot on a level, in some order. The caller holds the stripe and
// shares linking.
func (g *graph) write(slot uint32, level int, links []uint32) {
	row := g.row(slot, level)
	if level == 0 && g.neighbours != nil {
		g.neighbours.write(slot, row, links)
	}
	writeLinks(row, links)
	if level == 0 {
		g.marks.Mark(slot)
	} else {
		g.upperMarks.Mark(*g.upperAt.At(slot) + uint32(level) - 1)
	}
}

func writeLinks(row, links []uint32) {
	for i := range row {
		var link uint32
		if i < len(links) {
			link = links[i] + 1
		}
		if atomic.LoadUint32(&row[i]) != link {
			atomic.StoreUint32(&row[i], link)
		}
	}
}

func (g *graph) stripe(slot uint32) *sync.Mutex { return &g.stripes[slot%stripeCount] }

// entryPoint is the node searches start at and its level.
func (g *graph) entryPoint() (slot uint32, level int, ok bool) {
	e := g.entry.Load()
	return uint32(e >> 32), int(uint32(e)) - 1, e != 0
}

func (g *graph) setEntry(slot uint32, level int) {
	g.entry.Store(uint64(slot)<<32 | uint64(level+1))
}

func (g *graph) clearEntry() { g.entry.Store(0) }

// prefetch asks for a level 0 row that may be needed soon.
func (g *graph) prefetch(slot uint32) {
	simd.Prefetch(unsafe.Pointer(unsafe.SliceData(g.row(slot, 0))))
}
