package hnsw

import (
	"math"
	"slices"

	"github.com/vccdb/vccdb/vecindex"
)

// A filter lets S of N vectors through, a share s. There are two ways to the nearest of
// them:
//
//   - Scan: score the code of each, and the best by their vectors. It finds what there
//     is, wherever that lies, and costs S.
//   - Walk: the walk of every search, which goes through all nodes and counts as found
//     those that are let through. Near the query there is one in 1/s, so finding ef of
//     them takes ef/s hops; but fewer than ef will do, see width.
//
// The cheaper one is taken. A walk whose filter leaves out just what is near the query
// finds nothing on its way; it is given up for a scan when it has cost as much, or
// earlier if it is seen not to get there for that (goOn). So no search costs more than
// twice the better way, and none with few matches near the query loses recall.
//
// Where nodes have blocks for FastScan, a filtered walk doesn't use them: among nodes that
// are equally far, as those just beyond what a filter leaves out, estimates of one bit a
// coordinate choose wrongly (recall 0.5 where the nearest tenth was left out).
//
// Rejected, because measured on a million vectors of 128 dimensions it loses: going
// through nodes that are not let through without scoring them, two links at a time
// (ACORN, Patel et al., SIGMOD 2024), from random nodes that are let through. Reading a
// node's links costs as much as scoring its code, and the walk misses more: with a tenth
// let through and ef 64 it took 230 µs for a recall of 0.85, and the walk here 240 µs for
// 0.96.
//
// Nor does going only through nodes that are let through, from the nearest of 256 random
// ones, help a filter that leaves out what is near: the graph has too few links along its
// border. Where the half of the vectors farthest from a query in a direction was let
// through, it took ef 1600 and 1.8 ms for a recall of 0.985, and the walk here 0.4 ms; with
// a fifth 1.9 ms for 0.948, and a tenth 0.8 ms for 0.857, where a scan takes 3 ms.

const (
	// scanFactor is how many codes are scored one after the other in the time in which a
	// walk scores one.
	scanFactor = 2
	// freshShare is the part of a node's links on level 0 that lead to nodes not met
	// before, on average.
	freshShare = 0.6
	// widthExponent says how ef shrinks with the share; see width.
	widthExponent = 2.0 / 3
	// filterLook is how many distances lie between two looks at a filtered walk, and
	// sharePrior how many nodes the share among all counts for beside those of the walk.
	filterLook, sharePrior = 256, 32
	// filterDoubt is how many distances a filtered walk has in any case before it may be
	// given up for a scan. Given up wrongly, it costs what the scan does; where nothing
	// near is let through, all it does is lost. Measured on a million vectors, 512 instead
	// of as many as were foreseen, several thousand, take a third to three fifths off the
	// p95 of searches among the farthest 50 to 5 %, and leave other filters as they are.
	filterDoubt = 512
	// scanAlways is how many vectors are scanned without thinking.
	scanAlways = 1000
)

// width is how many nodes a filtered walk has to find for the recall that ef has without
// a filter. The more hops a walk needs for one, the more thoroughly it has looked at the
// neighbourhood when it has found k: measured at shares from 0.03 to 0.5, recall stays
// the same with ef * s^(2/3), s being the share near the query.
func width(ef, least int, share float64) int {
	return max(least, int(math.Ceil(float64(ef)*math.Pow(share, widthExponent))))
}

// walkCost is how many codes a walk for so many nodes is expected to score.
func (x *Index) walkCost(width int, share float64) int {
	return int(float64(width) / share * float64(x.graph.m0) * freshShare)
}

// shareOf is the share that a filter lets through.
func (x *Index) shareOf(matching int) float64 {
	return min(1, float64(max(1, matching))/float64(max(1, x.Len())))
}

// plan decides how a search is carried out. matching is S, at most.
func (x *Index) plan(q *vecindex.Query, matching int) vecindex.Plan {
	switch {
	case q.Exact || matching/q.K <= q.Ef:
		return vecindex.PlanExact
	case q.Allow == nil:
		return vecindex.PlanGraph
	}
	share := x.shareOf(matching)
	if matching <= max(scanAlways, scanFactor*x.walkCost(width(q.Ef, q.K+bornMeanwhile, share), share)) {
		return vecindex.PlanScan
	}
	return vecindex.PlanFiltered
}

// filtering is what searches with a filter need of their own in a scratch.
type filtering struct {
	walk filteredWalk
	// noted counts the nodes that a walk found near enough, admitted those of them that
	// were let through.
	noted, admitted int
	best            best
	scored          []key    // the rows of a scan, as far as they are remembered
	uncoded         []uint32 // slots without a row, to score by their vectors
	near            []uint32 // slots whose rows say that they may be among the nearest
}

// filteredWalk is what a filtered walk is steered by.
type filteredWalk struct {
	x *Index
	// ef and least are those of the query, share that of the filter.
	ef, least int
	share     float64
	// most is the distances at which the walk has cost as much as a scan; from doubt on
	// it may be given up earlier.
	most, doubt int
}

// filter makes r that of a filtered walk.
func (x *Index) filter(s *scratch, r *reach, matching int) {
	began := s.stats.Distances
	s.filtering.noted, s.filtering.admitted = 0, 0
	f := &s.filtering.walk
	*f = filteredWalk{x: x, ef: r.ef, least: r.k + bornMeanwhile, share: x.shareOf(matching)}
	r.ef = width(f.ef, f.least, f.share)
	f.most = began + matching/scanFactor
	f.doubt = began + filterDoubt
	r.filter, r.budget = f, min(f.most, began+filterLook)
}

// goOn decides about a walk that has come to its budget. A filtered one goes on, unless
// it has cost as much as a scan or will have: what there is to expect follows the share
// that the filter lets through where the walk is, which may be quite another than among
// all. So does how many nodes it is to find.
func (r *reach) goOn(s *scratch, distances int) bool {
	f := r.filter
	if f == nil || distances >= f.most {
		return false
	}
	near := (float64(s.filtering.admitted) + sharePrior*f.share) / (float64(s.filtering.noted) + sharePrior)
	r.ef = width(f.ef, f.least, near)
	if distances >= f.doubt && f.x.walkCost(r.ef, near) > f.most {
		return false
	}
	r.budget = min(f.most, distances+filterLook)
	return true
}

// resize changes the limit and drops the farthest that are over it.
func (p *pool) resize(limit int) {
	p.keys = slices.Grow(p.keys[:min(len(p.keys), limit)], limit-min(len(p.keys), limit))
	p.limit = limit
	p.next = min(p.next, len(p.keys))
}
