package simd

import (
	"math"
	"sync/atomic"
)

// A neighbour block has the codes of BlockSlots vectors side by side, so that one pass
// estimates the inner products of all of them with a query: the layout of Quick ADC and
// FastScan (André, Kermarrec and Le Scouarnec, VLDB 2015 and ICMR 2017), where codes
// are looked up in tables that lie in registers. In 32-bit words:
//
//	BlockSlots words  the float32 terms of the slots
//	BlockSlots words  their float32 scales
//	then for each bit of a code, the lowest first, for each chunk of ChunkCodes
//	coordinates, 16 words: byte g of word w has the bits of coordinates 4g to 4g+3 of
//	the chunk, of slot w in its lower half and of slot w+16 in its upper half
//
// A query's tables have ChunkTables bytes for each chunk: for each four coordinates
// the sums of the query's coordinates whose bits are set, for the 16 values of the bits.
//
// In this arrangement a byte's index into the 64 bytes of a chunk is its value and its
// place in the word, which is what VPERMB (and TBL of arm64) look up at once, and the
// four sums of a slot come to lie in one word, where VPDPBUSD adds them.
const (
	// BlockSlots is the codes of a block.
	BlockSlots = 32
	// BlockHead is the words of a block before its codes.
	BlockHead = 2 * BlockSlots
	// ChunkCodes is what the coordinates of a code are a multiple of.
	ChunkCodes = 16
	// ChunkTables is the bytes of a query's tables for a chunk.
	ChunkTables = 64
	chunkWords  = 16
)

// BlockWords is the length of a block of codes with so many coordinates and bits.
func BlockWords(coordinates, bits int) int {
	return BlockHead + bits*coordinates/ChunkCodes*chunkWords
}

// FastScan are the kernels of one level for neighbour blocks. All levels give the same
// bits but for Scan's rounding.
type FastScan struct {
	// Level is the instruction set, never Auto.
	Level Level
	// Tables makes a query's tables of its signed codes, whose number is a multiple of
	// ChunkCodes. An entry is (s+1)/2, rounded down, where s is the sum less the smallest
	// sum of its table. It returns the sum of the codes' sizes.
	Tables func(tables, codes []byte) int
	// Scan sets out[i] to base + weight*term + scale*(step*sum + offset) with the term
	// and scale of slot i, and sum that of what its codes look up, the bits of value 2
	// counted twice. Bit i of the result says that out[i] is below bound. ahead is another
	// block, or the same, that is brought into the cache meanwhile.
	Scan func(q *ScanQuery, block, ahead []uint32, base, weight, bound float32, out *[BlockSlots]float32) uint32
	// Residual looks at r = x - c, where x is a signed code times xScale and c likewise.
	// Bit j%16 of positive[j/16] says that r[j] >= 0, of far[j/16] that |r[j]| >= reach.
	// The number of codes is a multiple of ChunkCodes.
	Residual func(positive, far []uint16, x, c []byte, xScale, cScale, reach float32) ResidualSums
	// SetSlot writes the term, the scale and the code of one slot of a block; codes has a
	// word of 16 bits for each chunk of each bit, in the order of the block. Words are
	// written as a whole. One call at a time for a block; reads may go on.
	SetSlot func(block []uint32, slot int, term, scale float32, codes []uint16)
}

// ScanQuery is what Scan is asked with.
type ScanQuery struct {
	Tables       []byte
	Bits         int
	Step, Offset float32
}

// ResidualSums are over the coordinates of r and c, and of u, which is 1.5 where r is
// far and else 0.5, with the sign of r.
type ResidualSums struct {
	RR, CR, UR, UC float32 // r·r, c·r, u·r, u·c
}

// FastScanFor returns the kernels of a level, which this machine can run.
func FastScanFor(l Level) (FastScan, error) {
	k, err := For(l)
	if err != nil {
		return FastScan{}, err
	}
	return fastScan(k.Level), nil
}

func genericFastScan() FastScan {
	return FastScan{
		Level: Generic, Tables: tablesGeneric, Scan: scanGeneric, Residual: residualGeneric, SetSlot: setSlotGeneric,
	}
}

func tablesGeneric(tables, codes []byte) int {
	size := 0
	for g := 0; g < len(codes); g += 4 {
		least, four := 0, codes[g:g+4]
		for _, c := range four {
			least += min(0, int(int8(c)))
			size += max(int(int8(c)), -int(int8(c)))
		}
		table := tables[4*g : 4*g+16]
		for i := range table {
			sum := 1 - least
			for k, c := range four {
				sum += int(int8(c)) * (i >> k & 1)
			}
			table[i] = byte(sum / 2)
		}
	}
	return size
}

func scanGeneric(q *ScanQuery, block, _ []uint32, base, weight, bound float32, out *[BlockSlots]float32) uint32 {
	var sums [BlockSlots]uint32
	codes := block[BlockHead:]
	for bit := range q.Bits {
		for tables := q.Tables; len(tables) > 0; tables = tables[ChunkTables:] {
			for w := range chunkWords {
				word := atomic.LoadUint32(&codes[w])
				for g := range 4 {
					table := tables[16*g : 16*g+16]
					sums[w] += uint32(table[word>>(8*g)&15]) << bit
					sums[w+16] += uint32(table[word>>(8*g+4)&15]) << bit
				}
			}
			codes = codes[chunkWords:]
		}
	}
	return estimate(q, block, &sums, base, weight, bound, out)
}

// estimate is the part of Scan after the lookups.
func estimate(q *ScanQuery, block []uint32, sums *[BlockSlots]uint32, base, weight, bound float32, out *[BlockSlots]float32) uint32 {
	below := uint32(0)
	for i, sum := range sums {
		term := math.Float32frombits(atomic.LoadUint32(&block[i]))
		scale := math.Float32frombits(atomic.LoadUint32(&block[BlockSlots+i]))
		out[i] = base + weight*term + scale*(q.Step*float32(sum)+q.Offset)
		if out[i] < bound {
			below |= 1 << i
		}
	}
	return below
}

func residualGeneric(positive, far []uint16, x, c []byte, xScale, cScale, reach float32) ResidualSums {
	var rr, cr, ur, uc [CodeLanes]float32
	c = c[:len(x)]
	for j := range x {
		lane := j % CodeLanes
		if lane == 0 {
			positive[j/CodeLanes], far[j/CodeLanes] = 0, 0
		}
		// The conversions keep a compiler from fusing what the kernels don't.
		y := float32(float32(int8(c[j])) * cScale)
		r := float32(float32(int8(x[j]))*xScale) - y
		size, u := r, float32(0.5)
		if r < 0 {
			size = -r
		} else {
			positive[j/CodeLanes] |= 1 << lane
		}
		if size >= reach {
			u = 1.5
			far[j/CodeLanes] |= 1 << lane
		}
		rr[lane] += float32(r * r)
		cr[lane] += float32(y * r)
		ur[lane] += float32(u * size)
		if r < 0 {
			u = -u
		}
		uc[lane] += float32(y * u)
	}
	return ResidualSums{RR: sumLanes(&rr), CR: sumLanes(&cr), UR: sumLanes(&ur), UC: sumLanes(&uc)}
}

func setSlotGeneric(block []uint32, slot int, term, scale float32, codes []uint16) {
	words, shift := block[BlockHead+slot%16:], slot/16*4
	mask := uint32(0x0f0f0f0f) << shift
	for i, code := range codes {
		nibbles := uint32(code)
		nibbles = (nibbles | nibbles<<8) & 0x00ff00ff
		nibbles = (nibbles | nibbles<<4) & 0x0f0f0f0f
		word := &words[i*chunkWords]
		atomic.StoreUint32(word, atomic.LoadUint32(word)&^mask|nibbles<<shift)
	}
	atomic.StoreUint32(&block[slot], math.Float32bits(term))
	atomic.StoreUint32(&block[BlockSlots+slot], math.Float32bits(scale))
}
