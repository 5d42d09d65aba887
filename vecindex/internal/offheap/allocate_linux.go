//go:build !race

package offheap

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate gives a file disk space for the bytes from from to to and makes it that
// long. What it holds stays.
func allocate(file *os.File, from, to int) error {
	for {
		switch err := unix.Fallocate(int(file.Fd()), 0, int64(from), int64(to-from)); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP):
			return appendZeros(file, to)
		default:
			return err
		}
	}
}
