package engine

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/storage/keys"
)

// execution carries out one query plan on one snapshot.
type execution struct {
	e        *Engine
	t        *table
	schema   *tableSchema
	snapshot *storage.Snapshot
	// state is the snapshot's, for what is in memory.
	state snapshotState
	plan  *query.Plan
	// order and limit are what the plan was made for.
	order []query.Order
	limit int
	// residual is nil when the index terms answer exactly.
	residual *query.Matcher
	nowMs    int64
	// scanned counts the entities read, passed those of them that match.
	scanned, passed int
	// yielded counts what nodes of the plan yielded, and remembered the ranges that
	// they had in memory.
	yielded, remembered map[query.Node]int
	// parallel is set once candidates were fetched in parallel.
	parallel bool
	// window bounds how many candidates are in memory at once; maxWindow when 0.
	window int
}

// match is one entity that passes the filter; the record is its own memory.
type match struct {
	id     uint32
	record record
}

// newExecution plans a filter on a snapshot.
func (e *Engine) newExecution(ctx context.Context, snapshot *storage.Snapshot, t *table, filter *query.Expr, order []query.Order, limit int) (*execution, error) {
	return e.plan(ctx, snapshot, t, filter, order, limit, false)
}

// plan is newExecution; ids says that the ids of all matches are wanted and no
// entities.
func (e *Engine) plan(ctx context.Context, snapshot *storage.Snapshot, t *table, filter *query.Expr, order []query.Order, limit int, ids bool) (*execution, error) {
	x := &execution{e: e, t: t, schema: t.schema.Load(), snapshot: snapshot, order: order, limit: limit, nowMs: e.opts.Now().UnixMilli()}
	est := estimator{x: x}
	plan, err := query.Build(ctx, filter, order, limit, x.schema.readyDefs(snapshot), est, query.Options{IDs: ids, SingleValued: x.schema.singleValued})
	if err != nil {
		return nil, err
	}
	x.plan = plan
	if plan.Residual != nil {
		x.residual = plan.Residual.Compile()
	}
	return x, nil
}

// estimator answers the planner from the execution's snapshot.
type estimator struct{ x *execution }

func (s estimator) Count(ctx context.Context, index uint32, r query.Range, limit int) (int, bool, error) {
	if ids := s.x.idsInMemory(ctx, index, r); ids != nil {
		return int(ids.GetCardinality()), true, nil
	}
	return s.x.snapshot.CountTerms(ctx, index, storage.TermRange{Lo: r.Lo, Hi: r.Hi}, limit)
}

func (s estimator) Entities() int {
	return int(s.x.e.store.Counter(tableCounter(s.x.t.id)))
}

// report is the plan with what its execution did.
func (x *execution) report() *PlanReport {
	plan := *x.plan
	plan.Mode = x.mode()
	plan.Steps = slices.Clone(plan.Steps)
	for i := range plan.Steps {
		step := &plan.Steps[i]
		actual := x.passed
		if _, full := step.Node.(*query.FullScan); full {
			actual = x.scanned
		} else if step.Node != nil {
			actual = x.yielded[step.Node]
		}
		step.ActualCount = &actual
		step.InMemory = x.remembered[step.Node]
	}
	advice := query.Advise(&plan, query.Run{
		// One more than wanted is looked for, to know whether there is a next page.
		Order: x.order, Limit: max(x.limit-1, 0), Indexes: x.schema.defs(), Scanned: x.scanned, Passed: x.passed,
	})
	return &PlanReport{Plan: &plan, RowsScanned: x.scanned, Advice: advice}
}

// yield counts n more ids from a node.
func (x *execution) yield(node query.Node, n int) {
	if x.yielded == nil {
		x.yielded = map[query.Node]int{}
	}
	x.yielded[node] += n
}

// remember counts a range of a node that was in memory.
func (x *execution) remember(node query.Node) {
	if x.remembered == nil {
		x.remembered = map[query.Node]int{}
	}
	x.remembered[node]++
}

func (x *execution) mode() query.Mode {
	if x.parallel && x.plan.Mode == query.ModeIndex {
		return query.ModeIndexParallel
	}
	return x.plan.Mode
}

// check decides about one entity as read.
func (x *execution) check(r record) (bool, error) {
	expired, err := x.schema.docExpired(r.doc, x.nowMs)
	if err != nil || expired {
		return false, err
	}
	if x.residual == nil {
		return true, nil
	}
	return x.residual.Match(r.doc)
}

// each calls fn with the matches by ascending id, beginning with from, until it
// returns false.
func (x *execution) each(ctx context.Context, from uint64, fn func(match) (bool, error)) error {
	if from > maxID {
		return nil
	}
	switch root := x.plan.Root.(type) {
	case *query.Empty:
		return nil
	case *query.FullScan:
		return x.scanAll(ctx, uint32(from), fn)
	case *query.TermScan:
		if x.ascending(root) {
			return x.fetchAll(ctx, x.termStream(root, uint32(from)), fn)
		}
	}
	ids, err := x.ids(ctx, x.plan.Root)
	if err != nil {
		return err
	}
	it := ids.Iterator()
	it.AdvanceIfNeeded(uint32(from))
	return x.fetchAll(ctx, func(_ context.Context, dst []uint32, n int) ([]uint32, error) {
		for len(dst) < n && it.HasNext() {
			dst = append(dst, it.Next())
		}
		return dst, nil
	}, fn)
}

// scanAll reads the whole table.
func (x *execution) scanAll(ctx context.Context, from uint32, fn func(match) (bool, error)) error {
	return x.snapshot.ScanEntities(ctx, x.t.id, from, func(id uint32, raw []byte) (bool, error) {
		x.scanned++
		r, err := decodeRecord(raw)
		if err != nil {
			return false, err
		}
		ok, err := x.check(r)
		if err != nil || !ok {
			return true, err
		}
		x.passed++
		return fn(match{id, r.clone()})
	})
}

// clone is the record in memory of its own.
func (r record) clone() record {
	r.pk, r.doc = bytes.Clone(r.pk), bytes.Clone(r.doc)
	return r
}

// ascending says whether a term scan yields ids in order without collecting
// them: it does within a single term of an index on one column.
func (x *execution) ascending(scan *query.TermScan) bool {
	if len(scan.Ranges) != 1 {
		return false
	}
	r := scan.Ranges[0]
	for _, b := range x.schema.indexes {
		if b.def.ID == scan.Index {
			_, rest, err := keys.Decode(r.Lo)
			whole := err == nil && len(rest) == 0
			return len(b.columns) == 1 && whole && bytes.Equal(r.Hi, keys.PrefixEnd(r.Lo))
		}
	}
	return false
}

// idStream appends ids to dst until it has n, fewer only at the end.
type idStream func(ctx context.Context, dst []uint32, n int) ([]uint32, error)

// termStream streams the ids of a single term.
func (x *execution) termStream(scan *query.TermScan, from uint32) idStream {
	r := storage.TermRange{Lo: scan.Ranges[0].Lo, Hi: scan.Ranges[0].Hi}
	if from > 0 {
		r.After, r.AfterID = r.Lo, from-1
	}
	return func(ctx context.Context, dst []uint32, n int) ([]uint32, error) {
		err := x.snapshot.ScanTerms(ctx, scan.Index, r, func(_ []byte, id uint32) (bool, error) {
			dst = append(dst, id)
			return len(dst) < n, nil
		})
		x.yield(scan, len(dst))
		if len(dst) > 0 {
			r.After, r.AfterID = r.Lo, dst[len(dst)-1]
		}
		return dst, err
	}
}

// maxWindow bounds how many candidates are in memory at once.
const maxWindow = 8192

// fetchAll reads the candidates that next yields and calls fn with those that
// match. The first window is small, for the common query that ends in it; later
// ones grow and are fetched in parallel.
func (x *execution) fetchAll(ctx context.Context, next idStream, fn func(match) (bool, error)) error {
	window := x.e.opts.Query.BatchSize
	var ids []uint32
	for {
		var err error
		if ids, err = next(ctx, ids[:0], window); err != nil || len(ids) == 0 {
			return err
		}
		matches, err := x.fetch(ctx, ids)
		if err != nil {
			return err
		}
		for _, m := range matches {
			if more, err := fn(m); err != nil || !more {
				return err
			}
		}
		if len(ids) < window {
			return nil
		}
		window = min(4*window, max(cmp.Or(x.window, maxWindow), x.e.opts.Query.BatchSize))
	}
}

// fetch reads entities and returns those that match, in the order of ids.
func (x *execution) fetch(ctx context.Context, ids []uint32) ([]match, error) {
	found, err := x.fetchParallel(ctx, ids)
	x.scanned += len(ids)
	x.passed += len(found)
	return found, err
}

// fetchParallel reads them in batches in parallel if there are enough of them.
func (x *execution) fetchParallel(ctx context.Context, ids []uint32) ([]match, error) {
	size := x.e.opts.Query.BatchSize
	if len(ids) < x.e.opts.Query.ParallelThreshold || x.e.opts.Query.Workers < 2 {
		return x.fetchBatch(ctx, ids)
	}
	x.parallel = true
	batches := slices.Collect(slices.Chunk(ids, size))
	found := make([][]match, len(batches))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(x.e.opts.Query.Workers)
	for i, batch := range batches {
		group.Go(func() (err error) {
			found[i], err = x.fetchBatch(ctx, batch)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

func (x *execution) fetchBatch(ctx context.Context, ids []uint32) ([]match, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var found []match
	err := x.snapshot.Entities(x.t.id, ids, func(i int, raw []byte) error {
		if raw == nil {
			return missingEntity(x.t.name, ids[i])
		}
		r, err := decodeRecord(raw)
		if err != nil {
			return err
		}
		ok, err := x.check(r)
		if ok {
			found = append(found, match{ids[i], r.clone()})
		}
		return err
	})
	return found, err
}

// missingEntity is a broken invariant: in one snapshot each index entry has its
// entity.
func missingEntity(table string, id uint32) error {
	return errs.New(errs.Corrupt, "index_inconsistent",
		"an index of %s names an entity (id %d) that isn't there; rebuild the indexes with POST /index/reindex", table, id)
}

// matchingIDs turns a filter into the set of ids that pass it. The execution is
// nil if the filter couldn't be planned.
func (e *Engine) matchingIDs(ctx context.Context, snapshot *storage.Snapshot, t *table, filter *query.Expr) (*bitmap.Set, *execution, error) {
	x, err := e.plan(ctx, snapshot, t, filter, nil, 0, true)
	if err != nil {
		return nil, nil, err
	}
	set, err := x.exactIDs(ctx)
	return set, x, err
}

// Query returns one page of the entities that match a filter.
func (e *Engine) Query(ctx context.Context, req QueryRequest) (*QueryResult, error) {
	started := time.Now()
	result, x, err := e.query(ctx, req)
	err = contextError(err)
	e.noteSlowQuery(ctx, started, &req, x, result, err)
	if err != nil {
		return nil, err
	}
	result.Took = time.Since(started)
	return result, nil
}

// query also returns the execution, as soon as there is one.
func (e *Engine) query(ctx context.Context, req QueryRequest) (*QueryResult, *execution, error) {
	t, err := e.table(req.Table)
	if err != nil {
		return nil, nil, err
	}
	p := page{req: &req, sorter: query.NewSorter(req.Order)}
	if err := p.open(); err != nil {
		return nil, nil, err
	}
	snapshot := e.store.NewSnapshot()
	defer snapshot.Release()
	limit := p.limit + 1
	if req.Return == ReturnCount {
		limit = 0
	}
	x, err := e.plan(ctx, snapshot, t, req.Filter, req.Order, limit, req.Return == ReturnCount)
	if err != nil {
		return nil, nil, err
	}
	if req.ForbidFullScan && x.plan.Mode == query.ModeFullScan {
		return nil, x, errs.Field("full_scan_refused", "/allow_full_scan",
			"no index serves this query, and the request doesn't allow reading the whole table; create an index or set allow_full_scan")
	}
	result := &QueryResult{}
	if req.Return == ReturnCount {
		result.Count, err = x.count(ctx)
	} else {
		err = p.fill(ctx, x, result)
	}
	if err != nil {
		return nil, x, err
	}
	e.counters.queryModes.add(string(x.mode()))
	if req.Explain {
		result.Plan = x.report()
	}
	return result, x, nil
}
