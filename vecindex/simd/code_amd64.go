package simd

// withCodes adds the AVX2 kernels that codes are made with, which AVX-512 uses too:
// a vector is coded once and read often.
func withCodes(k Kernels) Kernels {
	k.Multiply = func(dst, a, b []float32) {
		a, b = a[:len(dst)], b[:len(dst)]
		whole := len(dst) &^ 7
		if whole > 0 {
			multiplyAVX2(&dst[0], &a[0], &b[0], whole)
		}
		multiplyGeneric(dst[whole:], a[whole:], b[whole:])
	}
	k.Butterfly = func(a, b []float32) {
		b = b[:len(a)]
		whole := len(a) &^ 7
		if whole > 0 {
			butterflyAVX2(&a[0], &b[0], whole)
		}
		butterflyGeneric(a[whole:], b[whole:])
	}
	k.Hadamard = func(x []float32) {
		if len(x) < 32 {
			hadamardGeneric(x)
			return
		}
		hadamardAVX2(&x[0], len(x))
	}
	k.Largest = func(x []float32) float32 {
		if len(x) == 0 {
			return 0
		}
		return largestAVX2(&x[0], len(x))
	}
	k.Codes = func(codes []byte, x []float32, steps float32) (norm2, product float32, sum int32) {
		if len(x) == 0 {
			return 0, 0, 0
		}
		var s codeSums
		codesAVX2(&codes[:len(x)][0], &x[0], len(x), steps, &s)
		return s.norm2, s.product, s.sum
	}
	return k
}

// codeSums is where codesAVX2 leaves its results.
type codeSums struct {
	norm2, product float32
	sum            int32
}

//go:noescape
func hadamardAVX2(x *float32, n int)

//go:noescape
func butterflyAVX2(a, b *float32, n int)

//go:noescape
func multiplyAVX2(dst, a, b *float32, n int)

//go:noescape
func largestAVX2(x *float32, n int) float32

//go:noescape
func codesAVX2(codes *byte, x *float32, n int, steps float32, sums *codeSums)
