package rocks

// #include "read.h"
import "C"

import (
	"context"
	"slices"
)

// View reads the database: its newest state, or one pinned state of all column
// families. It is safe for concurrent use.
type View struct {
	db     *DB
	pinned bool
	snap   *C.rocksdb_snapshot_t // nil for the newest state
	read   *C.rocksdb_readoptions_t
	gate   gate
}

func newReadOptions() *C.rocksdb_readoptions_t { return C.rocksdb_readoptions_create() }

// Latest returns the view of the newest state. It needs no Release.
func (db *DB) Latest() *View { return db.latest }

// Pin returns a view of the present state, which stays as it is until Release.
// On a closed database it returns a view that is released already.
func (db *DB) Pin() *View {
	v := &View{db: db, pinned: true}
	v.gate.free = v.free
	if !db.gate.enter() {
		v.gate.free = func() {}
		v.gate.close()
		return v
	}
	defer db.gate.leave()
	v.snap = C.rocksdb_create_snapshot(db.handles.db)
	v.read = newReadOptions()
	C.rocksdb_readoptions_set_snapshot(v.read, v.snap)
	return v
}

// Release gives the pinned state up. Reads that are running finish on it.
// Releasing again, or releasing the latest view, does nothing.
func (v *View) Release() {
	if v.pinned {
		v.gate.close()
	}
}

func (v *View) free() {
	C.rocksdb_readoptions_destroy(v.read)
	if v.pinned && v.db.gate.enter() { // a closed database has freed its snapshots
		C.rocksdb_release_snapshot(v.db.handles.db, v.snap)
		v.db.gate.leave()
	}
}

func (v *View) enter() bool {
	if !v.gate.enter() {
		return false
	}
	if !v.db.gate.enter() {
		v.gate.leave()
		return false
	}
	return true
}

func (v *View) leave() {
	v.db.gate.leave()
	v.gate.leave()
}

// Keys is a list of keys in one piece of memory. The zero value is empty.
type Keys struct {
	// Buf takes the bytes of the next key: append to it, then call Next.
	Buf  []byte
	ends []C.size_t
}

// Grow makes room for more keys of together so many bytes.
func (k *Keys) Grow(keys, bytes int) {
	k.Buf = slices.Grow(k.Buf, bytes)
	k.ends = slices.Grow(k.ends, keys)
}

// Next ends the key that was appended to Buf.
func (k *Keys) Next() { k.ends = append(k.ends, C.size_t(len(k.Buf))) }

// Len returns the number of keys.
func (k *Keys) Len() int { return len(k.ends) }

// MultiGet calls fn with each key's place in keys and its value, nil if the key
// is absent and never nil otherwise. The value is RocksDB's memory: it is gone
// when fn returns. An error from fn ends the call and is returned. On the latest
// view the keys may see different states.
func (v *View) MultiGet(family int, keys *Keys, fn func(i int, value []byte) error) error {
	if !v.enter() {
		return ErrClosed
	}
	defer v.leave()
	for start := 0; start < keys.Len(); start += C.multi_get_max {
		end := min(start+C.multi_get_max, keys.Len())
		if err := v.multiGet(family, keys, start, end, fn); err != nil {
			return err
		}
	}
	return nil
}

// Get returns a copy of one value, nil if the key is absent.
func (v *View) Get(family int, key []byte) (value []byte, err error) {
	keys := Keys{Buf: key, ends: []C.size_t{C.size_t(len(key))}}
	err = v.MultiGet(family, &keys, func(_ int, data []byte) error {
		if data != nil {
			value = append([]byte{}, data...)
		}
		return nil
	})
	return value, err
}

// Range is what a scan walks over.
type Range struct {
	// Lower is inclusive, Upper exclusive; nil is open.
	Lower, Upper []byte
	// Reverse walks from Upper down.
	Reverse bool
	// Bulk is for scans over a large part of a family: they leave the block cache
	// to others. (RocksDB reads ahead by itself, more the longer a scan goes on.)
	Bulk bool
}

// Scan calls fn with each key and value of the range, in order, until fn
// returns false. Both are gone when fn returns.
func (v *View) Scan(family int, r Range, fn func(key, value []byte) (bool, error)) error {
	if !v.enter() {
		return ErrClosed
	}
	defer v.leave()
	return v.scan(family, &r, fn)
}

// Count counts the rows of the range and stops at limit. The rows themselves
// stay in C, which makes it twice as fast as a Scan.
func (v *View) Count(ctx context.Context, family int, r Range, limit int) (int, error) {
	if !v.enter() {
		return 0, ErrClosed
	}
	defer v.leave()
	return v.count(ctx, family, &r, limit)
}
