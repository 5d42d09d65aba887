package hnsw

import (
	"unsafe"

	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/space"
	"github.com/vccdb/vccdb/vecindex/quant"
	"github.com/vccdb/vccdb/vecindex/simd"
)

// row is what a vector is compared by in the graph, as bytes: the prepared vector
// itself or a code of it.
type row []byte

// rows are the rows of all slots. A query is a row too, in memory of its own, so that
// whoever links a slot looks for its neighbours with the row that is there.
type rows interface {
	// growLocked makes the rows of the slots below n usable.
	growLocked(n int) error
	// of is the row of a slot.
	of(slot uint32) row
	// forQuery makes a place for the row of a query.
	forQuery(query []float32) row
	// encode writes the row of a prepared vector. Where the vectors are the rows, it
	// is there already.
	encode(dst row, vec []float32)
	// distances sets out[i] to the distance between q and the row of slots[i].
	distances(q row, slots []uint32, out []float32)
	// prefetch asks for the rows of slots that are scored soon.
	prefetch(slots []uint32)
	// exact says that these distances need no second look.
	exact() bool
	// parts are what the rows have of their own for each slot.
	parts() []part
}

// floatRows are the vectors themselves.
type floatRows struct {
	space space.Space
	slots *slots
}

func (r *floatRows) growLocked(int) error { return nil }
func (r *floatRows) exact() bool          { return true }
func (r *floatRows) parts() []part        { return nil }
func (r *floatRows) of(slot uint32) row   { return bytesOf(r.slots.vector(slot)) }

func (r *floatRows) forQuery(query []float32) row { return bytesOf(query) }
func (r *floatRows) encode(row, []float32)        {}

func (r *floatRows) distances(q row, slots []uint32, out []float32) {
	r.space.Distances(floatsOf(q), r.slots.matrix, slots, out)
}

func (r *floatRows) prefetch(slots []uint32) {
	prefetchRows(unsafe.Pointer(unsafe.SliceData(r.slots.matrix)), 4*r.slots.stride, slots)
}

// prefetchLines is how many cache lines are asked for in advance: more than that may
// push each other out before they are used.
const prefetchLines = 64

func prefetchRows(matrix unsafe.Pointer, stride int, slots []uint32) {
	lines := (stride + 63) / 64
	if len(slots)*lines > prefetchLines {
		slots = slots[:max(1, min(len(slots), prefetchLines/lines))]
	}
	if len(slots) > 0 {
		simd.PrefetchRows(matrix, stride, slots, min(lines, prefetchLines))
	}
}

func bytesOf(v []float32) row {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

func floatsOf(r row) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(r))), len(r)/4)
}

// newRows makes the rows that an index with these options has.
func newRows(o *Options, sp space.Space, s *slots) (rows, error) {
	if o.Quantization == vecindex.Unquantized {
		return &floatRows{space: sp, slots: s}, nil
	}
	coordinates := o.Dimension
	if o.Quantization == vecindex.FastScan {
		coordinates = quant.FastScanPadding(coordinates)
	}
	codec, err := quant.NewPaddedInt8(o.Metric, o.Dimension, coordinates, o.Seed, o.Kernel)
	if err != nil {
		return nil, err
	}
	r := newCodeRows(&s.arrays, o.Capacity, codec)
	return r, s.arrays.Err()
}
