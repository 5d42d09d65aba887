package engine

import (
	"context"

	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/storage"
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
