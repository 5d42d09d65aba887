// Package space is a metric made ready to compute: it checks and prepares the
// vectors of one dimension and turns kernel sums into distances. Both engines
// stand on it, so that they agree to the bit.
//
// A Space is immutable; it has no goroutines and no locks.
package space

import (
	"math"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/simd"
)

// rowQuantum is what rows are padded to, in floats: one cache line, so that rows
// are aligned and kernels have no tail to handle.
const rowQuantum = 16

// Space measures vectors of one dimension under one metric.
type Space struct {
	Metric vecindex.Metric
	// Dim is the dimension of the vectors given to Prepare.
	Dim int
	// Stride is the length of a prepared vector: Dim, padded with zeros.
	Stride  int
	kernels simd.Kernels
}

// New checks metric and dimension and picks the kernels of a level.
func New(metric vecindex.Metric, dim int, level simd.Level) (Space, error) {
	if metric > vecindex.Dot {
		return Space{}, errs.New(errs.Invalid, "unknown_metric", "%v is not a metric", metric)
	}
	if dim < 1 || dim > vecindex.MaxDimension {
		return Space{}, errs.New(errs.Invalid, "invalid_dimension",
			"a vector index has a dimension of 1 to %d, not %d", vecindex.MaxDimension, dim)
	}
	k, err := simd.For(level)
	if err != nil {
		return Space{}, errs.Wrap(err, errs.Invalid, "unknown_kernel", "no such kernels here")
	}
	stride := (dim + rowQuantum - 1) / rowQuantum * rowQuantum
	return Space{Metric: metric, Dim: dim, Stride: stride, kernels: k}, nil
}

// Kernel names the instruction set in use.
func (s *Space) Kernel() simd.Level { return s.kernels.Level }

// Prepare writes the comparable form of vec to dst, which has Stride elements:
// a copy (normalised under cosine), padded with zeros. It refuses what has no
// distance: a wrong dimension, NaN and infinities, a zero vector under cosine,
// and lengths whose products overflow.
func (s *Space) Prepare(dst, vec []float32) error {
	if len(vec) != s.Dim {
		return errs.New(errs.Invalid, "dimension_mismatch",
			"the vector has %d elements, the index takes %d", len(vec), s.Dim)
	}
	norm2 := 0.0
	for _, v := range vec {
		norm2 += float64(v) * float64(v)
	}
	if math.IsNaN(norm2) || math.IsInf(norm2, 0) {
		return errs.New(errs.Invalid, "vector_not_finite", "the vector has an element that is not a finite number")
	}
	clear(dst[copy(dst, vec):])
	if s.Metric != vecindex.Cosine {
		if norm2 > vecindex.MaxSquaredLength {
			return errs.New(errs.Invalid, "vector_too_large", "the vector is too long for float32 distances (squared length %g)", norm2)
		}
		return nil
	}
	if norm2 == 0 {
		return errs.New(errs.Invalid, "zero_vector", "a zero vector has no direction and can't be used with the cosine metric")
	}
	scale := 1 / math.Sqrt(norm2)
	for i, v := range vec {
		dst[i] = float32(float64(v) * scale)
	}
	return nil
}

// Distances sets out[i] to the distance between the prepared vector q and row
// rows[i] of matrix, whose rows are prepared vectors.
func (s *Space) Distances(q, matrix []float32, rows []uint32, out []float32) {
	out = out[:len(rows)]
	switch s.Metric {
	case vecindex.L2:
		s.kernels.L2Rows(q, matrix, s.Stride, rows, out)
	case vecindex.Dot:
		s.kernels.DotRows(q, matrix, s.Stride, rows, out)
		for i, d := range out {
			out[i] = 0 - d // not -d, which makes a negative zero
		}
	default:
		s.kernels.DotRows(q, matrix, s.Stride, rows, out)
		for i, d := range out {
			// Rounding may put the product of two unit vectors just outside [-1, 1].
			out[i] = min(max(1-d, 0), 2)
		}
	}
}
