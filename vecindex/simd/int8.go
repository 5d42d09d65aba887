package simd

import (
	"encoding/binary"
	"math"
)

// A code row is a vector as signed bytes from -127 to 127 with factors behind them,
// in a whole number of cache lines: codes, zeros, and in the last Int8Tail bytes, all
// little-endian, the float32 factors scale and add and an int32, 128 times the sum of
// the codes. (The instructions that multiply bytes want one side unsigned. The kernels
// that use them add 128 to each code of the query, and take it off again by this.)
const (
	// Int8Line is what the length of a code row is a multiple of.
	Int8Line = 64
	// Int8Tail is the bytes of the factors.
	Int8Tail = 12
)

// SetInt8Tail writes the factors of a code row behind its codes, whose sum is given.
func SetInt8Tail(row []byte, scale, add float32, sum int32) {
	tail := row[len(row)-Int8Tail:]
	binary.LittleEndian.PutUint32(tail, math.Float32bits(scale))
	binary.LittleEndian.PutUint32(tail[4:], math.Float32bits(add))
	binary.LittleEndian.PutUint32(tail[8:], uint32(sum*128))
}

// ReadInt8Tail returns the factors of a code row.
func ReadInt8Tail(row []byte) (scale, add float32) {
	tail := row[len(row)-Int8Tail:]
	return math.Float32frombits(binary.LittleEndian.Uint32(tail)), math.Float32frombits(binary.LittleEndian.Uint32(tail[4:]))
}

func int8RowsGeneric(q, matrix []byte, stride int, rows []uint32, add, mul float32, out []float32) {
	codes := q[:len(q)-Int8Tail]
	for i, r := range rows {
		row := matrix[int(r)*stride:][:len(q)]
		sum := int32(0)
		for j, c := range codes {
			sum += int32(int8(c)) * int32(int8(row[j]))
		}
		scale, rowAdd := ReadInt8Tail(row)
		// The conversions keep a compiler from fusing what the kernels don't.
		out[i] = float32(add+rowAdd) + float32(float32(float32(sum)*mul)*scale)
	}
}
