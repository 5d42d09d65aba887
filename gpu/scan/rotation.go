package scan

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// rotationRounds is how often encode transforms.
const rotationRounds = 4

// rotation is the random orthogonal map that codes of bytes are made in, as package
// kernels wants it: signs change at random and the Hadamard transform is taken of the
// leading coordinates, then of the trailing ones, with random signs in between (Ailon
// and Chazelle, The fast Johnson-Lindenstrauss transform, SIAM J. Comput. 39, 2009),
// and where the transform leaves coordinates out, pairs are turned by 45 degrees
// halfway. Each row of factors has what coordinates are multiplied by before a round:
// signs, and what makes the step orthogonal.
type rotation struct {
	dim   int
	block int // the largest power of two in dim, which is transformed
	// factors are rotationRounds rows of dim; turns are dim, or nil if block is dim.
	factors, turns []float32
}

// newRotation makes the map that a seed stands for.
func newRotation(dim int, seed uint64) rotation {
	r := rotation{dim: dim, block: 1 << (bits.Len(uint(dim)) - 1)}
	rng := rand.New(rand.NewPCG(seed, 0x526f746174696f6e))
	for round := range rotationRounds {
		row := signs(rng, dim)
		part := row[:r.block]
		if round%2 == 1 {
			part = row[dim-r.block:]
		}
		scale(part, 1/math.Sqrt(float64(r.block)))
		r.factors = append(r.factors, row...)
	}
	if r.block < dim {
		r.turns = signs(rng, dim)
		half := dim / 2
		scale(r.turns[:half], math.Sqrt2/2)
		scale(r.turns[dim-half:], math.Sqrt2/2)
	}
	return r
}

func signs(rng *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = 1 - 2*float32(rng.Uint64()&1)
	}
	return s
}

func scale(v []float32, by float64) {
	for i := range v {
		v[i] *= float32(by)
	}
}
