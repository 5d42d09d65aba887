package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/vecindex"
)

// vectorSearch is one Search under way: what its query vectors share.
type vectorSearch struct {
	e     *Engine
	req   *SearchRequest
	t     *table
	ix    *index
	index vecindex.Index
	state lazySnapshot
	shape *shape
	// allow is nil without a filter.
	allow *bitmap.Set
	// filter found them; filterPlan tells of it if explain was asked for.
	filter     *execution
	filterPlan *PlanReport
	// ownersKnown says that the keys of hits may be taken from memory, of those that
	// were seen in a state not after ownersUpTo.
	ownersKnown bool
	ownersUpTo  storage.Seq
	// wide is how the graph is searched, and calibration says where that comes from, for
	// searches by recall.
	wide        breadth
	calibration string
	// self is the entity whose own vector is the query, noSelf if there is none.
	self int64
	// after is where the page before ended; after.Seen is 0 for the first.
	after       cursor
	fingerprint uint64
}

const noSelf = -1

// lazySnapshot is the state that filter and hits are read from, pinned at its first
// use: a search that needs nothing of storage costs it nothing. The index may be
// asked before or after, since either holds what was acknowledged when the search
// began, and what changes later is recognised by its stamp.
type lazySnapshot struct {
	once     sync.Once
	snapshot *storage.Snapshot
}

func (p *lazySnapshot) at(store *storage.Store) *storage.Snapshot {
	p.once.Do(func() { p.snapshot = store.NewSnapshot() })
	return p.snapshot
}

func (p *lazySnapshot) release() {
	if p.snapshot != nil {
		p.snapshot.Release()
	}
}

// snapshot is the state that the search reads.
func (s *vectorSearch) snapshot() *storage.Snapshot { return s.state.at(s.e.store) }

// Search returns, for each query vector, the K nearest entities that pass the
// filter, nearest first: never fewer than min(K, matches), never one that was
// deleted before the search began, and each with the distance of the vector
// that the returned entity has. Approximate unless Exact is set: with a graph
// index some of the hits may not be the very nearest.
func (e *Engine) Search(ctx context.Context, req SearchRequest) ([]SearchResult, error) {
	started := time.Now()
	s, err := e.newSearch(&req)
	if err != nil {
		return nil, err
	}
	if s.index == nil {
		return make([]SearchResult, max(1, len(req.Vectors))), nil
	}
	defer s.state.release()
	var results []SearchResult
	if err = s.prepare(ctx); err == nil {
		results, err = s.all(ctx)
	}
	err = contextError(err)
	e.noteSlowSearch(ctx, started, s, results, err)
	if err != nil {
		return nil, err
	}
	if !req.Explain {
		for i := range results {
			results[i].Plan = nil
		}
	}
	return results, nil
}

// prepare finds out what may be found, and how to look for it.
func (s *vectorSearch) prepare(ctx context.Context) error {
	e, req := s.e, s.req
	if req.Key != nil {
		if err := s.vectorOfKey(); err != nil {
			return err
		}
	}
	if req.Filter != nil {
		var err error
		if s.allow, s.filter, err = e.matchingIDs(ctx, s.snapshot(), s.t, req.Filter); err != nil {
			return err
		}
		if req.Explain {
			s.filterPlan = s.filter.report()
		}
	}
	s.useOwners(ctx)
	s.chooseBreadth()
	return nil
}

// all answers every query vector.
func (s *vectorSearch) all(ctx context.Context) ([]SearchResult, error) {
	vectors := s.req.Vectors
	results := make([]SearchResult, len(vectors))
	if len(vectors) == 1 {
		return results, s.run(ctx, vectors[0], &results[0])
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(s.atOnce())
	for i, vector := range vectors {
		group.Go(func() error { return s.run(groupCtx, vector, &results[i]) })
	}
	return results, group.Wait()
}

// deviceAtOnce is how many query vectors of a search are under way at a time where a
// device may answer: those that wait for it take no processor, and share a pass.
const deviceAtOnce = 64

// atOnce is how many query vectors are searched at a time.
func (s *vectorSearch) atOnce() int {
	if d := s.ix.vector.device(); d != nil && d.Ready() {
		return max(s.e.opts.Query.Workers, deviceAtOnce)
	}
	return s.e.opts.Query.Workers
}

// newSearch finds the index and checks the request.
func (e *Engine) newSearch(req *SearchRequest) (*vectorSearch, error) {
	if req.Key != nil && req.Table == "" {
		req.Table = req.Key.Table
	}
	t, ix, err := e.vectorIndexOf(req.Table, req.Column)
	if err != nil {
		return nil, err
	}
	if !ix.ready() {
		return nil, errs.New(errs.Unavailable, "index_building", "the index %s is being built; search it when its job is done", ix.subject())
	}
	if ix.vector.loading.Load() {
		return nil, errs.New(errs.Unavailable, "recovering", "the vectors of %s are being loaded after a start; try again soon", ix.subject())
	}
	s := &vectorSearch{e: e, req: req, t: t, ix: ix, index: ix.vector.current(), self: noSelf}
	if err := s.validate(); err != nil {
		return nil, err
	}
	s.shape = e.newShape(t, req.IncludeVectors, req.Fields)
	return s, nil
}

func (s *vectorSearch) validate() error {
	req := s.req
	if req.K == 0 {
		req.K = 10
	}
	if req.K < 1 || req.K > MaxK {
		return errs.Field("invalid_k", "/k", "k is %d; it must be 1 to %d", req.K, MaxK)
	}
	if req.Ef < 0 || req.Ef > MaxK {
		return errs.Field("invalid_ef", "/ef", "ef is %d; it must be 1 to %d", req.Ef, MaxK)
	}
	if err := checkRecall(req); err != nil {
		return err
	}
	if req.Return == ReturnCount {
		return errs.Field("invalid_return", "/return", "a vector search returns entities or keys")
	}
	if (req.Key != nil) == (len(req.Vectors) > 0) {
		return errs.Field("invalid_query", "/vector", "give either a vector, vectors or a key")
	}
	for i, v := range req.Vectors {
		dimension := len(v)
		if s.index != nil {
			dimension = s.ix.vector.dimension()
		}
		if err := checkVector(v, dimension, s.ix.vector.metric); err != nil {
			pointer := "/vector"
			if len(req.Vectors) > 1 {
				pointer = fmt.Sprintf("/vectors/%d", i)
			}
			err.Fields = []errs.FieldError{{Pointer: pointer, Detail: err.Detail}}
			return err
		}
	}
	return s.readCursor()
}

func (s *vectorSearch) readCursor() error {
	req := s.req
	if req.Cursor != "" && len(req.Vectors) > 1 {
		return errs.Field("invalid_cursor", "/cursor", "a cursor goes with a single query vector")
	}
	if len(req.Vectors) > 1 {
		return nil
	}
	about := ""
	if req.Key != nil {
		about = req.Key.String()
	} else {
		about = strconv.FormatUint(vectorFingerprint(req.Vectors[0]), 16)
	}
	s.fingerprint = fingerprintOf("search", s.ix.vector.subject,
		strconv.Itoa(req.Ef), strconv.FormatFloat(req.Recall, 'g', -1, 64), strconv.FormatBool(req.Exact), req.Filter.String(), about)
	if req.Cursor == "" {
		return nil
	}
	after, err := parseCursor(req.Cursor, s.fingerprint)
	s.after = after
	return err
}

// vectorIndexOf finds a vector index. Table and column may be left out while
// that leaves one.
func (e *Engine) vectorIndexOf(tableName, column string) (*table, *index, error) {
	tables := e.allTables()
	if tableName != "" {
		t, err := e.table(tableName)
		if err != nil {
			return nil, nil, err
		}
		tables = []*table{t}
	}
	var foundTable *table
	var found *index
	for _, t := range tables {
		for _, b := range t.schema.Load().indexes {
			if b.vector == nil || column != "" && b.def.Columns[0] != column || b.build != nil && b.build.replaces != nil {
				continue
			}
			if found != nil {
				return nil, nil, errs.Field("ambiguous_index", "/table", "there are several vector indexes; name the table and the column")
			}
			foundTable, found = t, b.index
		}
	}
	if found == nil {
		return nil, nil, errs.New(errs.NotFound, "index_not_found", "there is no such vector index; create one with type \"vector\"")
	}
	return foundTable, found, nil
}

// vectorOfKey makes the stored vector of req.Key the query.
func (s *vectorSearch) vectorOfKey() error {
	key := *s.req.Key
	if err := key.Validate(); err != nil {
		return err
	}
	if key.Table != s.t.name {
		return errs.Field("invalid_query", "/key", "the key %s isn't of the table %s", key, s.t.name)
	}
	present, err := s.e.lookup(&s.snapshot().Reader, s.t, []string{key.PK})
	if err != nil {
		return err
	}
	if len(present) == 0 {
		return errs.New(errs.NotFound, "entity_not_found", "there is no entity %s", key)
	}
	s.self = int64(present[0].id)
	err = s.snapshot().Vectors(s.ix.def.ID, []uint32{present[0].id}, func(_ int, _ uint64, raw []byte) error {
		if raw != nil {
			s.req.Vectors = [][]float32{decodeVector(nil, raw)}
		}
		return nil
	})
	if err == nil && s.req.Vectors == nil {
		err = errs.New(errs.NotFound, "vector_not_found", "the entity %s has no vector in %s", key, s.ix.def.Columns[0])
	}
	return err
}

// run answers one query vector.
func (s *vectorSearch) run(ctx context.Context, vector []float32, result *SearchResult) error {
	live := s.index.Len()
	matching := live
	if s.allow != nil {
		matching = s.allow.Len()
	}
	plan := &SearchPlan{Matching: matching, Live: live, Ef: s.wide.ef, Filter: s.filterPlan}
	plan.Recall, plan.Slack, plan.Calibration = s.req.Recall, s.wide.slack, s.calibration
	*result = SearchResult{Hits: []SearchHit{}, Plan: plan}
	if matching == 0 || live == 0 {
		plan.Mode, plan.Reason = searchEmpty, "nothing matches"
		s.e.counters.searchModes.add(plan.Mode)
		return nil
	}
	hits, err := s.collect(ctx, vector, plan)
	if err != nil {
		return err
	}
	s.e.counters.searchModes.add(plan.Mode)
	result.Hits = slices.Grow(result.Hits, len(hits))
	for _, h := range hits {
		result.Hits = append(result.Hits, h.SearchHit)
	}
	if len(hits) == s.req.K && len(s.req.Vectors) == 1 {
		last := hits[len(hits)-1]
		result.NextCursor = cursor{ID: last.id, Distance: last.Distance, Seen: s.after.Seen + len(hits)}.encode(s.fingerprint)
	}
	return nil
}

// asked is how many hits the index is asked for at first.
func (s *vectorSearch) asked() int {
	n := s.req.K + s.after.Seen
	if s.self != noSelf {
		n++
	}
	return n
}

// collect asks the index, checks its hits against the snapshot, and asks for
// more while too many had changed in between.
func (s *vectorSearch) collect(ctx context.Context, vector []float32, plan *SearchPlan) ([]foundHit, error) {
	ask := s.asked()
	for {
		q := vecindex.Query{Vector: vector, K: ask, Ef: s.wide.ef, Slack: s.wide.slack, Allow: s.allow, Exact: s.req.Exact}
		hits, stats, err := s.index.Search(ctx, q, make([]vecindex.Hit, 0, min(s.req.K, s.index.Len())))
		if err != nil {
			return nil, err
		}
		plan.note(&stats, s.req.Exact, s.allow != nil)
		found, err := s.resolve(hits, vector, plan)
		if err != nil {
			return nil, err
		}
		if len(found) >= s.req.K {
			return found[:s.req.K], nil
		}
		if len(hits) < ask || s.tooFar(hits[len(hits)-1].Distance) {
			return found, nil
		}
		ask *= 2
		plan.Refills++
	}
}

// VectorConfig returns the definition of a vector index as it is in force.
func (e *Engine) VectorConfig(_ context.Context, tableName, column string) (schema.IndexDef, error) {
	_, ix, err := e.vectorIndexOf(tableName, column)
	if err != nil {
		return schema.IndexDef{}, err
	}
	return *ix.currentDef(), nil
}

// VectorStats describes the vector indexes that the names leave, all of them
// when both are empty.
func (e *Engine) VectorStats(ctx context.Context, tableName, column string) ([]IndexInfo, error) {
	indexes, err := e.indexes(tableName)
	if err != nil {
		return nil, err
	}
	indexes = slices.DeleteFunc(indexes, func(ix *index) bool {
		return ix.vector == nil || column != "" && ix.def.Columns[0] != column
	})
	infos, err := e.indexInfos(indexes)
	if err != nil {
		return nil, err
	}
	for i, ix := range indexes {
		if err := ctx.Err(); err != nil {
			return nil, contextError(err)
		}
		if v := ix.vector.current(); v != nil {
			stats := v.Stats()
			infos[i].VectorStats = &stats
		}
	}
	return infos, nil
}

// SetVectorConfig changes a vector index live and for good. Ef and Engine are what can
// be changed; any other field set must be what it is already.
func (e *Engine) SetVectorConfig(_ context.Context, tableName, column string, change schema.VectorConfig) (schema.IndexDef, error) {
	if err := change.Validate(); err != nil {
		return schema.IndexDef{}, err
	}
	t, ix, err := e.vectorIndexOf(tableName, column)
	if err != nil {
		return schema.IndexDef{}, err
	}
	t.ddl.Lock()
	defer t.ddl.Unlock()
	if !slices.Contains(t.schema.Load().list(), ix) {
		return schema.IndexDef{}, errs.New(errs.Conflict, "index_changed", "the index %s was changed at the same moment; nothing was done", ix.subject())
	}
	def := ix.storedDef()
	if err := applyVectorChange(def.Vector, change); err != nil {
		return schema.IndexDef{}, err
	}
	var b storage.Batch
	putIndexDef(&b, def)
	if _, err := e.store.Commit(&b, storage.CommitOptions{}); err != nil {
		return schema.IndexDef{}, err
	}
	ix.vector.ef.Store(int64(def.Vector.Ef))
	ix.vector.engine.Store(&def.Vector.Engine)
	ix.vector.place()
	return *ix.currentDef(), nil
}

// applyVectorChange refuses what only a new index can have.
func applyVectorChange(config *schema.VectorConfig, change schema.VectorConfig) error {
	for _, f := range []struct {
		name    string
		differs bool
	}{
		{"dimension", change.Dimension != 0 && change.Dimension != config.Dimension},
		{"metric", change.Metric != "" && change.Metric != config.Metric},
		{"m", change.M != 0 && change.M != config.M},
		{"ef_construction", change.EfConstruction != 0 && change.EfConstruction != config.EfConstruction},
		{"quantization", change.Quantization != "" && change.Quantization != config.Quantization},
	} {
		if f.differs {
			err := errs.Field("not_reloadable", "/"+f.name, "%s can't be changed on a live index; drop it and create it anew", f.name)
			err.Kind = errs.Conflict
			return err
		}
	}
	config.Ef = cmp.Or(change.Ef, config.Ef)
	config.Engine = cmp.Or(change.Engine, config.Engine)
	return nil
}
