package hnsw

import (
	"unsafe"

	"github.com/vccdb/vccdb/vecindex/internal/offheap"
	"github.com/vccdb/vccdb/vecindex/quant"
)

// codeRows are int8 codes. They are a quarter of the vectors, and what a search costs
// is mostly the bytes it has to fetch.
type codeRows struct {
	codec  *quant.Int8
	codes  *offheap.Array[byte]
	matrix []byte // codes in full length, for kernels
}

func newCodeRows(g *offheap.Group, capacity int, codec *quant.Int8) *codeRows {
	r := &codeRows{codec: codec, codes: offheap.ReserveIn[byte](g, capacity*codec.Stride())}
	r.matrix = r.codes.All()
	return r
}

func (r *codeRows) growLocked(n int) error { return r.codes.Grow(n * r.codec.Stride()) }
func (r *codeRows) exact() bool            { return false }
func (r *codeRows) parts() []part          { return []part{partOf(r.codes, r.codec.Stride())} }

func (r *codeRows) of(slot uint32) row {
	return r.codes.Slice(int(slot)*r.codec.Stride(), r.codec.Stride())
}

func (r *codeRows) forQuery([]float32) row { return make(row, r.codec.Stride()) }

func (r *codeRows) encode(dst row, vec []float32) { r.codec.Encode(dst, vec) }

func (r *codeRows) prefetch(slots []uint32) {
	prefetchRows(unsafe.Pointer(unsafe.SliceData(r.matrix)), r.codec.Stride(), slots)
}

func (r *codeRows) distances(q row, slots []uint32, out []float32) {
	r.codec.Distances(q, r.matrix, slots, out)
}
