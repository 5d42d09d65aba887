package storage

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/vccdb/vccdb/storage/keys"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Batch collects one atomic write. Operations apply in the order they were
// added; a later one on the same row wins. The zero value is ready. It holds Go
// memory only, copies what it is given and is not safe for concurrent use. A
// committed batch can be Reset and used again.
type Batch struct {
	rows     rocks.Batch
	logged   []logged
	notes    []byte // payloads of the feed that stand nowhere in rows
	terms    []termOp
	termKeys []byte // where the terms' keys stand
	counters []counterOp
	tallies  []tally
	key, buf []byte // scratch
	// adds says that it puts entities or index entries, removes that it takes some
	// away.
	adds, removes bool
}

// logged is one oplog record, which waits for its sequence, and what the feed
// has to say besides if it is on when the batch is committed.
type logged struct {
	// keyAt and opAt are where the record's key and value stand in rows.
	keyAt, opAt int
	// The payload is an entity's record in rows or, if noted, in notes.
	from, to int
	noted    bool
}

// termOp is one PutTerm or DeleteTerm that isn't in the rows yet.
type termOp struct {
	start, end int
	remove     bool
}

// counterOp is one AddCounter or ResetCounter.
type counterOp struct {
	key   string
	delta int64
	reset bool
}

// PutEntity sets an entity: its record, the way from its primary key to its id,
// a PUT record in the oplog, and the record in the feed if that is on. An id
// belongs to one pk for the entity's life.
func (b *Batch) PutEntity(table, id uint32, pk string, stamp uint64, record []byte) {
	b.adds = true
	b.key = keys.AppendEntity(b.key[:0], table, id)
	b.put(familyEntities, table, b.key, record)
	to := b.rows.SizeBytes()
	b.key = keys.AppendPK(b.key[:0], table, pk)
	b.buf = binary.BigEndian.AppendUint32(b.buf[:0], id)
	b.put(familyPKs, table, b.key, b.buf)
	b.log(Op{Kind: OpPut, Table: table, ID: id, PK: pk, Stamp: stamp}, logged{from: to - len(record), to: to})
}

// DeleteEntity removes what PutEntity set and adds a DELETE record to the oplog.
// The feed gets last, which tells its readers what was deleted.
func (b *Batch) DeleteEntity(table, id uint32, pk string, stamp uint64, last []byte) {
	b.removes = true
	b.key = keys.AppendEntity(b.key[:0], table, id)
	b.rows.Delete(familyEntities, b.key)
	b.key = keys.AppendPK(b.key[:0], table, pk)
	b.rows.Delete(familyPKs, b.key)
	b.log(Op{Kind: OpDelete, Table: table, ID: id, PK: pk, Stamp: stamp}, b.note(last))
}

// PutTerm adds an index entry. Terms of one index must be prefix-free, as those
// of storage/keys are.
func (b *Batch) PutTerm(index uint32, term []byte, id uint32) {
	b.adds = true
	b.addTerm(index, term, id, false)
}

// DeleteTerm removes an index entry.
func (b *Batch) DeleteTerm(index uint32, term []byte, id uint32) {
	b.addTerm(index, term, id, true)
}

func (b *Batch) addTerm(index uint32, term []byte, id uint32, remove bool) {
	start := len(b.termKeys)
	b.termKeys = keys.AppendTerm(b.termKeys, index, term, id)
	b.terms = append(b.terms, termOp{start: start, end: len(b.termKeys), remove: remove})
}

// writeTerms moves the collected terms to the rows, in key order: each insertion
// into a memtable begins its search where the last one ended, and that makes
// loading an index about a third faster. Of changes to one entry the last counts.
func (b *Batch) writeTerms() {
	key := func(op termOp) []byte { return b.termKeys[op.start:op.end] }
	slices.SortStableFunc(b.terms, func(x, y termOp) int { return bytes.Compare(key(x), key(y)) })
	for i, op := range b.terms {
		if i+1 == len(b.terms) || !bytes.Equal(key(op), key(b.terms[i+1])) {
			b.writeTerm(key(op), op.remove)
		}
	}
	b.terms, b.termKeys = b.terms[:0], b.termKeys[:0]
}

// writeTerm writes one change of an index entry and of its samples.
func (b *Batch) writeTerm(key []byte, remove bool) {
	index := binary.BigEndian.Uint32(key)
	b.putOrDelete(familyTerms, index, key, remove)
	for level := sampleLevel(key); level > 0; level-- {
		b.key = keys.AppendSamples(b.key[:0], index, level)
		b.key = append(b.key, key[len(b.key)-1:]...) // what follows the index
		b.putOrDelete(familySamples, index, b.key, remove)
	}
}

func (b *Batch) putOrDelete(family int, scope uint32, key []byte, remove bool) {
	if remove {
		b.rows.Delete(family, key)
	} else {
		b.put(family, scope, key, nil)
	}
}

// PutVector sets an entity's vector in one vector index.
func (b *Batch) PutVector(index, id uint32, stamp uint64, vec []float32) {
	b.adds = true
	b.key = keys.AppendVector(b.key[:0], index, id)
	b.buf = binary.LittleEndian.AppendUint64(b.buf[:0], stamp)
	for _, x := range vec {
		b.buf = binary.LittleEndian.AppendUint32(b.buf, math.Float32bits(x))
	}
	b.put(familyVectors, index, b.key, b.buf)
}

// DeleteVector removes an entity's vector from one vector index.
func (b *Batch) DeleteVector(index, id uint32) {
	b.key = keys.AppendVector(b.key[:0], index, id)
	b.rows.Delete(familyVectors, b.key)
}

// PutMeta sets a catalog record.
func (b *Batch) PutMeta(key string, value []byte) {
	b.key = append(append(b.key[:0], metaCatalog...), key...)
	b.rows.Put(familyDefault, b.key, value)
}

// DeleteMeta removes a catalog record.
func (b *Batch) DeleteMeta(key string) {
	b.key = append(append(b.key[:0], metaCatalog...), key...)
	b.rows.Delete(familyDefault, b.key)
}

// AddCounter changes a persistent counter. The committer turns the sum into an
// absolute value inside the same write, so a counter can't drift from the rows
// it counts.
func (b *Batch) AddCounter(key string, delta int64) {
	if delta != 0 {
		b.counters = append(b.counters, counterOp{key: key, delta: delta})
	}
}

// ResetCounter sets a counter to 0 and drops its row.
func (b *Batch) ResetCounter(key string) {
	b.counters = append(b.counters, counterOp{key: key, reset: true})
}

// DropTable removes every entity and primary key of a table and adds a DROP
// record to the oplog, and to the feed with the table's name. It costs the same
// for any size of table.
func (b *Batch) DropTable(table uint32, stamp uint64, name string) {
	b.removes = true
	from, to := scopeRange(table)
	b.rows.DeleteRange(familyEntities, from, to)
	b.rows.DeleteRange(familyPKs, from, to)
	b.log(Op{Kind: OpDropTable, Table: table, Stamp: stamp}, b.note([]byte(name)))
}

// DropIndex removes every entry, sample and vector of an index. It costs the same
// for any size of index.
func (b *Batch) DropIndex(index uint32) {
	b.removes = true
	b.writeTerms() // what came before the drop falls under it
	from, to := scopeRange(index)
	b.rows.DeleteRange(familyTerms, from, to)
	b.rows.DeleteRange(familySamples, from, to)
	b.rows.DeleteRange(familyVectors, from, to)
}

// put writes a row of one table or index.
func (b *Batch) put(family int, scope uint32, key, value []byte) {
	b.rows.Put(family, key, value)
	size := len(key) + len(value)
	for i := range b.tallies {
		if t := &b.tallies[i]; t.family == family && t.scope == scope {
			t.bytes += size
			return
		}
	}
	b.tallies = append(b.tallies, tally{family: family, scope: scope, bytes: size})
}

func (b *Batch) note(payload []byte) logged {
	from := len(b.notes)
	b.notes = append(b.notes, payload...)
	return logged{from: from, to: len(b.notes), noted: true}
}

func (b *Batch) log(op Op, l logged) {
	b.buf = op.append(b.buf[:0])
	b.key = keys.AppendSeq(b.key[:0], 0)
	l.keyAt = b.rows.Put(familyOplog, b.key, b.buf)
	l.opAt = b.rows.SizeBytes() - len(b.buf)
	b.logged = append(b.logged, l)
}

// appendFeedRow appends the value of the feed's row for l.
func (b *Batch) appendFeedRow(dst []byte, l logged) []byte {
	dst = append(dst, b.rows.At(l.opAt, l.opAt+opHeader)...)
	if l.noted {
		return append(dst, b.notes[l.from:l.to]...)
	}
	return append(dst, b.rows.At(l.from, l.to)...)
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.rows.Reset()
	b.logged, b.notes = b.logged[:0], b.notes[:0]
	b.terms, b.termKeys = b.terms[:0], b.termKeys[:0]
	b.counters = b.counters[:0]
	b.tallies = b.tallies[:0]
	b.adds, b.removes = false, false
}

// Grow makes room for rows of so many bytes more: a batch that grows by itself is
// copied once or twice.
func (b *Batch) Grow(bytes int) { b.rows.Grow(bytes) }

// Len returns the number of changes in the batch: rows, oplog records, counters.
func (b *Batch) Len() int { return b.rows.Len() + len(b.terms) + len(b.counters) }

// SizeBytes returns about how many bytes the batch takes in the write-ahead log.
func (b *Batch) SizeBytes() int { return b.rows.SizeBytes() + len(b.termKeys) }

// Empty reports whether there is nothing to write.
func (b *Batch) Empty() bool { return b.Len() == 0 }

// frees reports whether the batch takes data away and adds none. What it writes
// besides, oplog records, events and catalog records, is small.
func (b *Batch) frees() bool { return b.removes && !b.adds }

// lastKey sorts after every key: it is longer than those of the fixed-length
// families, and no pk or term starts with FF bytes.
var lastKey = []byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}

// prefixEnd returns the upper bound of the keys with a prefix.
func prefixEnd(prefix []byte) []byte {
	if end := keys.PrefixEnd(prefix); end != nil {
		return end
	}
	return lastKey
}

// scopeRange returns the bounds of all keys of one table or index.
func scopeRange(scope uint32) (from, to []byte) {
	from = keys.AppendScope(nil, scope)
	return from, prefixEnd(from)
}
