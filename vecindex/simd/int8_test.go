package simd_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vccdb/vccdb/vecindex/simd"
)

// codeRow makes a row of random codes that fill it, with many of the largest ones,
// and random factors.
func codeRow(rng *rand.Rand, row []byte) {
	sum := int32(0)
	for i := range row[:len(row)-simd.Int8Tail] {
		code := int8(rng.IntN(255) - 127)
		switch rng.IntN(3) {
		case 0:
			code = 127
		case 1:
			code = -127
		}
		row[i] = byte(code)
		sum += int32(code)
	}
	simd.SetInt8Tail(row, float32(rng.NormFloat64()), float32(rng.NormFloat64()), sum)
}

// TestInt8Rows compares every level bit by bit with the definition, for lists of
// every small length, rows apart, and rows whose factors look like codes.
func TestInt8Rows(t *testing.T) {
	const numRows = 50
	for _, level := range simd.Levels() {
		k, _ := simd.For(level)
		rng := rand.New(rand.NewPCG(6, 6))
		for n := simd.Int8Line; n <= 4224; n += simd.Int8Line * (1 + n/300) {
			stride := n + rng.IntN(3)*24
			matrix := make([]byte, (numRows-1)*stride+n+1)[1:] // not aligned
			for r := range numRows {
				codeRow(rng, matrix[r*stride:][:n])
			}
			for count := range 38 {
				rows, out := make([]uint32, count), make([]float32, count+1)
				for i := range rows {
					rows[i] = rng.Uint32N(numRows)
				}
				out[count] = 12345
				q := matrix[rng.IntN(numRows)*stride:][:n]
				add, mul := float32(rng.NormFloat64()), float32(rng.NormFloat64())
				k.Int8Rows(q, matrix, stride, rows, add, mul, out)
				for i, r := range rows {
					row := matrix[int(r)*stride:][:n]
					product := int32(0)
					for j := range n - simd.Int8Tail {
						product += int32(int8(q[j])) * int32(int8(row[j]))
					}
					scale, rowAdd := simd.ReadInt8Tail(row)
					// The conversions keep the compiler from fusing.
					want := float32(add+rowAdd) + float32(float32(float32(product)*mul)*scale)
					if math.Float32bits(out[i]) != math.Float32bits(want) {
						t.Fatalf("%v, %d bytes, row %d of %d: %v, want %v", level, n, i, count, out[i], want)
					}
				}
				if out[count] != 12345 {
					t.Fatalf("%v, %d bytes: wrote behind %d rows", level, n, count)
				}
			}
		}
	}
}

// TestInt8Tail: the last twelve bytes are the factors, and nothing else is touched.
func TestInt8Tail(t *testing.T) {
	row := make([]byte, 2*simd.Int8Line)
	for i := range row {
		row[i] = 0xaa
	}
	simd.SetInt8Tail(row, 1.5, -2, -3)
	for i, b := range row[:116] {
		if b != 0xaa {
			t.Errorf("byte %d is %#x", i, b)
		}
	}
	if got := int32(binary.LittleEndian.Uint32(row[124:])); got != -3*128 {
		t.Errorf("the sum's bytes say %d", got)
	}
	if scale, add := simd.ReadInt8Tail(row); scale != 1.5 || add != -2 {
		t.Errorf("read %v and %v", scale, add)
	}
}

func FuzzInt8Rows(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!?.,;:-+*/()"), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, count uint8) {
		n := (len(data)/2 + simd.Int8Tail + simd.Int8Line - 1) / simd.Int8Line * simd.Int8Line
		if n > 4224 {
			return
		}
		matrix := make([]byte, 2*n)
		for i := range 2 {
			row, sum := matrix[i*n:][:n], int32(0)
			for j := range len(data) / 2 {
				code := max(int8(data[i*(len(data)/2)+j]), -127)
				row[j] = byte(code)
				sum += int32(code)
			}
			simd.SetInt8Tail(row, 0.5, 3, sum)
		}
		rows := make([]uint32, count)
		for i := range rows {
			rows[i] = uint32(i*i) % 2
		}
		plain, _ := simd.For(simd.Generic)
		want := make([]float32, count)
		plain.Int8Rows(matrix[:n], matrix, n, rows, 1, 2, want)
		for _, level := range simd.Levels() {
			k, _ := simd.For(level)
			got := make([]float32, count)
			k.Int8Rows(matrix[:n], matrix, n, rows, 1, 2, got)
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("%v, row %d: %v, want %v", level, i, got[i], want[i])
				}
			}
		}
	})
}

func BenchmarkInt8Rows(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, n := range []int{128, 832} {
		for _, numRows := range []int{1000, 400_000_000 / n} {
			matrix := make([]byte, numRows*n)
			for i := range matrix {
				matrix[i] = byte(i & 15)
			}
			rows, out := make([]uint32, 32), make([]float32, 32)
			for _, level := range simd.Levels() {
				k, _ := simd.For(level)
				b.Run(fmt.Sprintf("%v/bytes=%d/rows=%d", level, n, numRows), func(b *testing.B) {
					for range b.N {
						for i := range rows {
							rows[i] = rng.Uint32N(uint32(numRows))
						}
						k.Int8Rows(matrix[:n], matrix, n, rows, 1, 2, out)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
				})
			}
		}
	}
}
