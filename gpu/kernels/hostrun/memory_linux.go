package hostrun

import (
	"os"

	"golang.org/x/sys/unix"
)

// memoryFile is a file for memory that is shared.
func memoryFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("hostrun", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), "hostrun"), nil
}
