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

// walk searches one level for the ef admitted nodes nearest to query, beginning at
// start, and leaves them in s.found (Malkov and Yashunin's SEARCH-LAYER). It gives
// up, and says so, when s.stats.Distances reaches budget.
func (x *Index) walk(ctx context.Context, s *scratch, query row, start key, level, ef, budget int, adm *admission) (complete bool, err error) {
	s.visited.reset(x.slots.high.Load())
	s.visited.meet([]uint32{start.slot() + 1})
	s.found.reset(ef)
	s.detours = s.detours[:0]
	x.note(s, adm, start)
	look := s.stats.Distances + contextEvery
	for {
		node, ok := s.nextNode()
		if !ok {
			return true, nil
		}
		if s.stats.Distances >= budget {
			return false, nil
		}
		if s.stats.Distances >= look {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			look += contextEvery
		}
		s.stats.Hops++
		if runnerUp := s.found.nearestLeft(); runnerUp != farthest && level == 0 {
			x.graph.prefetch(runnerUp.slot())
		}
		fresh := s.visited.meet(x.graph.row(node, level))
		for i, d := range x.score(s, query, fresh) {
			if k := makeKey(d, fresh[i]); k < s.found.bound() {
				x.note(s, adm, k)
			}
		}
	}
}

// note remembers a node near enough to be expanded: as found if it is admitted, and
// else as a detour.
func (x *Index) note(s *scratch, adm *admission, k key) {
	if x.admits(adm, k.slot()) {
		s.found.add(k)
	} else {
		s.detours.push(k)
	}
}

// nextNode takes the nearest node that is left to expand, unless it is farther than
// everything found.
func (s *scratch) nextNode() (slot uint32, ok bool) {
	found, detour := s.found.nearestLeft(), s.detours.top()
	switch {
	case found < detour:
		s.found.expand()
		return found.slot(), true
	case detour < s.found.bound():
		s.detours.pop()
		return detour.slot(), true
	default:
		return 0, false
	}
}
