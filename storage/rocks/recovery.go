package rocks

// #cgo CXXFLAGS: -std=c++17 -fno-rtti
// #include "recovery.h"
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/linxGnu/grocksdb"
)

// resumingFile stands in the database's folder while a Resume is under way.
//
// The write that failed may have left half a record at the end of the log. From
// the moment that the first column family is in a file and until the last one
// is, RocksDB refuses to open such a database: half a record may be a hole, and
// some families are beyond it. Here it is no hole, for what failed was never
// acknowledged, and this file says so to Open.
const resumingFile = "RESUMING"

// watchErrors makes the database opened with options report its errors.
func watchErrors(options *grocksdb.Options) (*C.error_watch, error) {
	p, err := cPointer(options)
	if err != nil {
		return nil, err
	}
	return C.error_watch_new((*C.rocksdb_options_t)(p)), nil
}

// interrupted reports whether a Resume of the database at path was cut off.
func interrupted(path string) (bool, error) {
	_, err := os.Stat(filepath.Join(path, resumingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
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
	mark := filepath.Join(db.options.Path, resumingFile)
	if err := writeMark(mark); err != nil {
		return err
	}
	if text := C.db_resume(db.handles.db); text != nil {
		defer C.rocksdb_free(unsafe.Pointer(text))
		return &Error{Op: "resume", Text: C.GoString(text)}
	}
	if err := db.beginLog(batch); err != nil {
		return err
	}
	return removeMark(mark)
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

// writeMark makes an empty file that survives a power failure. A file system
// without space reports that as RocksDB would.
func writeMark(name string) error {
	f, err := os.Create(name)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), syncFolder(filepath.Dir(name)))
	}
	return wrap("resume", err)
}

func removeMark(name string) error {
	return wrap("resume", errors.Join(os.Remove(name), syncFolder(filepath.Dir(name))))
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("open the folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
