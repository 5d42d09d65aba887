package simd

func fastScan(l Level) FastScan {
	k := genericFastScan()
	if k.Level = l; l == NEON {
		k.Scan = scanNEONBlock
	}
	return k
}

func scanNEONBlock(q *ScanQuery, block, ahead []uint32, base, weight, bound float32, out *[BlockSlots]float32) uint32 {
	chunks := len(q.Tables) / ChunkTables
	words := BlockHead + q.Bits*chunks*chunkWords
	block, ahead = block[:words], ahead[:words]
	var sums [BlockSlots]uint32
	if chunks > 0 {
		sumsNEON(&q.Tables[0], chunks, q.Bits, &block[BlockHead], &ahead[BlockHead], &sums[0])
	}
	return estimate(q, block, &sums, base, weight, bound, out)
}

//go:noescape
func sumsNEON(tables *byte, chunks, bits int, codes, ahead *uint32, sums *uint32)
