package hnsw

import (
	"context"

	"github.com/vccdb/vccdb/internal/bitmap"
)

// admission decides which of the nodes a walk meets count as found. The others
// are walked through all the same.
type admission struct {
	// For searches: what is alive at the clock and allowed (nil allows all).
	clock uint64
	allow *bitmap.Set
	// For linkers: what is alive, but for self; with ghosts also what is dead, but
	// for the condemned.
	linking, ghosts bool
	self            uint32
}

func (x *Index) admits(a *admission, slot uint32) bool {
	switch {
	case !a.linking:
		return x.slots.aliveAt(slot, a.clock) && (a.allow == nil || a.allow.Contains(*x.slots.ids.At(slot)))
	case a.ghosts:
		return slot != a.self && !x.slots.condemned.has(slot)
	default:
		return slot != a.self && !x.slots.dead.has(slot)
	}
}

// descend walks greedily from the entry down to (and on) the given level and
// returns the nearest node it came to.
func (x *Index) descend(s *scratch, query row, entry uint32, from, to int) key {
	s.batch = append(s.batch[:0], entry)
	best := makeKey(x.score(s, query, s.batch)[0], entry)
	for level := from; level >= to; level-- {
		for improved := true; improved; {
			improved = false
			s.stats.Hops++
			s.batch = appendLinks(s.batch[:0], x.graph.row(best.slot(), level))
			for i, d := range x.score(s, query, s.batch) {
				if k := makeKey(d, s.batch[i]); k < best {
					best, improved = k, true
				}
			}
		}
	}
	return best
}

// score computes the distances from query to at most block slots.
func (x *Index) score(s *scratch, query row, slots []uint32) []float32 {
	out := s.distances[:len(slots)]
	x.rows.distances(query, slots, out)
	s.stats.Distances += len(slots)
	return out
}

// reach is how far a walk goes.
type reach struct {
	// ef is how many nodes are found at most.
	ef int
	// filter is set for a search with one; it decides at the budget.
	filter *filteredWalk
	// k and slack end the walk early: a node more than slack times as far as the k-th
	// found is not expanded any more. A slack of 0 doesn't.
	k     int
	slack float32
	// budget is the number of distances at which the walk is given up.
	budget int
	// keep is how many of the nodes found are wanted, if not all.
	keep int
}

// walk searches one level for the admitted nodes nearest to query, beginning at
// start, and leaves them in s.found (Malkov and Yashunin's SEARCH-LAYER; the end by
// slack is the Adaptive Beam Search of Al-Jazzazi et al., 2025, arXiv:2505.15636).
// It gives up, and says so, when s.stats.Distances reaches the budget.
//
// A walk waits for memory most of the time. So three nodes are under way at once:
// the links of one are asked for, while the rows of the next one's neighbours are
// asked for, while those of a third are scored. A node is therefore chosen two
// expansions before the nodes near it could take its place, which costs a hop or two
// more in all, and no recall.
func (x *Index) walk(ctx context.Context, s *scratch, query row, start key, level int, r reach, adm *admission) (complete bool, err error) {
	if n := x.graph.neighbours; level == 0 && r.filter == nil && n != nil && n.ready.Load() {
		return x.walkNeighbours(ctx, s, query, start, r, adm)
	}
	s.visited.reset(x.slots.high.Load())
	s.visited.meet([]uint32{start.slot() + 1})
	s.found.reset(r.ef)
	s.detours = s.detours[:0]
	x.note(s, adm, start)
	look := s.stats.Distances + contextEvery
	chosen := uint32(noSlot)
	var met []uint32
	for {
		next := s.nextNode(s.bound(r))
		if next == noSlot && chosen == noSlot && len(met) == 0 {
			return true, nil
		}
		if s.stats.Distances >= r.budget {
			if !r.goOn(s, s.stats.Distances) {
				return false, nil
			}
			s.found.resize(r.ef)
		}
		if s.stats.Distances >= look {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			look += contextEvery
		}
		if next != noSlot && level == 0 {
			x.graph.prefetch(next)
		}
		var fresh []uint32
		if chosen != noSlot {
			s.stats.Hops++
			fresh = s.visited.meet(x.graph.row(chosen, level))
			x.rows.prefetch(fresh)
		}
		x.consider(s, query, met, r, adm)
		chosen, met = next, fresh
	}
}

// consider scores nodes and remembers those that are near enough.
func (x *Index) consider(s *scratch, query row, slots []uint32, r reach, adm *admission) {
	bound := s.bound(r)
	for i, d := range x.score(s, query, slots) {
		if k := makeKey(d, slots[i]); k < bound {
			x.note(s, adm, k)
			bound = min(bound, s.found.bound())
		}
	}
}

// bound is the key that a node must be below to be of use.
func (s *scratch) bound(r reach) key {
	return min(s.found.bound(), s.slackBound(r))
}

// slackBound is the part of bound that ends a walk early.
func (s *scratch) slackBound(r reach) key {
	if r.slack == 0 || len(s.found.keys) < r.k {
		return farthest
	}
	// Codes may put what is equal below zero.
	kth := max(0, s.found.keys[r.k-1].distance())
	return makeKey(r.slack*kth, noSlot>>1)
}

// note remembers a node near enough to be expanded: as found if it is admitted, and
// else as a detour.
func (x *Index) note(s *scratch, adm *admission, k key) {
	s.filtering.noted++
	if x.admits(adm, k.slot()) {
		s.filtering.admitted++
		s.found.add(k)
	} else {
		s.detours.push(k)
	}
}

// nextNode takes the nearest node that is left to expand, noSlot if none is below the
// bound.
func (s *scratch) nextNode(bound key) (slot uint32) {
	found, detour := s.found.nearestLeft(), s.detours.top()
	switch {
	case found < detour && found <= bound:
		s.found.expand()
		return found.slot()
	case detour < bound:
		s.detours.pop()
		return detour.slot()
	default:
		return noSlot
	}
}
