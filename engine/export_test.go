package engine

import "github.com/vccdb/vccdb/storage"

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
