package device

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/vccdb/vccdb/gpu/wire"
	"github.com/vccdb/vccdb/vecindex"
)

// margin is how many candidates more than hits are asked for: of an exact search the
// distance to the last of them decides whether it is proven.
const (
	margin      = 16
	exactMargin = 48
)

// Search answers by the device or by the CPU index; see the package comment.
func (x *Index) Search(ctx context.Context, q vecindex.Query, dst []vecindex.Hit) ([]vecindex.Hit, vecindex.SearchStats, error) {
	k := kindOf(&q, x.Len())
	m, v := x.decide(k, &q)
	began := x.o.Now()
	var asked vecindex.Placement
	if v.side == gpuSide {
		found, stats, why, err := x.ask(ctx, m, q, false, dst)
		if err != nil {
			return dst, stats, err
		}
		if asked = stats.Placement; why == numReasons {
			x.planner.note(k, gpuSide, x.o.Now().Sub(began))
			x.counted(&asked)
			x.place(&stats, asked, gpuSide, v)
			return found, stats, nil
		}
		v.reason = why
	}
	again := x.o.Now()
	hits, stats, err := x.Source.Search(ctx, q, dst)
	if err != nil {
		return hits, stats, err
	}
	now := x.o.Now()
	x.planner.note(k, cpuSide, now.Sub(again))
	if v.reason.asked() && v.reason != ReasonLost {
		x.planner.note(k, gpuSide, now.Sub(began)) // what asking the device came to
	}
	x.place(&stats, asked, cpuSide, v)
	return hits, stats, nil
}

// place notes in stats, and counts, who answered.
func (x *Index) place(stats *vecindex.SearchStats, asked vecindex.Placement, s side, v verdict) {
	x.counts.searches[s][v.reason].Add(1)
	asked.Engine, asked.Reason = s.String(), x.sentence(v.reason)
	asked.PredictedCPU, asked.PredictedGPU = v.predicted[cpuSide], v.predicted[gpuSide]
	stats.Placement = asked
}

// counted adds up what the device says of an answer.
func (x *Index) counted(p *vecindex.Placement) {
	x.counts.queued.Add(uint64(p.Queued))
	x.counts.device.Add(uint64(p.Device))
	x.counts.batched.Add(uint64(p.Batch))
}

// decide chooses who answers.
func (x *Index) decide(k kind, q *vecindex.Query) (*mirror, verdict) {
	m, why := x.usable(q)
	switch {
	case m == nil:
		v := x.planner.predict(k)
		v.side, v.reason = cpuSide, why
		return nil, v
	case x.always.Load():
		v := x.planner.predict(k)
		v.side, v.reason = gpuSide, ReasonSetting
		return m, v
	}
	return m, x.planner.choose(k)
}

// usable is the copy that can answer a query, nil with a reason if there is none.
func (x *Index) usable(q *vecindex.Query) (*mirror, Reason) {
	m := x.mirror.Load()
	if m == nil || !m.ready.Load() {
		state, _ := x.standing()
		if why, ok := reasons[state]; ok {
			return nil, why
		}
		return nil, ReasonUploading
	}
	switch {
	case q.K < 1 || q.K > wire.MaxK || !x.measurable(q.Vector):
		return nil, ReasonQuery
	case x.Len() <= candidatesFor(q) || q.Allow != nil && q.Allow.Len() <= candidatesFor(q):
		return nil, ReasonFew
	case x.overlay.size.Load() > int64(x.o.MaxOverlay):
		return nil, ReasonBehind
	case !x.mayAsk():
		return nil, ReasonResting
	}
	return m, 0
}

// candidatesFor is how many candidates the device is asked for.
func candidatesFor(q *vecindex.Query) int {
	if q.Exact {
		return min(q.K+exactMargin, wire.MaxK)
	}
	return min(q.K+margin, wire.MaxK)
}

// measurable says whether a query has distances. What hasn't is refused by the CPU index,
// which says why.
func (x *Index) measurable(v []float32) bool {
	l := length(v)
	if len(v) != x.o.Dimension || math.IsNaN(l) || math.IsInf(l, 0) {
		return false
	}
	if x.o.Metric == vecindex.Cosine {
		return l > 0
	}
	return l*l <= vecindex.MaxSquaredLength
}

// ask has the device answer. why is numReasons if hits are the answer; else the CPU index
// has to. An error is the caller's: its context ended.
func (x *Index) ask(ctx context.Context, m *mirror, q vecindex.Query, background bool, dst []vecindex.Hit) (hits []vecindex.Hit, stats vecindex.SearchStats, why Reason, err error) {
	a := asking{x: x, m: m, q: q, background: background}
	a.quiet, a.begun = x.stillness()
	why, err = a.candidates(ctx)
	stats.Placement.Batch, stats.Placement.Queued, stats.Placement.Device = a.answer.BatchSize, a.answer.Queued, a.answer.Device
	if err != nil || why != numReasons {
		x.tire(why)
		return dst, stats, why, err
	}
	x.rests.Store(0)
	x.rest.Store(0)
	placement := stats.Placement
	if hits, stats, err = a.measure(ctx, dst); err != nil {
		return dst, stats, 0, err
	}
	stats.Placement = placement
	stats.Plan = vecindex.PlanDevice
	if q.Exact {
		stats.Plan = vecindex.PlanExact
	}
	stats.Pending = len(a.overlay)
	if why = a.judge(hits[len(dst):]); why != numReasons {
		hits = dst
	}
	return hits, stats, why, nil
}

// asking is one search on the device.
type asking struct {
	x *Index
	m *mirror
	q vecindex.Query
	// background searches wait for those that aren't.
	background bool
	// quiet says that nothing was being changed when it began, begun counts the changes
	// before.
	quiet  bool
	begun  uint64
	asked  int
	answer wire.Answer
	// overlay are the ids that the device may not have as they are, ids those and the
	// candidates; both ascend.
	overlay, ids []uint32
	// query is the length of the query as the device has it.
	query float64
}

// candidates asks the device. The overlay is taken first: what isn't in it is on the
// device as it was then, or newer.
func (a *asking) candidates(ctx context.Context) (Reason, error) {
	x, q := a.x, &a.q
	overlay, ok := x.overlay.appendTo(nil, x.o.MaxOverlay)
	if !ok {
		return ReasonBehind, nil
	}
	if x.mirror.Load() != a.m {
		return ReasonLost, nil // it may be the overlay of the next copy, or of none
	}
	slices.Sort(overlay)
	a.overlay = slices.Compact(overlay)
	a.asked = candidatesFor(q)
	s := wire.Search{Vector: a.prepared(), K: a.asked, Exact: q.Exact, Background: a.background}
	if q.Allow != nil {
		s.Allow = q.Allow.Words()
	}
	patience, cancel := context.WithTimeout(ctx, x.o.Patience)
	defer cancel()
	var err error
	if a.answer, err = a.m.session.Search(patience, a.m.index, s); err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return a.failure(err), nil
	}
	a.ids = slices.Clone(a.overlay)
	for _, h := range a.answer.Hits {
		a.ids = append(a.ids, h.ID)
	}
	slices.Sort(a.ids)
	a.ids = slices.Compact(a.ids)
	return numReasons, nil
}

// prepared is the query as the device gets it: under cosine a unit vector, as lengths may
// be more than a float32 can square.
func (a *asking) prepared() []float32 {
	l := length(a.q.Vector)
	a.query = l
	if a.x.o.Metric != vecindex.Cosine {
		return a.q.Vector
	}
	a.query = 1
	out := make([]float32, len(a.q.Vector))
	for i, e := range a.q.Vector {
		out[i] = float32(float64(e) / l)
	}
	return out
}

// failure says what an error of the session means.
func (a *asking) failure(err error) Reason {
	select {
	case <-a.m.session.Done():
		return ReasonLost
	default:
	}
	var e *wire.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return ReasonTimeout
	case errors.As(err, &e) && e.Code == wire.Busy:
		return ReasonBusy
	case errors.As(err, &e) && e.Code != wire.Lost:
		return ReasonFailed
	}
	return ReasonLost
}

// measure has the CPU index measure the candidates.
func (a *asking) measure(ctx context.Context, dst []vecindex.Hit) ([]vecindex.Hit, vecindex.SearchStats, error) {
	return a.x.SearchAmong(ctx, a.q, a.ids, dst)
}

// judge says whether hits are the answer: numReasons if so.
func (a *asking) judge(hits []vecindex.Hit) Reason {
	x, q := a.x, &a.q
	if lie := a.lie(hits); lie != "" {
		if a.quiet && x.quietSince(a.begun) {
			x.doubt(lie)
		}
		return ReasonDoubted
	}
	wanted := min(q.K, x.Len())
	if q.Allow != nil {
		wanted = min(wanted, q.Allow.Len())
	}
	if len(hits) < wanted {
		if a.quiet && a.strangers() && x.quietSince(a.begun) {
			x.doubt("it found a vector that it was never given")
		}
		return ReasonTooFew
	}
	if q.Exact && !a.proven(hits) {
		return ReasonUnproven
	}
	return numReasons
}

// lie is a sentence if the device gave a hit a distance that it can't have, unless it was
// changed meanwhile.
func (a *asking) lie(hits []vecindex.Hit) string {
	if a.short() {
		return "it found fewer vectors than it was given"
	}
	given := make(map[uint32]float32, len(a.answer.Hits))
	for _, h := range a.answer.Hits {
		given[h.ID] = h.Distance
	}
	longest := math.Float64frombits(a.m.longest.Load())
	for _, h := range hits {
		d, ok := given[h.ID]
		if _, pending := slices.BinarySearch(a.overlay, h.ID); pending || !ok {
			continue
		}
		off := math.Abs(float64(d) - float64(h.Distance))
		if !(off <= believable(a.x.o.Metric, a.x.o.Dimension, a.query, longest, float64(h.Distance))) {
			return "a vector is at another distance than the device says"
		}
	}
	return ""
}

// short says that the device gave fewer candidates than it has. What a filter leaves of
// them isn't known.
func (a *asking) short() bool {
	return a.q.Allow == nil && len(a.ids) < min(a.asked, a.x.Len())
}

// strangers says whether a candidate isn't in the index.
func (a *asking) strangers() bool {
	return slices.ContainsFunc(a.answer.Hits, func(h wire.Hit) bool {
		_, known := a.x.Stamp(h.ID)
		_, pending := slices.BinarySearch(a.overlay, h.ID)
		return !known && !pending
	})
}

// proven says whether nothing that the device left out can be among the nearest.
func (a *asking) proven(hits []vecindex.Hit) bool {
	x := a.x
	if len(a.answer.Hits) < a.asked {
		// It says that it left nothing out, which can be counted where there is no filter.
		return a.q.Allow == nil && len(a.ids) >= x.Len()
	}
	last, left := float64(hits[len(hits)-1].Distance), float64(a.answer.Hits[len(a.answer.Hits)-1].Distance)
	longest := math.Float64frombits(a.m.longest.Load())
	return left > last+rounding(x.o.Metric, x.o.Dimension, a.query, longest, last)
}

// resting says whether the device isn't asked because it failed.
func (x *Index) resting() bool {
	until := x.rest.Load()
	return until != 0 && x.o.Now().UnixNano() < until
}

// mayAsk says whether the device may be asked. When a rest is over, one search may, and
// the next only if that gets an answer, or none in time.
func (x *Index) mayAsk() bool {
	until := x.rest.Load()
	if until == 0 {
		return true
	}
	now := x.o.Now()
	return now.UnixNano() >= until && x.rest.CompareAndSwap(until, now.Add(x.o.Patience).UnixNano())
}

// failuresInARow are taken for the device's own; fewer may be those of one query.
const failuresInARow = 3

// tire has the device rest after a failure that others would run into too.
func (x *Index) tire(why Reason) {
	if why != ReasonTimeout && why != ReasonFailed {
		return
	}
	n := x.rests.Add(1)
	if why == ReasonFailed {
		if n -= failuresInARow - 1; n <= 0 {
			return
		}
	}
	pause := min(x.o.Retry<<min(n-1, 16), maxPauses*x.o.Retry)
	x.rest.Store(x.o.Now().Add(pause).UnixNano())
}

// doubt has the device distrusted.
func (x *Index) doubt(sentence string) {
	select {
	case x.doubts <- sentence:
	default:
	}
}
