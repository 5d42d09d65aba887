package simd

import "math"

// CodeLanes is what the length of a vector given to Largest and Codes is a multiple
// of: sums are made in so many lanes.
const CodeLanes = 16

func multiplyGeneric(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func butterflyGeneric(a, b []float32) {
	b = b[:len(a)]
	for i, x := range a {
		y := b[i]
		a[i], b[i] = x+y, x-y
	}
}

// hadamardGeneric is the butterfly network of the fast transform, stage by stage.
func hadamardGeneric(x []float32) {
	for half := 1; half < len(x); half *= 2 {
		for at := 0; at < len(x); at += 2 * half {
			butterflyGeneric(x[at:at+half], x[at+half:at+2*half])
		}
	}
}

func largestGeneric(x []float32) float32 {
	largest := uint32(0) // floats without a sign are in the order of their bits
	for _, v := range x {
		largest = max(largest, math.Float32bits(v)&^(1<<31))
	}
	return math.Float32frombits(largest)
}

func codesGeneric(codes []byte, x []float32, steps float32) (norm2, product float32, sum int32) {
	var squares, products [CodeLanes]float32
	for i := 0; i < len(x); i += CodeLanes {
		lanes, out := x[i:i+CodeLanes], codes[i:i+CodeLanes]
		for lane, v := range lanes {
			y := float32(v * steps)
			// Adding 1.5·2²³ leaves the nearest integer in the low bits.
			code := int8(math.Float32bits(y + 3<<22))
			out[lane] = byte(code)
			sum += int32(code)
			squares[lane] += float32(y * y)
			products[lane] += float32(y * float32(code))
		}
	}
	return sumLanes(&squares), sumLanes(&products), sum
}

// sumLanes adds halves to halves.
func sumLanes(s *[CodeLanes]float32) float32 {
	for half := CodeLanes / 2; half > 0; half /= 2 {
		for i := range half {
			s[i] += s[i+half]
		}
	}
	return s[0]
}
