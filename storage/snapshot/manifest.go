package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// ManifestFormat is the version of the manifest that this package writes.
	ManifestFormat = 1
	manifestName   = "manifest.json"
	// DataDir is the part of a snapshot that holds the RocksDB database.
	DataDir = "data"
	product = "themis"

	maxManifestBytes = 256 << 20
)

// Manifest says what a snapshot holds. Parts other than DataDir may be added
// later: their files are listed alike.
type Manifest struct {
	Format int `json:"format"`
	// Product is "themis"; Version the program's that made the snapshot.
	Product string    `json:"product"`
	Version string    `json:"version"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Sequence is the newest oplog sequence in the snapshot, Rows RocksDB's own.
	Sequence uint64 `json:"sequence"`
	Rows     uint64 `json:"rows_sequence"`
	// Timeline is the history that the sequences belong to.
	Timeline   string `json:"timeline"`
	DataFormat uint32 `json:"data_format"`
	Bytes      int64  `json:"bytes"`
	Files      []File `json:"files"`
}

// File is one file of a snapshot. Path is below the snapshot's folder, with
// slashes.
type File struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// sealed is a manifest as it stands in the file: the bytes of the object and
// their own checksum.
type sealed struct {
	Manifest jsontext.Value `json:"manifest"`
	SHA256   string         `json:"sha256"`
}

// encode returns the bytes of manifest.json.
func (m *Manifest) encode() ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return json.Marshal(sealed{Manifest: body, SHA256: hex.EncodeToString(sum[:])})
}

var errManifest = errors.New("manifest.json is damaged")

func decodeManifest(data []byte) (*Manifest, error) {
	var s sealed
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", errManifest, err)
	}
	if sum := sha256.Sum256(s.Manifest); s.SHA256 != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errManifest)
	}
	m := new(Manifest)
	if err := json.Unmarshal(s.Manifest, m); err != nil {
		return nil, fmt.Errorf("%w: %w", errManifest, err)
	}
	if m.Product != product || m.Format != ManifestFormat {
		return nil, fmt.Errorf("manifest.json is of product %q, format %d; this version reads %s, format %d", m.Product, m.Format, product, ManifestFormat)
	}
	return m, nil
}

// readManifest reads the manifest of the snapshot whose folder root is.
func readManifest(root *os.Root) (*Manifest, error) {
	f, err := openRegular(root, manifestName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxManifestBytes))
	if err != nil {
		return nil, err
	}
	return decodeManifest(data)
}

var errNotRegular = errors.New("not a regular file")

// openRegular opens a file for reading and refuses links, devices and pipes.
func openRegular(root *os.Root, name string) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	// A pipe that takes the file's place in between doesn't block.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(before, now) {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.Join(errNotRegular, err)}
	}
	return f, nil
}

// hashChunk is how much is read between two looks at the context.
const hashChunk = 1 << 20

// hashFile returns the SHA-256 and length of what r gives.
func hashFile(ctx context.Context, r io.Reader, progress func(int)) (string, int64, error) {
	h := sha256.New()
	buf := make([]byte, hashChunk)
	size := int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return "", 0, err
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		size += int64(n)
		progress(n)
		switch {
		case err == io.EOF:
			return hex.EncodeToString(h.Sum(nil)), size, nil
		case err != nil:
			return "", 0, err
		}
	}
}

// filesBelow lists the regular files below root and their bytes, without the
// manifest. Anything else than files and folders is an error.
func filesBelow(root *os.Root) (files []File, bytes int64, err error) {
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() || name == manifestName:
			return nil
		case !d.Type().IsRegular():
			return &fs.PathError{Op: "read", Path: name, Err: errNotRegular}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files = append(files, File{Path: name, Bytes: info.Size()})
		bytes += info.Size()
		return nil
	})
	return files, bytes, err
}

// check compares the files with the manifest and returns what is wrong, a
// sentence each, naming the file. An error means that it could not be done.
func (m *Manifest) check(ctx context.Context, root *os.Root, progress Progress) (findings []string, err error) {
	done := uint64(0)
	advance := func(n int) {
		done += uint64(n)
		progress(done, uint64(m.Bytes))
	}
	for _, f := range m.Files {
		finding, err := f.check(ctx, root, advance)
		if err != nil {
			return nil, err
		}
		if finding != "" {
			findings = append(findings, finding)
		}
	}
	present, _, err := filesBelow(root)
	if err != nil {
		return append(findings, err.Error()), nil
	}
	for _, f := range present {
		if !slices.ContainsFunc(m.Files, func(want File) bool { return want.Path == f.Path }) {
			findings = append(findings, f.Path+" doesn't belong to the snapshot")
		}
	}
	return findings, nil
}

// local reports whether a path of a manifest stays below the snapshot.
func local(name string) bool {
	return fs.ValidPath(name) && name != "." && path.Clean(name) == name && !strings.ContainsAny(name, "\\\x00")
}

func (f *File) check(ctx context.Context, root *os.Root, progress func(int)) (finding string, err error) {
	if !local(f.Path) {
		return fmt.Sprintf("the manifest names a file outside the snapshot: %q", f.Path), nil
	}
	file, err := openRegular(root, f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.Path + " is missing", nil
	case err != nil:
		return fmt.Sprintf("%s can't be read: %v", f.Path, err), nil
	}
	defer file.Close()
	sum, size, err := hashFile(ctx, file, progress)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return fmt.Sprintf("%s can't be read: %v", f.Path, err), nil
	case size != f.Bytes:
		return fmt.Sprintf("%s has %d bytes, want %d", f.Path, size, f.Bytes), nil
	case sum != f.SHA256:
		return f.Path + " is damaged: its checksum is wrong", nil
	}
	return "", nil
}

// Extract copies the database of the snapshot in the folder source into the empty
// folder target, and compares the checksums of what it copies. It returns what is
// wrong. The copies are synced.
func (m *Manifest) Extract(ctx context.Context, source, target string, progress Progress) (findings []string, err error) {
	root, err := os.OpenRoot(source)
	if err != nil {
		return nil, ioError(err, source)
	}
	defer root.Close()
	out, err := os.OpenRoot(target)
	if err != nil {
		return nil, ioError(err, target)
	}
	defer out.Close()
	done := uint64(0)
	for _, f := range m.Files {
		name, ok := strings.CutPrefix(f.Path, DataDir+"/")
		if !ok || !local(name) {
			continue // another part of the snapshot
		}
		finding, err := f.copy(ctx, root, out, name, func(n int) {
			done += uint64(n)
			progress(done, uint64(m.Bytes))
		})
		if err != nil {
			return nil, err
		}
		if finding != "" {
			findings = append(findings, finding)
		}
	}
	return findings, nil
}

func (f *File) copy(ctx context.Context, from, to *os.Root, name string, progress func(int)) (finding string, err error) {
	in, err := openRegular(from, f.Path)
	if err != nil {
		return fmt.Sprintf("%s can't be read: %v", f.Path, err), nil
	}
	defer in.Close()
	if err := to.MkdirAll(path.Dir(name), 0o750); err != nil {
		return "", ioError(err, name)
	}
	out, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return "", ioError(err, name)
	}
	sum, size, err := hashFile(ctx, io.TeeReader(in, out), progress)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", ioError(err, name)
	}
	if size != f.Bytes || sum != f.SHA256 {
		return f.Path + " is damaged: its checksum is wrong", nil
	}
	return "", nil
}
