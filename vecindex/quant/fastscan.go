package quant

import (
	"math"
	"sync"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/simd"
)

// FastScan estimates the distances between a query and the neighbours of a graph's node
// from few bits a coordinate, all of them in one pass: the layout of SymphonyQG (Gou,
// Gao, Xu and Long, SIGMOD 2025, arXiv:2411.12229, section 3) with the estimator of
// RaBitQ (Gao and Long, SIGMOD 2024, arXiv:2405.12497). A code is that of a neighbour
// relative to its node, as queries near the node see it.
//
// Let c be the node, v the neighbour and q the query, rotated and as their Int8 codes
// have them, and r = v - c. The code u of r has a coordinate ±1/2 for one bit, or ±1/2
// or ±3/2 for two, near r/Δ with Δ in proportion to the length of r. RaBitQ estimates
// an inner product with r by that with u (theorem 3.2; its ō is u/|u|, its o is r/|r|):
//
//	<r, y> ≈ f <u, y>,  f = |r|² / <u, r>
//
// which over the random rotations has no bias and an error of about |r||y|σ/√D, where
// D is the number of coordinates and σ 0.75 for one bit, 0.37 for two. y = q - c is
// short where it matters (RaBitQ, equation 2, normalises by the same vector), so
//
//	<r, q> = <r, c> + <r, q-c> ≈ <r, c> + f <u, q> - f <u, c>            (1)
//
// of which all but <u, q> is known before there is a query. Under l2 that makes
//
//	|q-v|² = |q-c|² + |v|² - |c|² - 2<r, q>
//	       ≈ |q-c|² + [|v|² - |c|² - 2<r, c> + 2f <u, c>] - 2f <u, q>     (2)
//	         base     term                                  scale
//
// under cosine, with 1 - <q, v> = 1 - <q, c> - <r, q>,
//
//	1 - <q, v> ≈ 1 - <q, c> + [f <u, c> - <r, c>] - f <u, q>              (3)
//
// and under dot the same without the ones, but for c: lengths differ, so the nearest to
// q of all multiples of c, λc with λ = <q, c>/|c|², takes its place in y. The bracket of
// (3) is then to be multiplied by λ: it is stored divided by |c|², and weighted with
// <q, c>, which is what base says.
//
// The inner product with u is summed from tables of the query's coordinates (RaBitQ,
// section 3.3.2), which have 8 bits. Those depend on the query alone.
//
// One bit is what the papers take. Two bits are better than twice the coordinates with
// one (Gao et al., SIGMOD 2025, arXiv:2409.09913), and for vectors of few dimensions,
// where the errors are large and a node has few bytes to begin with, they win: on 340,000
// word vectors of 100 dimensions a walk needs 190 hops for recall 0.95 instead of 450,
// about as many as with exact distances, and a hop takes as long.
type FastScan struct {
	code    *Int8
	bits    int
	kernels simd.FastScan
	scratch sync.Pool // of *masks
}

// masks are two bits for each coordinate, in words of a chunk.
type masks [2 * vecindex.MaxDimension / simd.ChunkCodes]uint16

// FastScanPadding is the number of coordinates that vectors of a dimension need to have
// for FastScan.
func FastScanPadding(dim int) int {
	return (dim + simd.ChunkCodes - 1) / simd.ChunkCodes * simd.ChunkCodes
}

const (
	// twoBitsUpTo is the most coordinates that get two bits each.
	twoBitsUpTo = 256
	// step is Δ for two bits in standard deviations of the coordinates of r, which are
	// nearly normal after the rotation: the uniform quantiser of least error (Max,
	// Quantizing for minimum distortion, 1960).
	step = 0.9957
)

// NewFastScan makes the estimator for vectors with these codes, of FastScanPadding
// coordinates.
func NewFastScan(code *Int8, level simd.Level) (*FastScan, error) {
	if code.Padded() != FastScanPadding(code.Padded()) {
		return nil, errs.New(errs.Invalid, "invalid_dimension",
			"codes for neighbours have a multiple of %d coordinates, not %d", simd.ChunkCodes, code.Padded())
	}
	k, err := simd.FastScanFor(level)
	if err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "unknown_kernel", "no such kernels here")
	}
	f := &FastScan{code: code, bits: 1, kernels: k}
	f.scratch.New = func() any { return new(masks) }
	if code.Padded() <= twoBitsUpTo {
		f.bits = 2
	}
	return f, nil
}

// BlockWords is the length of a block, which has the codes of simd.BlockSlots neighbours
// of one node.
func (f *FastScan) BlockWords() int { return simd.BlockWords(f.code.Padded(), f.bits) }

// Encode writes the code of a neighbour into a slot of a node's block, of the code rows
// of both. One call at a time for a block. Estimates may be made meanwhile; that of the
// slot is then of no use.
func (f *FastScan) Encode(block []uint32, slot int, node, neighbour []byte) {
	m := f.scratch.Get().(*masks)
	defer f.scratch.Put(m)
	n := f.code.Padded()
	chunks := n / simd.ChunkCodes
	far, positive := m[:chunks], m[chunks:2*chunks] // the lower bits are before the upper
	nodeScale, nodeAdd := simd.ReadInt8Tail(node[:f.code.stride])
	scale, add := simd.ReadInt8Tail(neighbour[:f.code.stride])
	square := float32(0) // of the node's length
	if f.code.metric == vecindex.Dot {
		square = f.kernels.Residual(positive, far, node[:n], node[:n], nodeScale, 0, 0).RR
	}
	s := f.kernels.Residual(positive, far, neighbour[:n], node[:n], scale, nodeScale, float32(math.Inf(1)))
	codes := positive
	if f.bits == 2 {
		reach := step * math.Sqrt(float64(s.RR)/float64(n))
		s = f.kernels.Residual(positive, far, neighbour[:n], node[:n], scale, nodeScale, float32(reach))
		for i := range far { // 0 is far below, 3 far above
			far[i] = ^(far[i] ^ positive[i])
		}
		codes = m[:2*chunks]
	}
	factor := float32(0)
	if s.UR > 0 {
		factor = s.RR / s.UR
	}
	term := factor*s.UC - s.CR
	switch f.code.metric {
	case vecindex.L2:
		term, factor = (add-nodeAdd)+2*term, 2*factor
	case vecindex.Dot:
		if square > 0 {
			term /= square
		}
	}
	if !isFinite(term) || !isFinite(factor) {
		term, factor = 0, 0 // as near as its node
	}
	f.kernels.SetSlot(block, slot, term, -factor, codes)
}

func isFinite(v float32) bool { return v-v == 0 }

// Probe is a query in the form that neighbours are judged by. It is of one goroutine.
type Probe struct {
	query     simd.ScanQuery
	Estimates [simd.BlockSlots]float32 // of the last call of Below
}

// NewProbe makes a probe, which is of use once it is set.
func (f *FastScan) NewProbe() *Probe {
	return &Probe{query: simd.ScanQuery{Tables: make([]byte, 4*f.code.Padded()), Bits: f.bits}}
}

// Set makes p the query of a code row.
func (f *FastScan) Set(p *Probe, row []byte) {
	size := f.kernels.Tables(p.query.Tables, row[:f.code.Padded()])
	scale, _ := simd.ReadInt8Tail(row[:f.code.stride])
	// With codes k of the query, of which group g has sums from m_g on, and the bits b
	// of a neighbour: the tables have (Σ k·b - m_g)/2, and a quarter more on average, as
	// they are rounded up; and u is Σ 2^bit·b - most/2. The negative codes, which are the
	// m_g together, less half of all codes, are half the size of all.
	most := float32(int(1)<<f.bits - 1)
	groups := float32(len(row[:f.code.Padded()]) / 4)
	p.query.Step = 2 * scale
	p.query.Offset = -scale * most / 2 * (float32(size) + groups)
}

// Below estimates the distances between p and the neighbours in a node's block, whose
// own distance is given, and leaves them in p.Estimates. Bit i of the result says that
// the one in slot i is below bound. ahead is the block that will be asked for next, or
// the same.
func (f *FastScan) Below(p *Probe, block, ahead []uint32, distance, bound float32) uint32 {
	weight := float32(1)
	if f.code.metric == vecindex.Dot {
		weight = -distance
	}
	return f.kernels.Scan(&p.query, block, ahead, distance, weight, bound, &p.Estimates)
}
