package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Legacy reads the rows of a database in FormatLegacy and changes nothing there.
// It is not safe for concurrent use.
type Legacy struct{ source *rocks.Source }

// OpenLegacy opens the database at path, which no process may have open for
// writing (see HoldClosed). It refuses other formats with Invalid "not_legacy".
func OpenLegacy(path string) (*Legacy, error) {
	format, err := Inspect(path)
	if err != nil {
		return nil, err
	}
	if format != FormatLegacy {
		return nil, errs.New(errs.Invalid, "not_legacy", "The data at %s has format %d; it isn't of version %s.",
			path, format, FormatLegacy.Release())
	}
	source, err := rocks.OpenSource(path)
	if err != nil {
		return nil, openError(path, err)
	}
	return &Legacy{source}, nil
}

// Each calls fn with each row in key order, until fn fails. Key and value are
// gone when fn returns.
func (l *Legacy) Each(fn func(key, value []byte) error) error {
	return readError(l.source.Scan("default", func(key, value []byte) (bool, error) {
		return true, fn(key, value)
	}))
}

// EstimatedRows is about how many rows there are.
func (l *Legacy) EstimatedRows() uint64 { return l.source.EstimatedRows("default") }

// Close closes the database.
func (l *Legacy) Close() { l.source.Close() }

// HoldClosed keeps other processes from opening the database at path for
// writing, until release is called, and changes nothing there. It fails with
// Conflict "storage_locked" if one has it open. (Locks of this kind don't count
// within one process.)
func HoldClosed(path string) (release func(), err error) {
	f, err := os.Open(filepath.Join(path, "LOCK"))
	if errors.Is(err, fs.ErrNotExist) { // a copy without it: nobody can have it open
		return func() {}, nil
	}
	if err != nil {
		return nil, openError(path, err)
	}
	lock := syscall.Flock_t{Type: syscall.F_RDLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			return nil, errs.New(errs.Conflict, "storage_locked", "Another process has the database at %s open. Stop it first.", path)
		}
		return nil, openError(path, err)
	}
	return func() { _ = f.Close() }, nil
}
