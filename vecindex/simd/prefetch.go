//go:build amd64 || arm64

package simd

import "unsafe"

// Prefetch asks for the 128 bytes at p to be brought into the cache. It never
// faults, whatever p is.
//
//go:noescape
func Prefetch(p unsafe.Pointer)
