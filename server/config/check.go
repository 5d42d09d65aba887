package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Machine is what a configuration is checked against.
type Machine struct {
	// CPUs are the cores this process may use.
	CPUs int
	// MemoryBytes is the memory this process may use; 0 if unknown.
	MemoryBytes uint64
}

// Check loads the configuration and tries out what it names: the storage path,
// the port, the memory. It prints one line per finding, ✓ or ✗ with the way to
// mend it, and reports whether all is well. It leaves nothing behind.
func Check(w io.Writer, source Source, machine Machine) bool {
	c, err := Load(source)
	if err != nil {
		var problems Problems
		errors.As(err, &problems)
		for _, problem := range problems {
			fmt.Fprintln(w, "✗ Config file invalid:", problem)
		}
		return false
	}
	fmt.Fprintln(w, "✓ Config file valid")
	well := true
	for _, check := range []func(Machine) (line, mend string){
		c.Storage.checkPath, c.Server.checkPort, c.Storage.checkMemory, c.Server.checkThreads,
	} {
		line, mend := check(machine)
		if mend != "" {
			well = false
			fmt.Fprintf(w, "✗ %s; %s\n", line, mend)
			continue
		}
		fmt.Fprintln(w, "✓", line)
	}
	for _, warning := range c.Warnings {
		fmt.Fprintln(w, "  note:", warning)
	}
	return well
}

// checkPath tries to write a file where the data is, or where its folder would
// be made.
func (s *Storage) checkPath(Machine) (line, mend string) {
	dir := s.RocksDBPath
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return "Storage path not accessible: " + s.RocksDBPath, dir + " is not a folder: set storage.rocksdb_path to one"
		}
		above := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
		if !above || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	probe, err := os.CreateTemp(dir, ".themis-validate-*")
	if err != nil {
		return fmt.Sprintf("Storage path not accessible: %s (%v)", s.RocksDBPath, errors.Unwrap(err)),
			"make it writable for this user or set storage.rocksdb_path"
	}
	probe.Close()
	os.Remove(probe.Name())
	return "Storage path accessible: " + s.RocksDBPath, ""
}

func (s *Server) checkPort(Machine) (line, mend string) {
	listener, err := net.Listen("tcp", s.Address())
	if err == nil {
		listener.Close()
		return fmt.Sprintf("Port %d available", s.Port), ""
	}
	mend = "check server.host and server.port"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		mend = "another process listens there: stop it or set server.port"
	case errors.Is(err, syscall.EACCES):
		mend = "a port below 1024 needs a privilege: set server.port to a higher one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		mend = "no interface of this machine has that address: set server.host"
	}
	return fmt.Sprintf("Port %d not available (%v)", s.Port, err), mend
}

func (s *Storage) checkMemory(m Machine) (line, mend string) {
	sum := s.MemtableSizeMB + s.BlockCacheSizeMB
	line = fmt.Sprintf("Memory limits: memtable (%d MB) + block_cache (%d MB) = %d MB", s.MemtableSizeMB, s.BlockCacheSizeMB, sum)
	if m.MemoryBytes > 0 && uint64(sum)<<20 > m.MemoryBytes {
		mend = fmt.Sprintf("there are only %d MB: lower storage.memtable_size_mb or storage.block_cache_size_mb", m.MemoryBytes>>20)
	}
	return line, mend
}

func (s *Server) checkThreads(m Machine) (line, mend string) {
	switch n := s.WorkerThreads; {
	case n == 0 || n == m.CPUs:
		return fmt.Sprintf("Worker threads: %d (optimal for %d-core CPU)", m.CPUs, m.CPUs), ""
	case n < m.CPUs:
		return fmt.Sprintf("Worker threads: %d (of a %d-core CPU)", n, m.CPUs), ""
	case n <= 4*m.CPUs:
		return fmt.Sprintf("Worker threads: %d (more than a %d-core CPU runs at once)", n, m.CPUs), ""
	default:
		return fmt.Sprintf("Worker threads: %d (for a %d-core CPU)", n, m.CPUs), "far too many: set server.worker_threads to 0"
	}
}
