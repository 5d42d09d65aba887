package engine

import (
	"github.com/vccdb/vccdb/internal/errs"
)

// The memory limit of vector indexes
//
// A new vector that would take an index over its limit is refused before anything is
// written, instead of the process being killed for want of memory. Whoever writes one
// first claims its room and gives the claim back once the index has the vector, or
// won't get it: what is claimed at a time counts as taken. Arrays grow by steps, so room
// is foreseen with the step that a vector would cause.
//
// What is in the index already is never refused: a start loads all of it, and changes
// that give an entity no other vector need no room. A replaced vector takes a place of
// its own until the one before is swept, so it needs room like a new one.

// claims are what one writer has claimed.
type claims map[*vectorIndex]int64

// claim takes room for one more vector. It fails with StorageFull "vector_memory_full".
func (c claims) claim(v *vectorIndex) error {
	limit := v.opts.MemoryLimit
	if limit <= 0 {
		return nil
	}
	index := v.current()
	if index == nil {
		return nil // it gets its dimension, and first memory, with this write
	}
	claimed := v.claimed.Add(1)
	if will := index.MemoryWith(int(claimed)); will > limit && will > index.MemoryWith(0) {
		v.claimed.Add(-1)
		return errs.New(errs.StorageFull, "vector_memory_full",
			"the vector index %s would take %d MiB of memory with one more vector, and may have %d; the entity was not changed. "+
				"Delete entities, give the index a quantization that takes less, or raise vector_index.memory_limit_mb",
			v.subject, will>>20, limit>>20)
	}
	c[v]++
	return nil
}

// release gives all claims back.
func (c claims) release() {
	for v, n := range c {
		v.claimed.Add(-n)
	}
	clear(c)
}
