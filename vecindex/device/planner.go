package device

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/vccdb/vccdb/vecindex"
)

// Which side answers a search
//
// Searches are of kinds: exact or not, how wide (the bucket of ef), and what share of
// the vectors the filter lets through (the band). For each kind and each of the two
// sides the planner keeps what the last searches took, and predicts their median. The
// cheaper side is chosen. What follows makes that safe:
//
//   - The other side must be cheaper by a fifth before it is changed to, so that two
//     that cost the same don't take turns.
//   - A side that isn't chosen gets old: its cost may have changed with the data or the
//     load. It is tried again when its last search was long ago, and when the time that
//     the searches of this kind took in the meantime pays for the try, so that tries
//     take a small part of all time, however slow the side is. A try that turns out
//     well is repeated soon, for a change takes a majority of good ones.
//   - What isn't known is measured: first the CPU, whose cost nothing else says, then the
//     device, as long as it seems to be worth it. Until a kind has been searched there,
//     the device's cost is taken from the kind most like it, since it scans everything in
//     any case.
//
// Costs are measured under the load there is, so a side that is busy is avoided.

// side is one of the two that may answer.
type side int

const (
	cpuSide side = iota
	gpuSide
	sides
)

func (s side) other() side { return 1 - s }

func (s side) String() string { return [...]string{vecindex.EngineCPU, vecindex.EngineGPU}[s] }

const (
	// remembered is how many searches a median is of: the majority of them is what it
	// takes to turn a choice, and few enough to follow a drift.
	remembered = 15
	// knownFrom is how many searches make a median that is believed.
	knownFrom = 3
	// advantage is what the other side may take, as a part of the present one, to be
	// changed to.
	advantage = 0.8
	// trialShare is the part of the time that goes into tries of the other side, at
	// most; staleAfter how old its last search is for one.
	trialShare = 0.02
	staleAfter = 10 * time.Second
	// trialCredit is how many tries can be saved up.
	trialCredit = 4
	// bands are by the share that a filter lets through: none, more than a quarter, more
	// than a sixteenth and so on; the last has all that is less.
	bands = 7
	// efBuckets are by powers of two.
	efBuckets = 16
)

// kind is what searches are alike in.
type kind struct {
	exact    bool
	band, ef int
}

// kindOf is the kind of a search among live vectors.
func kindOf(q *vecindex.Query, live int) kind {
	k := kind{exact: q.Exact}
	if !q.Exact {
		k.ef = min(bits.Len(uint(max(q.Ef, q.K)-1)), efBuckets-1)
	}
	if q.Allow != nil {
		k.band = 1
		for share := q.Allow.Len(); k.band < bands-1 && share*4 <= live; share *= 4 {
			k.band++
		}
	}
	return k
}

// shares are those that a band stands for: from is left out unless both are the same.
func (k kind) shares() (from, to float64) {
	switch k.band {
	case 0:
		return 1, 1
	case bands - 1:
		return 0, quarterTo(k.band - 1)
	}
	return quarterTo(k.band), quarterTo(k.band - 1)
}

func quarterTo(n int) float64 { return 1 / float64(int(1)<<(2*n)) }

// history is what one side took for searches of a kind.
type history struct {
	took  [remembered]time.Duration
	count uint64
	last  time.Time
}

func (h *history) add(took time.Duration, now time.Time) {
	h.took[h.count%remembered] = took
	h.count++
	h.last = now
}

func (h *history) known() bool { return h.count >= knownFrom }

// median is 0 if there is none.
func (h *history) median() time.Duration {
	n := min(h.count, remembered)
	if n == 0 {
		return 0
	}
	took := h.took
	slices.Sort(took[:n])
	return took[n/2]
}

// newest is the last search.
func (h *history) newest() time.Duration { return h.took[(h.count-1)%remembered] }

// cell is what is known of one kind.
type cell struct {
	sides  [sides]history
	choice side
	// settled says that there was a choice.
	settled bool
	// credit is time that may be spent on tries.
	credit time.Duration
}

// verdict is what the planner says about one search.
type verdict struct {
	side   side
	reason Reason
	// predicted is what each side is thought to take; 0 is unknown.
	predicted [sides]time.Duration
}

// planner chooses. It is safe for concurrent use; its lock is held for as long as it
// takes to look at a cell.
type planner struct {
	now func() time.Time

	mu    sync.Mutex
	cells map[kind]*cell
}

func newPlanner(now func() time.Time) *planner {
	return &planner{now: now, cells: map[kind]*cell{}}
}

// choose decides about a search.
func (p *planner) choose(k kind) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cellLocked(k)
	v := p.predictLocked(k, c)
	cpu, gpu := &c.sides[cpuSide], &c.sides[gpuSide]
	switch {
	case !cpu.known():
		v.side, v.reason = cpuSide, ReasonUnmeasured
	case !gpu.known() && float64(v.predicted[gpuSide]) < advantage*float64(v.predicted[cpuSide]):
		v.side, v.reason = gpuSide, ReasonUnmeasured // as it is if nothing is known
	default:
		v.side, v.reason = p.settleLocked(c, v)
	}
	return v
}

// settleLocked chooses between two whose costs are predicted.
func (p *planner) settleLocked(c *cell, v verdict) (side, Reason) {
	cheaper := cpuSide
	if v.predicted[gpuSide] < v.predicted[cpuSide] {
		cheaper = gpuSide
	}
	if !c.settled || float64(v.predicted[cheaper]) < advantage*float64(v.predicted[cheaper.other()]) {
		c.choice, c.settled = cheaper, true
	}
	if other := c.choice.other(); p.isDueLocked(c, v) {
		c.credit -= v.predicted[other]
		c.sides[other].last = p.now() // one at a time
		return other, ReasonRecheck
	}
	return c.choice, ReasonCheaper
}

// isDueLocked says whether it is time to try the side that isn't chosen. It waits for
// longer the dearer that is: what takes a hundred times as much won't soon be cheaper,
// and somebody has to wait for the try.
func (p *planner) isDueLocked(c *cell, v verdict) bool {
	present, other := v.predicted[c.choice], v.predicted[c.choice.other()]
	if c.credit < other {
		return false
	}
	h := &c.sides[c.choice.other()]
	if h.count > 0 && h.newest() < present {
		return true // the last try went well
	}
	wait := float64(staleAfter) * max(1, float64(other)/float64(max(present, 1)))
	return float64(p.now().Sub(h.last)) >= min(wait, float64(math.MaxInt64/2))
}

// note keeps what a search took.
func (p *planner) note(k kind, s side, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cellLocked(k)
	c.sides[s].add(took, p.now())
	most := trialCredit * max(c.sides[cpuSide].median(), c.sides[gpuSide].median())
	c.credit = min(c.credit+time.Duration(trialShare*float64(took)), most)
}

// predict is what both sides are thought to take.
func (p *planner) predict(k kind) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.predictLocked(k, p.cellLocked(k))
}

func (p *planner) predictLocked(k kind, c *cell) verdict {
	var v verdict
	v.predicted = [sides]time.Duration{c.sides[cpuSide].median(), c.sides[gpuSide].median()}
	if c.sides[gpuSide].count == 0 {
		if alike := p.likestLocked(k); alike != nil {
			v.predicted[gpuSide] = alike.sides[gpuSide].median()
		}
	}
	return v
}

// likestLocked is the cell of the kind most like k that the device is known for, nil if
// there is none.
func (p *planner) likestLocked(k kind) (likest *cell) {
	least := 0
	for other, c := range p.cells {
		if other.exact != k.exact || c.sides[gpuSide].count == 0 {
			continue
		}
		d := max(k.band-other.band, other.band-k.band) + max(k.ef-other.ef, other.ef-k.ef)
		if likest == nil || d < least {
			likest, least = c, d
		}
	}
	return likest
}

func (p *planner) cellLocked(k kind) *cell {
	c := p.cells[k]
	if c == nil {
		c = &cell{}
		p.cells[k] = c
	}
	return c
}

// CurvePoint is what the planner knows of one kind of search.
type CurvePoint struct {
	// Exact searches have no Ef; others have one from EfFrom to Ef, or a K if that is
	// more.
	Exact      bool
	EfFrom, Ef int
	// Of all vectors the filter lets more than ShareFrom through, and ShareTo at most;
	// both are 1 without a filter.
	ShareFrom, ShareTo float64
	CPU, GPU           SideCost
	// Choice is vecindex.EngineCPU or EngineGPU, empty before the first.
	Choice string
}

// SideCost is what one side takes.
type SideCost struct {
	// Median is of the last few searches, 0 without any; Samples is how many there were.
	Median  time.Duration
	Samples uint64
}

// curve is all that is known, searches without a filter first.
func (p *planner) curve() []CurvePoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	kinds := make([]kind, 0, len(p.cells))
	for k := range p.cells {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, compareKinds)
	points := make([]CurvePoint, len(kinds))
	for i, k := range kinds {
		points[i] = pointOf(k, p.cells[k])
	}
	return points
}

func compareKinds(a, b kind) int {
	if a.exact != b.exact {
		if a.exact {
			return 1
		}
		return -1
	}
	if a.ef != b.ef {
		return a.ef - b.ef
	}
	return a.band - b.band
}

func pointOf(k kind, c *cell) CurvePoint {
	out := CurvePoint{
		Exact: k.exact,
		CPU:   SideCost{Median: c.sides[cpuSide].median(), Samples: c.sides[cpuSide].count},
		GPU:   SideCost{Median: c.sides[gpuSide].median(), Samples: c.sides[gpuSide].count},
	}
	out.ShareFrom, out.ShareTo = k.shares()
	if !k.exact {
		out.EfFrom, out.Ef = 1<<k.ef/2+1, 1<<k.ef
	}
	if c.settled {
		out.Choice = c.choice.String()
	}
	return out
}
