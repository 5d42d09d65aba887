package engine

import (
	"bytes"
	"slices"

	"github.com/vccdb/vccdb/internal/invariants"
	"github.com/vccdb/vccdb/storage"
)

// change is one op that takes effect: the entity before and after it.
type change struct {
	op    int
	table *table
	// schema is the table's, fixed for the duration of the write.
	schema *tableSchema
	id     uint32
	key    Key
	// before is what storage or an earlier change of this batch holds; nil if
	// nothing. An expired entity is there, though the op saw none.
	before *version
	// after is nil for a delete, whose stamp stands in deleted.
	after   *version
	deleted uint64
}

// version is one state of an entity with what its indexes see in it.
type version struct {
	stamp   uint64
	version uint64
	doc     []byte
	// expired is set when a ttl index says so; ops then treat it as absent.
	expired bool
	// terms and vectors are parallel to the schema's indexes.
	terms   [][][]byte
	vectors []vectorText
}

// vectorText is a vector column's JSON, and its numbers once they are needed.
type vectorText struct {
	raw    []byte
	vector []float32
}

// sizeBytes is about what the rows of c take in a batch.
func (c *change) sizeBytes() int {
	const rows = 160 // keys, ids, stamps and the record in the oplog
	size := rows + 3*len(c.key.PK)
	if c.after != nil {
		size += len(c.after.doc)
		for i := range c.after.vectors {
			size += 4 * len(c.after.vectors[i].vector)
		}
	}
	return size
}

// addTo writes c into b and returns events with those for vector indexes.
func (c *change) addTo(store *storage.Store, b *storage.Batch, events []vectorEvent) []vectorEvent {
	counter := tableCounter(c.table.id)
	switch {
	case c.after == nil:
		last := record{stamp: c.deleted, version: c.before.version, pk: []byte(c.key.PK)}
		b.DeleteEntity(c.table.id, c.id, c.key.PK, c.deleted, last.encode())
		b.AddCounter(counter, -1)
	default:
		r := record{stamp: c.after.stamp, version: c.after.version, pk: []byte(c.key.PK), doc: c.after.doc}
		b.PutEntity(c.table.id, c.id, c.key.PK, c.after.stamp, r.encode())
		if c.before == nil {
			b.AddCounter(counter, 1)
		}
	}
	for i, ix := range c.schema.indexes {
		if !ix.covers(c.id) {
			continue
		}
		if ix.vector != nil {
			events = c.addVector(b, i, events)
		} else {
			c.addTerms(store, b, i)
		}
	}
	return events
}

func (c *change) addTerms(store *storage.Store, b *storage.Batch, i int) {
	ix := c.schema.indexes[i]
	var before, after [][]byte
	if c.before != nil {
		before = c.before.terms[i]
	}
	if c.after != nil {
		after = c.after.terms[i]
	}
	if invariants.Enabled {
		strictly := func(terms [][]byte) bool {
			return slices.IsSortedFunc(terms, bytes.Compare) && len(slices.CompactFunc(slices.Clone(terms), bytes.Equal)) == len(terms)
		}
		invariants.Check(strictly(before) && strictly(after), "the terms of %s in %s aren't strictly ascending", c.key, ix.subject())
	}
	ix.noteTerms(store, b, len(after))
	added := 0
	diffSorted(before, after,
		func(t []byte) { b.DeleteTerm(ix.def.ID, t, c.id); added-- },
		func(t []byte) { b.PutTerm(ix.def.ID, t, c.id); added++ })
	if added != 0 {
		b.AddCounter(indexCounter(ix.def.ID), int64(added))
	}
}

func (c *change) addVector(b *storage.Batch, i int, events []vectorEvent) []vectorEvent {
	ix := c.schema.indexes[i]
	had := c.before != nil && c.before.vectors[i].raw != nil
	switch has := c.after != nil && c.after.vectors[i].raw != nil; {
	case has && c.after.vectors[i].vector != nil:
		v := c.after.vectors[i].vector
		b.PutVector(ix.def.ID, c.id, c.after.stamp, v)
		if !had {
			b.AddCounter(indexCounter(ix.def.ID), 1)
		}
		return append(events, vectorEvent{index: ix.vector, id: c.id, stamp: c.after.stamp, vector: v})
	case had && !has:
		b.DeleteVector(ix.def.ID, c.id)
		b.AddCounter(indexCounter(ix.def.ID), -1)
		return append(events, vectorEvent{index: ix.vector, id: c.id})
	}
	// The same vector as before, or none as before.
	return events
}

// diffSorted calls removed and added for what two sorted lists don't share.
func diffSorted(before, after [][]byte, removed, added func([]byte)) {
	for len(before) > 0 || len(after) > 0 {
		var order int
		switch {
		case len(before) == 0:
			order = 1
		case len(after) == 0:
			order = -1
		default:
			order = bytes.Compare(before[0], after[0])
		}
		if order < 0 {
			removed(before[0])
		}
		if order > 0 {
			added(after[0])
		}
		if order <= 0 {
			before = before[1:]
		}
		if order >= 0 {
			after = after[1:]
		}
	}
}
