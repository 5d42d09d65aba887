package scan

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/wire"
)

// align is what parts of a block of memory are aligned to: what the device reads at
// once is never in two of its lines.
const align = 256

// aligned rounds up.
func aligned(bytes int64) int64 { return (bytes + align - 1) / align * align }

// reserve is the memory that only searches may have: a lane that works and one that
// gets its queries meanwhile.
func (d *Device) reserve() int64 { return min(2*d.o.ScratchBytes, d.o.MemoryLimit/4) }

// alloc allocates memory for what an error calls by name. Indexes leave the reserve.
func (d *Device) alloc(bytes int64, forWhat string, index bool) (Ptr, error) {
	bytes = aligned(max(1, bytes))
	if err := d.account(bytes, forWhat, index); err != nil {
		return 0, err
	}
	p, err := d.l.Alloc(bytes)
	if err != nil {
		d.discount(bytes)
		return 0, err
	}
	return p, nil
}

func (d *Device) account(bytes int64, forWhat string, index bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	limit := d.o.MemoryLimit
	if index {
		limit -= d.reserve()
	}
	if d.mu.used+bytes > limit {
		return wire.Errorf(wire.OutOfMemory, "%s takes %s of the device's memory; of %s, %s are in use, and %s are for searches alone",
			forWhat, mebibytes(bytes), mebibytes(d.o.MemoryLimit), mebibytes(d.mu.used), mebibytes(d.reserve()))
	}
	d.mu.used += bytes
	return nil
}

func (d *Device) discount(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.used -= bytes
}

// block is a part of the device's memory that has an owner.
type block struct {
	at    Ptr
	bytes int64 // of which all were accounted for
}

// allocBlock is alloc of a block.
func (d *Device) allocBlock(bytes int64, forWhat string, index bool) (block, error) {
	p, err := d.alloc(bytes, forWhat, index)
	if err != nil {
		return block{}, err
	}
	return block{p, aligned(max(1, bytes))}, nil
}

// free gives a block back. The empty block is fine.
func (d *Device) free(b block) {
	if b.at != 0 {
		d.l.Free(b.at)
		d.discount(b.bytes)
	}
}

// growth is the size to allocate where need bytes are needed and had were there: more
// than needed, so that growing by little costs little, up to some slack.
func growth(need, had int64) int64 {
	const slack = 64 << 20
	return max(need, min(2*had, had+slack))
}

// bytesOf is a slice's memory as the device gets it: both are little-endian.
func bytesOf[T uint32 | uint64 | float32](s []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(zero)))
}

// args is a kernel's argument as it is launched with.
func args[T kernels.Struct](s T) []byte { return kernels.Append(nil, s) }

// readKeys are the hits that so many keys stand for. What isn't there any more is the
// largest key, behind all others.
func readKeys(keys []byte, found int) []wire.Hit {
	hits := make([]wire.Hit, 0, found)
	for i := range found {
		key := binary.LittleEndian.Uint64(keys[i*kernels.KeyBytes:])
		if key == math.MaxUint64 {
			break
		}
		distance, id := kernels.SplitKey(key)
		hits = append(hits, wire.Hit{ID: id, Distance: distance})
	}
	return hits
}

// mebibytes writes a size for people.
func mebibytes(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// appendQuery is kernels.Append of a Query, of which a batch has thousands.
func appendQuery(b []byte, q kernels.Query) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(le.AppendUint64(b, q.Threshold), uint64(q.Filter))
	b = le.AppendUint32(le.AppendUint32(b, q.FilterWords), math.Float32bits(q.Scale))
	b = le.AppendUint32(le.AppendUint32(b, q.Count), q.Flags)
	return le.AppendUint32(le.AppendUint32(b, q.Keep), q.K)
}
