package hnsw

import (
	"math"
	"slices"

	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/nearest"
)

// block is how many slots an exact scan scores at a time.
const block = 256

// scratch is what one search, or one linker, needs; nothing of it is shared.
type scratch struct {
	query    []float32
	visited  visited
	frontier frontier
	found    pool
	nearest  nearest.Heap
	hits     []vecindex.Hit
	// batch and distances belong to whoever scores at the moment.
	batch     []uint32
	distances []float32
	stats     vecindex.SearchStats
	// What follows is for changing rows.
	candidates []key    // ranked by distance to the node whose row it is
	kept       []key    // the diverse ones of candidates
	chosen     []key    // the neighbours of a new node
	links      []uint32 // a row
}

func (x *Index) newScratch() *scratch {
	return &scratch{
		query:     make([]float32, x.space.Stride),
		batch:     make([]uint32, 0, block),
		distances: make([]float32, block),
		visited:   newVisited(),
	}
}

// key is a distance and a slot in one word that sorts by distance, then slot.
type key uint64

func makeKey(distance float32, slot uint32) key {
	b := math.Float32bits(distance)
	// Negative numbers sort in reverse by their bits, and below the positive ones.
	b ^= uint32(int32(b)>>31) | 1<<31
	return key(b)<<32 | key(slot)
}

func (k key) slot() uint32 { return uint32(k) }

func (k key) distance() float32 {
	b := uint32(k >> 32)
	b ^= uint32(int32(^b)>>31) | 1<<31
	return math.Float32frombits(b)
}

// pool holds the nearest limit keys, nearest first.
type pool struct {
	keys  []key
	limit int
}

func (p *pool) reset(limit int) {
	p.keys, p.limit = slices.Grow(p.keys[:0], limit+1), limit
}

// bound is the key that a newcomer must be below to be kept.
func (p *pool) bound() key {
	if len(p.keys) < p.limit {
		return math.MaxUint64
	}
	return p.keys[len(p.keys)-1]
}

// add puts in a key below the bound, in place of the farthest if the pool is full.
func (p *pool) add(k key) {
	at, _ := slices.BinarySearch(p.keys, k)
	if len(p.keys) < p.limit {
		p.keys = append(p.keys, 0)
	}
	copy(p.keys[at+1:], p.keys[at:])
	p.keys[at] = k
}

// frontier is a min-heap of the nodes to expand.
type frontier struct{ keys []key }

func (f *frontier) reset() { f.keys = f.keys[:0] }

func (f *frontier) push(k key) {
	f.keys = append(f.keys, k)
	h, i := f.keys, len(f.keys)-1
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent] <= k {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = k
}

// pop takes the nearest out of a frontier that isn't empty.
func (f *frontier) pop() key {
	h := f.keys
	nearest, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	f.keys = h
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if last <= h[child] {
			break
		}
		h[i] = h[child]
		i = child
	}
	if len(h) > 0 {
		h[i] = last
	}
	return nearest
}

// visited is the set of slots a walk has met: open addressing, each entry stamped
// with the walk's epoch so that emptying it costs nothing. Its size goes with the
// length of the walk, not with the size of the index.
type visited struct {
	table []uint64 // epoch<<32 | slot
	shift uint8    // 32 - log2(len(table))
	epoch uint32
	n     int
}

const visitedMinimum = 12 // log2 of the first table's length

func newVisited() visited {
	return visited{table: make([]uint64, 1<<visitedMinimum), shift: 32 - visitedMinimum}
}

func (v *visited) reset() {
	v.n = 0
	v.epoch++
	if v.epoch == 0 {
		clear(v.table)
		v.epoch = 1
	}
}

// add says whether slot is new.
func (v *visited) add(slot uint32) bool {
	entry := uint64(v.epoch)<<32 | uint64(slot)
	mask := uint32(len(v.table) - 1)
	// Fibonacci hashing: the top bits of the product are well mixed.
	for i := slot * 0x9E3779B1 >> v.shift; ; i++ {
		e := v.table[i&mask]
		if e == entry {
			return false
		}
		if uint32(e>>32) != v.epoch {
			v.table[i&mask] = entry
			v.n++
			if v.n > len(v.table)/2 {
				v.enlarge()
			}
			return true
		}
	}
}

func (v *visited) enlarge() {
	old := v.table
	v.table = make([]uint64, 2*len(old))
	v.shift--
	mask := uint32(len(v.table) - 1)
	for _, e := range old {
		if uint32(e>>32) != v.epoch {
			continue
		}
		i := uint32(e) * 0x9E3779B1 >> v.shift
		for v.table[i&mask] != 0 {
			i++
		}
		v.table[i&mask] = e
	}
}
