package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/vecindex"
)

// DamageIndex removes the entries of a table's first index behind the engine's
// back, for the test that Check sees it.
func DamageIndex(e *Engine, tableName string) error {
	t, err := e.table(tableName)
	if err != nil {
		return err
	}
	var b storage.Batch
	b.DropIndex(t.schema.Load().indexes[0].def.ID)
	_, err = e.store.Commit(&b, storage.CommitOptions{})
	return err
}

// RebuildDropped starts a rebuild of an index that is dropped after the rebuild
// has found it.
func RebuildDropped(ctx context.Context, e *Engine, tableName, column string, typ schema.IndexType) error {
	t, ix, err := e.index(tableName, []string{column}, typ)
	if err != nil {
		return err
	}
	if err := e.DropIndex(ctx, tableName, []string{column}, typ); err != nil {
		return err
	}
	_, err = e.startBuild(ctx, t, *ix.storedDef(), ix)
	return err
}

// DropRebuilt drops an index whose rebuild begins after the drop has canceled the
// builds that there were, and returns the rebuild's job.
func DropRebuilt(ctx context.Context, e *Engine, tableName, column string, typ schema.IndexType) (*jobs.Job, error) {
	job, err := e.RebuildIndex(ctx, tableName, []string{column}, typ)
	if err != nil {
		return nil, err
	}
	t, err := e.table(tableName)
	if err != nil {
		return nil, err
	}
	return job, e.dropIndex(t, []string{column}, typ)
}

// KeepFewTerms makes the engine keep bitmaps also of terms with few ids.
func KeepFewTerms(e *Engine) { e.sets.few = 1 }

// TermSets are the figures of the bitmaps kept for filters.
func TermSets(e *Engine) TermSetStats { return e.sets.stats() }

// State is one state of the database, and what a filter finds in it.
type State struct {
	e        *Engine
	snapshot *storage.Snapshot
}

// Pin pins the present state.
func Pin(e *Engine) *State { return &State{e, e.store.NewSnapshot()} }

// Release gives it up.
func (s *State) Release() { s.snapshot.Release() }

// Matching finds the ids that pass a filter as a vector search does.
func (s *State) Matching(ctx context.Context, tableName string, filter *query.Expr) ([]uint32, error) {
	t, err := s.e.table(tableName)
	if err != nil {
		return nil, err
	}
	set, _, err := s.e.matchingIDs(ctx, s.snapshot, t, filter)
	if err != nil {
		return nil, err
	}
	ids := slices.Collect(set.All)
	if len(ids) != set.Len() {
		return nil, fmt.Errorf("a set of %d ids says it has %d", len(ids), set.Len())
	}
	return ids, nil
}

// Scanned finds them by looking at every entity.
func (s *State) Scanned(ctx context.Context, tableName string, filter *query.Expr) ([]uint32, error) {
	t, err := s.e.table(tableName)
	if err != nil {
		return nil, err
	}
	var ids []uint32
	matcher := filter.Compile()
	schema, now := t.schema.Load(), s.e.opts.Now().UnixMilli()
	return ids, s.snapshot.ScanEntities(ctx, t.id, 0, func(id uint32, raw []byte) (bool, error) {
		r, err := decodeRecord(raw)
		if err != nil {
			return false, err
		}
		expired, err := schema.docExpired(r.doc, now)
		if err != nil || expired {
			return true, err
		}
		ok, err := matcher.Match(r.doc)
		if ok {
			ids = append(ids, id)
		}
		return true, err
	})
}

// CountMatching turns a filter into the set of ids as a vector search does and
// returns how many there are.
func CountMatching(ctx context.Context, e *Engine, tableName string, filter *query.Expr) (int, error) {
	t, err := e.table(tableName)
	if err != nil {
		return 0, err
	}
	snapshot := e.store.NewSnapshot()
	defer snapshot.Release()
	set, _, err := e.matchingIDs(ctx, snapshot, t, filter)
	if err != nil {
		return 0, err
	}
	return set.Len(), nil
}

// TrimOplog removes what no start needs of the oplog, but for checkpoints.
func TrimOplog(e *Engine) error { return e.store.TrimOplog(e.store.LastSeq() - oplogKeep) }

// OplogNeeded is how far checkpoints let the oplog be trimmed.
func OplogNeeded(e *Engine) uint64 { return uint64(e.oplogNeeded(e.store.LastSeq())) }

// SearchAfter is Search, but calls between after the filter was asked and before the
// index is.
func SearchAfter(ctx context.Context, e *Engine, req SearchRequest, between func()) ([]SearchResult, error) {
	s, err := e.newSearch(&req)
	if err != nil {
		return nil, err
	}
	defer s.state.release()
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	between()
	return s.all(ctx)
}

// HoldIndex keeps what is committed from a table's vector index until release is
// called.
func HoldIndex(e *Engine, tableName string) (release func(), err error) {
	_, ix, err := e.vectorIndexOf(tableName, "")
	if err != nil {
		return nil, err
	}
	ix.vector.write.Lock()
	return ix.vector.write.Unlock, nil
}

// Snapshots counts the snapshots that were taken.
func Snapshots(e *Engine) uint64 { return e.store.Snapshots() }

// full is an index without room for vectors.
type full struct{ vecindex.Index }

func (full) Put(uint32, uint64, []float32) error {
	return errs.New(errs.Unavailable, "vector_index_full", "no room")
}

// FillIndex leaves a table's vector index without room, until room is called.
func FillIndex(e *Engine, tableName string) (room func(), err error) {
	_, ix, err := e.vectorIndexOf(tableName, "")
	if err != nil {
		return nil, err
	}
	whole := ix.vector.index.Load()
	var without vecindex.Index = full{*whole}
	ix.vector.index.Store(&without)
	return func() { ix.vector.index.Store(whole) }, nil
}

// NewTimeline makes the copy of a database at path one of its own, as a restore does.
func NewTimeline(path string) error {
	_, err := storage.Adopt(path)
	return err
}
