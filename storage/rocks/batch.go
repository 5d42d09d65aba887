package rocks

import (
	"encoding/binary"
	"slices"
)

// Batch builds a write batch in RocksDB's wire format (write_batch.cc), in Go
// memory, so that a whole batch crosses into C in one call:
//
//	header  := sequence:fixed64le count:fixed32le
//	records := { tag:byte family:varint32 key:bytes [value:bytes] }
//	bytes   := length:varint32 data
//
// A tag is 05 put, 04 delete, 0E delete-range (the value is the end key,
// exclusive). RocksDB fills the sequence in. The zero value is an empty batch.
type Batch struct {
	rep   []byte
	count uint32
}

const (
	batchHeader    = 12
	tagDelete      = 0x04
	tagPut         = 0x05
	tagDeleteRange = 0x0E
)

// Grow makes room for so many bytes more.
func (b *Batch) Grow(n int) { b.rep = slices.Grow(b.rep, n) }

// Put sets a key. It returns the offset of the key's bytes, for SetKey.
func (b *Batch) Put(family int, key, value []byte) (keyAt int) {
	b.record(tagPut, family, key)
	keyAt = len(b.rep) - len(key)
	b.bytes(value)
	return keyAt
}

// Delete removes a key.
func (b *Batch) Delete(family int, key []byte) {
	b.record(tagDelete, family, key)
}

// DeleteRange removes the keys in [from, to).
func (b *Batch) DeleteRange(family int, from, to []byte) {
	b.record(tagDeleteRange, family, from)
	b.bytes(to)
}

func (b *Batch) record(tag byte, family int, key []byte) {
	if len(b.rep) == 0 {
		b.rep = append(b.rep, make([]byte, batchHeader)...)
	}
	b.rep = append(b.rep, tag)
	b.rep = binary.AppendUvarint(b.rep, uint64(family))
	b.bytes(key)
	b.count++
}

func (b *Batch) bytes(data []byte) {
	b.rep = binary.AppendUvarint(b.rep, uint64(len(data)))
	b.rep = append(b.rep, data...)
}

// At returns the bytes in [from, to) of the wire format, valid until the batch
// changes.
func (b *Batch) At(from, to int) []byte { return b.rep[from:to] }

// SetKey overwrites a key of the same length at the offset Put returned.
func (b *Batch) SetKey(keyAt int, key []byte) { copy(b.rep[keyAt:], key) }

// Append adds the records of other. An offset into other is then found shift
// bytes later in b.
func (b *Batch) Append(other *Batch) (shift int) {
	if other.count == 0 {
		return 0
	}
	if len(b.rep) == 0 {
		b.rep = append(b.rep, make([]byte, batchHeader)...)
	}
	shift = len(b.rep) - batchHeader
	b.rep = append(b.rep, other.rep[batchHeader:]...)
	b.count += other.count
	return shift
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.rep, b.count = b.rep[:0], 0 }

// Len returns the number of records.
func (b *Batch) Len() int { return int(b.count) }

// SizeBytes returns the length of the wire format, 0 for an empty batch.
func (b *Batch) SizeBytes() int { return len(b.rep) }

// wire returns the batch as RocksDB reads it. It aliases the batch.
func (b *Batch) wire() []byte {
	binary.LittleEndian.PutUint32(b.rep[8:], b.count)
	return b.rep
}
