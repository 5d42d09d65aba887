package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Folder is where the checkpoints of one index are. Other files may lie in it.
type Folder struct {
	path  string
	owner string
	// epochs are those that may be loaded, the newest first.
	epochs []*Manifest
	// base is the epoch whose blocks are what the index had when its marks were
	// clear; nil if there is none.
	base *Manifest
	// last is the highest number that any file has.
	last     uint64
	findings []string
}

// Open looks at the checkpoints in a folder, which is made if it isn't there.
// Epochs of another owner don't count.
func Open(path, owner string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, ioError(err, "the folder of the checkpoints can't be made")
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, ioError(err, "the folder of the checkpoints can't be read")
	}
	f := &Folder{path: path, owner: owner}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), unfinished)
		if n, ok := numberOf(name, blocksPrefix); ok {
			f.last = max(f.last, n)
		}
		n, ok := numberOf(name, manifestPrefix)
		if !ok {
			continue
		}
		f.last = max(f.last, n)
		if name != entry.Name() {
			continue
		}
		if m, err := f.readManifest(n); err != nil {
			f.findings = append(f.findings, fmt.Sprintf("%s can't be used: %v", name, err))
		} else {
			f.epochs = append(f.epochs, m)
		}
	}
	slices.SortFunc(f.epochs, func(a, b *Manifest) int {
		if a.Epoch > b.Epoch {
			return -1
		}
		return 1
	})
	return f, nil
}

func (f *Folder) readManifest(epoch uint64) (*Manifest, error) {
	path := filepath.Join(f.path, manifestName(epoch))
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > manifestMaximum {
		return nil, errManifest
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(b)
	switch {
	case err != nil:
		return nil, err
	case m.Epoch != epoch:
		return nil, fmt.Errorf("it is that of epoch %d", m.Epoch)
	case m.Owner != f.owner:
		return nil, errors.New("it is of another database or index")
	}
	return m, nil
}

// Path is the folder's.
func (f *Folder) Path() string { return f.path }

// Epochs are those that may be loaded, the newest first.
func (f *Folder) Epochs() []*Manifest { return slices.Clone(f.epochs) }

// Findings say what was wrong with the files that Open saw.
func (f *Folder) Findings() []string { return f.findings }

// Forget removes an epoch for good: it can't be loaded, or what it relies on is
// gone. Its blocks go with the next Save.
func (f *Folder) Forget(m *Manifest) error {
	f.epochs = slices.DeleteFunc(f.epochs, func(e *Manifest) bool { return e == m })
	if f.base == m {
		f.base = nil
	}
	if err := os.Remove(filepath.Join(f.path, manifestName(m.Epoch))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ioError(err, "a checkpoint can't be removed")
	}
	return syncFolder(f.path)
}

// clean removes every file of ours that no epoch needs.
func (f *Folder) clean() error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, m := range f.epochs {
		needed[manifestName(m.Epoch)] = true
		for file := range m.files() {
			needed[blocksName(file)] = true
		}
	}
	var failed error
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), unfinished)
		_, isManifest := numberOf(name, manifestPrefix)
		_, isBlocks := numberOf(name, blocksPrefix)
		if (isManifest || isBlocks) && !needed[entry.Name()] {
			failed = errors.Join(failed, os.Remove(filepath.Join(f.path, entry.Name())))
		}
	}
	return failed
}

// syncFolder puts the names in a folder on disk.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return ioError(err, "the folder of the checkpoints can't be opened")
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return ioError(err, "the folder of the checkpoints can't be put on disk")
	}
	return nil
}
