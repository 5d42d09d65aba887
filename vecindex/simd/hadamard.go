package simd

// hadamardGeneric is the butterfly network of the fast Walsh-Hadamard transform,
// stage by stage. Every level adds and subtracts the same numbers in the same
// order, so that all of them give the same bits.
func hadamardGeneric(x []float32) {
	for half := 1; half < len(x); half *= 2 {
		for at := 0; at < len(x); at += 2 * half {
			low, high := x[at:at+half], x[at+half:at+2*half]
			for i, a := range low {
				b := high[i]
				low[i], high[i] = a+b, a-b
			}
		}
	}
}
