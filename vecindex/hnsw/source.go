package hnsw

import (
	"context"
	"iter"
	"math"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
)

// IDs yields the ids that have a vector, in ascending order. It may or may not see what
// changes meanwhile. The index isn't closed until it ends.
func (x *Index) IDs() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		side, ok := x.gate.enter()
		if !ok {
			return
		}
		defer x.gate.leave(side)
		for id := range min(x.slots.places.Len(), math.MaxUint32) {
			if _, ok := x.slots.placeOf(uint32(id)); ok && !yield(uint32(id)) {
				return
			}
		}
	}
}

// Vector copies the vector of id to dst, from memory or the file that it lies in, or from
// the database if that has lost it.
func (x *Index) Vector(dst []float32, id uint32) bool {
	side, ok := x.gate.enter()
	if !ok {
		return false
	}
	defer x.gate.leave(side)
	slot, ok := x.slots.placeOf(id)
	if !ok || x.loaded && x.slots.suspect.has(slot) && !x.prove(slot) {
		return false
	}
	return x.vectorOf(dst, slot)
}

// SearchAmong scores the vectors of ids.
func (x *Index) SearchAmong(ctx context.Context, q vecindex.Query, ids []uint32, dst []vecindex.Hit) ([]vecindex.Hit, vecindex.SearchStats, error) {
	side, ok := x.gate.enter()
	if !ok {
		return dst, vecindex.SearchStats{}, errClosed()
	}
	defer x.gate.leave(side)
	x.searches.Add(1)
	if q.K < 1 {
		return dst, vecindex.SearchStats{}, errs.New(errs.Invalid, "invalid_k", "k is at least 1, not %d", q.K)
	}
	s := x.scratches.Get().(*scratch)
	defer x.scratches.Put(s)
	s.stats = vecindex.SearchStats{Plan: vecindex.PlanExact}
	if err := x.space.Prepare(s.query, q.Vector); err != nil {
		return dst, s.stats, err
	}
	err := x.scanSlots(ctx, s, q.K, func(yield func(uint32) bool) {
		for _, id := range ids {
			if slot, ok := x.slots.placeOf(id); ok && (q.Allow == nil || q.Allow.Contains(id)) && !yield(slot) {
				return
			}
		}
	})
	if err != nil {
		return dst, s.stats, err
	}
	return s.nearest.AppendSorted(dst), s.stats, nil
}
