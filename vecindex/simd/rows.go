//go:build amd64 || arm64

package simd

import "unsafe"

// rowsFunc is the form of the assembly kernels: it scores count rows of n floats,
// stride floats apart in matrix. The first ahead rows are prefetched at once, and the
// others as many rows ahead.
type rowsFunc func(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)

// int8Func is the same for code rows, of n bytes and stride bytes apart.
type int8Func func(q *byte, n int, matrix *byte, stride int, rows *uint32, count int, out *float32, add, mul float32, ahead int)

// fromRows makes a level's kernels of its row kernels, a float32 pair being a list of
// one. The rest are the plain ones.
func fromRows(level Level, dot, l2 rowsFunc, int8 int8Func) Kernels {
	k := genericKernels()
	k.Level, k.Dot, k.L2, k.DotRows, k.L2Rows = level, onePair(dot), onePair(l2), manyRows(dot), manyRows(l2)
	k.Int8Rows = manyInt8Rows(int8)
	return k
}

func onePair(score rowsFunc) func(a, b []float32) float32 {
	return func(a, b []float32) float32 {
		b = b[:len(a)]
		var row [1]uint32
		var out [1]float32
		score(unsafe.SliceData(a), len(a), unsafe.SliceData(b), 0, &row[0], 1, &out[0], 1)
		return out[0]
	}
}

func manyRows(score rowsFunc) func(q, matrix []float32, stride int, rows []uint32, out []float32) {
	return func(q, matrix []float32, stride int, rows []uint32, out []float32) {
		if len(rows) == 0 {
			return
		}
		out = out[:len(rows)]
		score(unsafe.SliceData(q), len(q), unsafe.SliceData(matrix), stride, &rows[0], len(rows), &out[0], rowsAhead(4*len(q)))
	}
}

// rowsAhead is how many rows of some bytes are prefetched: enough of them to keep the
// memory busy, and no more than the caches have room for. Measured on rows that lie
// all over memory, 16 of 128 bytes are a third faster than 4, and 4 of 832 bytes as
// fast as any number.
func rowsAhead(bytes int) int {
	const lines, line = 64, 64
	return max(4, lines*line/max(bytes, 1))
}

func manyInt8Rows(score int8Func) func(q, matrix []byte, stride int, rows []uint32, add, mul float32, out []float32) {
	return func(q, matrix []byte, stride int, rows []uint32, add, mul float32, out []float32) {
		if len(rows) == 0 {
			return
		}
		out = out[:len(rows)]
		score(unsafe.SliceData(q), len(q), unsafe.SliceData(matrix), stride, &rows[0], len(rows), &out[0], add, mul, rowsAhead(len(q)))
	}
}
