package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
)

// maxRecallSample bounds a recall measurement: each query is a full scan.
const maxRecallSample = 10_000

// VectorRecall measures the approximate search of an index against the exact
// one, with stored vectors as queries. A query's own vector doesn't count, for
// it is too easy to find.
func (e *Engine) VectorRecall(ctx context.Context, req RecallRequest) (RecallReport, error) {
	setDefault(&req.Sample, 100)
	setDefault(&req.K, 10)
	switch {
	case req.Sample < 1 || req.Sample > maxRecallSample:
		return RecallReport{}, errs.Field("invalid_sample", "/sample", "the sample is %d; it must be 1 to %d", req.Sample, maxRecallSample)
	case req.K < 1 || req.K > MaxK:
		return RecallReport{}, errs.Field("invalid_k", "/k", "k is %d; it must be 1 to %d", req.K, MaxK)
	case req.Ef < 0 || req.Ef > MaxK:
		return RecallReport{}, errs.Field("invalid_ef", "/ef", "ef is %d; it must be 1 to %d", req.Ef, MaxK)
	}
	s, err := e.newSearch(&SearchRequest{Table: req.Table, Column: req.Column, K: req.K, Ef: req.Ef, Key: &Key{}})
	if err != nil {
		return RecallReport{}, err
	}
	setDefault(&req.Ef, s.ix.vector.width())
	report := RecallReport{K: req.K, Ef: req.Ef}
	if s.index == nil || s.index.Len() < 2 {
		return RecallReport{}, errs.New(errs.Invalid, "too_few_vectors", "the index %s has too few vectors to measure recall on", s.ix.subject())
	}
	m := recallMeasurement{report: &report, index: s.index}
	if err := e.sampleVectors(ctx, s, req.Sample, func(id uint32, vector []float32) error {
		return m.measure(ctx, id, vector)
	}); err != nil {
		return RecallReport{}, contextError(err)
	}
	m.summarise()
	return report, nil
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

// recallMeasurement adds up what single queries found.
type recallMeasurement struct {
	report        *RecallReport
	index         vecindex.Index
	approx, exact []time.Duration
	found, wanted int
}

func (m *recallMeasurement) measure(ctx context.Context, id uint32, vector []float32) error {
	q := vecindex.Query{Vector: vector, K: m.report.K + 1, Ef: m.report.Ef}
	started := time.Now()
	approx, _, err := m.index.Search(ctx, q, nil)
	if err != nil {
		return err
	}
	m.approx = append(m.approx, time.Since(started))
	q.Exact = true
	started = time.Now()
	exact, _, err := m.index.Search(ctx, q, nil)
	if err != nil {
		return err
	}
	m.exact = append(m.exact, time.Since(started))
	m.report.Sample++
	m.compare(id, approx, exact)
	return nil
}

// compare counts an approximate hit as right if it is no farther than the
// farthest exact one, so that ties don't count as errors.
func (m *recallMeasurement) compare(self uint32, approx, exact []vecindex.Hit) {
	notSelf := func(h vecindex.Hit) bool { return h.ID == self }
	approx = slices.DeleteFunc(approx, notSelf)
	exact = slices.DeleteFunc(exact, notSelf)
	exact = exact[:min(len(exact), m.report.K)]
	if len(exact) == 0 {
		return
	}
	farthest := exact[len(exact)-1].Distance
	right := 0
	for _, h := range approx {
		if h.Distance <= farthest && right < len(exact) {
			right++
		}
	}
	m.found += right
	m.wanted += len(exact)
}

func (m *recallMeasurement) summarise() {
	if m.wanted > 0 {
		m.report.Recall = float64(m.found) / float64(m.wanted)
	}
	m.report.ApproxP50Ms, m.report.ApproxP99Ms = percentiles(m.approx)
	m.report.ExactP50Ms, m.report.ExactP99Ms = percentiles(m.exact)
}

func percentiles(d []time.Duration) (p50, p99 float64) {
	if len(d) == 0 {
		return 0, 0
	}
	slices.Sort(d)
	at := func(p float64) float64 { return float64(d[int(p*float64(len(d)-1))]) / float64(time.Millisecond) }
	return at(0.50), at(0.99)
}
