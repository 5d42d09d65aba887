//go:build !amd64 && !arm64

package simd

func fastScan(l Level) FastScan {
	k := genericFastScan()
	k.Level = l
	return k
}
