package rocks

import (
	"github.com/linxGnu/grocksdb"
)

// View reads the database: its newest state, or one pinned state of all column
// families. It is safe for concurrent use.
type View struct {
	db     *DB
	pinned bool
	snap   *grocksdb.Snapshot // nil for the newest state
	read   *grocksdb.ReadOptions
	gate   gate
}

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
	v.snap = db.db.NewSnapshot()
	v.read = grocksdb.NewDefaultReadOptions()
	v.read.SetSnapshot(v.snap)
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
	v.read.Destroy()
	if v.db.gate.enter() { // a closed database has freed its snapshots
		v.db.db.ReleaseSnapshot(v.snap)
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
	ends []int
}

// Next ends the key that was appended to Buf.
func (k *Keys) Next() { k.ends = append(k.ends, len(k.Buf)) }

// Len returns the number of keys.
func (k *Keys) Len() int { return len(k.ends) }

func (k *Keys) at(i int) []byte {
	start := 0
	if i > 0 {
		start = k.ends[i-1]
	}
	return k.Buf[start:k.ends[i]]
}

// MultiGet calls fn with each key's place in keys and its value, nil if the key
// is absent and never nil otherwise. The value is RocksDB's memory: it is gone
// when fn returns. An error from fn ends the call and is returned.
func (v *View) MultiGet(family int, keys *Keys, fn func(i int, value []byte) error) error {
	if !v.enter() {
		return ErrClosed
	}
	defer v.leave()
	for i := range keys.Len() {
		h, err := v.db.db.GetPinnedCF(v.read, v.db.families[family], keys.at(i))
		if err != nil {
			return wrap("read", err)
		}
		err = fn(i, pinnedData(h))
		h.Destroy()
		if err != nil {
			return err
		}
	}
	return nil
}

func pinnedData(h *grocksdb.PinnableSliceHandle) []byte {
	if !h.Exists() {
		return nil
	}
	if data := h.Data(); data != nil {
		return data
	}
	return []byte{}
}

// Get returns a copy of one value, nil if the key is absent.
func (v *View) Get(family int, key []byte) (value []byte, err error) {
	keys := Keys{Buf: key, ends: []int{len(key)}}
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
	// Bulk is for scans over a large part of a family: they read ahead and leave
	// the block cache to others.
	Bulk bool
	// Verify checks the checksum of each block even if it is in the cache.
	Verify bool
}

// bulkReadahead is what a bulk scan asks the file system for at once. RocksDB
// starts other scans at 8 KiB and doubles up to 256 KiB.
const bulkReadahead = 2 << 20

// Scan calls fn with each key and value of the range, in order, until fn
// returns false. Both are RocksDB's memory: they are gone when fn returns.
func (v *View) Scan(family int, r Range, fn func(key, value []byte) (bool, error)) error {
	if !v.enter() {
		return ErrClosed
	}
	defer v.leave()
	read := v.scanOptions(r)
	defer read.Destroy()
	it := v.db.db.NewIteratorCF(read, v.db.families[family])
	defer it.Close()
	step := it.Next
	if r.Reverse {
		step = it.Prev
		it.SeekToLast()
	} else {
		it.SeekToFirst()
	}
	for ; it.Valid(); step() {
		more, err := fn(it.Key().Data(), it.Value().Data())
		if err != nil || !more {
			return err
		}
	}
	return wrap("read", it.Err())
}

// scanOptions makes read options with the bounds of r. RocksDB keeps pointers to
// the bounds; the options keep them alive.
func (v *View) scanOptions(r Range) *grocksdb.ReadOptions {
	read := grocksdb.NewDefaultReadOptions()
	if v.snap != nil {
		read.SetSnapshot(v.snap)
	}
	if len(r.Lower) > 0 {
		read.SetIterateLowerBound(r.Lower)
	}
	if len(r.Upper) > 0 {
		read.SetIterateUpperBound(r.Upper)
	}
	if r.Bulk {
		read.SetFillCache(false)
		read.SetReadaheadSize(bulkReadahead)
	}
	return read
}
