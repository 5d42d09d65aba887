package engine

import (
	"context"

	"github.com/vccdb/vccdb/engine/query"
)

// exportWindow bounds the entities that one export has in memory: it waits for
// whoever takes them, which may be long.
const exportWindow = 500

// Export calls fn with the entities of a table that match a filter, nil for all,
// as they are at the moment of the call, whatever is written meanwhile. It ends
// with the error of fn, if there is one. An entity is fn's to keep; Export itself
// has a few hundred in memory. The old versions of what is written meanwhile stay
// on disk until it returns.
func (e *Engine) Export(ctx context.Context, tableName string, filter *query.Expr, fn func(*Entity) error) error {
	t, err := e.table(tableName)
	if err != nil {
		return err
	}
	snapshot := e.store.NewSnapshot()
	defer snapshot.Release()
	x, err := e.newExecution(ctx, snapshot, t, filter, nil, 0)
	if err != nil {
		return contextError(err)
	}
	x.window = exportWindow
	err = x.each(ctx, 0, func(m match) (bool, error) {
		r := m.record
		return true, fn(&Entity{Key: Key{t.name, string(r.pk)}, Version: r.version, UpdatedAt: stampTime(r.stamp), Doc: r.doc})
	})
	return contextError(err)
}
