//go:build amd64 || arm64

package simd

// codeFuncs are the assembly kernels that codes are made with. Lengths are not 0, and
// multiples of 8 for multiply and butterfly, of CodeLanes for largest and codes, and
// powers of two from 32 on for hadamard.
type codeFuncs struct {
	multiply  func(dst, a, b *float32, n int)
	butterfly func(a, b *float32, n int)
	hadamard  func(x *float32, n int)
	largest   func(x *float32, n int) float32
	codes     func(codes *byte, x *float32, n int, steps float32) (norm2, product float32, sum int32)
}

// withCodes adds kernels that codes are made with; what isn't for them the plain ones
// do.
func (k Kernels) withCodes(f codeFuncs) Kernels {
	k.Multiply = func(dst, a, b []float32) {
		a, b = a[:len(dst)], b[:len(dst)]
		whole := len(dst) &^ 7
		if whole > 0 {
			f.multiply(&dst[0], &a[0], &b[0], whole)
		}
		multiplyGeneric(dst[whole:], a[whole:], b[whole:])
	}
	k.Butterfly = func(a, b []float32) {
		b = b[:len(a)]
		whole := len(a) &^ 7
		if whole > 0 {
			f.butterfly(&a[0], &b[0], whole)
		}
		butterflyGeneric(a[whole:], b[whole:])
	}
	k.Hadamard = func(x []float32) {
		if len(x) < 32 {
			hadamardGeneric(x)
			return
		}
		f.hadamard(&x[0], len(x))
	}
	k.Largest = func(x []float32) float32 {
		if len(x) == 0 {
			return 0
		}
		return f.largest(&x[0], len(x))
	}
	k.Codes = func(codes []byte, x []float32, steps float32) (norm2, product float32, sum int32) {
		if len(x) == 0 {
			return 0, 0, 0
		}
		return f.codes(&codes[:len(x)][0], &x[0], len(x), steps)
	}
	return k
}
