package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
)

const (
	// MaxCurveSample is the most queries of a curve. It bounds what a measurement
	// keeps in memory: its query vectors.
	MaxCurveSample = 2000
	maxCurveEfs    = 20
)

// RecallCurveRequest asks how the recall and the latency of a vector index
// depend on ef.
type RecallCurveRequest struct {
	Table, Column string
	// Sample is how many stored vectors serve as queries; 100 when 0.
	Sample int
	// K is 10 when 0.
	K int
	// Efs are the search widths to measure; K times 1, 2, 4 and so on to 32 and the
	// index's own when empty.
	Efs []int
}

// RecallCurve is how good and how quick an index's approximate search is, by
// ef. While its job runs there are the points measured so far.
type RecallCurve struct {
	Table  string `json:"table"`
	Column string `json:"column"`
	// Vectors there were, and Ef the index had, when the measurement began. Pending
	// of them weren't in the graph yet, and searched exactly.
	Vectors int `json:"vectors"`
	Pending int `json:"pending"`
	Ef      int `json:"ef"`
	K       int `json:"k"`
	// Sample is how many queries each point was measured with.
	Sample int `json:"sample"`
	// Latencies are of the bare index search, without storage, in milliseconds.
	ExactP50Ms float64       `json:"exact_p50_ms"`
	ExactP99Ms float64       `json:"exact_p99_ms"`
	Points     []RecallPoint `json:"points"`
}

// RecallPoint is one point of a RecallCurve.
type RecallPoint struct {
	Ef     int     `json:"ef"`
	Recall float64 `json:"recall"`
	P50Ms  float64 `json:"p50_ms"`
	P99Ms  float64 `json:"p99_ms"`
	// Distances is how many vectors one search scored, on average.
	Distances float64 `json:"distances"`
}

// StartRecallCurve starts measuring a curve. One is measured at a time, for it
// keeps a processor busy: a second gets Conflict "recall_running". What is written
// meanwhile blurs the result a little.
func (e *Engine) StartRecallCurve(req RecallCurveRequest) (*jobs.Job, error) {
	s, err := e.newRecall(RecallRequest{Table: req.Table, Column: req.Column, Sample: req.Sample, K: req.K})
	if err != nil {
		return nil, err
	}
	usage := s.index.Usage()
	m := curveMeasurement{e: e, s: s, efs: slices.Clone(req.Efs), curve: RecallCurve{
		Table: s.t.name, Column: s.ix.def.Columns[0], Vectors: usage.Live, Pending: usage.Pending, Ef: s.ix.vector.width(),
		K: cmp.Or(req.K, defaultRecallK), Sample: cmp.Or(req.Sample, defaultRecallSample), Points: []RecallPoint{},
	}}
	if err := m.validate(); err != nil {
		return nil, err
	}
	if !e.measuring.CompareAndSwap(false, true) {
		return nil, errs.New(errs.Conflict, "recall_running", "a recall curve is being measured already; wait for its job or cancel it")
	}
	job, err := e.jobs.Start(RecallCurveKind, s.ix.subject(), func(ctx context.Context, p jobs.Progress) error {
		defer e.measuring.Store(false)
		return m.run(ctx, p)
	})
	if err != nil {
		e.measuring.Store(false)
	}
	return job, err
}

// curveMeasurement is a curve in the making.
type curveMeasurement struct {
	e       *Engine
	s       *vectorSearch
	efs     []int
	curve   RecallCurve
	queries []recallQuery
	done    int
}

func (m *curveMeasurement) validate() error {
	if m.curve.Sample > MaxCurveSample {
		return errs.Field("invalid_sample", "/sample", "the sample is %d; for a curve it must be 1 to %d", m.curve.Sample, MaxCurveSample)
	}
	if len(m.efs) > maxCurveEfs {
		return errs.Field("invalid_ef", "/efs", "there are %d values of ef; at most %d are measured", len(m.efs), maxCurveEfs)
	}
	for _, ef := range m.efs {
		if ef < 1 || ef > MaxK {
			return errs.Field("invalid_ef", "/efs", "ef is %d; it must be 1 to %d", ef, MaxK)
		}
	}
	if len(m.efs) == 0 {
		m.efs = []int{m.curve.Ef}
		for factor := 1; factor <= 32; factor *= 2 {
			m.efs = append(m.efs, min(factor*m.curve.K, MaxK))
		}
	}
	slices.Sort(m.efs)
	m.efs = slices.Compact(m.efs)
	return nil
}

// run takes the exact answers first, then goes over the queries once for each
// ef: a query repeated at once would find its part of the graph in the caches.
func (m *curveMeasurement) run(ctx context.Context, p jobs.Progress) error {
	p.Unit("searches")
	p.Set(0, uint64(m.curve.Sample*(1+len(m.efs))))
	if err := m.exactly(ctx, p); err != nil {
		return err
	}
	for _, ef := range m.efs {
		point, err := m.point(ctx, ef, p)
		if err != nil {
			return err
		}
		m.curve.Points = append(m.curve.Points, point)
		if err := m.publish(p); err != nil {
			return err
		}
	}
	return nil
}

func (m *curveMeasurement) exactly(ctx context.Context, p jobs.Progress) error {
	var took []time.Duration
	err := m.e.sampleVectors(ctx, m.s, m.curve.Sample, func(id uint32, vector []float32) error {
		q := recallQuery{id: int64(id), vector: vector}
		d, err := q.exactly(ctx, m.s.index, m.curve.K)
		took = append(took, d)
		m.queries = append(m.queries, q)
		m.step(p)
		return err
	})
	if err != nil {
		return err
	}
	m.curve.Sample = len(m.queries)
	m.curve.ExactP50Ms, m.curve.ExactP99Ms = percentiles(took)
	return m.publish(p)
}

// point goes over the queries with one ef.
func (m *curveMeasurement) point(ctx context.Context, ef int, p jobs.Progress) (RecallPoint, error) {
	var took []time.Duration
	var found, wanted, distances int
	for i := range m.queries {
		if err := ctx.Err(); err != nil {
			return RecallPoint{}, err
		}
		q := &m.queries[i]
		started := time.Now()
		hits, stats, err := m.s.index.Search(ctx, vecindex.Query{Vector: q.vector, K: q.hits(m.curve.K), Ef: ef}, nil)
		if err != nil {
			return RecallPoint{}, err
		}
		took = append(took, time.Since(started))
		distances += stats.Distances
		found += q.rightOf(hits)
		wanted += q.wanted
		m.step(p)
	}
	point := RecallPoint{Ef: ef, Recall: share(found, wanted)}
	point.P50Ms, point.P99Ms = percentiles(took)
	if n := len(m.queries); n > 0 {
		point.Distances = float64(distances) / float64(n)
	}
	return point, nil
}

func (m *curveMeasurement) step(p jobs.Progress) {
	m.done++
	p.Set(uint64(m.done), uint64(m.curve.Sample*(1+len(m.efs))))
}

func (m *curveMeasurement) publish(p jobs.Progress) error {
	text, err := json.Marshal(&m.curve)
	if err != nil {
		return errs.Wrap(err, errs.Internal, "internal", "the curve could not be written as JSON")
	}
	p.Result(text)
	return nil
}
