package scan

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

const (
	// firstRows is the memory that a new index has, in rows. Its first segment grows
	// by copying; all others have the whole size from the start.
	firstRows = 1024
	// firstTable is the number of segments that there is a table for at first.
	firstTable = 64
	// stagingBytes is about what vectors on their way into rows take at a time.
	stagingBytes = 8 << 20
)

// Index is an index in a device's memory. Make one with Device.NewIndex.
type Index struct {
	d    *Device
	spec wire.IndexSpec
	code kernels.Code
	// rowBytes is the size of a code; stride is how many floats apart vectors lie.
	rowBytes, stride int
	rotation         kernels.Rotation
	rows             rows
	segments         []segment
	// table has the segments on the device, rowOf the row of each id. All memory of the
	// index is in them, in rotated, and in the segments.
	table, rowOf, rotated block
}

// segment is the memory of some rows, kernels.SegmentRows but for the first.
type segment struct {
	block
	rows int
}

// NewIndex makes an empty index.
func (d *Device) NewIndex(spec wire.IndexSpec) (serve.Index, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	x := &Index{d: d, spec: spec, code: kernels.S8, stride: kernels.VectorStride(spec.Dim)}
	if spec.Codes == wire.BF16 {
		x.code = kernels.BF16
	}
	x.rowBytes = kernels.RowBytes(x.code, spec.Dim)
	x.rotation = kernels.Rotation{Padded: uint32(spec.Dim)}
	if err := x.init(); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// init allocates what an empty index has.
func (x *Index) init() error {
	var err error
	if x.table, err = x.d.alloc(firstTable*kernels.SegmentBytes, forIndexes, "an empty index"); err != nil {
		return err
	}
	if err := x.growIDs(firstRows); err != nil {
		return err
	}
	if x.code != kernels.S8 {
		return nil
	}
	r := newRotation(x.spec.Dim, x.spec.Seed)
	var c cutter
	factors, turns := c.cut(int64(4*len(r.factors))), c.cut(int64(4*len(r.turns)))
	if x.rotated, err = x.d.alloc(c.used, forIndexes, "an empty index"); err != nil {
		return err
	}
	x.rotation = kernels.Rotation{Factors: x.rotated.at + Ptr(factors), Padded: uint32(x.spec.Dim), Block: uint32(r.block)}
	if r.turns != nil {
		x.rotation.Turns = x.rotated.at + Ptr(turns)
	}
	return x.run(func(l *lane) {
		l.CopyIn(x.rotation.Factors, bytesOf(r.factors))
		l.CopyIn(x.rotation.Turns, bytesOf(r.turns))
	})
}

// run queues work on a lane and waits for it.
func (x *Index) run(queue func(l *lane)) error {
	l, err := x.d.lane()
	if err != nil {
		return err
	}
	defer x.d.back(l)
	queue(l)
	return l.Sync()
}

// Len is how many vectors can be found.
func (x *Index) Len() int { return x.rows.live }

// Bytes is what the index takes of the device's memory.
func (x *Index) Bytes() int64 {
	n := x.table.bytes + x.rowOf.bytes + x.rotated.bytes
	for _, s := range x.segments {
		n += s.bytes
	}
	return n
}

// Close gives the memory back.
func (x *Index) Close() error {
	for _, s := range x.segments {
		x.d.free(s.block)
	}
	for _, b := range []*block{&x.table, &x.rowOf, &x.rotated} {
		x.d.free(*b)
		*b = block{}
	}
	x.segments, x.rows = nil, rows{}
	return nil
}

// Put stores vectors, replacing what their ids had.
func (x *Index) Put(ids []uint32, vectors []float32) error {
	if err := checkIDs(ids); err != nil || len(ids) == 0 {
		return err
	}
	if len(vectors) != len(ids)*x.spec.Dim {
		return wire.Errorf(wire.Invalid, "%d vectors of %d dimensions have %d numbers, not %d",
			len(ids), x.spec.Dim, len(ids)*x.spec.Dim, len(vectors))
	}
	if err := x.growIDs(int(ids[len(ids)-1]) + 1); err != nil {
		return err
	}
	if err := x.growRows(x.rows.need(x.rows.missing(ids))); err != nil {
		return err
	}
	l, err := x.d.lane()
	if err != nil {
		return err
	}
	defer x.d.back(l)
	chunk := max(1, min(stagingBytes/(4*x.spec.Dim), len(ids)))
	var c cutter
	input, idsAt, rowsAt := c.cut(int64(4*chunk*x.spec.Dim)), c.cut(int64(4*len(ids))), c.cut(int64(4*len(ids)))
	if err := l.need(c.used, 0); err != nil {
		return err
	}
	base := l.scratch.at
	l.CopyIn(base+Ptr(idsAt), bytesOf(ids))
	l.CopyIn(base+Ptr(rowsAt), bytesOf(x.rows.put(ids)))
	for at := 0; at < len(ids); at += chunk {
		n := min(chunk, len(ids)-at)
		l.CopyIn(base+Ptr(input), bytesOf(vectors[at*x.spec.Dim:][:n*x.spec.Dim]))
		l.launch(kernels.LaunchEncode(n, x.spec.Dim), args(kernels.EncodeArgs{
			Input: base + Ptr(input), IDs: base + Ptr(idsAt) + Ptr(4*at), Rows: base + Ptr(rowsAt) + Ptr(4*at),
			Segments: x.table.at, RowOf: x.rowOf.at, Rotation: x.rotation,
			Dim: uint32(x.spec.Dim), RowBytes: uint32(x.rowBytes), Stride: uint32(x.stride),
			Metric: kernels.Metric(x.spec.Metric), Code: x.code, Count: uint32(n),
		}))
	}
	return l.Sync()
}

// Delete makes ids unfindable.
func (x *Index) Delete(ids []uint32) error {
	if err := checkIDs(ids); err != nil {
		return err
	}
	l, err := x.d.lane()
	if err != nil {
		return err
	}
	defer x.d.back(l)
	if err := l.need(int64(4*len(ids)), 0); err != nil {
		return err
	}
	known := x.rows.delete(ids)
	if len(known) == 0 {
		return nil
	}
	l.CopyIn(l.scratch.at, bytesOf(known))
	l.launch(kernels.LaunchErase(len(known)), args(kernels.EraseArgs{
		IDs: l.scratch.at, Segments: x.table.at, RowOf: x.rowOf.at, RowOfIDs: uint32(len(x.rows.of)), Count: uint32(len(known)),
	}))
	return l.Sync()
}

// checkIDs holds that ids are ascending and distinct, as rows are told apart by them.
func checkIDs(ids []uint32) error {
	for i, id := range ids {
		if id == kernels.None || i > 0 && id <= ids[i-1] {
			return wire.Errorf(wire.Invalid, "the ids of a call are ascending and below %d; number %d is %d", uint32(kernels.None), i, id)
		}
	}
	return nil
}

// growIDs makes room for ids below n.
func (x *Index) growIDs(n int) error {
	const idBytes = 4
	need, had := int64(n)*idBytes, x.rowOf.bytes
	if need > had {
		b, err := x.d.allocMore(need, had, math.MaxInt64, forIndexes, fmt.Sprintf("an index of ids up to %d", n-1))
		if err != nil {
			return err
		}
		err = x.run(func(l *lane) {
			l.Copy(b.at, x.rowOf.at, had)
			l.Fill(b.at+Ptr(had), 0xFF, b.bytes-had) // kernels.None
		})
		if err != nil {
			x.d.free(b)
			return err
		}
		x.d.free(x.rowOf)
		x.rowOf = b
	}
	x.rows.grow(n)
	return nil
}

// growRows makes room for so many rows.
func (x *Index) growRows(n int) error {
	for x.capacity() < n {
		if err := x.growSegments(n); err != nil {
			return err
		}
	}
	return nil
}

// capacity is how many rows there is room for.
func (x *Index) capacity() int {
	if len(x.segments) == 0 {
		return 0
	}
	return (len(x.segments)-1)*kernels.SegmentRows + x.segments[len(x.segments)-1].rows
}

// growSegments adds a segment, or makes the first one larger.
func (x *Index) growSegments(n int) error {
	size, old := kernels.SegmentRows, segment{}
	if len(x.segments) <= 1 {
		for size = firstRows; size < min(n, kernels.SegmentRows); size *= 4 {
		}
		if len(x.segments) == 1 && x.segments[0].rows < size {
			old = x.segments[0]
		} else if len(x.segments) == 1 {
			size = kernels.SegmentRows
		}
	}
	layout, bytes := x.layout(size)
	what := fmt.Sprintf("room for %d more vectors of %d dimensions with %v codes", size-old.rows, x.spec.Dim, x.spec.Codes)
	b, err := x.d.alloc(bytes, forIndexes, what)
	if err != nil {
		return err
	}
	segments := append(slices.Clone(x.segments), segment{b, size})
	if old.rows > 0 {
		segments = []segment{{b, size}}
	}
	table, err := x.tableFor(len(segments))
	if err != nil {
		x.d.free(b)
		return err
	}
	entries := x.entries(segments)
	err = x.run(func(l *lane) {
		was, _ := x.layout(old.rows)
		for i, part := range was {
			l.Copy(b.at+Ptr(layout[i].at), old.at+Ptr(part.at), part.bytes)
		}
		l.CopyIn(table.at, entries)
	})
	if err != nil {
		x.d.free(b)
		return err
	}
	x.d.free(old.block)
	x.segments = segments
	return nil
}

// piece is one of the arrays of a segment.
type piece struct{ at, bytes int64 }

// layout is where codes, vectors, factors and ids of a segment of n rows lie, and how
// many bytes they take together.
func (x *Index) layout(n int) ([4]piece, int64) {
	var c cutter
	var parts [4]piece
	for i, row := range []int{x.rowBytes, 4 * x.stride, kernels.FactorBytes, 4} {
		bytes := int64(n * row)
		parts[i] = piece{c.cut(bytes), bytes}
	}
	return parts, c.used
}

// entries are segments as the device has them.
func (x *Index) entries(segments []segment) []byte {
	var table []byte
	for _, s := range segments {
		p, _ := x.layout(s.rows)
		at := func(i int) Ptr { return s.at + Ptr(p[i].at) }
		table = kernels.Append(table, kernels.Segment{Codes: at(0), Vectors: at(1), Factors: at(2), IDs: at(3)})
	}
	return table
}

// tableFor makes room for a table of n segments; what is in it is written anew.
func (x *Index) tableFor(n int) (block, error) {
	if need := int64(n * kernels.SegmentBytes); need > x.table.bytes {
		b, err := x.d.alloc(2*need, forIndexes, "a table of segments")
		if err != nil {
			return block{}, err
		}
		x.d.free(x.table)
		x.table = b
	}
	return x.table, nil
}
