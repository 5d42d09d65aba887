package storage

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/storagetest"
)

// contentsOf hashes every file below a folder.
func contentsOf(t *testing.T, dir string) string {
	t.Helper()
	sum := sha256.New()
	must(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		fmt.Fprintln(sum, name, len(content))
		sum.Write(content)
		return err
	}))
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// TestOtherFormatsUntouched holds that data of another format is refused with
// the way to go on, and that not a byte of its files changes.
func TestOtherFormatsUntouched(t *testing.T) {
	future := append(storagetest.Format1(t), storagetest.Row{Family: "default", Key: metaFormat, Value: string(formatStamp(99))},
		storagetest.Row{Family: "replicas", Key: "k", Value: "v"})
	for _, c := range []struct {
		name, code, words string
		rows              []storagetest.Row
		format            Format
	}{
		{"0.9", "older_format", "vccdb-migrate --from %[1]s --to %[1]s.new --version 0.9 --target %[2]s ",
			storagetest.Legacy("users:alice", `{"n":1}`, "users:bob", `{"n":2}`), FormatLegacy},
		{"0.10", "older_format", "vccdb-migrate --from %[1]s --to %[1]s.new --version 0.10 --target %[2]s ", storagetest.Format1(t), 1},
		{"2.0", "newer_format", "Start the newer version again", future, 99},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data")
			must(t, os.Mkdir(path, 0o700))
			storagetest.Write(t, path, c.rows...)
			before := contentsOf(t, path)
			_, err := Open(Options{Path: path, CreateIfMissing: true})
			wantError(t, err, errs.Invalid, c.code)
			if words := c.words; strings.Contains(words, "%") {
				c.words = fmt.Sprintf(words, path, Format(FormatVersion).Release())
			}
			if err == nil || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), "Nothing was changed") {
				t.Errorf("the error is %v", err)
			}
			if format, err := Inspect(path); err != nil || format != c.format {
				t.Errorf("Inspect says %d, %v", format, err)
			}
			if contentsOf(t, path) != before {
				t.Error("a refused open changed a file")
			}
		})
	}
}

// TestFormatsHaveReleases holds that the format of today, and each one before,
// can be named.
func TestFormatsHaveReleases(t *testing.T) {
	for f := FormatLegacy; f <= FormatVersion; f++ {
		if back, ok := FormatOf(f.Release()); f.Release() == "" || !ok || back != f {
			t.Errorf("format %d has the release %q, which has the format %d", f, f.Release(), back)
		}
	}
	if _, ok := FormatOf("0.8"); ok {
		t.Error("0.8 has a format")
	}
}
