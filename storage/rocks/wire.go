package rocks

import (
	"encoding/binary"
	"errors"
	"slices"
)

// errWire is what reading damaged or foreign bytes as a batch ends with.
var errWire = errors.New("rocks: not a batch that this package writes")

// LogData adds bytes that go to the write-ahead log and nowhere else: they take
// no sequence number and change no row. (Tag 03 and the bytes.)
func (b *Batch) LogData(data []byte) {
	if len(b.rep) == 0 {
		b.rep = append(b.rep, make([]byte, batchHeader)...)
	}
	b.rep = append(b.rep, tagLogData)
	b.bytes(data)
}

const (
	tagLogData = 0x03
	tagNoop    = 0x0D // RocksDB leaves it where batches were joined
)

// BatchOf returns a batch in wire format as one that can be added to and
// written. It copies the bytes.
func BatchOf(wire []byte) (Batch, error) {
	if len(wire) < batchHeader {
		return Batch{}, errWire
	}
	return Batch{rep: slices.Clone(wire), count: binary.LittleEndian.Uint32(wire[8:])}, nil
}

// WireSequence returns the sequence number of a batch's first row and the number
// of its rows.
func WireSequence(wire []byte) (first uint64, rows uint32, err error) {
	if len(wire) < batchHeader {
		return 0, 0, errWire
	}
	return binary.LittleEndian.Uint64(wire), binary.LittleEndian.Uint32(wire[8:]), nil
}

// Wire returns the batch in wire format, with the sequence number of its first
// row.
func (b *Batch) Wire(first uint64) []byte {
	wire := slices.Clone(b.wire())
	binary.LittleEndian.PutUint64(wire, first)
	return wire
}

// Record is one record of a batch in wire format.
type Record struct {
	// LogData is set for bytes of the log; the rest is unset then.
	LogData []byte
	// Put is false for deletions.
	Put        bool
	Family     int
	Key, Value []byte
	// End is where the record ends, Rows how many rows come up to there.
	End  int
	Rows uint32
}

// ReadWire calls fn with each record of a batch, which alias wire.
func ReadWire(wire []byte, fn func(Record) error) error {
	if len(wire) < batchHeader {
		return errWire
	}
	r := wireReader{rest: wire[batchHeader:]}
	rows := uint32(0)
	for len(r.rest) > 0 && !r.failed {
		rec := Record{}
		tag := r.rest[0]
		r.rest = r.rest[1:]
		switch tag {
		case tagNoop:
			continue
		case tagLogData:
			rec.LogData = r.bytes()
		case tagPut, tagDelete, tagDeleteRange:
			rec.Family, rec.Key = r.number(), r.bytes()
			if rec.Put = tag == tagPut; tag != tagDelete {
				rec.Value = r.bytes()
			}
			rows++
		default:
			return errWire
		}
		if r.failed {
			return errWire
		}
		rec.End, rec.Rows = len(wire)-len(r.rest), rows
		if err := fn(rec); err != nil {
			return err
		}
	}
	if r.failed || rows != binary.LittleEndian.Uint32(wire[8:]) {
		return errWire
	}
	return nil
}

// CutWire returns the part of a batch up to the end of a record.
func CutWire(wire []byte, at Record) Batch {
	return Batch{rep: slices.Clone(wire[:at.End]), count: at.Rows}
}

type wireReader struct {
	rest   []byte
	failed bool
}

func (r *wireReader) number() int {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > 1<<31 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return int(n)
}

func (r *wireReader) bytes() []byte {
	n := r.number()
	if n > len(r.rest) {
		r.failed, r.rest = true, nil
		return nil
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
}
