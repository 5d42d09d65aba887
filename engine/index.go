package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
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
	defaults := e.VectorDefaults()
	setDefault(&c.Metric, defaults.Metric)
	setDefault(&c.M, defaults.M)
	setDefault(&c.EfConstruction, defaults.EfConstruction)
	setDefault(&c.Quantization, defaults.Quantization)
	setDefault(&c.Engine, defaults.Engine)
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
	if replaces != nil && !slices.Contains(s.list(), replaces) {
		return nil, errs.New(errs.NotFound, "index_not_found", "the index %s was dropped or rebuilt at the same moment; nothing was built", replaces.subject())
	}
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
		v, err := e.newVectorIndex(&def, false)
		if err != nil {
			return nil, err
		}
		ix.vector = v
	}
	putIndexDef(&batch, &def)
	if _, err := e.store.Commit(&batch, storage.CommitOptions{}); err != nil {
		e.closeIndex(ix)
		return nil, err
	}
	t.schema.Store(newTableSchema(append(s.list(), ix)))
	return e.startBackfill(t, ix)
}

// startBackfill starts the job that builds ix, which is in t's schema.
func (e *Engine) startBackfill(t *table, ix *index) (*jobs.Job, error) {
	kind := IndexBuildKind
	if ix.build.replaces != nil {
		kind = IndexRebuildKind
	}
	job, err := e.jobs.Start(kind, ix.subject(), func(ctx context.Context, p jobs.Progress) error {
		err := e.backfill(ctx, t, ix, p)
		// A server that shuts down leaves the index to the next start.
		if err == nil || e.ctx.Err() != nil {
			return err
		}
		e.abandonBuild(t, ix)
		if errors.Is(err, context.Canceled) {
			err = errs.Wrap(err, errs.Canceled, "job_canceled", "the build of %s was canceled; what it had built was removed", ix.subject())
		}
		return err
	})
	ix.build.job.Store(job)
	return job, err
}

// makeReady puts ix into service, in place of the one it replaces. The
// caller holds the table's ddl lock.
func (e *Engine) makeReady(t *table, ix *index) error {
	def := ix.storedDef()
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
	ready := &index{def: def, vector: ix.vector, multi: ix.multi, readyAfter: e.store.Snapshots()}
	list := t.schema.Load().list()
	list = slices.DeleteFunc(list, func(x *index) bool { return x == old })
	list[slices.Index(list, ix)] = ready
	t.schema.Store(newTableSchema(list))
	if old != nil {
		e.closeIndex(old)
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

// removeLocked takes indexes out of the schema and storage, all or none. The
// caller holds the table's ddl lock; those that are gone already are fine.
func (e *Engine) removeLocked(t *table, indexes ...*index) error {
	var b storage.Batch
	var kept, gone []*index
	for _, ix := range t.schema.Load().list() {
		if !slices.Contains(indexes, ix) {
			kept = append(kept, ix)
			continue
		}
		gone = append(gone, ix)
		dropIndexRows(&b, ix.def)
	}
	if len(gone) == 0 {
		return nil
	}
	if _, err := e.store.Commit(&b, storage.CommitOptions{}); err != nil {
		return err
	}
	t.schema.Store(newTableSchema(kept))
	for _, ix := range gone {
		e.closeIndex(ix)
	}
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
	return e.dropIndex(t, columns, ix.def.Type)
}

// dropIndex removes an index, and with it a rebuild of it that has begun since
// builds were canceled and would bring it back. That ends at its next step.
func (e *Engine) dropIndex(t *table, columns []string, typ schema.IndexType) error {
	t.ddl.Lock()
	defer t.ddl.Unlock()
	var all []*index
	for _, b := range t.schema.Load().indexes {
		if b.is(columns, typ) {
			all = append(all, b.index)
		}
	}
	return e.removeLocked(t, all...)
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
	return e.startBuild(ctx, t, *ix.storedDef(), ix)
}

// Reindex starts rebuilding every index of a table, one after the other.
func (e *Engine) Reindex(_ context.Context, tableName string) (*jobs.Job, error) {
	t, err := e.table(tableName)
	if err != nil {
		return nil, err
	}
	return e.jobs.Start(ReindexKind, tableName, func(ctx context.Context, p jobs.Progress) error {
		var ready []*index
		for _, b := range t.schema.Load().indexes {
			if b.ready() {
				ready = append(ready, b.index)
			}
		}
		p.Unit("indexes")
		for i, ix := range ready {
			p.Set(uint64(i), uint64(len(ready)))
			job, err := e.startBuild(ctx, t, *ix.storedDef(), ix)
			if errs.CodeOf(err) == "index_not_found" {
				continue // there is nothing to rebuild any more
			}
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
	indexes, err := e.indexes(tableName)
	if err != nil {
		return nil, err
	}
	return e.indexInfos(indexes)
}

// indexes lists the indexes of one table, or of all when the name is empty.
func (e *Engine) indexes(tableName string) ([]*index, error) {
	tables := e.allTables()
	if tableName != "" {
		t, err := e.table(tableName)
		if err != nil {
			return nil, err
		}
		tables = []*table{t}
	}
	var indexes []*index
	for _, t := range tables {
		indexes = append(indexes, t.schema.Load().list()...)
	}
	return indexes, nil
}

// indexInfos describes indexes by what is known without going over them.
func (e *Engine) indexInfos(indexes []*index) ([]IndexInfo, error) {
	ids := make([]uint32, len(indexes))
	for i, ix := range indexes {
		ids[i] = ix.def.ID
	}
	sizes, err := e.store.ApproximateBytes(storage.SizeOfIndex, ids...)
	if err != nil {
		return nil, err
	}
	infos := make([]IndexInfo, len(indexes))
	for i, ix := range indexes {
		infos[i] = IndexInfo{
			IndexDef:   *ix.currentDef(),
			EntryCount: uint64(e.store.Counter(indexCounter(ix.def.ID))),
			SizeBytes:  sizes[i],
			Rebuild:    ix.build != nil && ix.build.replaces != nil,
		}
		if ix.build != nil {
			if job := ix.build.job.Load(); job != nil {
				infos[i].JobID = job.ID()
			}
		}
		if ix.vector == nil {
			continue
		}
		infos[i].Loading, infos[i].EfByDefault = ix.vector.loading.Load(), ix.vector.ef.Load() == 0
		infos[i].Checkpoint = ix.vector.checkpoints.describe(e.store.LastSeq())
		infos[i].Recall = ix.vector.probe.Load()
		infos[i].MemoryLimit = ix.vector.opts.MemoryLimit
		if v := ix.vector.current(); v != nil {
			usage := v.Usage()
			infos[i].Usage = &usage
		}
		if d := ix.vector.device(); d != nil {
			stats := d.Device()
			infos[i].Device = &stats
		}
	}
	return infos, nil
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
