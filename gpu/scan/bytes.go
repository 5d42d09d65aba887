package scan

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/wire"
)

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

// appendQuery is kernels.Append of a Query, of which a batch has thousands.
func appendQuery(b []byte, q kernels.Query) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(le.AppendUint64(b, q.Threshold), uint64(q.Filter))
	b = le.AppendUint32(le.AppendUint32(b, q.FilterWords), math.Float32bits(q.Scale))
	b = le.AppendUint32(le.AppendUint32(b, q.Count), q.Flags)
	return le.AppendUint32(le.AppendUint32(b, q.Keep), q.K)
}
