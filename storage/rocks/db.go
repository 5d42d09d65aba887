// Package rocks is the thin layer over RocksDB and the only importer of
// grocksdb. C memory ends here: bytes that RocksDB owns are seen only inside
// callbacks, and everything else that is returned is copied. Opening, options,
// writes and figures go through grocksdb; reads go through read.c, for speed.
//
// It promises that no call reaches freed C memory: every operation on a closed
// DB or a released View fails with ErrClosed, and Close waits for operations
// that are running. It knows nothing of tables, terms or vectors.
//
// The package keeps no goroutines; Flush, Compact, Checkpoint and Resume have some
// for the length of their calls. DB.log is its only lock. RocksDB has its own
// background threads, which Close ends. All methods are safe for concurrent use.
package rocks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/linxGnu/grocksdb"
)

// DB is an open RocksDB database.
type DB struct {
	db       *grocksdb.DB
	families []*grocksdb.ColumnFamilyHandle
	options  Options
	native   *native
	handles  handles
	latest   *View

	write     *grocksdb.WriteOptions
	writeSync *grocksdb.WriteOptions

	compacting chan struct{} // holds a token while a Compact runs

	// log is held shared by writes and alone by a sync of the write-ahead log;
	// logFailure is what a write or a sync has failed with, nil if none has.
	log        sync.RWMutex
	logFailure atomic.Pointer[error]

	gate                gate
	lookups, rowBuffers sync.Pool // *lookup, *rowBuffer

	idle chan struct{} // closed when the last operation has left after Close
}

// Exists reports whether path holds a RocksDB database.
func Exists(path string) bool {
	_, err := os.Stat(filepath.Join(path, "CURRENT"))
	return err == nil
}

// FamilyNames lists the column families of the database at path.
func FamilyNames(path string) ([]string, error) {
	opts := grocksdb.NewDefaultOptions()
	defer opts.Destroy()
	names, err := grocksdb.ListColumnFamilies(opts, path)
	return names, wrap("open", err)
}

// Open opens the database and creates the column families it lacks. It fails if
// the ids RocksDB gave them differ from their place in o.Families, since
// batches are written with those ids.
func Open(o Options) (*DB, error) {
	n, err := newNative(&o)
	if err != nil {
		return nil, err
	}
	last, cutOff, err := interrupted(o.Path)
	if err == nil && cutOff {
		err = cutLogs(o.Path, last)
	}
	if err != nil {
		n.destroy()
		return nil, wrap("open", err)
	}
	names := o.familyNames()
	handle, families, err := grocksdb.OpenDbColumnFamilies(n.db, o.Path, names, n.families)
	if err != nil {
		n.destroy()
		return nil, wrap("open", err)
	}
	db := &DB{
		db: handle, families: families, native: n, options: o,
		write:      grocksdb.NewDefaultWriteOptions(),
		writeSync:  grocksdb.NewDefaultWriteOptions(),
		idle:       make(chan struct{}),
		compacting: make(chan struct{}, 1),
		lookups:    sync.Pool{New: func() any { return new(lookup) }},
		rowBuffers: sync.Pool{New: func() any { return &rowBuffer{bytes: make([]byte, rowBufferBytes)} }},
	}
	db.writeSync.SetSync(true)
	db.latest = &View{db: db, read: newReadOptions()}
	db.gate.free = func() { close(db.idle) }
	if db.handles, err = newHandles(handle, families); err != nil {
		db.Close()
		return nil, err
	}
	for i, f := range families {
		if id := f.ID(); id != uint32(i) {
			db.Close()
			return nil, fmt.Errorf("rocks: column family %q has id %d, want %d", names[i], id, i)
		}
	}
	if cutOff { // opening has put all that the log held into files
		if err := unmarkResume(o.Path); err != nil {
			db.Close()
			return nil, wrap("open", err)
		}
	}
	return db, nil
}

// Close waits for running operations and closes the database. Views that are
// still open turn invalid. Closing again does nothing.
func (db *DB) Close() {
	if !db.gate.close() {
		return
	}
	<-db.idle
	db.latest.free()
	db.write.Destroy()
	db.writeSync.Destroy()
	for _, f := range db.families {
		f.Destroy()
	}
	db.db.Close()
	db.native.destroy()
}

// Write applies a batch in one step. With sync it returns after the write-ahead
// log is on disk. An empty batch does nothing.
func (db *DB) Write(batch *Batch, sync bool) error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.gate.leave()
	if batch.count == 0 {
		return nil
	}
	b := grocksdb.WriteBatchFrom(batch.wire())
	defer b.Destroy()
	opts := db.write
	if sync {
		opts = db.writeSync
	}
	db.log.RLock()
	defer db.log.RUnlock()
	return db.noteLog(wrap("write", db.db.Write(opts, b)))
}

// SyncWAL puts every write so far on disk. Writes wait meanwhile: RocksDB aborts
// the process if a log is synced that a write has failed on, so whether one has
// must be known. After a failed write or sync SyncWAL fails with the error of
// that, until Resume.
func (db *DB) SyncWAL() error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.gate.leave()
	db.log.Lock()
	defer db.log.Unlock()
	if failure := db.logFailure.Load(); failure != nil {
		return *failure
	}
	return db.noteLog(wrap("sync", db.db.FlushWAL(true)))
}

// noteLog remembers the first error that the log met.
func (db *DB) noteLog(err error) error {
	if err != nil {
		db.logFailure.CompareAndSwap(nil, &err)
	}
	return err
}

// Compact rewrites every column family, down to the last level. It stops early
// when ctx ends.
func (db *DB) Compact(ctx context.Context) error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.gate.leave()
	select { // one at a time: stopping one would stop the others too
	case db.compacting <- struct{}{}:
		defer func() { <-db.compacting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		db.db.DisableManualCompaction()
		close(stopped)
	})
	defer func() {
		if !stop() {
			<-stopped
			db.db.EnableManualCompaction()
		}
	}()
	opts := grocksdb.NewCompactRangeOptions()
	defer opts.Destroy()
	opts.SetBottommostLevelCompaction(grocksdb.KForceOptimized)
	for _, f := range db.families {
		if err := ctx.Err(); err != nil {
			return err
		}
		db.awaitFlushes(func() { db.db.CompactRangeCFOpt(f, grocksdb.Range{}, opts) })
	}
	return ctx.Err()
}
