package engine

import (
	"encoding/binary"

	"github.com/vccdb/vccdb/internal/errs"
)

// recordFormat is the first byte of every entity record; see storage/FORMAT.md.
const recordFormat = 1

// record is one stored entity: a format byte, the stamp (8 bytes, little
// endian), the version and the primary key's length as uvarints, the primary
// key, and the document to the end.
type record struct {
	// stamp is unique per write and grows with time: microseconds since 1970,
	// pushed forward where two writes fall into the same one.
	stamp   uint64
	version uint64
	pk, doc []byte
}

func (r record) encode() []byte {
	b := make([]byte, 0, 1+8+2*binary.MaxVarintLen64+len(r.pk)+len(r.doc))
	b = append(b, recordFormat)
	b = binary.LittleEndian.AppendUint64(b, r.stamp)
	b = binary.AppendUvarint(b, r.version)
	b = binary.AppendUvarint(b, uint64(len(r.pk)))
	b = append(b, r.pk...)
	return append(b, r.doc...)
}

// decodeRecord reads a record; its slices alias b.
func decodeRecord(b []byte) (record, error) {
	if len(b) < 9 || b[0] != recordFormat {
		return record{}, corruptRecord()
	}
	r := record{stamp: binary.LittleEndian.Uint64(b[1:])}
	b = b[9:]
	var n int
	if r.version, n = binary.Uvarint(b); n <= 0 {
		return record{}, corruptRecord()
	}
	b = b[n:]
	pkLen, n := binary.Uvarint(b)
	if n <= 0 || pkLen > uint64(len(b)-n) {
		return record{}, corruptRecord()
	}
	b = b[n:]
	r.pk, r.doc = b[:pkLen], b[pkLen:]
	return r, nil
}

func corruptRecord() error {
	return errs.New(errs.Corrupt, "corrupt_record", "an entity record can't be decoded; run themis_server --verify")
}
