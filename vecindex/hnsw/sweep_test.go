package hnsw

import (
	"slices"
	"testing"
)

// unlink takes away some of a node's links on level 0.
func unlink(x *Index, slot uint32, gone func(to uint32) bool) {
	row := x.graph.row(slot, 0)
	writeLinks(row, slices.DeleteFunc(appendLinks(nil, row), gone))
}

// TestUnreachableIsRejoined takes away all links to a node but those of nodes that
// are then deleted: the sweep links it again.
func TestUnreachableIsRejoined(t *testing.T) {
	const n, victims, dim = 1500, 600, 8
	c := newClusters(30, dim, 10)
	x := open(t, Options{Dimension: dim, M: 8, EfConstruction: 40})
	for id := range uint32(n) {
		put(t, x, id, c.vector())
	}
	drain(t, x)
	target, _ := x.slots.placeOf(n - 1)
	if entry, _, _ := x.graph.entryPoint(); entry == target {
		t.Fatal("the target is the entry; draw other vectors")
	}
	for id := uint32(victims); id < n; id++ {
		slot, _ := x.slots.placeOf(id)
		unlink(x, slot, func(to uint32) bool { return to == target })
	}
	// All at once, so that the first sweep takes them all.
	x.linking.RLock()
	for id := range uint32(victims) {
		x.Delete(id)
	}
	x.linking.RUnlock()
	await(t, "the sweep", func() bool { return x.linked.Load() == n-victims })
	if !x.reachable()[target] {
		t.Error("the node can't be reached")
	}
}

// TestTidy: dead nodes that are too few for a sweep are swept all the same once the
// index is left alone.
func TestTidy(t *testing.T) {
	const n, few, dim = 4000, 300, 8
	c := newClusters(31, dim, 10)
	x := open(t, Options{Dimension: dim, M: 6, EfConstruction: 30})
	for id := range uint32(n) {
		put(t, x, id, c.vector())
	}
	drain(t, x)
	for id := range uint32(few) {
		x.Delete(id)
	}
	if x.due(x.sweepDueLocked) {
		t.Fatalf("%d of %d dead are to be too few for a sweep", few, n)
	}
	await(t, "the sweep", func() bool { return x.Stats().Tombstones == 0 })
}

// TestStrandedAreRejoined takes away all links to some nodes: once the index is left
// alone, after enough others were linked, they are linked again.
func TestStrandedAreRejoined(t *testing.T) {
	const n, dim, stride = 1500, 8, 100
	c := newClusters(32, dim, 10)
	x := open(t, Options{Dimension: dim, M: 8, EfConstruction: 40})
	for id := range uint32(n) {
		put(t, x, id, c.vector())
	}
	drain(t, x)
	await(t, "the first look", func() bool { return !x.due(x.tidyDueLocked) })
	entry, _, _ := x.graph.entryPoint()
	victim := func(slot uint32) bool { return slot%stride == 0 && slot != entry }
	for slot := range uint32(n) {
		unlink(x, slot, victim)
	}
	unreached := func() (count int) {
		for slot, is := range x.reachable() {
			if !is && x.isLinked(uint32(slot)) {
				count++
			}
		}
		return count
	}
	if got := unreached(); got < n/stride-1 {
		t.Fatalf("%d nodes can't be reached", got)
	}
	for id := range uint32(n / 4) {
		put(t, x, n+id, c.vector())
	}
	await(t, "the stranded", func() bool { return unreached() == 0 })
}
