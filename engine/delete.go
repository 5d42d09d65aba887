package engine

import (
	"context"

	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/errs"
)

// StartDelete starts a job that does what DeleteWhere does. Its units are the
// entities that matched when it began; those deleted when it is canceled stay
// deleted.
func (e *Engine) StartDelete(tableName string, filter *query.Expr) (*jobs.Job, error) {
	t, err := e.table(tableName)
	if err != nil {
		return nil, err
	}
	return e.jobs.Start(DeleteKind, tableName, func(ctx context.Context, p jobs.Progress) error {
		p.Unit("entities")
		found, err := e.Query(ctx, QueryRequest{Table: tableName, Filter: filter, Return: ReturnCount})
		if err != nil {
			return err
		}
		total := uint64(found.Count)
		p.Set(0, total)
		deleted, err := e.deleteWhere(ctx, t, filter, func(deleted int) { p.Set(uint64(deleted), max(total, uint64(deleted))) })
		if err == nil {
			p.Set(uint64(deleted), uint64(deleted))
		}
		return err
	})
}

// DeleteWhere deletes the entities of a table that match a filter at the time
// of the call, and returns how many. One that changes while that goes on is
// looked at again.
func (e *Engine) DeleteWhere(ctx context.Context, tableName string, filter *query.Expr) (int, error) {
	t, err := e.table(tableName)
	if err != nil {
		return 0, err
	}
	return e.deleteWhere(ctx, t, filter, func(int) {})
}

// deleteWhere tells report after each batch how many it has deleted.
func (e *Engine) deleteWhere(ctx context.Context, t *table, filter *query.Expr, report func(deleted int)) (int, error) {
	deleted := 0
	for {
		n, changed, err := e.deletePass(ctx, t, filter, func(n int) { report(deleted + n) })
		deleted += n
		if err != nil || changed == 0 {
			return deleted, contextError(err)
		}
	}
}

// deleteBatch is how many entities one write of a bulk deletion removes.
const deleteBatch = 1000

// deletePass deletes the matches of one snapshot, except those that have
// changed since, which it counts.
func (e *Engine) deletePass(ctx context.Context, t *table, filter *query.Expr, report func(deleted int)) (deleted, changed int, err error) {
	snapshot := e.store.NewSnapshot()
	defer snapshot.Release()
	x, err := e.newExecution(ctx, snapshot, t, filter, nil, 0)
	if err != nil {
		return 0, 0, err
	}
	var ops []Op
	flush := func() error {
		n, c, err := e.deleteAll(ctx, ops)
		deleted, changed, ops = deleted+n, changed+c, ops[:0]
		report(deleted)
		return err
	}
	err = x.each(ctx, 0, func(m match) (bool, error) {
		v := m.record.version
		ops = append(ops, Op{Kind: OpDelete, Key: Key{t.name, string(m.record.pk)}, IfVersion: &v})
		if len(ops) == deleteBatch {
			return true, flush()
		}
		return true, nil
	})
	if err == nil {
		err = flush()
	}
	return deleted, changed, err
}

// deleteAll carries out deletions, some of which may come too late.
func (e *Engine) deleteAll(ctx context.Context, ops []Op) (deleted, changed int, err error) {
	if len(ops) == 0 {
		return 0, 0, nil
	}
	results, err := e.Apply(ctx, ops, false)
	if err != nil {
		return 0, 0, err
	}
	for _, r := range results {
		switch errs.KindOf(r.Err) {
		case errs.NotFound:
		case errs.Precondition:
			changed++
		default:
			if r.Err != nil {
				return deleted, changed, r.Err
			}
			deleted++
		}
	}
	return deleted, changed, nil
}

// DeletePrefix deletes the entities whose primary key begins with prefix.
func (e *Engine) DeletePrefix(ctx context.Context, tableName, prefix string) (int, error) {
	t, err := e.table(tableName)
	if err != nil {
		return 0, err
	}
	snapshot := e.store.NewSnapshot()
	defer snapshot.Release()
	deleted := 0
	var ops []Op
	flush := func() error {
		n, _, err := e.deleteAll(ctx, ops)
		deleted, ops = deleted+n, ops[:0]
		return err
	}
	err = snapshot.ScanPKs(ctx, t.id, prefix, func(pk string, _ uint32) (bool, error) {
		ops = append(ops, Op{Kind: OpDelete, Key: Key{t.name, pk}})
		if len(ops) == deleteBatch {
			return true, flush()
		}
		return true, nil
	})
	if err == nil {
		err = flush()
	}
	return deleted, contextError(err)
}
