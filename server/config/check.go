package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Machine is what a configuration is checked against.
type Machine struct {
	// CPUs are the cores this process may use.
	CPUs int
	// MemoryBytes is the memory this process may use; 0 if unknown.
	MemoryBytes uint64
	// Program is the path of the program that runs; empty if unknown.
	Program string
	// Device names a GPU, or says why searches can't use it, in a sentence without a
	// full stop; nil is a machine without any.
	Device func(index int) (name, reason string)
}

// Check loads the configuration and tries out what it names: folders, files, the
// port, certificates, the memory. It prints one line per finding, ✓ or ✗ with the
// way to mend it, and reports whether all is well. It leaves nothing behind.
func Check(w io.Writer, source Source, machine Machine) bool {
	live, err := Open(source)
	if err != nil {
		var problems Problems
		errors.As(err, &problems)
		for _, problem := range problems {
			fmt.Fprintln(w, "✗ Config file invalid:", problem)
		}
		return false
	}
	fmt.Fprintln(w, "✓ Config file valid")
	c, well := live.Config(), true
	findings := []finding{c.Storage.checkPath(), c.Server.checkPort(), c.Storage.checkMemory(machine), c.Server.checkThreads(machine)}
	for _, f := range append(findings, live.checkExtras()...) {
		well = f.print(w) && well
	}
	for _, f := range c.checkGPU(machine) {
		f.print(w) // the CPU serves without, so this is no reason not to start
	}
	for _, warning := range c.Warnings {
		fmt.Fprintln(w, "  note:", warning)
	}
	return well
}

// finding is what a check found; mend is empty if all is well.
type finding struct{ line, mend string }

// print writes the finding down and reports whether all is well.
func (f finding) print(w io.Writer) bool {
	if f.mend != "" {
		fmt.Fprintf(w, "✗ %s; %s\n", f.line, f.mend)
		return false
	}
	fmt.Fprintln(w, "✓", f.line)
	return true
}

// checkExtras tries out what only some configurations name.
func (l *Live) checkExtras() []finding {
	c := l.Config()
	var all []finding
	given := func(key string) bool { return l.state.Load().values[key].from != fromDefault }
	if given(snapshotsKey) {
		for _, dir := range c.Storage.SnapshotDirs {
			all = append(all, checkFolder("Snapshot folder", dir, snapshotsKey))
		}
	}
	if given(backupKey) {
		all = append(all, checkFolder("Backup folder", c.Storage.BackupDir, backupKey))
	}
	if c.Storage.EnableWALArchival {
		all = append(all, checkFolder("WAL archive", c.Storage.WALArchivePath, "storage.wal_archive_path"))
	}
	if given(overlayKey) {
		all = append(all, checkFolder("Folder of the overlay file", filepath.Dir(c.Server.ConfigOverlay), overlayKey))
	}
	if c.Logging.File != "" {
		all = append(all, checkFile("Log file", c.Logging.File, "logging.file"))
	}
	if c.Logging.AuditFile != "" {
		all = append(all, checkFile("Audit file", c.Logging.AuditFile, "logging.audit_file"))
	}
	if c.Server.EnableTLS {
		all = append(all, c.Server.checkCertificate())
	}
	if c.Server.TLSCA != "" {
		all = append(all, c.Server.checkAuthorities())
	}
	if c.Server.PprofPort != 0 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Server.PprofPort))
		all = append(all, checkListen("Port of profiles", c.Server.PprofPort, address, "server.pprof_port"))
	}
	return all
}

// checkPath tries to write a file where the data is, or where its folder would
// be made.
func (s *Storage) checkPath() finding {
	return checkWritable("Storage path", "accessible", s.RocksDBPath, pathKey)
}

func checkFolder(name, dir, key string) finding { return checkWritable(name, "writable", dir, key) }

func checkWritable(name, quality, path, key string) finding {
	dir := path
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return finding{fmt.Sprintf("%s not %s: %s", name, quality, path), dir + " is not a folder: set " + key + " to one"}
		}
		above := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
		if !above || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	probe, err := os.CreateTemp(dir, ".themis-validate-*")
	if err != nil {
		return finding{fmt.Sprintf("%s not %s: %s (%v)", name, quality, path, errors.Unwrap(err)),
			"make it writable for this user or set " + key}
	}
	probe.Close()
	os.Remove(probe.Name())
	return finding{line: fmt.Sprintf("%s %s: %s", name, quality, path)}
}

// checkFile tries to open a file for writing, or to make one in its folder.
func checkFile(name, path, key string) finding {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return checkFolder("Folder of the "+strings.ToLower(name), filepath.Dir(path), key)
	case err != nil:
		return finding{fmt.Sprintf("%s not writable: %v", name, err), "make it writable for this user or set " + key}
	}
	file.Close()
	return finding{line: name + " writable: " + path}
}

// checkCertificate loads the certificate with its key, and looks at its dates.
func (s *Server) checkCertificate() finding {
	pair, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
	if err != nil {
		return finding{fmt.Sprintf("TLS certificate not usable: %v", err), "set server.tls_cert and server.tls_key to a certificate and its key, readable for this user"}
	}
	until := pair.Leaf.NotAfter
	if time.Now().After(until) {
		return finding{"TLS certificate expired on " + until.Format(time.DateOnly) + ": " + s.TLSCert, "renew it"}
	}
	return finding{line: "TLS certificate valid until " + until.Format(time.DateOnly) + ": " + s.TLSCert}
}

func (s *Server) checkAuthorities() finding {
	content, err := os.ReadFile(s.TLSCA)
	if err != nil {
		return finding{fmt.Sprintf("TLS client authorities not readable: %v", err), "make the file readable for this user or set server.tls_ca"}
	}
	if !x509.NewCertPool().AppendCertsFromPEM(content) {
		return finding{"TLS client authorities not usable: " + s.TLSCA + " holds no certificate", "set server.tls_ca to a PEM file"}
	}
	return finding{line: "TLS client authorities usable: " + s.TLSCA}
}

func (s *Server) checkPort() finding {
	return checkListen("Port", s.Port, s.Address(), "server.port")
}

func checkListen(name string, port int, address, key string) finding {
	listener, err := net.Listen("tcp", address)
	if err == nil {
		listener.Close()
		return finding{line: fmt.Sprintf("%s %d available", name, port)}
	}
	mend := "check server.host and " + key
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		mend = "another process listens there: stop it or set " + key
	case errors.Is(err, syscall.EACCES):
		mend = "a port below 1024 needs a privilege: set " + key + " to a higher one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		mend = "no interface of this machine has that address: set server.host"
	}
	return finding{fmt.Sprintf("%s %d not available (%v)", name, port, err), mend}
}

func (s *Storage) checkMemory(m Machine) finding {
	sum := s.MemtableSizeMB + s.BlockCacheSizeMB
	f := finding{line: fmt.Sprintf("Memory limits: memtable (%d MB) + block_cache (%d MB) = %d MB", s.MemtableSizeMB, s.BlockCacheSizeMB, sum)}
	if m.MemoryBytes > 0 && uint64(sum)<<20 > m.MemoryBytes {
		f.mend = fmt.Sprintf("there are only %d MB: lower storage.memtable_size_mb or storage.block_cache_size_mb", m.MemoryBytes>>20)
	}
	return f
}

func (s *Server) checkThreads(m Machine) finding {
	switch n := s.WorkerThreads; {
	case n == 0 || n == m.CPUs:
		return finding{line: fmt.Sprintf("Worker threads: %d (optimal for %d-core CPU)", m.CPUs, m.CPUs)}
	case n < m.CPUs:
		return finding{line: fmt.Sprintf("Worker threads: %d (of a %d-core CPU)", n, m.CPUs)}
	case n <= 4*m.CPUs:
		return finding{line: fmt.Sprintf("Worker threads: %d (more than a %d-core CPU runs at once)", n, m.CPUs)}
	default:
		return finding{fmt.Sprintf("Worker threads: %d (for a %d-core CPU)", n, m.CPUs), "far too many: set server.worker_threads to 0"}
	}
}
