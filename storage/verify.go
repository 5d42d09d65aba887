package storage

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Looking for damage
//
// RocksDB finds damage in table files and in its manifest by itself. In its log it
// takes the first bad record for the end, since a crash may have left it half
// written; so damage there would silently undo the commits that follow. Therefore
// the logs are looked at here, record by record. And after a stop in good order
// the file CLOSED says which files there were, with sizes and checksums, so that a
// log that is missing or cut short is noticed too.

// closedName is the file that Close leaves and Open removes.
const closedName = "CLOSED"

// closedFile is a file as Close left it. CRC32 is left out for table files, whose
// blocks have checksums of their own.
type closedFile struct {
	Name  string  `json:"name"`
	Bytes int64   `json:"bytes"`
	CRC32 *uint32 `json:"crc32c,omitzero"`
}

var databaseFile = regexp.MustCompile(`^(CURRENT|MANIFEST-\d+|\d+\.log|\d+\.sst)$`)

// databaseFiles lists the files of a database that matter.
func databaseFiles(path string) ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []fs.FileInfo
	for _, entry := range entries {
		if !databaseFile.MatchString(entry.Name()) {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		files = append(files, info)
	}
	return files, nil
}

// noteClosed writes CLOSED. Without it nothing is lost but the certainty that it
// gives, so the caller may go on after an error.
func noteClosed(path string) error {
	infos, err := databaseFiles(path)
	if err != nil {
		return err
	}
	files := []closedFile{}
	for _, info := range infos {
		f := closedFile{Name: info.Name(), Bytes: info.Size()}
		if filepath.Ext(f.Name) != ".sst" {
			sum, err := sumFile(filepath.Join(path, f.Name))
			if err != nil {
				return err
			}
			f.CRC32 = &sum
		}
		files = append(files, f)
	}
	data, err := json.Marshal(files)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(path, closedName), sealLine(data), 0o640)
}

// sealLine returns a line and, on the next, its CRC-32C in hex.
func sealLine(line []byte) []byte {
	return fmt.Appendf(nil, "%s\n%08x\n", line, crc32.Checksum(line, crc32.MakeTable(crc32.Castagnoli)))
}

// forgetClosed removes CLOSED before the first write.
func forgetClosed(path string) error {
	err := os.Remove(filepath.Join(path, closedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncFile(path) // or a crash could bring it back
	}
	return err
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func sumFile(path string) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, err = io.Copy(sum, f)
	return sum.Sum32(), err
}

// CheckFiles looks at the files of a stopped database without changing anything:
// which are there, the manifest and the logs record by record. It returns what is
// wrong, a sentence each that begins with the file's name. Rows in table files are
// VerifyChecksums' to look at.
func CheckFiles(path string) ([]string, error) {
	current, err := os.ReadFile(filepath.Join(path, "CURRENT"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []string{"CURRENT is missing"}, nil
	case err != nil:
		return nil, openError(path, err)
	}
	var findings []string
	manifest, ended := strings.CutSuffix(string(current), "\n")
	if !ended || !strings.HasPrefix(manifest, "MANIFEST-") || !databaseFile.MatchString(manifest) {
		findings = append(findings, fmt.Sprintf("CURRENT is damaged: it says %.40q", current))
	} else if _, err := os.Stat(filepath.Join(path, manifest)); errors.Is(err, fs.ErrNotExist) {
		findings = append(findings, manifest+" is missing")
	}
	files, err := databaseFiles(path)
	if err != nil {
		return nil, openError(path, err)
	}
	closed, err := checkClosed(path, files)
	if err != nil {
		return nil, openError(path, err)
	}
	findings = append(findings, closed...)
	logs, err := checkLogs(path, files)
	if err != nil {
		return nil, openError(path, err)
	}
	for _, finding := range logs {
		if name, _, _ := strings.Cut(finding, " "); !slices.ContainsFunc(findings, func(f string) bool { return strings.HasPrefix(f, name+" ") }) {
			findings = append(findings, finding)
		}
	}
	return findings, nil
}

// checkClosed compares the files with what Close noted. After a crash there is
// nothing to compare with.
func checkClosed(path string, files []fs.FileInfo) (findings []string, err error) {
	data, err := os.ReadFile(filepath.Join(path, closedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var want []closedFile
	line, _, _ := bytes.Cut(data, []byte("\n"))
	if !bytes.Equal(data, sealLine(line)) || json.Unmarshal(line, &want) != nil {
		return []string{closedName + " is damaged; remove it to have only the rest looked at"}, nil
	}
	for _, w := range want {
		i := slices.IndexFunc(files, func(f fs.FileInfo) bool { return f.Name() == w.Name })
		switch {
		case i < 0:
			findings = append(findings, w.Name+" is missing")
			continue
		case files[i].Size() != w.Bytes:
			findings = append(findings, fmt.Sprintf("%s has %d bytes, but had %d when the database was closed", w.Name, files[i].Size(), w.Bytes))
			continue
		case w.CRC32 == nil:
			continue
		}
		sum, err := sumFile(filepath.Join(path, w.Name))
		if err != nil {
			return nil, err
		}
		if sum != *w.CRC32 {
			findings = append(findings, w.Name+" is damaged: it has changed since the database was closed")
		}
	}
	return findings, nil
}

// checkLogs reads the manifests and write-ahead logs. Only the newest of each may
// end in the middle of a record, as a crash leaves it.
//
// After a recovery from a full disk that was cut off a log may end anywhere; the
// next start finishes the recovery.
func checkLogs(path string, files []fs.FileInfo) (findings []string, err error) {
	if interrupted, err := rocks.Interrupted(path); interrupted || err != nil {
		return nil, err
	}
	for _, kind := range []func(name string) bool{
		func(name string) bool { return strings.HasPrefix(name, "MANIFEST-") },
		func(name string) bool { return filepath.Ext(name) == ".log" },
	} {
		var names []string
		for _, f := range files {
			if kind(f.Name()) {
				names = append(names, f.Name())
			}
		}
		slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
		for i, name := range names {
			cut, bad, err := checkLog(filepath.Join(path, name))
			if err != nil {
				return nil, err
			}
			switch {
			case bad >= 0:
				findings = append(findings, fmt.Sprintf("%s is damaged at byte %d: the checksum of a record is wrong", name, bad))
			case cut && i < len(names)-1:
				findings = append(findings, name+" ends in the middle of a record")
			}
		}
	}
	return findings, nil
}

func checkLog(path string) (cut bool, bad int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, 0, err
	}
	defer f.Close()
	return rocks.CheckLog(f)
}

// clonePrefix begins the names of clones inside a database's folder.
const clonePrefix = ".verify-"

// Clone makes a second database of the files of a stopped one, in a folder inside
// its folder, so that it can be opened without a change to the first: table files,
// which RocksDB never changes, are linked, the rest is copied. Until remove is
// called no process can open the first. Errors are those of Open.
func Clone(path string) (clone string, remove func() error, err error) {
	if _, err := prepare(&Options{Path: path}); err != nil {
		return "", nil, err
	}
	lock, err := holdLock(path)
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	old, _ := filepath.Glob(filepath.Join(path, clonePrefix+"*")) // the pattern is sound
	for _, dir := range old {
		_ = os.RemoveAll(dir) // of a verification that was killed
	}
	if clone, err = os.MkdirTemp(path, clonePrefix); err != nil {
		return "", nil, openError(path, err)
	}
	remove = func() error { return errors.Join(os.RemoveAll(clone), lock.Close()) }
	entries, err := os.ReadDir(path)
	for _, entry := range entries {
		if err == nil && entry.Type().IsRegular() && entry.Name() != "LOCK" && entry.Name() != "LOG" {
			err = cloneFile(filepath.Join(path, entry.Name()), filepath.Join(clone, entry.Name()))
		}
	}
	if err != nil {
		return "", nil, openError(path, errors.Join(err, remove()))
	}
	return clone, remove, nil
}

func cloneFile(from, to string) error {
	if filepath.Ext(from) == ".sst" {
		if err := os.Link(from, to); err == nil {
			return nil
		}
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// holdLock takes RocksDB's lock on a database until the file is closed.
func holdLock(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, "LOCK"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, openError(path, err)
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock); err != nil {
		f.Close()
		return nil, errs.Wrap(err, errs.Conflict, "storage_locked", "Another process has the database at %s open. Stop it first.", path)
	}
	return f, nil
}
