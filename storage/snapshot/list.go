package snapshot

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
)

// open opens the folder of the snapshot with that name in dir, and dir itself.
// Only a folder that has a manifest, good or bad, counts as one.
func open(dir, name string) (parent, folder *os.Root, err error) {
	if parent, err = os.OpenRoot(dir); err != nil {
		return nil, nil, err
	}
	if folder, err = openIn(parent, name); err != nil {
		parent.Close()
		return nil, nil, err
	}
	return parent, folder, nil
}

func openIn(parent *os.Root, name string) (*os.Root, error) {
	info, err := parent.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fs.ErrNotExist
	}
	folder, err := parent.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	opened, err := folder.Stat(".")
	if err == nil && !os.SameFile(info, opened) { // a link took its place in between
		err = fs.ErrNotExist
	}
	if err == nil {
		info, err = folder.Lstat(manifestName)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		folder.Close()
		return nil, err
	}
	return folder, nil
}

// find opens the snapshot with that name. The caller closes both roots.
func (f *Folders) find(name string) (parent, folder *os.Root, err error) {
	if err := checkName(name); err != nil {
		return nil, nil, err
	}
	for _, dir := range f.dirs {
		parent, folder, err := open(dir, name)
		switch {
		case err == nil:
			return parent, folder, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, nil, ioError(err, dir)
		}
	}
	return nil, nil, notFound(name)
}

// List returns the snapshots, oldest first. Those whose manifest can't be read
// come first.
func (f *Folders) List() ([]Info, error) {
	list := []Info{}
	for _, dir := range f.dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, ioError(err, dir)
		}
		for _, entry := range entries {
			if checkName(entry.Name()) != nil || slices.ContainsFunc(list, func(i Info) bool { return i.Name == entry.Name() }) {
				continue
			}
			if info, ok := describe(Place{dir, entry.Name()}); ok {
				list = append(list, info)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Info) int {
		return cmp.Or(a.created().Compare(b.created()), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

func describe(p Place) (Info, bool) {
	parent, folder, err := open(p.dir, p.Name)
	if err != nil {
		return Info{}, false
	}
	defer parent.Close()
	defer folder.Close()
	info := Info{Name: p.Name, Path: p.Path()}
	info.Manifest, info.Err = readManifest(folder)
	return info, true
}

// Report is the outcome of a verification.
type Report struct {
	Manifest *Manifest
	// Findings say what is wrong, naming the file; empty if nothing is.
	Findings []string
}

// Verify reads every file of a snapshot and compares it with its checksum.
// Errors are NotFound "snapshot_not_found" and the context's.
func (f *Folders) Verify(ctx context.Context, name string, progress Progress) (*Report, error) {
	parent, folder, err := f.find(name)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	defer folder.Close()
	return verify(ctx, folder, progress)
}

func verify(ctx context.Context, folder *os.Root, progress Progress) (*Report, error) {
	m, err := readManifest(folder)
	if err != nil {
		return &Report{Findings: []string{err.Error()}}, nil
	}
	findings, err := m.check(ctx, folder, progress)
	return &Report{Manifest: m, Findings: findings}, err
}

// IsSnapshot reports whether a folder is a snapshot, good or bad.
func IsSnapshot(path string) bool {
	info, err := os.Lstat(path + "/" + manifestName)
	return err == nil && info.Mode().IsRegular()
}

// VerifyFolder is Verify for a folder anywhere.
func VerifyFolder(ctx context.Context, path string, progress Progress) (*Report, error) {
	folder, err := os.OpenRoot(path)
	if err != nil {
		return nil, errs.Wrap(err, errs.NotFound, "snapshot_not_found", "there is no snapshot at %s", path)
	}
	defer folder.Close()
	return verify(ctx, folder, progress)
}

// Delete removes a snapshot. It is gone from the list at once, even if a crash
// leaves its files to Sweep.
func (f *Folders) Delete(name string) error {
	parent, folder, err := f.find(name)
	if err != nil {
		return err
	}
	defer parent.Close()
	defer folder.Close()
	if !f.claim(name) {
		return busy(name)
	}
	defer f.release(name)
	temp := tempPrefix + rand.Text()
	if err := parent.Rename(name, temp); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return notFound(name)
		}
		return ioError(err, name)
	}
	if err := syncDir(parent, "."); err != nil {
		return err
	}
	if err := parent.RemoveAll(temp); err != nil {
		return ioError(err, temp)
	}
	return nil
}

// Sweep removes what crashes left under construction.
func (f *Folders) Sweep() error {
	var failed error
	for _, dir := range f.dirs {
		if err := sweepDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, ioError(err, dir))
		}
	}
	return failed
}

func sweepDir(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), tempPrefix) && entry.IsDir() {
			err = errors.Join(err, sweepOne(root, entry.Name()))
		}
	}
	return err
}

// sweepOne removes a leftover, unless a process that lives is at it.
func sweepOne(root *os.Root, name string) error {
	folder, err := root.Open(name)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil //nolint:nilerr // it is under construction
	}
	return root.RemoveAll(name)
}

// created is the time of the snapshot, the zero time if it isn't known.
func (i *Info) created() (t time.Time) {
	if i.Manifest != nil {
		t = i.Manifest.Created
	}
	return t
}
