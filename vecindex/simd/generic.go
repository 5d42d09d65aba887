package simd

func genericKernels() Kernels {
	return Kernels{
		Level: Generic, Dot: dotGeneric, L2: l2Generic, DotRows: dotRowsGeneric, L2Rows: l2RowsGeneric,
		Int8Rows: int8RowsGeneric,
		Multiply: multiplyGeneric, Butterfly: butterflyGeneric, Hadamard: hadamardGeneric,
		Largest: largestGeneric, Codes: codesGeneric,
	}
}

// dotGeneric has four sums so that the additions don't wait for each other.
func dotGeneric(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for len(a) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i := range a {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func l2Generic(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for len(a) >= 4 {
		d0, d1, d2, d3 := a[0]-b[0], a[1]-b[1], a[2]-b[2], a[3]-b[3]
		s0 += d0 * d0
		s1 += d1 * d1
		s2 += d2 * d2
		s3 += d3 * d3
		a, b = a[4:], b[4:]
	}
	for i := range a {
		d := a[i] - b[i]
		s0 += d * d
	}
	return (s0 + s1) + (s2 + s3)
}

func dotRowsGeneric(q, matrix []float32, stride int, rows []uint32, out []float32) {
	for i, r := range rows {
		at := int(r) * stride
		out[i] = dotGeneric(q, matrix[at:at+len(q)])
	}
}

func l2RowsGeneric(q, matrix []float32, stride int, rows []uint32, out []float32) {
	for i, r := range rows {
		at := int(r) * stride
		out[i] = l2Generic(q, matrix[at:at+len(q)])
	}
}
