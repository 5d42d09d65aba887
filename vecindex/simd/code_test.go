package simd_test

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/vecindex/simd"
)

// TestHadamard compares every level bit by bit with the definition: element i of the
// transform is the sum of (-1)^popcount(i&j) x[j], exact for small integers.
func TestHadamard(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, level := range simd.Levels() {
		k, _ := simd.For(level)
		for n := 1; n <= 4096; n *= 2 {
			x, got := make([]float32, n+1), make([]float32, n+2)
			for i := range x {
				x[i] = float32(rng.IntN(2001) - 1000)
			}
			copy(got[1:], x)
			k.Hadamard(got[1 : n+1]) // not aligned
			for try := range min(n, 64) {
				i, want := (try*rng.IntN(64)+try)%n, 0
				for j := range n {
					want += (1 - 2*(bits.OnesCount(uint(i&j))&1)) * int(x[j])
				}
				if got[1+i] != float32(want) {
					t.Fatalf("%v, length %d: element %d is %v, want %d", level, n, i, got[1+i], want)
				}
			}
			if got[0] != 0 || got[n+1] != x[n] {
				t.Fatalf("%v, length %d: wrote outside", level, n)
			}
		}
	}
}

// TestCodeKernels compares every level's kernels that codes are made with to the
// plain ones, bit by bit, for all lengths up to a few registers and some long ones.
func TestCodeKernels(t *testing.T) {
	plain, _ := simd.For(simd.Generic)
	for _, level := range simd.Levels() {
		k, _ := simd.For(level)
		rng := rand.New(rand.NewPCG(5, 5))
		for n := 0; n <= 800; n += 1 + n/50*7 {
			a, b := random(rng, n+2)[1:], random(rng, n+3)[2:]
			a, b = a[:n], b[:n]
			want, got := make([]float32, n), make([]float32, n)
			plain.Multiply(want, a, b)
			k.Multiply(got, a, b)
			if !slices.Equal(got, want) {
				t.Fatalf("%v: the products of %d numbers are not those of the plain kernel", level, n)
			}
			k.Multiply(got, got, b) // in place
			plain.Multiply(want, want, b)
			otherWant, otherGot := slices.Clone(b), slices.Clone(b)
			plain.Butterfly(want, otherWant)
			k.Butterfly(got, otherGot)
			if !slices.Equal(got, want) || !slices.Equal(otherGot, otherWant) {
				t.Fatalf("%v: the sums and differences of %d numbers are not those of the plain kernel", level, n)
			}
		}
		for n := 0; n <= 4096; n += simd.CodeLanes * (1 + n/200) {
			x := random(rng, n+1)[1:]
			if n > 0 {
				x[rng.IntN(n)] = -5.5 // the largest, and halves round to even
			}
			largest := k.Largest(x)
			if n > 0 && largest != 5.5 || largest != plain.Largest(x) {
				t.Fatalf("%v: the largest of %d is %v", level, n, largest)
			}
			for _, steps := range []float32{1, 127 / 5.5, 0.001} {
				want, got := make([]byte, n+1), make([]byte, n+1)
				got[n], want[n] = 77, 77
				norm2, product, sum := plain.Codes(want, x, steps)
				norm2Got, productGot, sumGot := k.Codes(got, x, steps)
				if !slices.Equal(got, want) || norm2Got != norm2 || productGot != product || sumGot != sum {
					t.Fatalf("%v: %d codes or their sums are not those of the plain kernel: %v %v %v, want %v %v %v", level, n,
						norm2Got, productGot, sumGot, norm2, product, sum)
				}
				for i, v := range x {
					if float64(int8(got[i])) != math.RoundToEven(float64(v*steps)) {
						t.Fatalf("%v: %v in steps of 1/%v is coded %d", level, v, steps, int8(got[i]))
					}
				}
			}
		}
	}
}
