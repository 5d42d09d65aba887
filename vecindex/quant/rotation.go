// Package quant turns vectors into small codes that distances are estimated from.
// Codes need no training and no look at the data: a vector is rotated by a random
// orthogonal map, which spreads what it has evenly over all coordinates, whatever
// it was, and then each coordinate is rounded.
//
// Everything here is immutable once made, may be used by any number of goroutines
// and has no locks.
package quant

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"

	"github.com/vccdb/vccdb/vecindex/simd"
)

// rounds is how often Apply transforms. One round already spreads a coordinate over
// the block it is in; four leave no input for which the result looks other than random.
const rounds = 4

// Rotation is a random orthogonal map that costs n log n instead of n². A round
// changes signs at random and takes the Hadamard transform H of as many
// coordinates as the largest power of two has: the leading ones in the even rounds,
// the trailing ones in the odd ones. Where that leaves some out, coordinates half
// the dimension apart are turned by 45 degrees halfway, so that both ends are mixed
// however little the two blocks overlap; signs change at random before that too,
// because two results of one transform may be the same number but for the sign.
//
// The product of H and random signs is the structured stand-in for a uniformly
// random rotation of Ailon and Chazelle (The fast Johnson-Lindenstrauss transform,
// SIAM J. Comput. 39, 2009); the turns by pairs are a step of Kac's walk.
type Rotation struct {
	dim, padded int
	block       int // the power of two that is transformed
	// factors[r] is what coordinates are multiplied by before they are transformed
	// in round r, turns before they are turned: random signs, and what makes the
	// step an orthogonal one. turns is nil if H has all coordinates.
	factors [rounds][]float32
	turns   []float32
	kernels simd.Kernels
}

// NewRotation makes the map that seed stands for, of vectors of dimension dim into
// padded dimensions, which is at least dim and at least 1. A seed always gives the
// same map.
func NewRotation(dim, padded int, seed uint64) *Rotation {
	if dim > padded || padded < 1 {
		panic(fmt.Sprintf("quant: no rotation of %d dimensions into %d", dim, padded))
	}
	k, err := simd.For(simd.Auto)
	if err != nil {
		panic(err) // a machine always has its best level
	}
	r := &Rotation{dim: dim, padded: padded, block: 1 << (bits.Len(uint(padded)) - 1), kernels: k}
	rng := rand.New(rand.NewPCG(seed, 0x526f746174696f6e))
	for round := range r.factors {
		r.factors[round] = signs(rng, padded)
		scale(r.transformed(r.factors[round], round), 1/math.Sqrt(float64(r.block)))
	}
	if r.block < padded {
		r.turns = signs(rng, padded)
		low, high := r.turned(r.turns)
		scale(low, math.Sqrt2/2)
		scale(high, math.Sqrt2/2)
	}
	return r
}

func signs(rng *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	var word uint64
	for i := range s {
		if i%64 == 0 {
			word = rng.Uint64()
		}
		s[i] = 1 - 2*float32(word>>(i%64)&1)
	}
	return s
}

func scale(v []float32, by float64) {
	for i := range v {
		v[i] *= float32(by)
	}
}

// Dim is the dimension of what Apply takes.
func (r *Rotation) Dim() int { return r.dim }

// Padded is the dimension of what Apply gives.
func (r *Rotation) Padded() int { return r.padded }

// transformed are the coordinates that are transformed in a round.
func (r *Rotation) transformed(v []float32, round int) []float32 {
	if round%2 == 0 {
		return v[:r.block]
	}
	return v[r.padded-r.block:]
}

// turned are the coordinates that are turned in pairs.
func (r *Rotation) turned(v []float32) (low, high []float32) {
	half := r.padded / 2
	return v[:half], v[r.padded-half:]
}

// Apply writes the image of src to dst. It takes the first Dim elements of src and
// sets the first Padded elements of dst, which may be the same memory.
func (r *Rotation) Apply(dst, src []float32) {
	dst = dst[:r.padded]
	r.kernels.Multiply(dst[:r.dim], src[:r.dim], r.factors[0])
	clear(dst[r.dim:])
	r.kernels.Hadamard(r.transformed(dst, 0))
	for round := 1; round < rounds; round++ {
		if round == rounds/2 && r.turns != nil {
			r.kernels.Multiply(dst, dst, r.turns)
			r.kernels.Butterfly(r.turned(dst))
		}
		r.kernels.Multiply(dst, dst, r.factors[round])
		r.kernels.Hadamard(r.transformed(dst, round))
	}
}
