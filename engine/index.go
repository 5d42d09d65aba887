package engine

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/storage/keys"
)

// Index changes run beside writes. A new index is entered into the schema in
// state "building"; from then on the backfill goes through the entities in id
// order, a chunk at a time, each under the table's ddl lock, and writers
// maintain the index for the ids it has passed. In the step that finds no more
// entities the index becomes ready. A rebuild builds a second index beside the
// first and swaps them in that step.
//
// Locking only a chunk's keys was rejected: a freed id that is taken again
// while its chunk is read would be left out by both sides. Building from a
// snapshot and replaying what changed meanwhile needs a second write path.

// backfillChunk is how many entities one backfill step covers: with a hundred
// or so microseconds each at worst it bounds how long a writer waits.
const backfillChunk = 256

// maxIndexColumns bounds a composite index.
const maxIndexColumns = 16

func indexSubject(def *schema.IndexDef) string {
	return fmt.Sprintf("%s.%s (%s)", def.Table, strings.Join(def.Columns, ","), def.Type)
}

func newBuild(replaces *index) *build {
	b := &build{replaces: replaces}
	b.through.Store(-1)
	return b
}

// CreateIndex starts building an index and returns the job that does. The
// table is made if it isn't there. It fails with Conflict "index_exists" if
// there is such an index; entities that don't fit (a wrong dimension, two with
// one unique value) make the job fail and leave no index.
func (e *Engine) CreateIndex(ctx context.Context, def schema.IndexDef) (*jobs.Job, error) {
	if err := e.validateIndex(&def); err != nil {
		return nil, err
	}
	t, err := e.createTable(def.Table)
	if err != nil {
		return nil, err
	}
	return e.startBuild(ctx, t, def, nil)
}

// validateIndex checks a definition and fills in its defaults.
func (e *Engine) validateIndex(def *schema.IndexDef) error {
	if err := ValidateTable(def.Table); err != nil {
		return err
	}
	if def.Type == "" {
		def.Type = schema.Equality
	}
	if err := def.Validate(); err != nil {
		return err
	}
	if len(def.Columns) > maxIndexColumns {
		return errs.Field("invalid_index", "/columns", "an index has at most %d columns", maxIndexColumns)
	}
	if def.Type == schema.Vector {
		return e.validateVectorConfig(def)
	}
	return nil
}

func (e *Engine) validateVectorConfig(def *schema.IndexDef) error {
	c := schema.VectorConfig{}
	if def.Vector != nil {
		c = *def.Vector
	}
	setDefault(&c.Metric, "cosine")
	setDefault(&c.M, e.opts.Vector.M)
	setDefault(&c.EfConstruction, e.opts.Vector.EfConstruction)
	setDefault(&c.Ef, e.opts.Vector.Ef)
	setDefault(&c.Quantization, "none")
	setDefault(&c.Engine, "auto")
	def.Vector = &c
	return c.Validate()
}

// startBuild enters the index into the schema and starts its backfill.
func (e *Engine) startBuild(_ context.Context, t *table, def schema.IndexDef, replaces *index) (*jobs.Job, error) {
	t.ddl.Lock()
	defer t.ddl.Unlock()
	if t.dropped {
		return nil, errs.New(errs.NotFound, "table_not_found", "the table %q was dropped; no index was made", t.name)
	}
	s := t.schema.Load()
	for _, b := range s.indexes {
		if !b.is(def.Columns, def.Type) {
			continue
		}
		if b.build != nil {
			return nil, errs.New(errs.Conflict, "index_building", "the index %s is being built; wait for its job or cancel it", b.subject())
		}
		if replaces == nil {
			return nil, errs.New(errs.Conflict, "index_exists", "there is an index %s already; drop it first to change it", b.subject())
		}
	}
	def.State = schema.StateBuilding
	var batch storage.Batch
	e.catalog.Lock()
	def.ID = e.nextIDLocked(&batch)
	e.catalog.Unlock()
	ix := newIndex(&def)
	ix.build = newBuild(replaces)
	if def.Type == schema.Vector {
		v, err := e.newVectorIndex(&def)
		if err != nil {
			return nil, err
		}
		ix.vector = v
	}
	putIndexDef(&batch, &def)
	if _, err := e.store.Commit(&batch, storage.CommitOptions{}); err != nil {
		ix.close(e.log)
		return nil, err
	}
	t.schema.Store(newTableSchema(append(s.list(), ix)))
	return e.startBackfill(t, ix)
}

// startBackfill starts the job that builds ix, which is in t's schema.
func (e *Engine) startBackfill(t *table, ix *index) (*jobs.Job, error) {
	kind := "index_build"
	if ix.build.replaces != nil {
		kind = "index_rebuild"
	}
	job, err := e.jobs.Start(kind, ix.subject(), func(ctx context.Context, p jobs.Progress) error {
		err := e.backfill(ctx, t, ix, p)
		// A server that shuts down leaves the index to the next start.
		if err != nil && e.ctx.Err() == nil {
			e.abandonBuild(t, ix)
		}
		return err
	})
	ix.build.job.Store(job)
	return job, err
}

// backfill covers every entity of t and makes ix ready.
func (e *Engine) backfill(ctx context.Context, t *table, ix *index, p jobs.Progress) error {
	started := time.Now()
	total := uint64(e.store.Counter(tableCounter(t.id)))
	p.Set(0, total)
	done := uint64(0)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ix.vector != nil {
			if err := ix.vector.admit(ctx); err != nil {
				return err
			}
		}
		n, err := e.backfillStep(ctx, t, ix)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		done += uint64(n)
		p.Set(done, max(total, done))
	}
	e.counters.indexRebuilds.Add(1)
	e.counters.indexRebuildMs.Add(uint64(time.Since(started).Milliseconds()))
	e.counters.indexRebuildEntities.Add(done)
	return nil
}

// backfillStep indexes the next chunk of entities and returns how many they
// were; when there are none it makes the index ready.
func (e *Engine) backfillStep(ctx context.Context, t *table, ix *index) (int, error) {
	t.ddl.Lock()
	defer t.ddl.Unlock()
	if !slices.Contains(t.schema.Load().list(), ix) {
		return 0, errs.New(errs.Conflict, "index_dropped", "the index %s was dropped while it was being built", ix.subject())
	}
	c := &chunk{e: e, ix: ix, bound: newTableSchema([]*index{ix}), dimensions: map[*index]int{}, owners: map[string]uint32{}}
	n := 0
	last := ix.build.through.Load()
	if last < math.MaxUint32 {
		err := e.store.Latest().ScanEntities(ctx, t.id, uint32(last+1), func(id uint32, raw []byte) (bool, error) {
			n++
			last = int64(id)
			return n < backfillChunk, c.add(id, raw)
		})
		if err != nil {
			return 0, err
		}
	}
	if n == 0 {
		return 0, e.makeReady(t, ix)
	}
	for _, dimension := range c.dimensions {
		if err := e.fixDimension(ix, dimension); err != nil {
			return 0, err
		}
	}
	// The commit that makes the index ready is a durable one and comes later in
	// the log, so these needn't be.
	_, err := e.store.Commit(&c.batch, storage.CommitOptions{Durability: storage.DurabilityNone, OnCommit: func(storage.Seq) {
		for _, ev := range c.events {
			ev.apply(e.log)
		}
	}})
	if err != nil {
		return 0, err
	}
	ix.build.through.Store(last)
	return n, nil
}

// chunk collects the entries of one backfill step.
type chunk struct {
	e          *Engine
	ix         *index
	bound      *tableSchema
	batch      storage.Batch
	events     []vectorEvent
	dimensions map[*index]int
	// owners are the unique terms of this chunk.
	owners    map[string]uint32
	extracted schema.Extracted
}

// add indexes one stored entity.
func (c *chunk) add(id uint32, raw []byte) error {
	r, err := decodeRecord(raw)
	if err != nil {
		return err
	}
	if err := c.bound.extractor.Extract(r.doc, &c.extracted); err != nil {
		return err
	}
	if c.ix.vector != nil {
		err = c.addVector(id, r)
	} else {
		err = c.addTerms(id, r)
	}
	if err != nil {
		return errs.Wrap(err, errs.Conflict, errs.CodeOf(err), "the entity %s:%s doesn't fit the index %s: %v; no index was made",
			c.ix.def.Table, r.pk, c.ix.subject(), err)
	}
	return nil
}

func (c *chunk) addVector(id uint32, r record) error {
	text := c.bound.indexes[0].vectorText(&c.extracted)
	if text == nil {
		return nil
	}
	vector, err := c.ix.parse(text, c.dimensions)
	if err != nil {
		return err
	}
	c.batch.PutVector(c.ix.def.ID, id, r.stamp, vector)
	c.batch.AddCounter(indexCounter(c.ix.def.ID), 1)
	c.events = append(c.events, vectorEvent{index: c.ix.vector, id: id, stamp: r.stamp, vector: vector})
	return nil
}

func (c *chunk) addTerms(id uint32, r record) error {
	terms, err := c.ix.def.Terms(&c.extracted, c.bound.indexes[0].columns)
	if err != nil {
		return err
	}
	for _, term := range terms {
		if c.ix.def.Unique && c.ix.def.Collides(term) {
			if err := c.claim(id, string(r.pk), term); err != nil {
				return err
			}
		}
		c.batch.PutTerm(c.ix.def.ID, term, id)
	}
	c.batch.AddCounter(indexCounter(c.ix.def.ID), int64(len(terms)))
	c.ix.noteTerms(&c.batch, len(terms))
	return nil
}

// claim takes a unique term for id.
func (c *chunk) claim(id uint32, pk string, term []byte) error {
	if owner, taken := c.owners[string(term)]; taken && owner != id {
		return errs.New(errs.Conflict, "duplicate_value", "another entity has the same value")
	}
	c.owners[string(term)] = id
	owner, taken, err := c.e.termOwner(c.ix.def.ID, term, id)
	if err == nil && taken {
		err = errs.New(errs.Conflict, "duplicate_value", "the entity with the internal id %d has the same value", owner)
	}
	return err
}

// termOwner returns an entity other than self that has that term.
func (e *Engine) termOwner(index uint32, term []byte, self uint32) (owner uint32, taken bool, err error) {
	r := storage.TermRange{Lo: term, Hi: keys.PrefixEnd(term)}
	err = e.store.Latest().ScanTerms(context.Background(), index, r, func(_ []byte, id uint32) (bool, error) {
		if id != self {
			owner, taken = id, true
		}
		return !taken, nil
	})
	return owner, taken, err
}

// checkTermFree refuses change c if another entity has its unique term. An
// expired one is noted for removal instead.
func (w *write) checkTermFree(b boundIndex, term []byte, c change) error {
	owner, taken, err := w.e.termOwner(b.def.ID, term, c.id)
	if err != nil || !taken {
		return err
	}
	key := Key{Table: c.table.name}
	expired := false
	err = w.e.store.Latest().Entities(c.table.id, []uint32{owner}, func(_ int, raw []byte) error {
		if raw == nil {
			return nil
		}
		r, err := decodeRecord(raw)
		if err != nil {
			return err
		}
		key.PK = string(r.pk)
		expired, err = c.schema.docExpired(r.doc, w.nowMs)
		return err
	})
	if err != nil {
		return err
	}
	if expired {
		w.expiredOwners = append(w.expiredOwners, Op{Kind: opSweep, Key: key})
		return nil
	}
	return duplicate(b.def, c.key, key)
}

func duplicate(def *schema.IndexDef, key, owner Key) error {
	return errs.New(errs.Conflict, "duplicate_value",
		"%s has the same value of %s as %s, and the index on it is unique; nothing was kept",
		key, strings.Join(def.Columns, ","), owner)
}

// makeReady puts ix into service, in place of the one it replaces. The
// caller holds the table's ddl lock.
func (e *Engine) makeReady(t *table, ix *index) error {
	def := ix.currentDef()
	def.State = schema.StateReady
	var b storage.Batch
	putIndexDef(&b, def)
	old := ix.build.replaces
	if old != nil {
		dropIndexRows(&b, old.def)
	}
	if _, err := e.store.Commit(&b, storage.CommitOptions{}); err != nil {
		return err
	}
	ready := &index{def: def, vector: ix.vector, multi: ix.multi}
	list := t.schema.Load().list()
	list = slices.DeleteFunc(list, func(x *index) bool { return x == old })
	list[slices.Index(list, ix)] = ready
	t.schema.Store(newTableSchema(list))
	if old != nil {
		old.close(e.log)
	}
	return nil
}

// abandonBuild removes an index whose backfill failed or was canceled.
func (e *Engine) abandonBuild(t *table, ix *index) {
	t.ddl.Lock()
	defer t.ddl.Unlock()
	if err := e.removeLocked(t, ix); err != nil {
		e.log.Error("an index that failed to build couldn't be removed; the next start removes it",
			"component", "index", "index", ix.subject(), "error", err)
	}
}

// removeLocked takes ix out of the schema and storage. The caller holds the
// table's ddl lock; an index that is gone already is fine.
func (e *Engine) removeLocked(t *table, ix *index) error {
	list := t.schema.Load().list()
	at := slices.Index(list, ix)
	if at < 0 {
		return nil
	}
	var b storage.Batch
	dropIndexRows(&b, ix.def)
	if _, err := e.store.Commit(&b, storage.CommitOptions{}); err != nil {
		return err
	}
	t.schema.Store(newTableSchema(slices.Delete(list, at, at+1)))
	ix.close(e.log)
	return nil
}

// DropIndex removes an index. One that is still being built has its job
// canceled first.
func (e *Engine) DropIndex(ctx context.Context, tableName string, columns []string, typ schema.IndexType) error {
	t, ix, err := e.index(tableName, columns, typ)
	if err != nil {
		return err
	}
	if err := e.cancelBuilds(ctx, t, func(b boundIndex) bool { return b.is(columns, ix.def.Type) }); err != nil {
		return err
	}
	t.ddl.Lock()
	defer t.ddl.Unlock()
	if current := t.schema.Load().find(columns, ix.def.Type); current != nil {
		return e.removeLocked(t, current)
	}
	return nil
}

// cancelBuilds stops the builds of those indexes of t and waits for them.
func (e *Engine) cancelBuilds(ctx context.Context, t *table, which func(boundIndex) bool) error {
	for _, b := range t.schema.Load().indexes {
		if b.build == nil || !which(b) {
			continue
		}
		job := b.build.job.Load()
		if job == nil {
			continue
		}
		job.Cancel()
		if err := job.Wait(ctx); err != nil && ctx.Err() != nil {
			return contextError(ctx.Err())
		}
	}
	return nil
}

// index finds an index by table, columns and type. An empty type stands for
// the only one on those columns.
func (e *Engine) index(tableName string, columns []string, typ schema.IndexType) (*table, *index, error) {
	t, err := e.table(tableName)
	if err != nil {
		return nil, nil, err
	}
	s := t.schema.Load()
	if typ != "" {
		if ix := s.find(columns, typ); ix != nil {
			return t, ix, nil
		}
		return nil, nil, errs.New(errs.NotFound, "index_not_found", "there is no %s index on %s.%s", typ, tableName, strings.Join(columns, ","))
	}
	var found *index
	for _, b := range s.indexes {
		if !slices.Equal(b.def.Columns, columns) || b.build != nil && b.build.replaces != nil {
			continue
		}
		if found != nil {
			return nil, nil, errs.Field("ambiguous_index", "/type", "%s.%s has several indexes; name the type", tableName, strings.Join(columns, ","))
		}
		found = b.index
	}
	if found == nil {
		return nil, nil, errs.New(errs.NotFound, "index_not_found", "there is no index on %s.%s", tableName, strings.Join(columns, ","))
	}
	return t, found, nil
}

// RebuildIndex starts building an index anew; the present one serves until
// that is done.
func (e *Engine) RebuildIndex(ctx context.Context, tableName string, columns []string, typ schema.IndexType) (*jobs.Job, error) {
	t, ix, err := e.index(tableName, columns, typ)
	if err != nil {
		return nil, err
	}
	if !ix.ready() {
		return nil, errs.New(errs.Conflict, "index_building", "the index %s is being built already", ix.subject())
	}
	return e.startBuild(ctx, t, *ix.currentDef(), ix)
}

// Reindex starts rebuilding every index of a table, one after the other.
func (e *Engine) Reindex(_ context.Context, tableName string) (*jobs.Job, error) {
	t, err := e.table(tableName)
	if err != nil {
		return nil, err
	}
	return e.jobs.Start("reindex", tableName, func(ctx context.Context, p jobs.Progress) error {
		var ready []*index
		for _, b := range t.schema.Load().indexes {
			if b.ready() {
				ready = append(ready, b.index)
			}
		}
		for i, ix := range ready {
			p.Set(uint64(i), uint64(len(ready)))
			job, err := e.startBuild(ctx, t, *ix.currentDef(), ix)
			if err != nil {
				return err
			}
			if err := job.Wait(ctx); err != nil {
				job.Cancel()
				return err
			}
		}
		p.Set(uint64(len(ready)), uint64(len(ready)))
		return nil
	})
}

// IndexStats describes the indexes of one table, or of all when the name is
// empty.
func (e *Engine) IndexStats(_ context.Context, tableName string) ([]IndexInfo, error) {
	tables := e.allTables()
	if tableName != "" {
		t, err := e.table(tableName)
		if err != nil {
			return nil, err
		}
		tables = []*table{t}
	}
	infos := []IndexInfo{}
	for _, t := range tables {
		for _, b := range t.schema.Load().indexes {
			info, err := e.indexInfo(b.index)
			if err != nil {
				return nil, err
			}
			infos = append(infos, info)
		}
	}
	return infos, nil
}

func (e *Engine) indexInfo(ix *index) (IndexInfo, error) {
	size, err := e.store.ApproximateBytes(storage.SizeOfIndex, ix.def.ID)
	if err != nil {
		return IndexInfo{}, err
	}
	info := IndexInfo{
		IndexDef:   *ix.currentDef(),
		EntryCount: uint64(e.store.Counter(indexCounter(ix.def.ID))),
		SizeBytes:  size,
	}
	if ix.vector != nil {
		if v := ix.vector.current(); v != nil {
			stats := v.Stats()
			info.VectorStats = &stats
		}
	}
	return info, nil
}

// resumeBuilds continues at a start what the last stop cut off: a new index is
// built from the beginning, the second half of a rebuild is dropped because
// the first still serves.
func (e *Engine) resumeBuilds() error {
	for _, t := range e.allTables() {
		for _, b := range t.schema.Load().indexes {
			if b.ready() {
				continue
			}
			if old := t.schema.Load().find(b.def.Columns, b.def.Type); old != nil && old.ready() {
				e.log.Info("dropping an unfinished rebuild; the index it was to replace serves", "component", "index", "index", b.subject())
				if err := e.removeLocked(t, b.index); err != nil {
					return err
				}
				continue
			}
			if err := e.restartBuild(t, b.index); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Engine) restartBuild(t *table, ix *index) error {
	e.log.Info("building an index again from the beginning", "component", "index", "index", ix.subject())
	var b storage.Batch
	dropIndexRows(&b, ix.def)
	ix.multi.Store(false)
	putIndexDef(&b, ix.def)
	if _, err := e.store.Commit(&b, storage.CommitOptions{}); err != nil {
		return err
	}
	_, err := e.startBackfill(t, ix)
	return err
}
