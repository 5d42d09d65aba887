package hnsw

import (
	"slices"
	"testing"
)

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
		row := x.graph.row(slot, 0)
		writeLinks(row, slices.DeleteFunc(appendLinks(nil, row), func(to uint32) bool { return to == target }))
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
