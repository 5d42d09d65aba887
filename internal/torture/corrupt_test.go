package torture

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// damage is one way in which a file goes bad.
type damage struct {
	name string
	// file matches the files that it can happen to; the largest one is taken.
	file string
	do   func(t *testing.T, file string)
	// names is what the output must name; empty: the file's own name.
	names string
}

func flip(t *testing.T, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 0x40
	rewrite(t, file, raw)
}

func truncate(t *testing.T, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, file, raw[:len(raw)/2])
}

func garble(t *testing.T, file string) { rewrite(t, file, bytes.Repeat([]byte{0xA5, '{', 0}, 40)) }

func remove(t *testing.T, file string) {
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

// rewrite makes a new file, so that the original's hard links keep the old bytes.
func rewrite(t *testing.T, file string, raw []byte) {
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedFiles damages files of a stopped server. --verify has to find it and
// say where; nothing may panic or be answered as if all were well.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHome(t, dir)
	s := h.start(t)
	s.ready()
	createIndexes(s)
	l := newLoad(t, 2)
	for _, w := range l.workers {
		for range 150 {
			l.request(s, w)
		}
	}
	s.must("POST", "/config", `{"server":{"request_timeout_ms":20000},"persist":true}`, nil)
	s.must("POST", "/admin/flush", "", nil)
	s.must("POST", "/admin/snapshot", `{"name":"whole"}`, nil)
	s.stop()
	h.verify(t)
	for _, d := range []damage{
		{"a flipped bit in a table", "data/*.sst", flip, ""},
		{"a table cut in half", "data/*.sst", truncate, ""},
		{"a missing table", "data/*.sst", remove, ""},
		{"a flipped bit in the manifest", "data/MANIFEST-*", flip, "MANIFEST"},
		{"a garbled manifest", "data/MANIFEST-*", garble, "MANIFEST"},
		{"a missing manifest", "data/MANIFEST-*", remove, "MANIFEST"},
		{"a garbled CURRENT", "data/CURRENT", garble, "CURRENT"},
		{"an overlay that isn't one", "data/config-overlay.json", garble, "config-overlay.json"},
	} {
		t.Run(d.name, func(t *testing.T) {
			copied := newHome(t, t.TempDir())
			if err := os.CopyFS(copied.data, os.DirFS(h.data)); err != nil {
				t.Fatal(err)
			}
			file := largest(t, filepath.Join(copied.dir, d.file))
			d.do(t, file)
			names := d.names
			if names == "" {
				names = strings.TrimLeft(strings.TrimSuffix(filepath.Base(file), ".sst"), "0")
			}
			out, exit := copied.run("--verify")
			noPanic(t, out)
			if exit == 0 || !strings.Contains(out, names) {
				t.Errorf("--verify: exit %d, want a word on %s:\n%s", exit, names, out)
			}
		})
	}
	t.Run("a damaged snapshot", func(t *testing.T) { damagedSnapshot(t, h) })
}

// largest is the biggest file of a pattern.
func largest(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no file is a %s: %v", pattern, err)
	}
	return slices.MaxFunc(files, func(a, b string) int { return int(size(a) - size(b)) })
}

func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// damagedSnapshot damages each file of a snapshot in turn: a restore must refuse
// it, name the file, and leave nothing behind.
func damagedSnapshot(t *testing.T, h home) {
	snapshot := filepath.Join(h.dir, "snapshots", "whole")
	files := 0
	err := filepath.WalkDir(snapshot, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || size(path) == 0 {
			return err
		}
		files++
		name, err := filepath.Rel(snapshot, path)
		if err != nil {
			return err
		}
		for _, damage := range []func(*testing.T, string){flip, remove} {
			copied := filepath.Join(t.TempDir(), "whole")
			if err := os.CopyFS(copied, os.DirFS(snapshot)); err != nil {
				return err
			}
			damage(t, filepath.Join(copied, name))
			target := filepath.Join(t.TempDir(), "target")
			out, exit := h.run("--restore", copied, "--target", target)
			noPanic(t, out)
			if exit == 0 || !strings.Contains(out, filepath.Base(name)) && !strings.Contains(out, copied) {
				t.Errorf("%s: --restore: exit %d\n%s", name, exit, out)
			}
			if entries, err := os.ReadDir(target); err == nil && len(entries) > 0 {
				t.Errorf("%s: the refused restore left %d files", name, len(entries))
			}
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Error(fmt.Errorf("%d files: %w", files, err))
	}
}

// TestDamagedLog damages the write-ahead log of a killed server. Its torn end is
// what a crash leaves and is passed over; damage before that end is lost data
// and has to be reported.
func TestDamagedLog(t *testing.T) {
	t.Parallel()
	h := newHome(t, t.TempDir())
	s := h.start(t)
	s.ready()
	createIndexes(s)
	l := newLoad(t, 2)
	for _, w := range l.workers {
		for range 60 {
			l.request(s, w)
		}
	}
	s.kill()
	for _, d := range []damage{
		{"torn", "data/*.log", func(t *testing.T, file string) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, file, raw[:len(raw)-3])
		}, ""},
		{"flipped", "data/*.log", flip, ".log"},
	} {
		t.Run(d.name, func(t *testing.T) {
			copied := newHome(t, t.TempDir())
			if err := os.CopyFS(copied.data, os.DirFS(h.data)); err != nil {
				t.Fatal(err)
			}
			d.do(t, largest(t, filepath.Join(copied.dir, d.file)))
			out, exit := copied.run("--verify")
			noPanic(t, out)
			if (exit != 0) != (d.names != "") || !strings.Contains(out, d.names) {
				t.Errorf("--verify: exit %d\n%s", exit, out)
			}
			if d.names == "" {
				return
			}
			if s, err := copied.tryStart(t); err == nil || !strings.Contains(s.logTail(), d.names) {
				t.Errorf("a server starts on it: %v\n%s", err, s.logTail())
			}
			s := copied.start(t, "env", "THEMIS_STORAGE_DURABILITY=interval") // the way on that the message names
			s.ready()
			s.stop()
			s = copied.start(t)
			s.ready()
			s.stop()
			copied.verify(t)
		})
	}
}
