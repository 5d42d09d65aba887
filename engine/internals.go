package engine

import (
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/vecindex"
)

// Internals is how the storage holds the data.
type Internals = storage.Internals

// Internals reads how the storage holds the data.
func (e *Engine) Internals() (Internals, error) { return e.store.Internals() }

// Kernels names the instruction sets that distances can be computed with on this
// machine; the first is used.
func Kernels() []string { return vecindex.Kernels() }
