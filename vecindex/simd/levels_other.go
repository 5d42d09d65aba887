//go:build !amd64 && !arm64

package simd

// Levels are the levels this machine can run, best first.
func Levels() []Level { return []Level{Generic} }

func kernels(Level) Kernels { return genericKernels() }
