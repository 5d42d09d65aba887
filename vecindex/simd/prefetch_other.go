//go:build !amd64 && !arm64

package simd

import "unsafe"

// Prefetch does nothing here.
func Prefetch(unsafe.Pointer) {}

// PrefetchRows does nothing here.
func PrefetchRows(unsafe.Pointer, int, []uint32, int) {}
