package simd_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/vecindex/simd"
)

func randomCodes(rng *rand.Rand, n int) []byte {
	codes := make([]byte, n)
	for i := range codes {
		codes[i] = byte(int8(rng.IntN(255) - 127))
	}
	return codes
}

// TestFastScanTables compares every level's tables with the definition.
func TestFastScanTables(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 1))
	for _, level := range simd.Levels() {
		k, err := simd.FastScanFor(level)
		if err != nil || k.Level != level {
			t.Fatal(k.Level, err)
		}
		for n := 0; n <= 512; n += simd.ChunkCodes {
			codes := randomCodes(rng, n)
			for i := range codes {
				if i%32 < 8 { // the extremes
					codes[i] = byte(127 - i%3*127)
				}
			}
			tables := make([]byte, 4*n+1)
			tables[4*n] = 77
			size := k.Tables(tables, codes)
			for i, entry := range tables[:4*n] {
				four, sum, least := codes[i/16*4:][:4], 0, 0
				for j, c := range four {
					sum += int(int8(c)) * (i >> j & 1)
					least += min(0, int(int8(c)))
				}
				if want := (sum - least + 1) / 2; int(entry) != want {
					t.Fatalf("%v, %d codes, entry %d of %v is %d, want %d", level, n, i%16, four, entry, want)
				}
			}
			for _, c := range codes {
				size -= max(int(int8(c)), -int(int8(c)))
			}
			if size != 0 || tables[4*n] != 77 {
				t.Fatalf("%v, %d codes: size off by %d, %d behind the tables", level, n, size, tables[4*n])
			}
		}
	}
}

// TestFastScan compares every level's estimates with the sums that its SetSlot's codes stand
// for, slot by slot.
func TestFastScan(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 2))
	for _, level := range simd.Levels() {
		k, _ := simd.FastScanFor(level)
		for try := range 60 {
			n, bits := simd.ChunkCodes*(1+rng.IntN(2+try)), 1+rng.IntN(2)
			q := simd.ScanQuery{Tables: make([]byte, 4*n), Bits: bits, Step: rng.Float32() + 0.5, Offset: rng.Float32()}
			for i := range q.Tables {
				q.Tables[i] = byte(rng.Uint32())
			}
			block := make([]uint32, simd.BlockWords(n, bits)+1)[1:]
			for i := range block {
				block[i] = rng.Uint32() // what was there before
			}
			var want, got [simd.BlockSlots]float32
			base, weight := rng.Float32(), rng.Float32()
			for _, slot := range rng.Perm(simd.BlockSlots) {
				term, scale, codes := rng.Float32(), rng.Float32()-0.5, make([]uint16, n/16*bits)
				sum := 0
				for i := range codes {
					codes[i] = uint16(rng.Uint32())
					for g := range 4 {
						table := q.Tables[i%(n/16)*64+g*16:][:16]
						sum += int(table[codes[i]>>(4*g)&15]) << (i / (n / 16))
					}
				}
				k.SetSlot(block, slot, term, scale, codes)
				want[slot] = base + weight*term + scale*(q.Step*float32(sum)+q.Offset)
			}
			bound := want[rng.IntN(len(want))] + 0.125
			below := k.Scan(&q, block, block, base, weight, bound, &got)
			for i, w := range want {
				if math.Abs(float64(got[i]-w)) > 1e-5*math.Abs(float64(w))+1e-3 {
					t.Fatalf("%v, %d codes of %d bits, slot %d: %v, want %v", level, n, bits, i, got[i], w)
				}
				if (below>>i&1 != 0) != (got[i] < bound) {
					t.Fatalf("%v, slot %d: %v is below %v: %b", level, i, got[i], bound, below>>i&1)
				}
			}
			if k.Scan(&q, block, block, float32(math.NaN()), weight, bound, &got) != 0 {
				t.Fatalf("%v: what isn't a number is below %v", level, bound)
			}
		}
	}
}

// TestResidual compares every level to the plain one bit by bit, and that one with the
// definition.
func TestResidual(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 3))
	plain, _ := simd.FastScanFor(simd.Generic)
	for _, level := range simd.Levels() {
		k, _ := simd.FastScanFor(level)
		for n := 0; n <= 1024; n += simd.ChunkCodes * (1 + n/100) {
			x, c := randomCodes(rng, n), randomCodes(rng, n)
			if n > 0 {
				c[n/2] = x[n/2]
			}
			for _, reach := range []float32{0, 0.4, float32(math.Inf(1))} {
				for _, cScale := range []float32{0.01, 0.02, 0} {
					type result struct{ positive, far []uint16 }
					want := result{make([]uint16, n/16+1), make([]uint16, n/16+1)}
					got := result{make([]uint16, n/16+1), make([]uint16, n/16+1)}
					sums := plain.Residual(want.positive, want.far, x, c, 0.01, cScale, reach)
					if s := k.Residual(got.positive, got.far, x, c, 0.01, cScale, reach); s != sums {
						t.Fatalf("%v, %d codes: %v, want %v", level, n, s, sums)
					}
					if !slices.Equal(got.positive, want.positive) || !slices.Equal(got.far, want.far) {
						t.Fatalf("%v, %d codes, reach %v: signs or sizes differ", level, n, reach)
					}
				}
			}
		}
	}
	x, c := []byte{0: 3, 15: 0}, []byte{0: 1, 1: 5, 15: 0}
	var positive, far [1]uint16
	sums := plain.Residual(positive[:], far[:], x, c, 1, 1, 3)
	// r is 2, -5 and zeros, u is 0.5, -1.5 and 0.5 for each zero.
	if positive[0] != 0xfffd || far[0] != 2 || sums != (simd.ResidualSums{RR: 29, CR: 2 - 25, UR: 1 + 7.5, UC: 0.5 - 7.5}) {
		t.Errorf("signs %x, far %x, sums %+v", positive, far, sums)
	}
}
