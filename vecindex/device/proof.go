package device

import (
	"math"

	"github.com/vccdb/vccdb/vecindex"
)

// What rounding can do
//
// Both sides compute in float32, in different orders, so the same distance comes out a
// little different. A sum of n products has an error of at most γ(n) times the sum of
// their sizes, in whatever order it is taken and with or without fused operations, where
// γ(n) = n u / (1 - n u) and u = 2^-24 (Higham, Accuracy and Stability of Numerical
// Algorithms, 2002, section 3.1). By Cauchy-Schwarz the sizes sum up to |q||x| at
// most. So, with n a few operations longer than the dimension:
//
//   - Dot: each side is off by γ(n)|q||x|.
//   - Cosine: the same with lengths of 1. The device normalises once more, with a squared
//     length that is off by γ(n), which changes the product by no more than γ(n).
//   - L2: a sum of n squares is off by γ(n) times itself. Where it is taken as
//     |q|² + |x|² - 2<q, x>, by γ(n)(|q| + |x|)², which is never less.
//
// The bound is four times that: for two sides and, under cosine, two vectors that the
// device normalises. |x| is at most the largest length of a vector that was ever sent;
// under L2 a vector as near as d isn't longer than |q| + √d either.

// roundingSteps are the operations of a distance beyond one for each dimension.
const roundingSteps = 16

// rounding is how far the two sides' distances of a vector are apart at most, if one of
// them isn't more than far.
func rounding(metric vecindex.Metric, dim int, query, longest, far float64) float64 {
	const u = 1.0 / (1 << 24)
	nu := float64(dim+roundingSteps) * u
	gamma := nu / (1 - nu)
	size := 1.0
	switch metric {
	case vecindex.L2:
		size = query + min(longest, query+math.Sqrt(max(far, 0)))
		size *= size
	case vecindex.Dot:
		size = query * longest
	}
	// What is smaller than a float32 can be is lost without being small beside anything.
	return 4*gamma*size + float64(dim)*0x1p-126
}

// believable is how far a distance that the device gives may be from the true one before
// it counts as a wrong one. It is more than rounding, for whoever computes a little
// otherwise than thought isn't lying.
func believable(metric vecindex.Metric, dim int, query, longest, far float64) float64 {
	const share = 1e-3
	size := max(1, math.Abs(far))
	if metric != vecindex.Cosine {
		size = math.Abs(far)
	}
	return 16*rounding(metric, dim, query, longest, far) + share*size
}

// length is the Euclidean length of a vector.
func length(v []float32) float64 {
	sum := 0.0
	for _, e := range v {
		sum += float64(e) * float64(e)
	}
	return math.Sqrt(sum)
}
