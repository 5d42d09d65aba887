package quant

import (
	"math"
	"sync"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/simd"
)

// maxCode is the largest size of a code: the range is symmetric.
const maxCode = 127

// Int8 codes vectors of one dimension, a byte for each coordinate, and estimates
// their distances under one metric. What a vector x is coded as stands for
//
//	x̂ = scale · codes,  scale = |x|² / <codes, Rx>
//
// with the rotation R, so that <x̂, Rx> = |x|²: as in RaBitQ (Gao and Long, SIGMOD
// 2024, section 3.2) the length is chosen so that the code's error is orthogonal to
// the vector. The estimate of an inner product then has an error that shrinks with
// the distance of the two vectors and not only with their lengths. A query is a code
// row like all others.
//
// Distances are 1 - <â, b̂> for unit vectors under cosine, -<â, b̂> under dot, and
// |a|² + |b|² - 2<â, b̂> under l2 with the true lengths. They are not clamped: of two
// vectors that are nearly the same, the estimate may be a little below zero.
type Int8 struct {
	metric   vecindex.Metric
	rotation *Rotation
	stride   int
	kernels  simd.Kernels
	scratch  sync.Pool // of *[]float32: Padded elements, and zeros up to whole lanes
}

// NewInt8 makes the code of a metric and a dimension. The seed decides on the
// rotation: only codes of the same seed are comparable.
func NewInt8(metric vecindex.Metric, dim int, seed uint64, level simd.Level) (*Int8, error) {
	return NewPaddedInt8(metric, dim, dim, seed, level)
}

// NewPaddedInt8 is NewInt8 with codes of padded coordinates, at least dim.
func NewPaddedInt8(metric vecindex.Metric, dim, padded int, seed uint64, level simd.Level) (*Int8, error) {
	if metric > vecindex.Dot {
		return nil, errs.New(errs.Invalid, "unknown_metric", "%v is not a metric", metric)
	}
	if dim < 1 || dim > padded || padded > vecindex.MaxDimension {
		return nil, errs.New(errs.Invalid, "invalid_dimension",
			"codes have a dimension of 1 to %d, not %d in %d", vecindex.MaxDimension, dim, padded)
	}
	k, err := simd.For(level)
	if err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "unknown_kernel", "no such kernels here")
	}
	c := &Int8{
		metric:   metric,
		rotation: NewRotation(dim, padded, seed),
		stride:   (padded + simd.Int8Tail + simd.Int8Line - 1) / simd.Int8Line * simd.Int8Line,
		kernels:  k,
	}
	c.scratch.New = func() any {
		s := make([]float32, (padded+simd.CodeLanes-1)/simd.CodeLanes*simd.CodeLanes)
		return &s
	}
	return c, nil
}

// Stride is the bytes of a code row, a multiple of 64.
func (c *Int8) Stride() int { return c.stride }

// Dim is the dimension of the vectors, Padded that of their codes.
func (c *Int8) Dim() int    { return c.rotation.dim }
func (c *Int8) Padded() int { return c.rotation.padded }

// Rotation is the map between a vector and what its codes stand for.
func (c *Int8) Rotation() *Rotation { return c.rotation }

// Encode sets the first Stride bytes of row to the code of vec, which is finite,
// not over vecindex.MaxSquaredLength, of length 1 under cosine, and may have padding
// behind its dimension.
func (c *Int8) Encode(row []byte, vec []float32) {
	scratch := c.scratch.Get().(*[]float32)
	c.rotation.Apply(*scratch, vec)
	c.encode(row[:c.stride], *scratch)
	c.scratch.Put(scratch)
}

// encode is Encode of a vector that is rotated, with zeros up to whole lanes.
func (c *Int8) encode(row []byte, rotated []float32) {
	largest := c.kernels.Largest(rotated)
	steps := maxCode / largest
	if steps > math.MaxFloat32 {
		clear(row) // too short to be told from zero
		return
	}
	clear(row[len(rotated):])
	norm2, product, sum := c.kernels.Codes(row, rotated, steps)
	step := float64(largest) / maxCode
	add := float32(0)
	if c.metric == vecindex.L2 {
		add = float32(float64(norm2) * step * step)
	}
	simd.SetInt8Tail(row, float32(float64(norm2)/float64(product)*step), add, sum)
}

// Decode writes the rotated vector that a row stands for to dst, which has Padded
// elements.
func (c *Int8) Decode(dst []float32, row []byte) {
	scale, _ := simd.ReadInt8Tail(row[:c.stride])
	for i, code := range row[:c.rotation.padded] {
		dst[i] = scale * float32(int8(code))
	}
}

// Distances sets out[i] to the estimated distance between the code row q and row
// rows[i] of matrix, whose rows are Stride bytes apart.
func (c *Int8) Distances(q, matrix []byte, rows []uint32, out []float32) {
	c.DistancesIn(q, matrix, c.stride, rows, out)
}

// DistancesIn is Distances with code rows that begin stride bytes apart.
func (c *Int8) DistancesIn(q, matrix []byte, stride int, rows []uint32, out []float32) {
	q = q[:c.stride]
	scale, add := simd.ReadInt8Tail(q)
	mul := -scale
	switch c.metric {
	case vecindex.Cosine:
		add = 1
	case vecindex.L2:
		mul = -2 * scale
	}
	c.kernels.Int8Rows(q, matrix, stride, rows, add, mul, out)
}
