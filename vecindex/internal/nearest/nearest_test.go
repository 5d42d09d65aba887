package nearest_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/nearest"
)

// TestHeap compares the heap with sorting everything; many distances are equal.
func TestHeap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var h nearest.Heap
	for round := range 300 {
		k, n := 1+rng.IntN(20), rng.IntN(100)
		h.Reset(k)
		var all []vecindex.Hit
		for _, id := range rng.Perm(n) {
			hit := vecindex.Hit{ID: uint32(id), Distance: float32(rng.IntN(10)) - 5, Stamp: rng.Uint64()}
			all = append(all, hit)
			if h.Wants(hit.Distance, hit.ID) {
				h.Add(hit)
			}
			if h.Len() != min(k, len(all)) {
				t.Fatalf("round %d: %d held of %d, k %d", round, h.Len(), len(all), k)
			}
		}
		slices.SortFunc(all, nearest.Compare)
		prefix := vecindex.Hit{ID: 99}
		got := h.AppendSorted([]vecindex.Hit{prefix})
		if want := append([]vecindex.Hit{prefix}, all[:min(k, n)]...); !slices.Equal(got, want) {
			t.Fatalf("round %d, k %d: got %v, want %v", round, k, got, want)
		}
		if h.Len() != 0 {
			t.Error("the heap isn't empty afterwards")
		}
	}
}

func TestCompare(t *testing.T) {
	a, b := vecindex.Hit{ID: 2, Distance: 1}, vecindex.Hit{ID: 1, Distance: 2}
	if nearest.Compare(a, b) >= 0 || nearest.Compare(b, a) <= 0 || nearest.Compare(a, a) != 0 {
		t.Error("distance doesn't come first")
	}
	a.Distance = 2
	if nearest.Compare(a, b) <= 0 {
		t.Error("id doesn't break the tie")
	}
}
