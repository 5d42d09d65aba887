// Package hostrun runs the kernels of gpu/kernels on the CPU, for tests: a scan.Launcher
// without a device. The sources are compiled by the C++ compiler that is there, and run by
// a child process whose "device memory" is shared with this one. See cuda/simt.h for what the
// emulation finds: accesses out of bounds or not aligned, missing barriers and waits, lanes
// that disagree. Like a device, a Launcher is lost after a fault.
//
// Compiled programs are kept in a folder of the temporary directory, by a digest of their sources.
//
// A Launcher is safe for concurrent use; one lock guards its memory and its child. The work of
// a Stream is done in Sync, in the goroutine that calls it, so that host memory
// which changes too early shows. There are no goroutines.
package hostrun

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vccdb/vccdb/gpu/kernels"
)

// ErrNoCompiler is what Compile returns on a machine without a C++ compiler.
var ErrNoCompiler = errors.New("hostrun: there is no C++ compiler (g++, c++ or clang++)")

// Options configure a Launcher. The zero value of each field means its default.
type Options struct {
	// Memory is the size of the device's memory in bytes, 1 GiB. What isn't used
	// takes none.
	Memory int64
	// Multiprocessors is what Info says, and so how many blocks launches have, 2.
	Multiprocessors int
	// Seed decides on the order of threads and blocks, and when copies are done. With
	// 0 threads take turns in their order, and copies are done when they are waited for.
	Seed uint64
	// Sanitize compiles with the sanitizers for addresses and undefined behaviour.
	Sanitize bool
}

// EnsureDefaults returns o with every unset field filled.
func (o Options) EnsureDefaults() Options {
	if o.Memory == 0 {
		o.Memory = 1 << 30
	}
	if o.Multiprocessors == 0 {
		o.Multiprocessors = 2
	}
	return o
}

// compile returns the path of the program, which it makes unless it is there.
func compile(sanitize bool) (string, error) {
	compiler := ""
	for _, name := range []string{"g++", "c++", "clang++"} {
		if path, err := exec.LookPath(name); err == nil {
			compiler = path
			break
		}
	}
	if compiler == "" {
		return "", ErrNoCompiler
	}
	flags := []string{"-x", "c++", "-std=c++17", "-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"}
	if sanitize {
		flags = append(flags, "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
	}
	dir, err := folder()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, compiler, flags)
	if err := writeSources(h); err != nil {
		return "", err
	}
	program := filepath.Join(dir, hex.EncodeToString(h.Sum(nil)[:16]))
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := tidy(dir); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	if err := os.CopyFS(scratch, kernels.Sources()); err != nil {
		return "", err
	}
	made := filepath.Join(scratch, "program")
	out, err := exec.Command(compiler, append(flags, "-o", made, filepath.Join(scratch, "host.cpp"))...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("hostrun: %s: %w\n%s", compiler, err, out)
	}
	return program, os.Rename(made, program)
}

// writeSources writes all sources, with their names and lengths.
func writeSources(w io.Writer) error {
	sources := kernels.Sources()
	return fs.WalkDir(sources, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(sources, name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s %d\n%s", name, len(content), content)
		return err
	})
}

// tidy removes what was left in the folder a week ago: programs of other sources, and
// builds that were cut off.
func tidy(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		info, statErr := entry.Info()
		if statErr == nil && entry.Name() != "lock" && time.Since(info.ModTime()) > 7*24*time.Hour {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	return err
}

// lock waits until nobody else has the file locked: tests of several packages begin at the
// same time, and one of them compiles.
func lock(name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	return func() { file.Close() }, nil
}

// folder is where programs are kept. Only its owner may write there: they are executed.
func folder() (string, error) {
	dir := filepath.Join(os.TempDir(), "vccdb-hostrun-"+strconv.Itoa(os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ownedByUser(info) {
		return "", fmt.Errorf("hostrun: %s is somebody else's, or others may write there", dir)
	}
	return dir, nil
}

func ownedByUser(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}
