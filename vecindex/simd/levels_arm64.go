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
	return fromRows(NEON, dotRowsNEON, l2RowsNEON, int8Rows)
}

//go:noescape
func dotRowsNEON(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)

//go:noescape
func l2RowsNEON(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)

//go:noescape
func int8RowsSDOT(q *byte, n int, matrix *byte, stride int, rows *uint32, count int, out *float32, add, mul float32, ahead int)

//go:noescape
func int8RowsNEON(q *byte, n int, matrix *byte, stride int, rows *uint32, count int, out *float32, add, mul float32, ahead int)
