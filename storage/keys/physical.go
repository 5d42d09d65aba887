package keys

import (
	"encoding/binary"
	"fmt"
)

// idLen is the length of a table, index or entity id inside a key.
const idLen = 4

// AppendScope appends the first bytes of every key of one table (column
// families entities and pks) or of one index (terms and vectors).
func AppendScope(dst []byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(dst, id)
}

// AppendEntity appends the key of an entity's record: table, id.
func AppendEntity(dst []byte, table, id uint32) []byte {
	return binary.BigEndian.AppendUint32(AppendScope(dst, table), id)
}

// AppendPK appends the key that leads from a primary key to an id: table, pk.
func AppendPK(dst []byte, table uint32, pk string) []byte {
	return append(AppendScope(dst, table), pk...)
}

// AppendTerm appends the key of one index entry: index, term, id. The term must
// come from this package or have a fixed length per index, so that no term is a
// prefix of another.
func AppendTerm(dst []byte, index uint32, term []byte, id uint32) []byte {
	return AppendID(append(AppendScope(dst, index), term...), id)
}

// AppendSamples appends the first bytes of the sampled entries of an index on
// one level: index, level. The rest of a sample's key is as in AppendTerm.
func AppendSamples(dst []byte, index uint32, level int) []byte {
	return append(AppendScope(dst, index), byte(level))
}

// AppendID appends an entity's id, the end of every index entry's key.
func AppendID(dst []byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(dst, id)
}

// AppendVector appends the key of a vector: index, id.
func AppendVector(dst []byte, index, id uint32) []byte {
	return binary.BigEndian.AppendUint32(AppendScope(dst, index), id)
}

// AppendSeq appends the key of an oplog record.
func AppendSeq(dst []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(dst, seq)
}

// SplitID splits the key of an entity or a vector into its table or index and
// its id.
func SplitID(key []byte) (scope, id uint32, err error) {
	if len(key) != 2*idLen {
		return 0, 0, fmt.Errorf("keys: id key of %d bytes, want %d", len(key), 2*idLen)
	}
	return binary.BigEndian.Uint32(key), binary.BigEndian.Uint32(key[idLen:]), nil
}

// SplitTerm splits the key of an index entry. The term aliases key.
func SplitTerm(key []byte) (index uint32, term []byte, id uint32, err error) {
	if len(key) < 2*idLen {
		return 0, nil, 0, fmt.Errorf("keys: index entry of %d bytes, want at least %d", len(key), 2*idLen)
	}
	cut := len(key) - idLen
	return binary.BigEndian.Uint32(key), key[idLen:cut:cut], binary.BigEndian.Uint32(key[cut:]), nil
}

// SplitPK splits the key of a primary key. The pk aliases key.
func SplitPK(key []byte) (table uint32, pk []byte, err error) {
	if len(key) < idLen {
		return 0, nil, fmt.Errorf("keys: pk key of %d bytes, want at least %d", len(key), idLen)
	}
	return binary.BigEndian.Uint32(key), key[idLen:], nil
}

// SplitSeq reads the sequence out of an oplog key.
func SplitSeq(key []byte) (uint64, error) {
	if len(key) != 8 {
		return 0, fmt.Errorf("keys: oplog key of %d bytes, want 8", len(key))
	}
	return binary.BigEndian.Uint64(key), nil
}
