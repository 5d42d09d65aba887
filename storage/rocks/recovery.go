package rocks

// #cgo CXXFLAGS: -std=c++17 -fno-rtti
// #include "recovery.h"
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/linxGnu/grocksdb"
)

// resumingFile stands in the database's folder while a Resume is under way. It
// has the sequence number of the last good row, u64le.
//
// The write that failed may stand at the end of the log, whole or in part. From
// the moment that the first column family is in a file and until the last one
// is, RocksDB would refuse half a record, since some families are beyond it, and
// give a whole one to the other families only. So Open cuts it off if there is
// this file, and Resume does at the end: behind a log that stays for a while, as
// during a backup, it would look like damage.
const resumingFile = "RESUMING"

// watchErrors makes the database opened with options report its errors.
func watchErrors(options *grocksdb.Options) (*C.error_watch, error) {
	p, err := cPointer(options)
	if err != nil {
		return nil, err
	}
	return C.error_watch_new((*C.rocksdb_options_t)(p)), nil
}

// interrupted reports whether a Resume of the database at path was cut off, and
// up to which sequence number its logs count: all there are, if not.
func interrupted(path string) (last uint64, cutOff bool, err error) {
	mark, err := os.ReadFile(filepath.Join(path, resumingFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, false, err
	}
	if len(mark) != 8 { // it is complete before anything is done
		return math.MaxUint64, false, nil
	}
	return binary.LittleEndian.Uint64(mark), true, nil
}

// Interrupted reports whether a Resume of the database at path, which isn't open,
// was cut off. The next Open makes its logs good.
func Interrupted(path string) (bool, error) {
	_, cutOff, err := interrupted(path)
	return cutOff, err
}

// Failure is an error that put RocksDB out of service, wholly or in part.
type Failure struct {
	// Count is how many there have been; 0 is none, and the rest is empty then.
	Count uint64
	// Stopped says that the newest one refuses writes until Resume. If not, it
	// holds back flushes and compactions alone.
	Stopped bool
	// Lasting says that Resume refuses after the newest one.
	Lasting bool
	// Err is the newest, of a write or of work in the background.
	Err *Error
}

// Failure returns the newest of them.
func (db *DB) Failure() Failure {
	if !db.gate.enter() {
		return Failure{}
	}
	defer db.gate.leave()
	var newest C.db_error
	C.error_watch_read(db.native.errors, &newest)
	if newest.count == 0 {
		return Failure{}
	}
	return Failure{
		Count:   uint64(newest.count),
		Stopped: newest.stopped != 0,
		Lasting: newest.lasting != 0,
		Err:     &Error{Op: "write", Text: C.GoString(&newest.text[0]), full: newest.no_space != 0},
	}
}

// Resume takes the database into service again after it ran out of space, when
// there is space again: it writes the memtables to files and begins a new log,
// so what failed is then certainly not stored. No write may be under way. The
// batch must not be empty; it is written too, past the log. After any error but
// one for want of space RocksDB refuses.
func (db *DB) Resume(batch *Batch) error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.gate.leave()
	last, err := markResume(db.options.Path, db.db.GetLatestSequenceNumber())
	if err != nil {
		return wrap("resume", err)
	}
	var text *C.char
	db.awaitFlushes(func() { text = C.db_resume(db.handles.db) })
	if text != nil {
		defer C.rocksdb_free(unsafe.Pointer(text))
		return &Error{Op: "resume", Text: C.GoString(text)}
	}
	if err := db.beginLog(batch); err != nil {
		return err
	}
	db.logFailure.Store(nil)
	if err := cutLogs(db.options.Path, last); err != nil {
		return wrap("resume", err)
	}
	return wrap("resume", unmarkResume(db.options.Path))
}

// StopResume makes a Resume that is under way, on another goroutine, fail soon.
// The database can then only be closed.
func (db *DB) StopResume() {
	if !db.gate.enter() {
		return
	}
	defer db.gate.leave()
	C.db_stop_work(db.handles.db)
}

// beginLog leaves the log that a write failed on. Where the memtables were empty
// RocksDB would go on with it, and refuse to; a row in one of them makes it begin
// a new log.
func (db *DB) beginLog(batch *Batch) error {
	opts := grocksdb.NewDefaultWriteOptions()
	defer opts.Destroy()
	opts.DisableWAL(true)
	b := grocksdb.WriteBatchFrom(batch.wire())
	defer b.Destroy()
	if err := db.db.Write(opts, b); err != nil {
		return wrap("resume", err)
	}
	return db.Flush()
}

// markResume notes that a Resume begins after row last, safe from a power
// failure. If one has begun before and failed, what that noted stands.
func markResume(path string, last uint64) (uint64, error) {
	before, begun, err := interrupted(path)
	if err != nil {
		return 0, err
	}
	if begun {
		last = before
	}
	f, err := os.OpenFile(filepath.Join(path, resumingFile), os.O_WRONLY|os.O_CREATE, 0o640)
	if err != nil {
		return 0, err
	}
	_, err = f.Write(binary.LittleEndian.AppendUint64(nil, last))
	return last, errors.Join(err, f.Sync(), f.Close(), syncFolder(path))
}

// unmarkResume notes that none is under way. No write may go on before that: the
// next Open would cut it off.
func unmarkResume(path string) error {
	err := os.Remove(filepath.Join(path, resumingFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, syncFolder(path))
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("open the folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
