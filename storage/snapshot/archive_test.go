package snapshot

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

// taken returns folders with a snapshot called s, and its path.
func taken(t *testing.T) (*Folders, string) {
	t.Helper()
	dir := t.TempDir()
	store, err := storage.Open(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	for id := range uint32(200) {
		if err := commit(store, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Flush(); err != nil {
		t.Fatal(err)
	}
	f, err := New([]string{filepath.Join(dir, "snapshots")}, "1")
	if err != nil {
		t.Fatal(err)
	}
	place, err := f.ByName("s")
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Create(t.Context(), store, place, nothing)
	if err != nil {
		t.Fatal(err)
	}
	return f, info.Path
}

// unpack writes the files of a tar file below dir and returns its length.
func unpack(t *testing.T, r io.Reader, dir string) int64 {
	t.Helper()
	counted := &counter{r: r}
	for files := tar.NewReader(counted); ; {
		header, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, header.Name)
		content, err := io.ReadAll(files)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o700)
		}
		if err == nil {
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(io.Discard, counted); err != nil {
		t.Fatal(err)
	}
	return counted.n
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// TestArchive: what is unpacked is a sound snapshot, the length is told in
// advance, and nobody deletes the snapshot meanwhile.
func TestArchive(t *testing.T) {
	f, _ := taken(t)
	a, err := f.Archive(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Delete("s"); errs.CodeOf(err) != "snapshot_busy" {
		t.Errorf("deleted while it is read: %v", err)
	}
	dir := t.TempDir()
	if n := unpack(t, a, dir); n != a.Bytes || n%tarBlock != 0 {
		t.Errorf("the archive has %d bytes, not %d", n, a.Bytes)
	}
	report, err := VerifyFolder(t.Context(), filepath.Join(dir, "s"), nothing)
	if err != nil || len(report.Findings) > 0 || len(report.Manifest.Files) < 4 {
		t.Errorf("what was unpacked: %+v, %v", report, err)
	}
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Error(err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after the end: %v", err)
	}
	if err := f.Delete("s"); err != nil {
		t.Error(err)
	}
}

// TestArchiveOfDamage: what can be seen before the first byte is an error at
// once, a wrong checksum one before the end of the file.
func TestArchiveOfDamage(t *testing.T) {
	f, path := taken(t)
	tables, err := filepath.Glob(filepath.Join(path, DataDir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	content, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	replace := func(content []byte) { // the running database has the same file
		if err := errors.Join(os.Remove(tables[0]), os.WriteFile(tables[0], content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	content[len(content)/2] ^= 1
	replace(content)
	a, err := f.Archive(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, a)
	if errs.CodeOf(err) != "snapshot_damaged" || n >= a.Bytes || !strings.Contains(err.Error(), filepath.Base(tables[0])) {
		t.Errorf("%d of %d bytes: %v", n, a.Bytes, err)
	}
	a.Close()
	replace(content[1:])
	if _, err := f.Archive(t.Context(), "s"); errs.CodeOf(err) != "snapshot_damaged" {
		t.Errorf("a file with another length: %v", err)
	}
	if err := errors.Join(os.Remove(tables[0]), os.Symlink("/etc/passwd", tables[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Archive(t.Context(), "s"); errs.CodeOf(err) != "snapshot_damaged" {
		t.Errorf("a link: %v", err)
	}
}

func TestArchiveBounds(t *testing.T) {
	f, _ := taken(t)
	for _, name := range []string{"../s", "s/../s", ".", "", "s/data", "/etc", "x"} {
		if a, err := f.Archive(t.Context(), name); err == nil {
			a.Close()
			t.Errorf("%q can be read", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var open []*Archive
	for range maxArchives {
		a, err := f.Archive(ctx, "s")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, a)
	}
	if _, err := f.Archive(ctx, "s"); errs.CodeOf(err) != "too_many_downloads" {
		t.Errorf("one more: %v", err)
	}
	cancel()
	if _, err := open[0].Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
	for _, a := range open {
		a.Close()
	}
	if len(f.reading)+len(f.busy) != 0 {
		t.Errorf("still in use: %v %v", f.reading, f.busy)
	}
}
