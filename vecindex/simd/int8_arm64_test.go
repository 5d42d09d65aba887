package simd

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestInt8RowsEveryArm64 tests the kernel that machines with the dot-product
// instructions don't use.
func TestInt8RowsEveryArm64(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	score := manyInt8Rows(int8RowsNEON)
	for n := Int8Line; n <= 1024; n += Int8Line {
		matrix := make([]byte, 20*n)
		for i := range matrix {
			matrix[i] = byte(int8(rng.IntN(255) - 127))
		}
		for r := range 20 {
			SetInt8Tail(matrix[r*n:][:n], rng.Float32(), rng.Float32(), 0)
		}
		for count := range 20 {
			rows, got, want := make([]uint32, count), make([]float32, count), make([]float32, count)
			for i := range rows {
				rows[i] = rng.Uint32N(20)
			}
			score(matrix[n:2*n], matrix, n, rows, 1, 2, got)
			int8RowsGeneric(matrix[n:2*n], matrix, n, rows, 1, 2, want)
			if !slices.Equal(got, want) {
				t.Fatalf("%d rows of %d bytes: %v, want %v", count, n, got, want)
			}
		}
	}
}
