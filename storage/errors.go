package storage

import (
	"errors"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

// readError gives an error of RocksDB its kind. Everything else, such as an
// error of the caller's callback, passes through as it is.
func readError(err error) error {
	var native *rocks.Error
	switch {
	case errors.Is(err, rocks.ErrClosed):
		return closedError()
	case !errors.As(err, &native):
		return err
	case native.Corruption():
		return corrupt(err)
	case native.NoSpace():
		return errs.Wrap(err, errs.StorageFull, "disk_full", "The disk is full. Free some space and try again.")
	}
	return errs.Wrap(err, errs.Internal, "storage_io", "The storage engine failed; what was stored is unchanged.")
}

// closedError is what every call on a closed store or released snapshot gets.
func closedError() *errs.Error {
	return errs.New(errs.Unavailable, "storage_closed", "The database is closed; nothing was changed.")
}

func corrupt(err error) error {
	return errs.Wrap(err, errs.Corrupt, "storage_corrupt",
		"Stored data fails its own checks. Nothing was changed; restore from a backup, or run the server with --verify for details.")
}

func openError(path string, err error) error {
	var native *rocks.Error
	if errors.As(err, &native) && native.Locked() {
		return errs.Wrap(err, errs.Conflict, "storage_locked",
			"Another process has the database at %s open. Stop it first.", path)
	}
	if errors.As(err, &native) && (native.Corruption() || native.NoSpace()) {
		return readError(err)
	}
	return errs.Wrap(err, errs.Internal, "storage_open", "The database at %s can't be opened.", path)
}
