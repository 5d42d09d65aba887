package engine

import "github.com/vccdb/vccdb/storage"

// Internals is how the storage holds the data.
type Internals = storage.Internals

// Internals reads how the storage holds the data.
func (e *Engine) Internals() (Internals, error) { return e.store.Internals() }
