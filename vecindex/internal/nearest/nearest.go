// Package nearest keeps the nearest k of a stream of hits: a bounded max-heap
// ordered by distance, then id. It has no goroutines and no locks.
package nearest

import (
	"cmp"
	"slices"

	"github.com/vccdb/vccdb/vecindex"
)

// Heap holds at most k hits, the farthest on top. The zero value holds none;
// Reset gives it its size.
type Heap struct {
	hits []vecindex.Hit
	k    int
}

// Compare orders hits by distance, then id.
func Compare(a, b vecindex.Hit) int {
	if a.Distance != b.Distance {
		return cmp.Compare(a.Distance, b.Distance)
	}
	return cmp.Compare(a.ID, b.ID)
}

// Reset empties the heap and makes it hold k hits.
func (h *Heap) Reset(k int) { h.hits, h.k = h.hits[:0], k }

// Len is the number of hits held.
func (h *Heap) Len() int { return len(h.hits) }

// Worst is the distance of the farthest hit, 0 if there is none.
func (h *Heap) Worst() float32 {
	if len(h.hits) == 0 {
		return 0
	}
	return h.hits[0].Distance
}

// Wants says whether Add would keep a hit of this distance and id.
func (h *Heap) Wants(distance float32, id uint32) bool {
	if len(h.hits) < h.k {
		return true
	}
	top := &h.hits[0]
	return distance < top.Distance || distance == top.Distance && id < top.ID
}

// Add puts a hit in, in place of the farthest if the heap is full. The caller
// has asked Wants.
func (h *Heap) Add(hit vecindex.Hit) {
	if len(h.hits) < h.k {
		h.hits = append(h.hits, hit)
		h.up(len(h.hits) - 1)
		return
	}
	h.hits[0] = hit
	h.down(0)
}

// AppendSorted appends the hits to dst, nearest first, and empties the heap.
func (h *Heap) AppendSorted(dst []vecindex.Hit) []vecindex.Hit {
	slices.SortFunc(h.hits, Compare)
	dst = append(dst, h.hits...)
	h.hits = h.hits[:0]
	return dst
}

func (h *Heap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if Compare(h.hits[i], h.hits[parent]) <= 0 {
			return
		}
		h.hits[i], h.hits[parent] = h.hits[parent], h.hits[i]
		i = parent
	}
}

func (h *Heap) down(i int) {
	for {
		far := 2*i + 1
		if far >= len(h.hits) {
			return
		}
		if far+1 < len(h.hits) && Compare(h.hits[far+1], h.hits[far]) > 0 {
			far++
		}
		if Compare(h.hits[i], h.hits[far]) >= 0 {
			return
		}
		h.hits[i], h.hits[far] = h.hits[far], h.hits[i]
		i = far
	}
}
