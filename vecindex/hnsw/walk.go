package hnsw

import (
	"context"
	"sync/atomic"

	"github.com/vccdb/vccdb/internal/bitmap"
)

// admission decides which of the nodes a walk meets count as found. The others
// are walked through all the same.
type admission struct {
	// For searches: what is alive at the clock and allowed (nil allows all).
	clock uint64
	allow *bitmap.Set
	// For linkers: every node but self and the condemned.
	linking bool
	self    uint32
}

func (x *Index) admits(a *admission, slot uint32) bool {
	if a.linking {
		return slot != a.self && !x.condemned.has(slot)
	}
	return x.slots.aliveAt(slot, a.clock) && (a.allow == nil || a.allow.Contains(*x.slots.ids.At(slot)))
}

// descend walks greedily from the entry down to (and on) the given level and
// returns the nearest node it came to.
func (x *Index) descend(s *scratch, query []float32, entry uint32, from, to int) key {
	s.batch = append(s.batch[:0], entry)
	best := makeKey(x.score(s, query)[0], entry)
	for level := from; level >= to; level-- {
		for improved := true; improved; {
			improved = false
			s.stats.Hops++
			s.batch = appendLinks(s.batch[:0], x.graph.row(best.slot(), level))
			for i, d := range x.score(s, query) {
				if k := makeKey(d, s.batch[i]); k < best {
					best, improved = k, true
				}
			}
		}
	}
	return best
}

// score computes the distances from query to the slots in s.batch.
func (x *Index) score(s *scratch, query []float32) []float32 {
	n := len(s.batch)
	x.space.Distances(query, x.slots.matrix, s.batch, s.distances)
	s.stats.Distances += n
	return s.distances[:n]
}

// walk searches one level for the ef admitted nodes nearest to query, beginning at
// start, and leaves them in s.found (Malkov and Yashunin's SEARCH-LAYER). It gives
// up, and says so, when s.stats.Distances reaches budget.
func (x *Index) walk(ctx context.Context, s *scratch, query []float32, start key, level, ef, budget int, adm *admission) (complete bool, err error) {
	s.visited.reset()
	s.visited.add(start.slot())
	s.frontier.reset()
	s.frontier.push(start)
	s.found.reset(ef)
	if x.admits(adm, start.slot()) {
		s.found.add(start)
	}
	look := s.stats.Distances + contextEvery
	for len(s.frontier.keys) > 0 {
		next := s.frontier.pop()
		if next > s.found.bound() {
			break
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
		x.gatherUnvisited(s, x.graph.row(next.slot(), level))
		for i, d := range x.score(s, query) {
			k := makeKey(d, s.batch[i])
			if k >= s.found.bound() {
				continue
			}
			s.frontier.push(k)
			if x.admits(adm, k.slot()) {
				s.found.add(k)
			}
		}
	}
	return true, nil
}

// gatherUnvisited makes s.batch the links of a row that the walk hasn't met.
func (x *Index) gatherUnvisited(s *scratch, row []uint32) {
	s.batch = s.batch[:0]
	for i := range row {
		link := atomic.LoadUint32(&row[i])
		if link == 0 {
			return
		}
		if s.visited.add(link - 1) {
			s.batch = append(s.batch, link-1)
		}
	}
}
