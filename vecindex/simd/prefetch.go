//go:build amd64 || arm64

package simd

import "unsafe"

// Prefetch asks for the 128 bytes at p to be brought into the cache. It never
// faults, whatever p is.
//
//go:noescape
func Prefetch(p unsafe.Pointer)

// PrefetchRows asks for the first lines cache lines of rows of a matrix, whose rows
// are stride bytes apart. It never faults either.
func PrefetchRows(matrix unsafe.Pointer, stride int, rows []uint32, lines int) {
	if len(rows) > 0 && lines > 0 {
		prefetchRows(matrix, stride, &rows[0], len(rows), lines)
	}
}

//go:noescape
func prefetchRows(matrix unsafe.Pointer, stride int, rows *uint32, count int, lines int)
