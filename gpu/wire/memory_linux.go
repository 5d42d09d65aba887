package wire

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// NewArena makes shared memory of about so many bytes, and the file that a worker maps
// it from with MapArena. The file's size is sealed: neither side can make it shorter
// while the other reads it. The caller closes both.
func NewArena(bytes int64) (*Arena, *os.File, error) {
	fd, err := unix.MemfdCreate("themis-gpu", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, fmt.Errorf("shared memory for the GPU worker: %w", err)
	}
	file := os.NewFile(uintptr(fd), "themis-gpu")
	size := arenaSize(bytes)
	mem, err := func() ([]byte, error) {
		if err := unix.Ftruncate(fd, size); err != nil {
			return nil, err
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
			return nil, err
		}
		return unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}()
	if err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("shared memory of %d bytes for the GPU worker: %w", size, err)
	}
	return newArena(mem, func() error { return unix.Munmap(mem) }), file, nil
}

// MapArena maps the shared memory that a server handed over, and returns what unmaps
// it. Memory that the server could still shorten, which would kill who reads it, is
// refused.
func MapArena(file *os.File) (mem []byte, unmap func() error, err error) {
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || seals&unix.F_SEAL_SHRINK == 0 {
		return nil, nil, violation("the shared memory isn't sealed memory")
	}
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() < MinArena {
		return nil, nil, violation("shared memory of %d bytes", info.Size())
	}
	mem, err = unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping the shared memory: %w", err)
	}
	return mem, func() error { return unix.Munmap(mem) }, nil
}
