//go:build amd64 || arm64

package simd

import "unsafe"

// rowsFunc is the form of the assembly kernels: it scores count rows of n floats,
// stride floats apart in matrix.
type rowsFunc func(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32)

// fromRows makes a level's kernels of its two row kernels; a pair is a list of one.
func fromRows(level Level, dot, l2 rowsFunc) Kernels {
	return Kernels{
		Level: level, Dot: onePair(dot), L2: onePair(l2), DotRows: manyRows(dot), L2Rows: manyRows(l2),
		Hadamard: hadamardGeneric,
	}
}

func onePair(score rowsFunc) func(a, b []float32) float32 {
	return func(a, b []float32) float32 {
		b = b[:len(a)]
		var row [1]uint32
		var out [1]float32
		score(unsafe.SliceData(a), len(a), unsafe.SliceData(b), 0, &row[0], 1, &out[0])
		return out[0]
	}
}

func manyRows(score rowsFunc) func(q, matrix []float32, stride int, rows []uint32, out []float32) {
	return func(q, matrix []float32, stride int, rows []uint32, out []float32) {
		if len(rows) == 0 {
			return
		}
		out = out[:len(rows)]
		score(unsafe.SliceData(q), len(q), unsafe.SliceData(matrix), stride, &rows[0], len(rows), &out[0])
	}
}
