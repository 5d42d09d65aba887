package simd

import (
	"math"
	"unsafe"

	"github.com/klauspost/cpuid/v2"
)

func fastScan(l Level) FastScan {
	k := genericFastScan()
	k.Level = l
	scan := scanAVX2
	switch {
	case l == Generic:
		return k
	case l == AVX512 && cpuid.CPU.Supports(cpuid.AVX512BW, cpuid.AVX512VBMI, cpuid.AVX512VNNI):
		scan = scanVBMI
	}
	k.Tables = func(tables, codes []byte) int {
		if len(codes) == 0 {
			return 0
		}
		return tablesAVX2(&tables[:4*len(codes)][0], &codes[0], len(codes))
	}
	k.Scan = func(q *ScanQuery, block, ahead []uint32, base, weight, bound float32, out *[BlockSlots]float32) uint32 {
		chunks := len(q.Tables) / ChunkTables
		f := scanFactors{base, weight, q.Step, q.Offset, bound}
		words := BlockHead + q.Bits*chunks*chunkWords
		block, ahead = block[:words], ahead[:words]
		return scan(unsafe.SliceData(q.Tables), chunks, q.Bits, &block[0], &ahead[0], &f, &out[0])
	}
	k.Residual = func(positive, far []uint16, x, c []byte, xScale, cScale, reach float32) ResidualSums {
		chunks := len(x) / ChunkCodes
		if chunks == 0 {
			return ResidualSums{}
		}
		positive, far, c = positive[:chunks], far[:chunks], c[:len(x)]
		var s ResidualSums
		residualAVX2(&positive[0], &far[0], &x[0], &c[0], chunks, xScale, cScale, reach, &s)
		return s
	}
	k.SetSlot = func(block []uint32, slot int, term, scale float32, codes []uint16) {
		block = block[:BlockHead+len(codes)*chunkWords]
		block[slot], block[BlockSlots+slot] = math.Float32bits(term), math.Float32bits(scale)
		if len(codes) > 0 {
			// Not in Go, where such stores are exchanges, which take ten times as long.
			setCodes(&block[BlockHead+slot%16], &codes[0], len(codes), slot/16*4)
		}
	}
	return k
}

//go:noescape
func setCodes(words *uint32, codes *uint16, n, shift int)

// scanFactors is the numbers of a scan.
type scanFactors struct{ base, weight, step, offset, bound float32 }

//go:noescape
func tablesAVX2(tables, codes *byte, n int) int

//go:noescape
func scanVBMI(tables *byte, chunks, bits int, block, ahead *uint32, f *scanFactors, out *float32) uint32

//go:noescape
func scanAVX2(tables *byte, chunks, bits int, block, ahead *uint32, f *scanFactors, out *float32) uint32

//go:noescape
func residualAVX2(positive, far *uint16, x, c *byte, chunks int, xScale, cScale, reach float32, sums *ResidualSums)
