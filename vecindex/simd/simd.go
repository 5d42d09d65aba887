// Package simd scores vectors: inner product and squared Euclidean distance of
// float32 vectors, one pair at a time or one query against a list of rows, and
// what int8 codes and the codes of neighbours need. Each instruction set is a Level
// with kernels of its own in Go assembly; Generic is their plain-Go twin, runs
// everywhere and is what the others are tested against. The float32 sums of two levels
// differ by rounding only; of the rest all levels give the same bits.
//
// The package has no state, no goroutines and no locks: a caller asks for the
// Kernels of a level once and keeps them.
package simd

import "fmt"

// Level is an instruction set that kernels are written for.
type Level uint8

const (
	// Auto stands for the best level of the machine the program runs on.
	Auto Level = iota
	// Generic is plain Go.
	Generic
	// AVX2 needs AVX2 and FMA3 (amd64).
	AVX2
	// AVX512 needs AVX-512 F (amd64).
	AVX512
	// NEON is the Advanced SIMD of arm64.
	NEON
)

var levelNames = [...]string{Auto: "auto", Generic: "generic", AVX2: "avx2", AVX512: "avx512", NEON: "neon"}

func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return fmt.Sprintf("level(%d)", uint8(l))
}

// ParseLevel is the inverse of String.
func ParseLevel(s string) (Level, bool) {
	for l, name := range levelNames {
		if name == s {
			return Level(l), true
		}
	}
	return Auto, false
}

// Kernels are the scoring functions of one level. For the same two vectors the
// pair form and the row form give the same bits.
type Kernels struct {
	// Level is the instruction set, never Auto.
	Level Level
	// Dot is the inner product of a and b, which have the same length.
	Dot func(a, b []float32) float32
	// L2 is the squared Euclidean distance of a and b, which have the same length.
	L2 func(a, b []float32) float32
	// DotRows sets out[i] to the inner product of q and the row rows[i], where row
	// r is matrix[r*stride : r*stride+len(q)]. len(out) is at least len(rows).
	DotRows func(q, matrix []float32, stride int, rows []uint32, out []float32)
	// L2Rows is DotRows for the squared Euclidean distance.
	L2Rows func(q, matrix []float32, stride int, rows []uint32, out []float32)
	// Int8Rows scores the code row q against the code rows rows[i] of matrix, where
	// row r is matrix[r*stride : r*stride+len(q)]: out[i] is add + add_i + mul *
	// scale_i * (the inner product of the codes), with the factors of row i. len(out)
	// is at least len(rows). All levels give the same bits.
	Int8Rows func(q, matrix []byte, stride int, rows []uint32, add, mul float32, out []float32)

	// Multiply sets dst[i] to a[i]*b[i]; the three may be the same memory.
	Multiply func(dst, a, b []float32)
	// Butterfly replaces a and b, of the same length, by their sum and difference.
	Butterfly func(a, b []float32)
	// Hadamard replaces x, whose length is a power of two, by its Walsh-Hadamard
	// transform in natural order, not normalised.
	Hadamard func(x []float32)
	// Largest is the largest size of an element of x, 0 if there is none. The length
	// is a multiple of CodeLanes.
	Largest func(x []float32) float32
	// Codes sets codes[i] to the signed integer nearest to y[i] = x[i]*steps, which is
	// between -127 and 127, and returns the sums of y[i]², of y[i] times its code and
	// of the codes. The length is a multiple of CodeLanes.
	Codes func(codes []byte, x []float32, steps float32) (norm2, product float32, sum int32)
}

// For returns the kernels of a level, or an error if this machine can't run them.
func For(l Level) (Kernels, error) {
	if l == Auto {
		l = Levels()[0]
	}
	for _, have := range Levels() {
		if have == l {
			return kernels(l), nil
		}
	}
	return Kernels{}, fmt.Errorf("simd level %v can't run on this machine", l)
}
