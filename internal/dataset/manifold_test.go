package dataset

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

func manifoldChecksum(t *testing.T, m Manifold, n, queries int) uint32 {
	t.Helper()
	var b bytes.Buffer
	base, query := m.Make(n, queries)
	for _, matrix := range []Matrix{base, query} {
		if err := WriteFvecs(&b, matrix); err != nil {
			t.Fatal(err)
		}
	}
	return crc32.ChecksumIEEE(b.Bytes())
}

// TestManifoldIsReproducible: whatever the number of threads, and a smaller set
// is the beginning of a larger one.
func TestManifoldIsReproducible(t *testing.T) {
	m := Manifold{Dim: 24, Seed: 3}
	const golden = 0xf8652f5d
	got := manifoldChecksum(t, m, 3*manifoldBlock/2, 10)
	if got != golden {
		t.Errorf("seed 3 now makes other vectors: checksum %#x, it was %#x", got, golden)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if one := manifoldChecksum(t, m, 3*manifoldBlock/2, 10); one != got {
		t.Errorf("one thread makes %#x, several %#x", one, got)
	}
	large, query := m.Make(2*manifoldBlock, 10)
	small, _ := m.Make(50, 1)
	if !slices.Equal(small.Data, large.Slice(0, 50).Data) {
		t.Error("a smaller set isn't the beginning of a larger one")
	}
	for i := range query.Len() {
		for j := range large.Len() {
			if slices.Equal(query.Row(i), large.Row(j)) {
				t.Fatalf("query %d is vector %d", i, j)
			}
		}
	}
	if other := manifoldChecksum(t, Manifold{Dim: 24, Seed: 4}, 3*manifoldBlock/2, 10); other == got {
		t.Error("two seeds make the same vectors")
	}
}

// TestLocalDimension: of points that fill a plane, a space and five dimensions
// evenly, bent into twelve by copying. The estimate falls short with the number
// of dimensions, since few of the points have all of their neighbours.
func TestLocalDimension(t *testing.T) {
	for _, dim := range []int{2, 3, 5} {
		t.Run(fmt.Sprint(dim), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(dim)))
			fill := func(n int) Matrix {
				m := Matrix{Dim: 12, Data: make([]float32, n*12)}
				for i := range n {
					row := m.Row(i)
					for j := range row {
						if row[j] = rng.Float32(); j >= dim {
							row[j] = row[j%dim]
						}
					}
				}
				return m
			}
			base, queries := fill(4000), fill(50)
			truth := make([][]int32, queries.Len())
			for q := range truth {
				ids := make([]int32, base.Len())
				for i := range ids {
					ids[i] = int32(i)
				}
				slices.SortFunc(ids, func(a, b int32) int {
					if distance(queries.Row(q), base.Row(int(a)), false) < distance(queries.Row(q), base.Row(int(b)), false) {
						return -1
					}
					return 1
				})
				truth[q] = ids[:100]
			}
			if got := LocalDimension(base, queries, truth, false); math.Abs(got-float64(dim)) > 0.15*float64(dim) {
				t.Errorf("got %.2f", got)
			}
		})
	}
}

// TestLocalDimensionOfNothing: neighbours at no distance at all, and none.
func TestLocalDimensionOfNothing(t *testing.T) {
	m := Matrix{Dim: 2, Data: []float32{1, 0, 1, 0, 2, 0}}
	for _, truth := range [][][]int32{nil, {{}}, {{0}}, {{0, 1}}} {
		if got := LocalDimension(m, m.Slice(0, 1), truth, false); !math.IsNaN(got) {
			t.Errorf("%v: got %v", truth, got)
		}
	}
	if got := LocalDimension(m, m.Slice(0, 1), [][]int32{{0, 1, 2}}, true); !math.IsNaN(got) {
		t.Errorf("vectors of one direction: got %v", got)
	}
}
