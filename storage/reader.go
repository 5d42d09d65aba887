package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/vccdb/vccdb/storage/keys"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Reader reads rows: of the newest committed state, or of one pinned state. It
// is safe for concurrent use. Bytes it hands to a callback are RocksDB's and
// gone when the callback returns. An error of a callback ends the call and is
// returned as it is; a scan ends with ctx.Err() when ctx does.
type Reader struct {
	view *rocks.View
}

// Snapshot is a Reader of the state at NewSnapshot, the same for all calls.
type Snapshot struct {
	Reader
	place uint64
	// seq is that of the state if seqKnown says so, and must else be read.
	seq      Seq
	seqKnown bool
}

// Latest returns the Reader of the newest committed state. A scan on it sees the
// state at its start. Two calls, and the keys of one lookup, may see different
// states; take a Snapshot where rows have to fit together.
func (s *Store) Latest() *Reader { return s.latest }

// NewSnapshot pins the present state. It must be released: until then RocksDB
// keeps every row it shows. On a closed store its reads fail.
func (s *Store) NewSnapshot() *Snapshot {
	place := s.pins.Add(1) // before the state is pinned
	writes, seq := s.writes.Load(), s.LastSeq()
	view := s.db.Pin()
	quiet := writes%2 == 0 && writes == s.writes.Load() // nothing was written around the moment
	return &Snapshot{Reader{view: view}, place, seq, quiet}
}

// Place is the snapshot's place among all of the store. Of a commit that is over,
// every snapshot beyond the Snapshots of that moment has what it wrote.
func (s *Snapshot) Place() uint64 { return s.place }

// Snapshots is how many were taken.
func (s *Store) Snapshots() uint64 { return s.pins.Load() }

// Release gives the state up; running reads finish on it, later ones fail with
// Unavailable, "storage_closed". Releasing again does nothing.
func (s *Snapshot) Release() { s.view.Release() }

// Seq returns the sequence of the newest oplog record in this state.
func (r *Reader) Seq() (Seq, error) { return readSeq(r.view, metaLastSeq) }

// Seq is Reader.Seq, mostly without reading.
func (s *Snapshot) Seq() (Seq, error) {
	if s.seqKnown {
		return s.seq, nil
	}
	return s.Reader.Seq()
}

// Lengths of keys, to make room for: exact for ids, a guess for pks.
const (
	idKeyBytes = 8
	pkKeyBytes = 32
)

// LookupIDs sets ids[i] and found[i] for each pks[i] of the table. All three
// have the same length.
func (r *Reader) LookupIDs(table uint32, pks []string, ids []uint32, found []bool) error {
	if len(ids) != len(pks) || len(found) != len(pks) {
		return fmt.Errorf("storage: LookupIDs with %d pks, %d ids, %d found", len(pks), len(ids), len(found))
	}
	var list rocks.Keys
	list.Grow(len(pks), len(pks)*pkKeyBytes)
	for _, pk := range pks {
		list.Buf = keys.AppendPK(list.Buf, table, pk)
		list.Next()
	}
	return readError(r.view.MultiGet(familyPKs, &list, func(i int, value []byte) error {
		ids[i], found[i] = 0, value != nil
		if value == nil {
			return nil
		}
		if len(value) != 4 {
			return corrupt(fmt.Errorf("the id of a pk has %d bytes, want 4", len(value)))
		}
		ids[i] = binary.BigEndian.Uint32(value)
		return nil
	}))
}

// Entities calls fn once for each place i in ids, in order, with that entity's
// record, nil if there is none.
func (r *Reader) Entities(table uint32, ids []uint32, fn func(i int, record []byte) error) error {
	var list rocks.Keys
	list.Grow(len(ids), len(ids)*idKeyBytes)
	for _, id := range ids {
		list.Buf = keys.AppendEntity(list.Buf, table, id)
		list.Next()
	}
	return readError(r.view.MultiGet(familyEntities, &list, fn))
}

// Vectors calls fn once for each place i in ids, in order, with that entity's
// stamp and vector as little-endian float32 bytes, nil if there is none.
func (r *Reader) Vectors(index uint32, ids []uint32, fn func(i int, stamp uint64, vec []byte) error) error {
	var list rocks.Keys
	list.Grow(len(ids), len(ids)*idKeyBytes)
	for _, id := range ids {
		list.Buf = keys.AppendVector(list.Buf, index, id)
		list.Next()
	}
	return readError(r.view.MultiGet(familyVectors, &list, func(i int, value []byte) error {
		if value == nil {
			return fn(i, 0, nil)
		}
		stamp, vec, err := splitVector(value)
		if err != nil {
			return err
		}
		return fn(i, stamp, vec)
	}))
}

func splitVector(value []byte) (stamp uint64, vec []byte, err error) {
	if len(value) < 8 || len(value)%4 != 0 {
		return 0, nil, corrupt(fmt.Errorf("a vector has %d bytes", len(value)))
	}
	return binary.LittleEndian.Uint64(value), value[8:], nil
}

// ScanEntities calls fn with the table's entities by ascending id, beginning
// with the id from, until fn returns false.
func (r *Reader) ScanEntities(ctx context.Context, table, from uint32, fn func(id uint32, record []byte) (bool, error)) error {
	return r.scanIDs(ctx, familyEntities, table, from, fn)
}

// ScanVectors calls fn with the index's vectors by ascending id, beginning with
// the id from, until fn returns false. vec is as in Vectors.
func (r *Reader) ScanVectors(ctx context.Context, index, from uint32, fn func(id uint32, stamp uint64, vec []byte) (bool, error)) error {
	return r.scanIDs(ctx, familyVectors, index, from, func(id uint32, value []byte) (bool, error) {
		stamp, vec, err := splitVector(value)
		if err != nil {
			return false, err
		}
		return fn(id, stamp, vec)
	})
}

func (r *Reader) scanIDs(ctx context.Context, family int, scope, from uint32, fn func(id uint32, value []byte) (bool, error)) error {
	_, upper := scopeRange(scope)
	bounds := rocks.Range{Lower: keys.AppendEntity(nil, scope, from), Upper: upper, Bulk: true}
	tick := canceler{ctx: ctx}
	return readError(r.view.Scan(family, bounds, func(key, value []byte) (bool, error) {
		if err := tick.err(); err != nil {
			return false, err
		}
		_, id, err := keys.SplitID(key)
		if err != nil {
			return false, corrupt(err)
		}
		return fn(id, value)
	}))
}

// TermRange is a range of one index's entries.
type TermRange struct {
	// Lo is inclusive and Hi exclusive, over encoded terms; nil is open.
	Lo, Hi []byte
	// Reverse walks down.
	Reverse bool
	// After and AfterID are an entry to resume behind, in the direction of the
	// scan; a nil After is none. The entry itself need not exist.
	After   []byte
	AfterID uint32
}

// bounds translates to keys that consist of a prefix, a term and an id. Terms are
// prefix-free, so a key lies between prefix+Lo and prefix+Hi exactly if its term
// lies between Lo and Hi.
func (t TermRange) bounds(prefix []byte) rocks.Range {
	lower, upper := prefix, prefixEnd(prefix)
	if t.Lo != nil {
		lower = slices.Concat(prefix, t.Lo)
	}
	if t.Hi != nil {
		upper = slices.Concat(prefix, t.Hi)
	}
	if t.After != nil {
		at := keys.AppendID(slices.Concat(prefix, t.After), t.AfterID)
		if t.Reverse {
			upper = minBytes(upper, at)
		} else {
			lower = maxBytes(lower, append(at, 0))
		}
	}
	return rocks.Range{Lower: lower, Upper: upper, Reverse: t.Reverse}
}

func minBytes(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return a
	}
	return b
}

func maxBytes(a, b []byte) []byte {
	if bytes.Compare(a, b) > 0 {
		return a
	}
	return b
}

// ScanTerms calls fn with the index's entries in the range, ordered by term and
// then id, until fn returns false.
func (r *Reader) ScanTerms(ctx context.Context, index uint32, t TermRange, fn func(term []byte, id uint32) (bool, error)) error {
	tick := canceler{ctx: ctx}
	return readError(r.view.Scan(familyTerms, t.bounds(keys.AppendScope(nil, index)), func(key, _ []byte) (bool, error) {
		if err := tick.err(); err != nil {
			return false, err
		}
		_, term, id, err := keys.SplitTerm(key)
		if err != nil {
			return false, corrupt(err)
		}
		return fn(term, id)
	}))
}

// CountTerms counts the index's entries in the range. Beyond limit it stops
// counting and estimates from samples, with exact false; the estimate is never
// below limit.
func (r *Reader) CountTerms(ctx context.Context, index uint32, t TermRange, limit int) (n int, exact bool, err error) {
	bounds := t.bounds(keys.AppendScope(nil, index))
	n, err = r.view.Count(ctx, familyTerms, bounds, limit+1)
	if err != nil || n <= limit {
		return n, err == nil, readError(err)
	}
	estimate, err := r.estimateTerms(ctx, index, t)
	return max(n, estimate), false, readError(err)
}

// LastID returns the highest id of the table's entities.
func (r *Reader) LastID(table uint32) (id uint32, ok bool, err error) {
	lower, upper := scopeRange(table)
	bounds := rocks.Range{Lower: lower, Upper: upper, Reverse: true}
	err = readError(r.view.Scan(familyEntities, bounds, func(key, _ []byte) (bool, error) {
		var err error
		if _, id, err = keys.SplitID(key); err != nil {
			return false, corrupt(err)
		}
		ok = true
		return false, nil
	}))
	return id, ok, err
}

// canceler looks at a context now and then: asking at every row would cost more
// than reading it.
type canceler struct {
	ctx   context.Context
	calls uint
}

// cancelEvery is some tens of microseconds of scanning.
const cancelEvery = 64

func (c *canceler) err() error {
	c.calls++
	if c.calls%cancelEvery != 1 {
		return nil
	}
	return c.ctx.Err()
}
