package snapshot

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/storage"
)

// childDir names the environment variable that turns the test binary into a
// database under load, to be killed.
const childDir = "SNAPSHOT_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := writeForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func nothing(uint64, uint64) {}

func options(dir string) storage.Options {
	return storage.Options{
		Path: filepath.Join(dir, "data"), CreateIfMissing: true, MemtableSizeMB: 1, BlockCacheSizeMB: 1,
		WALArchivePath: filepath.Join(dir, "archive"),
	}
}

func commit(s *storage.Store, id uint32) error {
	var b storage.Batch
	b.PutEntity(1, id, strconv.Itoa(int(id)), 1, make([]byte, 300))
	b.AddCounter("n", 1)
	_, err := s.Commit(&b, storage.CommitOptions{})
	return err
}

// snapshotStands is printed when a snapshot was taken that isn't deleted again.
const snapshotStands = "a snapshot stands"

// writeForever commits entities, prints the number of each once it is
// acknowledged, and takes and deletes snapshots all the while.
func writeForever(dir string) error {
	s, err := storage.Open(options(dir))
	if err != nil {
		return err
	}
	folders, err := New([]string{filepath.Join(dir, "snapshots")}, "1")
	if err == nil {
		err = folders.Sweep()
	}
	if err != nil {
		return err
	}
	failed := make(chan error)
	go func() {
		for id := uint32(s.LastSeq()); ; id++ {
			if err := commit(s, id); err != nil {
				failed <- err
			}
			fmt.Println(id)
		}
	}()
	go func() {
		for i := 0; ; i++ {
			place, err := folders.ByName(fmt.Sprintf("s%d-%d", os.Getpid(), i))
			if err == nil {
				_, err = folders.Create(context.Background(), s, place, nothing)
			}
			if err == nil && i%2 == 1 {
				err = folders.Delete(place.Name)
			} else if err == nil {
				fmt.Println(snapshotStands)
			}
			if err != nil {
				failed <- err
			}
		}
	}()
	return <-failed
}

// TestKill kills a database that takes snapshots and archives its writes. What
// stands under a snapshot's name is whole, nothing half done is left after a
// sweep, and the oldest snapshot can be rolled forward to the end.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked, stands := -1, false
	note := func(line string) {
		if line == snapshotStands {
			stands = true
		} else {
			acked, _ = strconv.Atoi(line)
		}
	}
	rounds := 6
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		// Without any snapshot there would be nothing to look at.
		for n := 0; (n < 40+17*round || !stands) && lines.Scan(); n++ {
			note(lines.Text())
		}
		_ = cmd.Process.Kill()
		for lines.Scan() { // what it still had in the pipe
			note(lines.Text())
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatal("the child ended by itself:", err)
		}
	}
	folders, err := New([]string{filepath.Join(dir, "snapshots")}, "1")
	if err == nil {
		err = folders.Sweep()
	}
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(filepath.Join(dir, "snapshots"))
	list, err := folders.List()
	if err != nil || len(list) == 0 || len(list) != len(entries) {
		t.Fatalf("%d snapshots, %d entries: %v", len(list), len(entries), err)
	}
	for _, info := range list {
		report, err := folders.Verify(t.Context(), info.Name, nothing)
		if err != nil || len(report.Findings) > 0 {
			t.Fatalf("%s: %+v, %v", info.Name, report, err)
		}
		state, err := storage.StateOf(filepath.Join(info.Path, DataDir))
		if err != nil || uint64(state.Seq) != report.Manifest.Sequence || state.Timeline.String() != report.Manifest.Timeline {
			t.Fatalf("%s holds %+v, its manifest says %+v: %v", info.Name, state, report.Manifest, err)
		}
	}
	s, err := storage.Open(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	last := s.LastSeq()
	if err := s.Close(); err != nil || int(last) <= acked {
		t.Fatalf("sequence %d; %d was acknowledged: %v", last, acked, err)
	}
	target := filepath.Join(dir, "target")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	oldest := list[0]
	if findings, err := oldest.Manifest.Extract(t.Context(), oldest.Path, target, nothing); err != nil || len(findings) > 0 {
		t.Fatal(findings, err)
	}
	r, err := storage.Replay(t.Context(), target, filepath.Join(dir, "archive"), storage.Until{Latest: true}, oldest.Manifest.Created)
	if err != nil || r.Seq != last {
		t.Errorf("%s at sequence %d leads to %d, want %d: %v", oldest.Name, oldest.Manifest.Sequence, r.Seq, last, err)
	}
}

// TestManifestBytes holds a manifest against the bytes that ARCHIVE.md shows.
func TestManifestBytes(t *testing.T) {
	m := &Manifest{
		Format: 1, Product: "themis", Version: "1.0.0", Name: "s", Created: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
		Sequence: 42, Rows: 99, Timeline: "00112233445566778899aabbccddeeff", DataFormat: 2, Bytes: 16,
		Files: []File{{Path: "data/CURRENT", Bytes: 16, SHA256: "9c28"}},
	}
	const want = `{"manifest":{"format":1,"product":"themis","version":"1.0.0","name":"s","created":"2026-11-22T10:00:00Z","sequence":42,"rows_sequence":99,` +
		`"timeline":"00112233445566778899aabbccddeeff","data_format":2,"bytes":16,"files":[{"path":"data/CURRENT","bytes":16,"sha256":"9c28"}]},` +
		`"sha256":"78a8d673af34ef6757afa7c79fa2fac8ba3fd2c0f517ca91688f71bbdbfe869e"}`
	data, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != want {
		t.Errorf("the manifest is\n%s\nwant\n%s", data, want)
	}
	again, err := decodeManifest(data)
	if err != nil || again.Sequence != 42 || !again.Created.Equal(m.Created) || !slices.Equal(again.Files, m.Files) {
		t.Errorf("%+v, %v", again, err)
	}
	for i := range data {
		bad := slices.Clone(data)
		bad[i] ^= 1
		if _, err := decodeManifest(bad); err == nil {
			t.Errorf("a changed byte %d goes unnoticed", i)
		}
	}
}

func TestNamesAndPaths(t *testing.T) {
	f, err := New([]string{"/var/lib/a", "/var/lib/b"}, "1")
	if err != nil {
		t.Fatal(err)
	}
	for path, ok := range map[string]bool{
		"/var/lib/a/x": true, "/var/lib/b/x.1-2_3": true, "/var/lib/c/x": false, "/var/lib/a": false, "/var/lib/a/": false, "/var/lib/a/x/": false,
		"/var/lib/a/../a/x": false, "/var/lib/a/./x": false, "/var/lib/a//x": false, "/var/lib/a/x/y": false, "var/lib/a/x": false, "": false, "/": false,
		"/var/lib/a/.x": false, "/var/lib/a/x\x00": false, "/var/lib/a/\u00e4": false, "/var/lib/ab/x": false,
	} {
		if p, err := f.ByPath(path); (err == nil) != ok || ok && p.Path() != path {
			t.Errorf("%q is %q: %v", path, p.Path(), err)
		}
	}
	if _, err := f.ByName(DefaultName(time.Now())); err != nil {
		t.Error(err)
	}
}
