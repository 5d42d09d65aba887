package hnsw

import (
	"context"
	"math"
	"math/bits"
	"slices"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/nearest"
)

// Search appends the k nearest hits to dst. It walks the graph, unless an exact scan
// is asked for or costs no more, and finishes exactly if the walk costs as much as
// the scan would or comes back with too few.
func (x *Index) Search(ctx context.Context, q vecindex.Query, dst []vecindex.Hit) ([]vecindex.Hit, vecindex.SearchStats, error) {
	side, ok := x.gate.enter()
	if !ok {
		return dst, vecindex.SearchStats{}, errClosed()
	}
	defer x.gate.leave(side)
	x.searches.Add(1)
	if q.K < 1 {
		return dst, vecindex.SearchStats{}, errs.New(errs.Invalid, "invalid_k", "k is at least 1, not %d", q.K)
	}
	if q.Ef < 1 {
		q.Ef = x.Ef()
	}
	s := x.scratches.Get().(*scratch)
	defer x.scratches.Put(s)
	s.stats = vecindex.SearchStats{}
	if err := x.space.Prepare(s.query, q.Vector); err != nil {
		return dst, s.stats, err
	}
	hits, err := x.search(ctx, s, q, dst)
	return hits, s.stats, err
}

func (x *Index) search(ctx context.Context, s *scratch, q vecindex.Query, dst []vecindex.Hit) ([]vecindex.Hit, error) {
	clock := x.clock.Load()
	candidates := x.Len() // how many an exact scan would score, at most
	if q.Allow != nil {
		candidates = min(candidates, q.Allow.Len())
	}
	s.stats.Plan = x.plan(&q, candidates)
	if s.stats.Plan == vecindex.PlanExact {
		return x.scan(ctx, s, q, clock, dst)
	}
	x.rows.encode(s.row, s.query)
	if s.stats.Plan == vecindex.PlanScan {
		return x.scanRows(ctx, s, q, clock, candidates, dst)
	}
	if err := x.scanPending(ctx, s, q, clock); err != nil {
		return dst, err
	}
	complete, err := x.walkGraph(ctx, s, q, clock, candidates)
	if err != nil {
		return dst, err
	}
	if complete {
		if x.mergeFound(s, q.K, clock); len(s.hits) >= min(q.K, candidates) {
			return append(dst, s.hits[:min(q.K, len(s.hits))]...), nil
		}
	}
	s.stats.ExactFallback = true
	return x.scanRows(ctx, s, q, clock, candidates, dst)
}

// bornMeanwhile is the room in a walk for nodes that are put while it goes on, which
// it finds but must not return.
const bornMeanwhile = 16

// walkGraph leaves what it finds in s.found. It is not complete if it has scored
// budget vectors, or what a filter makes of that.
func (x *Index) walkGraph(ctx context.Context, s *scratch, q vecindex.Query, clock uint64, budget int) (complete bool, err error) {
	s.found.reset(0)
	entry, level, ok := x.graph.entryPoint()
	if !ok {
		return true, nil
	}
	r := reach{ef: max(q.Ef, q.K+bornMeanwhile), k: q.K, slack: q.Slack, budget: budget + s.stats.Distances, keep: max(2*q.K, q.K+rerankMargin) + bornMeanwhile} // the pending ones don't count
	if x.opts.Metric == vecindex.Dot {
		r.slack = 0 // inner products aren't distances that could be a multiple of each other
	}
	start := x.descend(s, s.row, entry, level, 1)
	adm := admission{clock: clock, allow: q.Allow}
	if q.Allow != nil {
		x.filter(s, &r, budget)
	}
	complete, err = x.walk(ctx, s, s.row, start, 0, r, &adm)
	s.stats.Visited = len(s.visited.trail)
	return complete, err
}

// mergeFound makes s.hits what the pending scan and the walk have found, nearest
// first.
func (x *Index) mergeFound(s *scratch, k int, clock uint64) {
	s.hits = s.nearest.AppendSorted(s.hits[:0])
	if !x.rows.exact() {
		x.rerank(s, k, clock)
	}
	for _, f := range s.found.keys {
		if slot := f.slot(); x.slots.birth(slot) <= clock {
			s.hits = append(s.hits, x.hit(slot, f.distance()))
		}
	}
	slices.SortFunc(s.hits, nearest.Compare)
	// What was linked meanwhile was found twice, at the same distance.
	s.hits = slices.CompactFunc(s.hits, func(a, b vecindex.Hit) bool { return a.ID == b.ID })
}

const (
	// rerankFirst is how many candidates more than k are scored by their vectors in any
	// case, rerankMargin how many at most, or k if that is more.
	rerankFirst, rerankMargin = 8, 30
	// rerankDeviations is how far errors of the codes are thought to go.
	rerankDeviations = 4
)

// rerank scores the best of s.found by their vectors and drops the others, and what was
// born after the clock. How far the codes are off is seen by the first ones; those that
// are too far behind the k-th for that aren't looked at, as vectors are many bytes.
func (x *Index) rerank(s *scratch, k int, clock uint64) {
	keys := s.found.keys[:min(len(s.found.keys), max(2*k, k+rerankMargin))]
	keys = slices.DeleteFunc(keys, func(f key) bool { return x.slots.birth(f.slot()) > clock })
	first := min(len(keys), k+rerankFirst)
	squares := x.rescore(s, keys[:first])
	if first < len(keys) {
		slices.Sort(keys[:first])
		limit := keys[k-1].distance() + rerankDeviations*float32(math.Sqrt(squares/float64(first)))
		last := first
		for last < len(keys) && keys[last].distance() <= limit {
			last++
		}
		x.rescore(s, keys[first:last])
		keys = keys[:last]
	}
	s.found.keys = keys
}

// rescore puts the distances to vectors in place of those to codes, and returns the sum
// of the squares of what they differ by.
func (x *Index) rescore(s *scratch, keys []key) (squares float64) {
	for part := range slices.Chunk(keys, block) {
		s.batch = s.batch[:0]
		for _, f := range part {
			s.batch = append(s.batch, f.slot())
		}
		for i, d := range x.scoreExact(s, s.batch) {
			e := float64(d - part[i].distance())
			squares += e * e
			part[i] = makeKey(d, s.batch[i])
		}
	}
	return squares
}

// scoreExact computes the distances from s.query to the vectors of at most block
// slots.
func (x *Index) scoreExact(s *scratch, slots []uint32) []float32 {
	out := s.distances[:len(slots)]
	s.lost = s.lost[:0]
	if x.loaded {
		s.lost = x.appendLost(s.lost, slots)
	}
	if !x.slots.touch(func() { x.space.Distances(s.query, x.slots.matrix, slots, out) }) {
		x.scoreEach(s, slots, out)
	}
	for _, i := range s.lost {
		out[i] = math.MaxFloat32
	}
	s.stats.Distances += len(slots)
	return out
}

func (x *Index) hit(slot uint32, distance float32) vecindex.Hit {
	return vecindex.Hit{ID: *x.slots.ids.At(slot), Distance: distance, Stamp: *x.slots.stamps.At(slot)}
}

// scanPending leaves the nearest k of the pending slots in s.nearest.
func (x *Index) scanPending(ctx context.Context, s *scratch, q vecindex.Query, clock uint64) error {
	pending := func(yield func(uint32) bool) {
		for slot := range x.slots.pending.below(x.slots.high.Load()) {
			if x.visible(slot, q, clock) && !yield(slot) {
				return
			}
		}
	}
	if !x.rows.exact() {
		return x.scanByRows(ctx, s, q.K, scanKeptLeast, pending)
	}
	before := s.stats.Distances
	err := x.scanSlots(ctx, s, q.K, pending)
	s.stats.Pending = s.stats.Distances - before
	return err
}

// scan scores every allowed vector.
func (x *Index) scan(ctx context.Context, s *scratch, q vecindex.Query, clock uint64, dst []vecindex.Hit) ([]vecindex.Hit, error) {
	if err := x.scanSlots(ctx, s, q.K, x.allowed(q)(q, clock)); err != nil {
		return dst, err
	}
	return s.nearest.AppendSorted(dst), nil
}

// allowed is the shorter of two ways to the slots that a query allows.
func (x *Index) allowed(q vecindex.Query) func(vecindex.Query, uint64) func(func(uint32) bool) {
	if q.Allow != nil && q.Allow.Len() < x.Len() {
		return x.allowedSlots
	}
	return x.visibleSlots
}

// visible says whether a slot holds an allowed vector as of a clock. It asks for the
// death first: a slot that is freed meanwhile loses its birth before its death, so
// it can't look alive in between.
func (x *Index) visible(slot uint32, q vecindex.Query, clock uint64) bool {
	if !x.slots.aliveAt(slot, clock) {
		return false
	}
	birth := x.slots.birth(slot)
	return birth != 0 && birth <= clock && (q.Allow == nil || q.Allow.Contains(*x.slots.ids.At(slot)))
}

func (x *Index) visibleSlots(q vecindex.Query, clock uint64) func(func(uint32) bool) {
	return func(yield func(uint32) bool) {
		for slot := range x.slots.high.Load() {
			if x.visible(slot, q, clock) && !yield(slot) {
				return
			}
		}
	}
}

// allowedSlots yields the present slots of the allowed ids. They may be newer than
// the search, but an id has only one.
func (x *Index) allowedSlots(q vecindex.Query, _ uint64) func(func(uint32) bool) {
	return func(yield func(uint32) bool) {
		for i, word := range q.Allow.Words() {
			for ; word != 0; word &= word - 1 {
				id := uint32(i<<6 + bits.TrailingZeros64(word))
				if slot, ok := x.slots.placeOf(id); ok && !yield(slot) {
					return
				}
			}
		}
	}
}

// scanSlots leaves the nearest k of the slots in s.nearest.
func (x *Index) scanSlots(ctx context.Context, s *scratch, k int, slots func(func(uint32) bool)) error {
	s.nearest.Reset(k)
	s.batch = s.batch[:0]
	look := s.stats.Distances + contextEvery
	for slot := range slots {
		if s.batch = append(s.batch, slot); len(s.batch) < block {
			continue
		}
		x.keepNearest(s)
		if s.stats.Distances >= look {
			if err := ctx.Err(); err != nil {
				return err
			}
			look += contextEvery
		}
	}
	x.keepNearest(s)
	return ctx.Err()
}

// keepNearest scores and empties s.batch.
func (x *Index) keepNearest(s *scratch) {
	for i, d := range x.scoreExact(s, s.batch) {
		slot := s.batch[i]
		if s.nearest.Wants(d, *x.slots.ids.At(slot)) {
			s.nearest.Add(x.hit(slot, d))
		}
	}
	s.batch = s.batch[:0]
}
