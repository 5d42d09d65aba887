package engine

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/recent"
)

// The slow queries that are kept: the newest, and never much memory, whatever
// is in their filters.
const (
	slowKept      = 256
	slowKeptBytes = 8 << 20
	// slowFilterBytes is the longest filter that is kept with its plan.
	slowFilterBytes = 8 << 10
	slowTextBytes   = 1 << 10
)

// Caller is who a query is made for.
type Caller struct {
	Name string `json:"name"`
	// RequestID is the one in the log.
	RequestID string `json:"request_id"`
}

type callerKey struct{}

// WithCaller returns a context whose slow queries are kept with the caller.
func WithCaller(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// SlowKind says what was slow.
type SlowKind string

// What is timed.
const (
	SlowQueryKind  SlowKind = "query"
	SlowSearchKind SlowKind = "search"
)

// SlowQuery is a query or a search that took long. It holds what was asked
// without any vector, and what was done for it.
type SlowQuery struct {
	Kind   SlowKind
	Began  time.Time
	Took   time.Duration
	Caller Caller
	Table  string
	// Filter is the filter as JSON, FilterText the same for people, cut off where
	// it is very long, and Shape the text without operands. All are empty without a
	// filter; FilterCut says that the filter was too long to be kept.
	Filter, FilterText, Shape string
	FilterCut                 bool

	// Order, Limit and Return are of a query; Paged says that it went on at a
	// cursor.
	Order  []query.Order
	Limit  int
	Return Return
	Paged  bool

	// Column, K, Ef and Exact are of a search for Vectors vectors, or for that of
	// the entity Key.
	Column  string
	K, Ef   int
	Exact   bool
	Vectors int
	Key     string

	// Found is how many entities or hits were returned.
	Found int
	// Plan is of the filter, nil if there is none or the time was up before it was
	// made. Search is of a search's first vector.
	Plan   *PlanReport
	Search *SearchPlan
	// Error is the code of the error that it ended with, as when its time was up.
	Error string
}

// slowLog keeps slow queries.
type slowLog struct {
	threshold atomic.Int64
	seen      atomic.Uint64
	list      *recent.List[*SlowQuery]
}

func (l *slowLog) init(o QueryOptions) {
	l.threshold.Store(int64(o.SlowThreshold))
	l.list = recent.New[*SlowQuery](slowKept, slowKeptBytes)
}

// slow says whether so long is too long.
func (l *slowLog) slow(took time.Duration) bool {
	threshold := l.threshold.Load()
	return threshold > 0 && int64(took) >= threshold
}

// SetSlowThreshold changes from which duration on queries are kept as slow; 0 or
// less keeps none.
func (e *Engine) SetSlowThreshold(d time.Duration) { e.slow.threshold.Store(int64(d)) }

// SlowThreshold is the duration from which on queries are kept, 0 if none are.
func (e *Engine) SlowThreshold() time.Duration { return max(0, time.Duration(e.slow.threshold.Load())) }

// SlowQueries are those kept, in the order in which they ended.
func (e *Engine) SlowQueries() *recent.List[*SlowQuery] { return e.slow.list }

// add keeps a query with what all kinds share.
func (l *slowLog) add(ctx context.Context, q *SlowQuery, filter *query.Expr, x *execution, err error) {
	l.seen.Add(1)
	if caller, ok := ctx.Value(callerKey{}).(*Caller); ok {
		q.Caller = *caller
	}
	if err != nil {
		q.Error = errs.CodeOf(err)
	}
	if x != nil {
		q.Plan = x.report()
	}
	size := 1024
	if filter != nil {
		q.Filter, q.Shape = filter.String(), cut(filter.Shape(), slowTextBytes)
		q.FilterText = cut(filter.Text(), slowTextBytes)
		if len(q.Filter) > slowFilterBytes {
			q.Filter, q.FilterCut = "", true
			q.Plan.forgetOperands()
		}
		size += 4 * len(q.Filter)
	}
	if q.Plan != nil {
		q.Plan.Root = nil // the ranges; steps say it for people
		for i := range q.Plan.Steps {
			q.Plan.Steps[i].Node = nil
		}
		size += 256 * len(q.Plan.Steps)
	}
	l.list.Add(q, size)
}

// forgetOperands leaves of a plan what is small whatever the filter is.
func (p *PlanReport) forgetOperands() {
	if p == nil {
		return
	}
	const enough = 64
	p.Residual, p.Estimates = nil, []query.Estimate{}
	p.Steps = slices.Clone(p.Steps[:min(len(p.Steps), enough)])
	for i := range p.Steps {
		p.Steps[i].Answers = nil
	}
}

// cut shortens a text at a boundary of characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && text[most]&0xC0 == 0x80 {
		most--
	}
	return text[:most] + "…"
}

// noteSlowQuery keeps a query if it was slow.
func (e *Engine) noteSlowQuery(ctx context.Context, began time.Time, req *QueryRequest, x *execution, result *QueryResult, err error) {
	took := time.Since(began)
	if !e.slow.slow(took) {
		return
	}
	q := &SlowQuery{
		Kind: SlowQueryKind, Began: began, Took: took, Table: req.Table,
		Order: slices.Clone(req.Order), Limit: req.Limit, Return: req.Return, Paged: req.Cursor != "",
	}
	if result != nil {
		q.Found = result.Count
	}
	e.slow.add(ctx, q, req.Filter, x, err)
}

// noteSlowSearch keeps a search if it was slow.
func (e *Engine) noteSlowSearch(ctx context.Context, began time.Time, s *vectorSearch, results []SearchResult, err error) {
	took := time.Since(began)
	if !e.slow.slow(took) {
		return
	}
	req := s.req
	q := &SlowQuery{
		Kind: SlowSearchKind, Began: began, Took: took, Table: s.t.name, Column: s.ix.def.Columns[0],
		K: req.K, Ef: req.Ef, Exact: req.Exact, Vectors: len(req.Vectors), Paged: req.Cursor != "",
	}
	if req.Key != nil {
		q.Key = cut(req.Key.String(), slowTextBytes)
	}
	for i := range results {
		q.Found += len(results[i].Hits)
		if q.Search == nil && results[i].Plan != nil {
			plan := *results[i].Plan
			plan.Filter = nil // it is Plan
			q.Search = &plan
		}
	}
	e.slow.add(ctx, q, req.Filter, s.filter, err)
}
