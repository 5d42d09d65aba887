package wire_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/gpu/wire"
)

// TestRoomModel: filters of random sizes never overlap, stay what they are, lie in the
// room, and when all are gone the room is whole again.
func TestRoomModel(t *testing.T) {
	const size = 1<<20 + 48<<10 // no power of two
	a := wire.NewLocalArena(size)
	defer a.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	type filter struct {
		area  wire.Area
		words []uint64
	}
	var taken []filter
	refused := 0
	for range 3000 {
		if rng.IntN(5) < 2 && len(taken) > 0 {
			i := rng.IntN(len(taken))
			got, ok := wire.View[uint64](a.Memory(), uint64(taken[i].area.Offset), uint64(len(taken[i].words)))
			if !ok || !slices.Equal(got, taken[i].words) {
				t.Fatal("a filter was overwritten")
			}
			a.Free(taken[i].area)
			taken = slices.Delete(taken, i, i+1)
			continue
		}
		words := make([]uint64, 1+rng.IntN(1<<rng.IntN(14)))
		for i := range words {
			words[i] = rng.Uint64()
		}
		area, ok := a.Filter(words)
		if !ok {
			refused++
			continue
		}
		if area.Offset < a.Size()/2 || area.Offset+area.Size > a.Size() || area.Size < 8*int64(len(words)) {
			t.Fatalf("%d words at %+v of %d", len(words), area, a.Size())
		}
		for _, other := range taken {
			if area.Offset < other.area.Offset+other.area.Size && other.area.Offset < area.Offset+area.Size {
				t.Fatalf("%+v and %+v overlap", area, other.area)
			}
		}
		taken = append(taken, filter{area, words})
	}
	if refused == 0 {
		t.Error("the room was never full")
	}
	for _, f := range taken {
		a.Free(f.area)
	}
	if _, ok := a.Filter(make([]uint64, 512<<10/8)); !ok {
		t.Error("the room isn't whole again")
	}
}

// TestStageRows: rows lie where they are said to be, up to the last that fits.
func TestStageRows(t *testing.T) {
	a := wire.NewLocalArena(0)
	defer a.Close()
	if a.Size() != wire.MinArena {
		t.Fatal(a.Size())
	}
	for _, dim := range []int{0, 1, 7, wire.MaxDim} {
		n := a.RowsPerArea(dim)
		if n < 1 {
			t.Fatalf("no row of %d dimensions fits", dim)
		}
		ids, vectors, order := make([]uint32, n), make([]float32, n*dim), make([]int, n)
		for i := range ids {
			ids[i], order[i] = uint32(i), n-1-i
		}
		for i := range vectors {
			vectors[i] = float32(i)
		}
		for _, order := range [][]int{nil, order} {
			area := <-a.Staging()
			idsAt, vectorsAt := a.StageRows(area, ids, vectors, dim, order)
			gotIDs, ok1 := wire.View[uint32](a.Memory(), idsAt, uint64(n))
			gotVectors, ok2 := wire.View[float32](a.Memory(), vectorsAt, uint64(n*dim))
			end := int64(vectorsAt) + int64(4*n*dim)
			if !ok1 || !ok2 || int64(idsAt) < area.Offset || end > area.Offset+area.Size {
				t.Fatalf("%d rows of %d at %d and %d of %+v", n, dim, idsAt, vectorsAt, area)
			}
			for i := range n {
				from := i
				if order != nil {
					from = order[i]
				}
				if gotIDs[i] != ids[from] || !slices.Equal(gotVectors[i*dim:(i+1)*dim], vectors[from*dim:(from+1)*dim]) {
					t.Fatalf("row %d is wrong", i)
				}
			}
			a.Unstage(area)
		}
	}
}

// TestView: nothing outside of the memory can be named.
func TestView(t *testing.T) {
	mem := wire.NewLocalArena(0).Memory()
	size := uint64(len(mem))
	for _, c := range []struct {
		offset, count uint64
		ok            bool
	}{
		{0, size / 8, true},
		{size, 0, true},
		{size - 64, 8, true},
		{0, size/8 + 1, false},
		{64, size / 8, false},
		{size - 64, 9, false},
		{size + 64, 0, false},
		{8, 1, false},
		{1 << 63, 1, false},
		{0, 1 << 61, false},
		{64, 1<<64 - 1, false},
	} {
		if v, ok := wire.View[uint64](mem, c.offset, c.count); ok != c.ok || ok && uint64(len(v)) != c.count {
			t.Errorf("%d words at %d of %d: %v", c.count, c.offset, size, ok)
		}
	}
}

// TestShared: both sides see the same memory, which can't be made shorter; other files
// are refused; and a closed arena takes nothing.
func TestShared(t *testing.T) {
	a, file, err := wire.NewArena(1 << 20)
	if err != nil {
		t.Skipf("no shared memory here: %v", err)
	}
	defer file.Close()
	mem, unmap, err := wire.MapArena(file)
	if err != nil {
		t.Fatal(err)
	}
	defer unmap()
	area, ok := a.Filter([]uint64{1, 2, 3})
	if got, inside := wire.View[uint64](mem, uint64(area.Offset), 3); !ok || !inside || got[2] != 3 || int64(len(mem)) != a.Size() {
		t.Errorf("%v of %+v", got, area)
	}
	if file.Truncate(4096) == nil || file.Truncate(2<<20) == nil {
		t.Error("the memory's size can be changed")
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, ok := a.Filter([]uint64{1}); ok {
		t.Error("a closed arena takes filters")
	}
	a.StageRows(<-a.Staging(), []uint32{1}, []float32{1}, 1, nil)

	plain, err := os.Create(filepath.Join(t.TempDir(), "plain"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, _, err := wire.MapArena(plain); err == nil {
		t.Error("a file that isn't sealed is mapped")
	}
}
