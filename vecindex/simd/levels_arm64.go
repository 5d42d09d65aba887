package simd

// Levels are the levels this machine can run, best first. Every arm64 has NEON.
func Levels() []Level { return []Level{NEON, Generic} }

func kernels(l Level) Kernels {
	if l == NEON {
		k := fromRows(NEON, dotRowsNEON, l2RowsNEON, nil)
		k.Int8Rows = int8RowsGeneric
		return k
	}
	return genericKernels()
}

//go:noescape
func dotRowsNEON(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32)

//go:noescape
func l2RowsNEON(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32)
