package engine

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
)

const (
	// maxRecallSample bounds a recall measurement: each query is a full scan.
	maxRecallSample     = 10_000
	defaultRecallSample = 100
	defaultRecallK      = 10
)

// VectorRecall measures the approximate search of an index against the exact
// one, with stored vectors as queries. A query's own vector doesn't count, for
// it is too easy to find.
func (e *Engine) VectorRecall(ctx context.Context, req RecallRequest) (RecallReport, error) {
	s, err := e.newRecall(req)
	if err != nil {
		return RecallReport{}, err
	}
	m := recallMeasurement{index: s.index, report: RecallReport{
		K: cmp.Or(req.K, defaultRecallK), Ef: cmp.Or(req.Ef, s.ix.vector.width()),
	}}
	if err := e.sampleVectors(ctx, s, cmp.Or(req.Sample, defaultRecallSample), func(id uint32, vector []float32) error {
		return m.measure(ctx, recallQuery{id: int64(id), vector: vector})
	}); err != nil {
		return RecallReport{}, contextError(err)
	}
	m.summarise()
	return m.report, nil
}

// newRecall finds the index to measure and checks the request.
func (e *Engine) newRecall(req RecallRequest) (*vectorSearch, error) {
	switch {
	case req.Sample < 0 || req.Sample > maxRecallSample:
		return nil, errs.Field("invalid_sample", "/sample", "the sample is %d; it must be 1 to %d", req.Sample, maxRecallSample)
	case req.K < 0 || req.K > MaxK:
		return nil, errs.Field("invalid_k", "/k", "k is %d; it must be 1 to %d", req.K, MaxK)
	case req.Ef < 0 || req.Ef > MaxK:
		return nil, errs.Field("invalid_ef", "/ef", "ef is %d; it must be 1 to %d", req.Ef, MaxK)
	}
	s, err := e.newSearch(&SearchRequest{Table: req.Table, Column: req.Column, K: req.K, Ef: req.Ef, Key: &Key{}})
	if err != nil {
		return nil, err
	}
	// What is measured is the graph, also where a device answers.
	cpu := s.ix.vector.cpu()
	if s.index = cpu; cpu == nil || cpu.Len() < 2 {
		return nil, errs.New(errs.Invalid, "too_few_vectors", "the index %s has too few vectors to measure recall on", s.ix.subject())
	}
	return s, nil
}

// sampleVectors calls fn for n stored vectors, drawn at random with
// replacement.
func (e *Engine) sampleVectors(ctx context.Context, s *vectorSearch, n int, fn func(uint32, []float32) error) error {
	reader := e.store.Latest()
	last, ok, err := reader.LastID(s.t.id)
	if err != nil || !ok {
		return err
	}
	for range n {
		from := uint32(rand.Uint64N(uint64(last) + 1))
		for found := false; !found; from = 0 {
			err := reader.ScanVectors(ctx, s.ix.def.ID, from, func(id uint32, _ uint64, raw []byte) (bool, error) {
				found = true
				return false, fn(id, decodeVector(nil, raw))
			})
			if err != nil {
				return err
			}
			if !found && from == 0 {
				return nil
			}
		}
	}
	return nil
}

// recallQuery is a query, as a rule the stored vector of an entity, and what its exact
// answer is like.
type recallQuery struct {
	// id is the entity's, noSelf if there is none.
	id     int64
	vector []float32
	// wanted is how many neighbours the exact answer has, farthest the distance of
	// the last one.
	wanted   int
	farthest float32
}

// exactly finds the exact answer and says how long that took.
func (q *recallQuery) exactly(ctx context.Context, index vecindex.Index, k int) (time.Duration, error) {
	started := time.Now()
	hits, _, err := index.Search(ctx, vecindex.Query{Vector: q.vector, K: q.hits(k), Exact: true}, nil)
	if err != nil {
		return 0, err
	}
	took := time.Since(started)
	hits = q.others(hits)
	if q.wanted = min(len(hits), k); q.wanted > 0 {
		q.farthest = hits[q.wanted-1].Distance
	}
	return took, nil
}

// hits is how many have to be asked for to get k others.
func (q *recallQuery) hits(k int) int {
	if q.id == noSelf {
		return k
	}
	return k + 1
}

// others are the hits without the query's own vector.
func (q *recallQuery) others(hits []vecindex.Hit) []vecindex.Hit {
	return slices.DeleteFunc(hits, func(h vecindex.Hit) bool { return int64(h.ID) == q.id })
}

// rightOf counts the hits of an approximate search that are no farther than the
// farthest exact one, so that ties don't count as errors.
func (q *recallQuery) rightOf(hits []vecindex.Hit) int {
	right := 0
	for _, h := range q.others(hits) {
		if h.Distance <= q.farthest && right < q.wanted {
			right++
		}
	}
	return right
}

// recallMeasurement adds up what single queries found.
type recallMeasurement struct {
	report        RecallReport
	index         vecindex.Index
	approx, exact []time.Duration
	found, wanted int
}

func (m *recallMeasurement) measure(ctx context.Context, q recallQuery) error {
	started := time.Now()
	approx, _, err := m.index.Search(ctx, vecindex.Query{Vector: q.vector, K: q.hits(m.report.K), Ef: m.report.Ef}, nil)
	if err != nil {
		return err
	}
	m.approx = append(m.approx, time.Since(started))
	took, err := q.exactly(ctx, m.index, m.report.K)
	if err != nil {
		return err
	}
	m.exact = append(m.exact, took)
	m.found += q.rightOf(approx)
	m.wanted += q.wanted
	m.report.Sample++
	return nil
}

func (m *recallMeasurement) summarise() {
	m.report.Recall = share(m.found, m.wanted)
	m.report.ApproxP50Ms, m.report.ApproxP99Ms = percentiles(m.approx)
	m.report.ExactP50Ms, m.report.ExactP99Ms = percentiles(m.exact)
}

// share is part of whole, 0 of nothing.
func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func percentiles(d []time.Duration) (p50, p99 float64) {
	if len(d) == 0 {
		return 0, 0
	}
	slices.Sort(d)
	at := func(p float64) float64 { return float64(d[int(p*float64(len(d)-1))]) / float64(time.Millisecond) }
	return at(0.50), at(0.99)
}
