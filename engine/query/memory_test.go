package query

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/engine/schema"
)

// memoryTable carries plans out over terms in memory, as the engine does over
// RocksDB.
type memoryTable struct {
	docs    [][]byte // by id
	indexes []*schema.IndexDef
	entries map[uint32][]entry
	// single are the indexes in which no document has two terms.
	single map[uint32]bool
	// entities, if not 0, is what the estimator claims.
	entities int
	// skew, if set, is added to counts beyond the limit.
	skew func() int
	// inMemory, if set, says whether the ids of a range are.
	inMemory func() bool
}

type entry struct {
	term []byte
	id   uint32
}

func compareEntries(a, b entry) int {
	return cmp.Or(bytes.Compare(a.term, b.term), cmp.Compare(a.id, b.id))
}

func newMemoryTable(t testing.TB, docs [][]byte, indexes []*schema.IndexDef) *memoryTable {
	t.Helper()
	m := &memoryTable{docs: docs, indexes: indexes, entries: map[uint32][]entry{}, single: map[uint32]bool{}}
	for _, def := range indexes {
		if err := m.fill(def); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *memoryTable) fill(def *schema.IndexDef) error {
	x := schema.NewExtractor(def.Columns...)
	cols := make([]int, len(def.Columns))
	for i := range cols {
		cols[i] = i
	}
	m.single[def.ID] = true
	var out schema.Extracted
	for id, doc := range m.docs {
		if err := x.Extract(doc, &out); err != nil {
			return err
		}
		terms, err := def.Terms(&out, cols)
		if err != nil {
			return err
		}
		if len(terms) > 1 {
			m.single[def.ID] = false
		}
		for _, term := range terms {
			m.entries[def.ID] = append(m.entries[def.ID], entry{term, uint32(id)})
		}
	}
	slices.SortFunc(m.entries[def.ID], compareEntries)
	return nil
}

func (m *memoryTable) Entities() int {
	if m.entities > 0 {
		return m.entities
	}
	return len(m.docs)
}

func (m *memoryTable) Count(_ context.Context, index uint32, r Range, limit int) (int, bool, error) {
	n := len(m.scan(index, r))
	if n <= limit || m.inMemory != nil && m.inMemory() {
		return n, true, nil
	}
	if m.skew != nil {
		n += m.skew()
	}
	return n, false, nil
}

func (m *memoryTable) scan(index uint32, r Range) []entry {
	var out []entry
	for _, e := range m.entries[index] {
		if bytes.Compare(e.term, r.Lo) >= 0 && (r.Hi == nil || bytes.Compare(e.term, r.Hi) < 0) {
			out = append(out, e)
		}
	}
	return out
}

// ids carries a node out.
func (m *memoryTable) ids(node Node) map[uint32]bool {
	out := map[uint32]bool{}
	switch n := node.(type) {
	case *TermScan:
		for _, r := range n.Ranges {
			for _, e := range m.scan(n.Index, r) {
				out[e.id] = true
			}
		}
	case *Union:
		for _, child := range n.Children {
			for id := range m.ids(child) {
				out[id] = true
			}
		}
	case *Intersection:
		out = m.ids(n.Children[0])
		for _, child := range n.Children[1:] {
			ids := m.ids(child)
			for id := range out {
				if !ids[id] {
					delete(out, id)
				}
			}
		}
	case *Difference:
		out = m.ids(n.From)
		for id := range m.ids(n.Without) {
			delete(out, id)
		}
	case *FullScan:
		for id := range m.docs {
			out[uint32(id)] = true
		}
	}
	return out
}

// run answers a query by its plan: the matching ids in order, at most limit
// (0: all).
func (m *memoryTable) run(t testing.TB, plan *Plan, order []Order, limit int) []uint32 {
	t.Helper()
	match := plan.Residual.Compile()
	sorter := NewSorter(order)
	passes := func(id uint32) bool {
		ok, err := match.Match(m.docs[id])
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if walk, ok := plan.Root.(*OrderScan); ok {
		return m.walk(t, walk, sorter, passes, limit)
	}
	keys := map[uint32][]byte{}
	var out []uint32
	for id := range m.ids(plan.Root) {
		if passes(id) {
			keys[id] = m.key(t, sorter, id)
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b uint32) int { return bytes.Compare(keys[a], keys[b]) })
	return firstOf(out, limit)
}

func (m *memoryTable) walk(t testing.TB, walk *OrderScan, sorter *Sorter, passes func(uint32) bool, limit int) []uint32 {
	t.Helper()
	entries := m.scan(walk.Index, walk.Range)
	if walk.Desc {
		slices.Reverse(entries)
	}
	out := []uint32{}
	for _, e := range entries {
		if len(out) == limit {
			return out
		}
		if bytes.Equal(sorter.AppendTermKey(nil, e.term, e.id), m.key(t, sorter, e.id)) && passes(e.id) {
			out = append(out, e.id)
		}
	}
	if !walk.MissingLast {
		return out
	}
	var missing []uint32
	for id := range m.docs {
		if term, _, ok := sorter.Position(m.key(t, sorter, uint32(id))); ok && term == nil && passes(uint32(id)) {
			missing = append(missing, uint32(id))
		}
	}
	if walk.Desc {
		slices.Reverse(missing)
	}
	return firstOf(append(out, missing...), limit)
}

func (m *memoryTable) key(t testing.TB, sorter *Sorter, id uint32) []byte {
	t.Helper()
	key, err := sorter.AppendKey(nil, m.docs[id], id)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func firstOf(ids []uint32, limit int) []uint32 {
	if limit > 0 && len(ids) > limit {
		return ids[:limit]
	}
	return ids
}
