package hnsw

import (
	"context"
	"slices"

	"github.com/vccdb/vccdb/vecindex"
)

const (
	// scanKept is the part of the scanned rows, one in so many, whose vectors may have to
	// be looked at; scanKeptLeast and scanKeptMost bound their number. They are so many
	// where a filter leaves out what is near: then thousands are about equally far.
	scanKept, scanKeptLeast, scanKeptMost = 64, 256, 1024
	// scanRemembered bounds the distances that a scan remembers, of 8 bytes each, for a
	// second look.
	scanRemembered = 1 << 20
	// rerankStep is how many vectors are scored between two looks at whether that is
	// enough.
	rerankStep = 32
)

// scanRows scores the row of every allowed vector, and the best by their vectors: as
// many as it takes until what is left can't be nearer, going by the errors seen. Where a
// filter leaves out what is near, more may be about equally far than were kept; then all
// distances, or rows if those are too many to be remembered, are gone through once more,
// for all that may be among the nearest.
func (x *Index) scanRows(ctx context.Context, s *scratch, q vecindex.Query, clock uint64, candidates int, dst []vecindex.Hit) ([]vecindex.Hit, error) {
	if x.rows.exact() {
		return x.scan(ctx, s, q, clock, dst)
	}
	err := x.scanByRows(ctx, s, q.K, max(scanKeptLeast, min(candidates/scanKept, scanKeptMost)), x.allowed(q)(q, clock))
	return s.nearest.AppendSorted(dst), err
}

// scanByRows scores the rows of slots, and the best of at least kept by their vectors,
// and leaves the nearest k in s.nearest.
func (x *Index) scanByRows(ctx context.Context, s *scratch, k, kept int, slots func(func(uint32) bool)) error {
	b := &s.filtering.best
	b.reset(max(2*k, k+rerankMargin, kept))
	scored, all := s.filtering.scored[:0], true
	err := x.eachRow(ctx, s, k, slots, func(slots []uint32, distances []float32) {
		all = all && len(scored)+len(slots) <= x.opts.remembered
		for i, d := range distances {
			f := makeKey(d, slots[i])
			if all {
				scored = append(scored, f)
			}
			if f < b.bound {
				b.add(f)
			}
		}
	})
	s.filtering.scored = scored
	if err != nil {
		return err
	}
	limit, sure := x.rerankBest(s, k)
	if sure {
		return nil
	}
	near := s.filtering.near[:0]
	if all {
		s.nearest.Reset(k)
		x.keepNearestOf(s, s.filtering.uncoded)
		for _, f := range scored {
			if f.distance() <= limit {
				near = append(near, f.slot())
			}
		}
	} else {
		err = x.eachRow(ctx, s, k, slots, func(slots []uint32, distances []float32) {
			for i, d := range distances {
				if d <= limit {
					near = append(near, slots[i])
				}
			}
		})
	}
	s.filtering.near = near
	x.keepNearestOf(s, near)
	return err
}

// eachRow calls fn with some slots at a time and the distances to their rows, and leaves
// the nearest k of those that have no row yet in s.nearest.
func (x *Index) eachRow(ctx context.Context, s *scratch, k int, slots func(func(uint32) bool), fn func(slots []uint32, distances []float32)) error {
	s.nearest.Reset(k)
	uncoded := s.filtering.uncoded[:0]
	s.batch = s.batch[:0]
	score := func() {
		fn(s.batch, x.score(s, s.row, s.batch))
		s.batch = s.batch[:0]
	}
	look := s.stats.Distances + contextEvery
	pending := 0
	for slot := range slots {
		if x.slots.pending.has(slot) {
			pending++
			if !x.slots.coded.has(slot) {
				uncoded = append(uncoded, slot)
				continue
			}
		}
		if s.batch = append(s.batch, slot); len(s.batch) < block {
			continue
		}
		score()
		if s.stats.Distances >= look {
			if err := ctx.Err(); err != nil {
				return err
			}
			look += contextEvery
		}
	}
	score()
	s.filtering.uncoded, s.stats.Pending = uncoded, pending
	x.keepNearestOf(s, uncoded)
	return ctx.Err()
}

// keepNearestOf scores the vectors of slots for s.nearest.
func (x *Index) keepNearestOf(s *scratch, slots []uint32) {
	for part := range slices.Chunk(slots, block) {
		s.batch = append(s.batch[:0], part...)
		x.keepNearest(s)
	}
}

// rerankBest scores the best rows by their vectors for s.nearest, nearest first. It ends,
// and is sure, when the next one would have to be nearer than its row says by more than
// the rows of any that were scored are off. If it isn't sure, what may be among the
// nearest has a row within the limit.
func (x *Index) rerankBest(s *scratch, k int) (limit float32, sure bool) {
	b := &s.filtering.best
	all := len(b.keys) < b.limit // nothing was dropped
	keys := b.kept()
	surely := max(2*k, k+rerankMargin)
	worst, sorted := float32(0), 0
	for from := 0; from < len(keys); from += rerankStep {
		if from == sorted { // mostly the first ones are enough, and else twice as many
			n := min(len(keys)-from, max(rerankStep*(surely/rerankStep+2), sorted))
			selectNearest(keys[from:], n)
			slices.Sort(keys[from : from+n])
			sorted += n
		}
		part := keys[from:min(from+rerankStep, len(keys))]
		if from >= surely && !s.nearest.Wants(part[0].distance()-worst, 0) {
			return 0, true
		}
		s.batch = s.batch[:0]
		for _, f := range part {
			s.batch = append(s.batch, f.slot())
		}
		for i, d := range x.scoreExact(s, s.batch) {
			// In either direction: rows that were kept are rather too near than too far.
			worst = max(worst, part[i].distance()-d, d-part[i].distance())
			if s.nearest.Wants(d, *x.slots.ids.At(s.batch[i])) {
				s.nearest.Add(x.hit(s.batch[i], d))
			}
		}
	}
	s.batch = s.batch[:0]
	return s.nearest.Worst() + worst, all || s.nearest.Len() < k || !s.nearest.Wants(keys[len(keys)-1].distance()-worst, 0)
}

// best keeps the nearest limit of a stream of keys, in no order, and up to as many more.
type best struct {
	keys  []key
	limit int
	bound key // that a newcomer must be below to be kept
}

func (b *best) reset(limit int) {
	b.keys, b.limit, b.bound = slices.Grow(b.keys[:0], 2*limit), limit, farthest
}

// add puts in a key below the bound.
func (b *best) add(k key) {
	b.keys = append(b.keys, k)
	if len(b.keys) == 2*b.limit {
		b.shrink()
	}
}

// shrink drops all but the nearest limit.
func (b *best) shrink() {
	selectNearest(b.keys, b.limit)
	b.keys = b.keys[:b.limit]
	b.bound = b.keys[b.limit-1]
}

// kept returns the nearest limit, in no order.
func (b *best) kept() []key {
	if len(b.keys) > b.limit {
		b.shrink()
	}
	return b.keys
}

// selectNearest brings the nearest n of keys to the front, the farthest of them last, by
// Hoare's selection.
func selectNearest(keys []key, n int) {
	low, high := 0, len(keys)-1
	for low < high {
		pivot := keys[(low+high)/2]
		i, j := low, high
		for i <= j {
			for keys[i] < pivot {
				i++
			}
			for keys[j] > pivot {
				j--
			}
			if i <= j {
				keys[i], keys[j] = keys[j], keys[i]
				i++
				j--
			}
		}
		switch {
		case n-1 <= j:
			high = j
		case n-1 >= i:
			low = i
		default:
			return
		}
	}
}
