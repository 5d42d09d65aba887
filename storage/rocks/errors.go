package rocks

import (
	"errors"
	"strings"
)

// ErrClosed is returned by operations on a closed DB or a released View.
var ErrClosed = errors.New("rocks: closed")

// Error is a failure that RocksDB reported. Its C interface has no codes, so
// what kind of failure it is has to be read out of the text of its Status.
type Error struct {
	// Op is what was tried: open, write, read.
	Op   string
	Text string
	// full is set where RocksDB's code is known, and it is that of a full disk.
	full bool
}

func (e *Error) Error() string { return "rocksdb " + e.Op + ": " + e.Text }

// NoSpace reports whether the disk or a quota is full.
func (e *Error) NoSpace() bool {
	return e.full || strings.Contains(strings.ToLower(e.Text), "no space left on device") ||
		strings.Contains(strings.ToLower(e.Text), "disk quota exceeded") ||
		strings.Contains(e.Text, "Space limit reached")
}

// Corruption reports whether data failed its own checks.
func (e *Error) Corruption() bool { return strings.HasPrefix(e.Text, "Corruption") }

// Locked reports whether another process has the database open.
func (e *Error) Locked() bool {
	return strings.Contains(e.Text, "While lock file") || strings.Contains(e.Text, "lock hold by current process")
}

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Text: err.Error()}
}
