package bitmap_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/internal/bitmap"
)

// check compares a set with a model, over ids up to a bound.
func check(t *testing.T, s *bitmap.Set, model map[uint32]bool, bound uint32) {
	t.Helper()
	if s.Len() != len(model) {
		t.Fatalf("%d ids, want %d", s.Len(), len(model))
	}
	want := make([]uint32, 0, len(model))
	for id := range bound {
		if s.Contains(id) != model[id] {
			t.Fatalf("contains %d: %v", id, s.Contains(id))
		}
		if model[id] {
			want = append(want, id)
		}
	}
	if got := slices.Collect(s.All); !slices.Equal(got, want) {
		t.Fatalf("all are %v, want %v", got, want)
	}
}

func TestSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, bound := range []uint32{1, 64, 65, 1000, 20_000} {
		var s bitmap.Set
		model := map[uint32]bool{}
		check(t, &s, model, bound)
		for range 500 {
			id := rng.Uint32N(bound)
			s.Add(id)
			model[id] = true
		}
		check(t, &s, model, bound+200)
	}
}

func TestOf(t *testing.T) {
	check(t, bitmap.Of(), map[uint32]bool{}, 10)
	check(t, bitmap.Of(7, 0, 64, 7, 63), map[uint32]bool{0: true, 7: true, 63: true, 64: true}, 200)
}

func TestFarIDs(t *testing.T) {
	s := bitmap.Of(1, 50_000_000)
	if !s.Contains(50_000_000) || s.Contains(50_000_001) || s.Contains(1<<32-1) || s.Len() != 2 {
		t.Errorf("%d ids: %v", s.Len(), slices.Collect(s.All))
	}
}

// TestAllStops: breaking off a loop is honoured.
func TestAllStops(t *testing.T) {
	s := bitmap.Of(3, 5, 100, 200)
	var got []uint32
	for id := range s.All {
		if got = append(got, id); id == 5 {
			break
		}
	}
	if !slices.Equal(got, []uint32{3, 5}) {
		t.Errorf("got %v", got)
	}
}

func FuzzSet(f *testing.F) {
	f.Add([]byte{0, 0, 1, 2, 255, 255, 0, 64, 0, 63})
	f.Fuzz(func(t *testing.T, data []byte) {
		var s bitmap.Set
		model := map[uint32]bool{}
		for ; len(data) >= 2; data = data[2:] {
			id := uint32(data[0])<<8 | uint32(data[1])
			s.Add(id)
			model[id] = true
		}
		check(t, &s, model, 1<<16)
	})
}

// TestContainsDoesNotAllocate: asking costs nothing on the heap per question: membership is asked once per visited node.
func TestContainsDoesNotAllocate(t *testing.T) {
	s := bitmap.Of(1, 2, 3)
	if n := testing.AllocsPerRun(100, func() { s.Contains(2); s.Contains(1 << 30) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
