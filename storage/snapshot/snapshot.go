// Package snapshot keeps snapshots of a database in folders: a copy of its files
// that shares table files with it by hard links, and a manifest with the
// checksum of each file. ARCHIVE.md in package storage describes the files.
//
// It promises:
//
//  1. A snapshot holds exactly the state at the sequence its manifest names,
//     while writes went on.
//  2. What stands under a snapshot's name is complete and on disk. It is built
//     under a name of its own, synced and then renamed; leftovers of a crash are
//     removed by Sweep.
//  3. Nothing outside the folders is read, written or removed, whatever names
//     and paths it is given and whatever links stand in the folders: files are
//     reached through os.Root, and RocksDB, which wants a path, is given that of
//     an open folder (/proc/self/fd), which no rename or link can lead astray.
//
// Hard links share their bytes with the running database. RocksDB never changes
// a table file, so that is safe against writes, but not against a disk that
// loses bytes: Verify finds that out by the checksums. Taking a checksum reads
// each file once, at 1 to 2 GB/s and core from the cache and at the disk's speed
// otherwise; no writer waits for it.
//
// The package owns no goroutines. Folders.mu guards the names that are in use by
// a call or an open archive, Archive.mu one archive; Folders.mu is not held while
// files are read or written, and taken second.
package snapshot

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

// Progress is told how many bytes of all are done.
type Progress func(done, total uint64)

// Folders are the folders that snapshots may stand in.
type Folders struct {
	dirs    []string
	version string

	mu sync.Mutex
	// busy are the names that are being made or removed, reading counts the open
	// archives of a name. No name is in both.
	busy    map[string]bool
	reading map[string]int
}

// New returns the folders with these paths. The first takes the snapshots that
// are made by name. version is the program's, for manifests.
func New(dirs []string, version string) (*Folders, error) {
	f := &Folders{version: version, busy: map[string]bool{}, reading: map[string]int{}}
	for _, dir := range dirs {
		path, err := filepath.Abs(dir)
		if err != nil {
			return nil, errs.Wrap(err, errs.Invalid, "invalid_option", "the snapshot folder %q can't be resolved", dir)
		}
		f.dirs = append(f.dirs, path)
	}
	return f, nil
}

// Place is where a snapshot stands or is to stand: a name directly in one of the
// folders.
type Place struct {
	dir, Name string
}

// Path is the place as a path.
func (p Place) Path() string { return filepath.Join(p.dir, p.Name) }

const maxName = 128

// checkName allows names that mean the same to every file system and shell.
func checkName(name string) error {
	ok := name != "" && len(name) <= maxName && isAlnum(rune(name[0]))
	for _, r := range name {
		ok = ok && (isAlnum(r) || r == '-' || r == '_' || r == '.')
	}
	if !ok {
		return errs.New(errs.Invalid, "invalid_snapshot_name",
			"a snapshot's name has 1 to %d letters, digits and -_. and begins with a letter or digit", maxName)
	}
	return nil
}

func isAlnum(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// DefaultName names a snapshot by the time.
func DefaultName(now time.Time) string {
	return "snapshot-" + strings.ReplaceAll(now.UTC().Format("20060102T150405.000Z"), ".", "-")
}

// ByName is the place of a new snapshot with that name. An error is Invalid,
// "invalid_snapshot_name".
func (f *Folders) ByName(name string) (Place, error) {
	if err := checkName(name); err != nil {
		return Place{}, err
	}
	return Place{f.dirs[0], name}, nil
}

// ByPath is the place of a new snapshot at that absolute path, which must name a
// folder directly below one of the snapshot folders. An error is Invalid,
// "invalid_snapshot_path".
func (f *Folders) ByPath(path string) (Place, error) {
	refuse := func(why string) error {
		return errs.New(errs.Invalid, "invalid_snapshot_path", "the path of a snapshot must be one of storage.snapshot_dirs, a slash and a name; this one %s", why)
	}
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case !utf8.ValidString(path) || strings.ContainsFunc(path, unprintable):
		return Place{}, refuse("has bytes that aren't text")
	case !filepath.IsAbs(path):
		return Place{}, refuse("isn't absolute")
	case filepath.Clean(path) != path:
		return Place{}, refuse("has .., . or empty parts")
	}
	p := Place{filepath.Dir(path), filepath.Base(path)}
	for _, dir := range f.dirs {
		if dir == p.dir {
			if checkName(p.Name) != nil {
				return Place{}, refuse("has a name with other than letters, digits and -_.")
			}
			return p, nil
		}
	}
	return Place{}, refuse("lies elsewhere")
}

// Info is a snapshot in a list.
type Info struct {
	Name string
	Path string
	// Manifest is nil if it can't be read; Err says why.
	Manifest *Manifest
	Err      error
}

// tempPrefix begins the names of what is under construction or being removed.
const tempPrefix = ".themis-"

// Create makes a snapshot of the store at a place. Errors are Conflict
// "snapshot_exists", StorageFull and what the store says.
func (f *Folders) Create(ctx context.Context, store *storage.Store, p Place, progress Progress) (*Info, error) {
	if !f.claim(p.Name) {
		return nil, exists(p.Name)
	}
	defer f.release(p.Name)
	for _, dir := range f.dirs {
		if _, err := os.Lstat(filepath.Join(dir, p.Name)); err == nil {
			return nil, exists(p.Name)
		}
	}
	if err := os.MkdirAll(p.dir, 0o750); err != nil {
		return nil, ioError(err, p.dir)
	}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, ioError(err, p.dir)
	}
	defer root.Close()
	m, err := f.build(ctx, root, p, store, progress)
	if err != nil {
		return nil, err
	}
	return &Info{Name: p.Name, Path: p.Path(), Manifest: m}, nil
}

// build makes the snapshot under a temporary name and gives it its own.
func (f *Folders) build(ctx context.Context, root *os.Root, p Place, store *storage.Store, progress Progress) (m *Manifest, err error) {
	temp := tempPrefix + rand.Text()
	if err := root.Mkdir(temp, 0o750); err != nil {
		return nil, ioError(err, p.dir)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, root.RemoveAll(temp))
		}
	}()
	sub, err := root.OpenRoot(temp)
	if err != nil {
		return nil, ioError(err, p.dir)
	}
	defer sub.Close()
	folder, err := sub.Open(".")
	if err != nil {
		return nil, ioError(err, p.dir)
	}
	defer folder.Close()
	// Sweep of another process leaves locked folders alone.
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, ioError(err, p.dir)
	}
	if m, err = f.fill(ctx, sub, folder, store, progress); err != nil {
		return nil, err
	}
	m.Name = p.Name
	if err := writeManifest(sub, m); err != nil {
		return nil, ioError(err, p.dir)
	}
	if err := folder.Sync(); err != nil {
		return nil, ioError(err, p.dir)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := root.Rename(temp, p.Name); err != nil {
		if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.ENOTDIR) {
			return nil, exists(p.Name)
		}
		return nil, ioError(err, p.dir)
	}
	return m, syncDir(root, ".")
}

// fill takes the checkpoint, syncs it and reads what it holds.
func (f *Folders) fill(ctx context.Context, sub *os.Root, folder *os.File, store *storage.Store, progress Progress) (*Manifest, error) {
	data := fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), DataDir)
	if err := store.Checkpoint(data); err != nil {
		return nil, err
	}
	created := time.Now().UTC() // at or after the last commit in it; see storage.Replay
	state, err := storage.StateOf(data)
	if err != nil {
		return nil, err
	}
	m := &Manifest{
		Format: ManifestFormat, Product: product, Version: f.version, Created: created,
		Sequence: uint64(state.Seq), Rows: state.Rows, Timeline: state.Timeline.String(), DataFormat: uint32(state.Format),
	}
	if m.Files, m.Bytes, err = filesBelow(sub); err != nil {
		return nil, ioError(err, folder.Name())
	}
	done := uint64(0)
	for i := range m.Files {
		if err := m.Files[i].seal(ctx, sub, func(n int) {
			done += uint64(n)
			progress(done, uint64(m.Bytes))
		}); err != nil {
			return nil, err
		}
	}
	return m, syncDir(sub, DataDir)
}

// seal puts a file on disk and notes its checksum.
func (f *File) seal(ctx context.Context, root *os.Root, progress func(int)) error {
	file, err := openRegular(root, f.Path)
	if err != nil {
		return ioError(err, f.Path)
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		return ioError(err, f.Path)
	}
	f.SHA256, f.Bytes, err = hashFile(ctx, file, progress)
	if err != nil && ctx.Err() == nil {
		return ioError(err, f.Path)
	}
	return err
}

func writeManifest(root *os.Root, m *Manifest) error {
	data, err := m.encode()
	if err != nil {
		return err
	}
	file, err := root.OpenFile(manifestName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

func syncDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return ioError(err, name)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return ioError(err, name)
	}
	return nil
}

func (f *Folders) claim(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy[name] || f.reading[name] > 0 {
		return false
	}
	f.busy[name] = true
	return true
}

func (f *Folders) release(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.busy, name)
}

// claimToRead keeps a snapshot from being deleted.
func (f *Folders) claimToRead(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	open := 0
	for _, n := range f.reading {
		open += n
	}
	switch {
	case f.busy[name]:
		return busy(name)
	case open >= maxArchives:
		return errs.New(errs.Unavailable, "too_many_downloads", "%d snapshots are being downloaded already; try again when one is done", open)
	}
	f.reading[name]++
	return nil
}

func (f *Folders) releaseFromReading(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reading[name]--; f.reading[name] == 0 {
		delete(f.reading, name)
	}
}

func busy(name string) error {
	return errs.New(errs.Conflict, "snapshot_busy", "the snapshot %s is in use; try again later", name)
}

func exists(name string) error {
	return errs.New(errs.Conflict, "snapshot_exists", "there is a snapshot, or something else, with the name %s already; nothing was changed", name)
}

func notFound(name string) error {
	return errs.New(errs.NotFound, "snapshot_not_found", "there is no snapshot %q", name)
}

func ioError(err error, where string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errs.Wrap(err, errs.StorageFull, "disk_full", "there is no room for the snapshot; what was built of it was removed")
	}
	return errs.Wrap(err, errs.Internal, "snapshot_io", "the snapshot folder could not be used; look at %s", where)
}
