package simd

import "github.com/klauspost/cpuid/v2"

// Levels are the levels this machine can run, best first.
func Levels() []Level {
	var levels []Level
	if cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX2) {
		levels = append(levels, AVX512)
	}
	if cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3) {
		levels = append(levels, AVX2)
	}
	return append(levels, Generic)
}

func kernels(l Level) Kernels {
	switch l {
	case AVX512:
		int8Rows := int8RowsAVX2
		if cpuid.CPU.Supports(cpuid.AVX512VNNI) {
			int8Rows = int8RowsVNNI
		}
		return fromRows(AVX512, dotRowsAVX512, l2RowsAVX512, int8Rows).withCodes(codesOfAVX2)
	case AVX2:
		return fromRows(AVX2, dotRowsAVX2, l2RowsAVX2, int8RowsAVX2).withCodes(codesOfAVX2)
	default:
		return genericKernels()
	}
}

// codesOfAVX2 is for AVX-512 too: a vector is coded once and read often.
var codesOfAVX2 = codeFuncs{multiply: multiplyAVX2, butterfly: butterflyAVX2, hadamard: hadamardAVX2, largest: largestAVX2, codes: codesAVX2}

//go:noescape
func dotRowsAVX512(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)

//go:noescape
func l2RowsAVX512(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)

//go:noescape
func dotRowsAVX2(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)

//go:noescape
func l2RowsAVX2(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)

//go:noescape
func int8RowsVNNI(q *byte, n int, matrix *byte, stride int, rows *uint32, count int, out *float32, add, mul float32, ahead int)

//go:noescape
func int8RowsAVX2(q *byte, n int, matrix *byte, stride int, rows *uint32, count int, out *float32, add, mul float32, ahead int)

//go:noescape
func multiplyAVX2(dst, a, b *float32, n int)

//go:noescape
func butterflyAVX2(a, b *float32, n int)

//go:noescape
func hadamardAVX2(x *float32, n int)

//go:noescape
func largestAVX2(x *float32, n int) float32

//go:noescape
func codesAVX2(codes *byte, x *float32, n int, steps float32) (norm2, product float32, sum int32)
