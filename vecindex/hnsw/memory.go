package hnsw

import (
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/checkpoint"
	"github.com/vccdb/vccdb/vecindex/internal/offheap"
)

// area is an array of the index, for whoever counts its bytes.
type area struct {
	part  string
	bytes int64
	// after is what bytes become once slots below n are in use.
	after func(n int) int64
	// cold says that the array is a file.
	cold bool
}

// areaOf has so many elements for each slot.
func areaOf[T any](part string, a *offheap.Array[T], perSlot int) area {
	return area{part: part, bytes: a.Bytes(), after: func(n int) int64 { return a.After(n * perSlot) }}
}

// bitsOf has an element for each so many slots.
func bitsOf(part string, b bitset, slots int) area {
	return area{part: part, bytes: b.words.Bytes(), after: func(n int) int64 { return b.words.After((n + slots - 1) / slots) }}
}

// marksOf has a word for each block. There are fewer upper rows than slots.
func marksOf(part string, m *checkpoint.Marks) area {
	return area{part: part, bytes: m.Bytes(), after: m.After}
}

// areas are all arrays there are. Not among them are what a search needs while it
// goes on, a bit for each slot, and the queues of slots that wait to be linked or used
// again.
func (x *Index) areas() []area {
	s, g := x.slots, x.graph
	vectors := areaOf("vectors", s.vectors, s.stride)
	list := []area{
		areaOf("ids", s.ids, 1), areaOf("ids", s.stamps, 1), areaOf("ids", s.levels, 1),
		areaOf("ids", s.births, 1), areaOf("ids", s.deaths, 1),
		areaOf("ids", s.places, 1), // ids are hardly more than slots
		bitsOf("ids", s.dead, 64), bitsOf("ids", s.condemned, 64), bitsOf("ids", s.coded, 64), bitsOf("ids", s.pending.members, 64), bitsOf("ids", s.pending.summary, 64*64),
		marksOf("ids", s.marks), marksOf("ids", s.fateMarks),
		areaOf("links", g.level0, g.row0), areaOf("links", g.upperAt, 1),
		marksOf("links", g.marks), marksOf("links", g.upperMarks),
	}
	list = append(list, x.upperArea())
	if s.file != "" {
		vectors.part, vectors.cold = vecindex.ColdVectors, true
		list = append(list, areaOf("ids", s.sums, 1), bitsOf("ids", s.suspect, 64))
	}
	if r, ok := x.rows.(*codeRows); ok {
		list = append(list, areaOf("codes", r.codes, r.codec.Stride()))
	}
	if n := g.neighbours; n != nil {
		list = append(list, areaOf("neighbours", n.blocks, n.perNode))
	}
	return append(list, vectors)
}

// upperArea has the rows above level 0, of which a node has 1/(M-1) on average.
func (x *Index) upperArea() area {
	x.mu.Lock()
	rows, slots := int(x.graph.upperHigh), int(x.slots.high.Load())
	x.mu.Unlock()
	a := areaOf("links", x.graph.upper, x.graph.rowUp)
	grown := a.after
	a.after = func(n int) int64 {
		if n <= slots {
			return a.bytes
		}
		return grown(rows + (n-slots)/(x.graph.m-1) + maxLevel)
	}
	return a
}

// Usage is the part of Stats that costs nothing.
func (x *Index) Usage() vecindex.Usage {
	side, ok := x.gate.enter()
	if !ok {
		return vecindex.Usage{}
	}
	defer x.gate.leave(side)
	var u vecindex.Usage
	for _, c := range x.areas() {
		u.Bytes += c.bytes
		if c.cold {
			u.Cold += c.bytes
		}
	}
	u.Live, u.Pending, u.Tombstones = x.population()
	return u
}

// MemoryWith is the memory that the index has once more vectors are put, what lies in a
// file excepted.
func (x *Index) MemoryWith(more int) (bytes int64) {
	side, ok := x.gate.enter()
	if !ok {
		return 0
	}
	defer x.gate.leave(side)
	x.mu.Lock()
	slots := max(int(x.slots.high.Load())+more-len(x.slots.free), int(x.slots.high.Load()))
	x.mu.Unlock()
	for _, c := range x.areas() {
		if !c.cold {
			bytes += c.after(slots)
		}
	}
	return bytes
}
