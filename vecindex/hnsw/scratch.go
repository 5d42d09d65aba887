package hnsw

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/nearest"
)

// block is how many slots an exact scan scores at a time.
const block = 256

// scratch is what one search, or one linker, needs; nothing of it is shared.
type scratch struct {
	query     []float32 // the prepared vector that is searched for
	row       row       // of query
	visited   visited
	found     pool
	detours   heap
	nearest   nearest.Heap
	hits      []vecindex.Hit
	batch     []uint32 // slots to score
	distances []float32
	lost      []int // of batch: vectors that can't be had
	stats     vecindex.SearchStats
	judging   judging
	filtering filtering
	// What follows is for changing rows.
	candidates []key    // ranked by distance to the node whose row it is
	ghosts     []key    // the dead candidates
	kept       []key    // the diverse ones of candidates
	chosen     []key    // the neighbours of a new node
	links      []uint32 // a row
}

func (x *Index) newScratch() *scratch {
	query := make([]float32, x.space.Stride)
	return &scratch{
		query:     query,
		row:       x.rows.forQuery(query),
		batch:     make([]uint32, 0, block),
		distances: make([]float32, block),
	}
}

// key is a distance, a slot of 31 bits and a flag in one word that sorts by distance,
// then slot. The flag says that a walk has expanded the node.
type key uint64

const (
	expanded key = 1
	farthest key = math.MaxUint64
)

func makeKey(distance float32, slot uint32) key {
	b := math.Float32bits(distance)
	// Negative numbers sort in reverse by their bits, and below the positive ones.
	b ^= uint32(int32(b)>>31) | 1<<31
	return key(b)<<32 | key(slot)<<1
}

func (k key) slot() uint32 { return uint32(k) >> 1 }

func (k key) distance() float32 {
	b := uint32(k >> 32)
	b ^= uint32(int32(^b)>>31) | 1<<31
	return math.Float32frombits(b)
}

// pool holds the nearest limit nodes that a walk has found, nearest first, and
// knows which of them it has still to expand.
type pool struct {
	keys  []key
	limit int
	next  int // no node before this one is left to expand
}

func (p *pool) reset(limit int) {
	p.keys, p.limit, p.next = slices.Grow(p.keys[:0], limit), limit, 0
}

// bound is the key that a newcomer must be below to be kept.
func (p *pool) bound() key {
	if len(p.keys) < p.limit {
		return farthest
	}
	return p.keys[len(p.keys)-1]
}

// add puts in a key below the bound, in place of the farthest if the pool is full.
func (p *pool) add(k key) {
	at := p.search(k)
	if len(p.keys) < p.limit {
		p.keys = append(p.keys, 0)
	}
	copy(p.keys[at+1:], p.keys[at:])
	p.keys[at] = k
	p.next = min(p.next, at)
}

// search is the number of keys below k. It branches on the length only, which the
// processor foresees; where k belongs it can't foresee, so that is arithmetic.
func (p *pool) search(k key) int {
	keys := p.keys
	at := uint(0)
	for n := uint(len(keys)); n > 0; {
		half := (n + 1) / 2
		_, below := bits.Sub64(uint64(keys[at+half-1]), uint64(k), 0)
		at += half & -uint(below)
		n -= half
	}
	return int(at)
}

// nearestLeft is the nearest node not yet expanded, farthest if there is none.
func (p *pool) nearestLeft() key {
	for ; p.next < len(p.keys); p.next++ {
		if k := p.keys[p.next]; k&expanded == 0 {
			return k
		}
	}
	return farthest
}

// expand marks the node that nearestLeft returned.
func (p *pool) expand() {
	p.keys[p.next] |= expanded
	p.next++
}

// heap is a min-heap of keys.
type heap []key

func (h *heap) push(k key) {
	*h = append(*h, k)
	keys, i := *h, len(*h)-1
	for i > 0 {
		parent := (i - 1) / 2
		if keys[parent] <= k {
			break
		}
		keys[i] = keys[parent]
		i = parent
	}
	keys[i] = k
}

// top is the nearest key, farthest if there is none.
func (h heap) top() key {
	if len(h) == 0 {
		return farthest
	}
	return h[0]
}

// pop takes the nearest out of a heap that isn't empty.
func (h *heap) pop() {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	keys, i := *h, 0
	for {
		child := 2*i + 1
		if child >= len(keys) {
			break
		}
		if child+1 < len(keys) && keys[child+1] < keys[child] {
			child++
		}
		if last <= keys[child] {
			break
		}
		keys[i] = keys[child]
		i = child
	}
	if len(keys) > 0 {
		keys[i] = last
	}
}

// visited is the set of slots a walk has met: a bit per slot of the index, small
// enough to stay in the cache, and the trail of those met, by which it is emptied.
type visited struct {
	bits  []uint64
	trail []uint32
}

// reset empties the set and makes it hold slots below n; others count as met.
func (v *visited) reset(n uint32) {
	if len(v.trail) > len(v.bits) {
		clear(v.bits)
	} else {
		for _, slot := range v.trail {
			v.bits[slot>>6] = 0
		}
	}
	v.trail = v.trail[:0]
	if words := int(n+63) / 64; words > len(v.bits) {
		v.bits = append(v.bits, make([]uint64, words-len(v.bits))...)
	}
}

// meet adds the links of a row and returns those that are new, valid until the
// next reset. It has no branch on whether a link is new, as that is a coin toss.
func (v *visited) meet(row []uint32) []uint32 {
	from := len(v.trail)
	v.trail = slices.Grow(v.trail, len(row))
	fresh, n := v.trail[from:from+len(row)], 0
	for i := range row {
		link := atomic.LoadUint32(&row[i])
		if link == 0 {
			break
		}
		slot := link - 1
		w := int(slot >> 6)
		if w >= len(v.bits) {
			continue
		}
		word, bit := v.bits[w], uint64(1)<<(slot&63)
		v.bits[w] = word | bit
		fresh[n] = slot
		if word&bit == 0 {
			n++
		}
	}
	v.trail = v.trail[:from+n]
	return fresh[:n]
}
