package simd

import "github.com/klauspost/cpuid/v2"

// Levels are the levels this machine can run, best first. Every arm64 has NEON.
func Levels() []Level { return []Level{NEON, Generic} }

func kernels(l Level) Kernels {
	if l != NEON {
		return genericKernels()
	}
	int8Rows := int8RowsNEON
	if cpuid.CPU.Supports(cpuid.ASIMDDP) {
		int8Rows = int8RowsSDOT
	}
	return fromRows(NEON, dotRowsNEON, l2RowsNEON, int8Rows).withCodes(codeFuncs{
		multiply: multiplyNEON, butterfly: butterflyNEON, hadamard: hadamardNEON, largest: largestNEON, codes: codesNEON,
	})
}

//go:noescape
func dotRowsNEON(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)

//go:noescape
func l2RowsNEON(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)

//go:noescape
func int8RowsSDOT(q *byte, n int, matrix *byte, stride int, rows *uint32, count int, out *float32, add, mul float32, ahead int)

//go:noescape
func int8RowsNEON(q *byte, n int, matrix *byte, stride int, rows *uint32, count int, out *float32, add, mul float32, ahead int)

//go:noescape
func multiplyNEON(dst, a, b *float32, n int)

//go:noescape
func butterflyNEON(a, b *float32, n int)

//go:noescape
func hadamardNEON(x *float32, n int)

//go:noescape
func largestNEON(x *float32, n int) float32

//go:noescape
func codesNEON(codes *byte, x *float32, n int, steps float32) (norm2, product float32, sum int32)
