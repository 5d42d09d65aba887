package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/storage"
)

// stopped makes a database of so many entities, with an index, in dir/data, and a
// snapshot of it in dir/snapshots/NAME.
func stopped(t *testing.T, dir string, entities int, name string) (data string) {
	t.Helper()
	data = filepath.Join(dir, "data")
	e, err := engine.Open(context.Background(), engine.Options{Storage: storage.Options{
		Path: data, CreateIfMissing: true, MemtableSizeMB: 1, BlockCacheSizeMB: 1, Durability: storage.DurabilityNone,
	}})
	if err != nil {
		t.Fatal(err)
	}
	job, err := e.CreateIndex(t.Context(), schema.IndexDef{Table: "t", Columns: []string{"n"}, Type: schema.Range})
	if err == nil {
		err = job.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range entities {
		op := engine.Op{Kind: engine.OpPut, Key: engine.Key{Table: "t", PK: fmt.Sprint(i)}, Doc: fmt.Appendf(nil, `{"n":%d,"pad":"%0500d"}`, i, i)}
		if _, err := e.Apply(t.Context(), []engine.Op{op}, true); err != nil {
			t.Fatal(err)
		}
		if i == entities/2 { // so that there is a table file, and a log too
			if err := e.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	work, err := e.CreateSnapshot(engine.SnapshotRef{Name: name})
	if err == nil {
		err = work.Job.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return data
}

// entitiesIn opens a database and counts.
func entitiesIn(t *testing.T, path string) uint64 {
	t.Helper()
	if err := engine.FinishRestore(path); err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(context.Background(), engine.Options{Storage: storage.Options{Path: path, MemtableSizeMB: 1, BlockCacheSizeMB: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	report, err := e.Check(t.Context())
	if err != nil || report.Total > 0 {
		t.Fatalf("check: %+v, %v", report, err)
	}
	return report.Entities
}

// TestKilledRestore kills restores at any point: the target is the old database or
// the new one, whole, and the snapshot is as it was.
func TestKilledRestore(t *testing.T) {
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	target := stopped(t, old, 40, "s")
	stopped(t, fresh, 70, "s")
	sources := map[uint64]string{40: filepath.Join(old, "snapshots", "s"), 70: filepath.Join(fresh, "snapshots", "s")}
	restore := func(ctx context.Context, to uint64) *exec.Cmd {
		cmd := exec.CommandContext(ctx, os.Args[0], "--restore", sources[to], "--target", target, "--force")
		cmd.Env = append(os.Environ(), asServer+"=1")
		return cmd
	}
	started := time.Now()
	if out, err := restore(t.Context(), 70).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	whole := time.Since(started)
	have := uint64(70)
	outcomes := map[string]int{}
	rounds := 8
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		to := uint64(40 + 70 - have)
		ctx, cancel := context.WithTimeout(t.Context(), whole*time.Duration(30+100*round/rounds+rand.IntN(10))/100)
		_ = restore(ctx, to).Run()
		cancel()
		n := entitiesIn(t, target)
		if n != 40 && n != 70 {
			t.Fatalf("round %d: after a kill there are %d entities", round, n)
		}
		outcomes[fmt.Sprint(n == to)]++
		have = n
	}
	t.Log("a restore takes", whole, "outcomes", outcomes)
	left, _ := filepath.Glob(filepath.Join(old, ".data.*"))
	if len(left) > 0 {
		t.Error("left over:", left)
	}
	for n, source := range sources {
		again := filepath.Join(dir, fmt.Sprint("again", n))
		if code, out, errOut := command(t, "--restore", source, "--target", again); code != 0 || entitiesIn(t, again) != n {
			t.Errorf("the snapshot restores no more: %d %s %s", code, out, errOut)
		}
	}
}

// TestHalfSwapped mends what a crash leaves where names can't be exchanged.
func TestHalfSwapped(t *testing.T) {
	dir := t.TempDir()
	data := stopped(t, dir, 5, "s")
	aside := filepath.Join(dir, ".data.replaced")
	if err := os.Rename(data, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".data.restoring", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if n := entitiesIn(t, data); n != 5 {
		t.Errorf("there are %d entities", n)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".data.*")); len(left) > 0 {
		t.Error("left over:", left)
	}
}

func TestRestoreRefuses(t *testing.T) {
	dir := t.TempDir()
	data := stopped(t, dir, 5, "s")
	source := filepath.Join(dir, "snapshots", "s")
	link := filepath.Join(dir, "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o600)
	for _, test := range []struct{ source, target, want string }{
		{source, data, "isn't empty"},
		{source, link, "a link that leads nowhere"},
		{source, file, "it is a file"},
		{source, "/proc", "mount point"},
		{source, "/", "mount point"},
		{dir, filepath.Join(dir, "x"), "neither a snapshot nor a folder of backups"},
		{filepath.Join(dir, "backups@7"), filepath.Join(dir, "x"), "neither a snapshot nor a folder of backups"},
	} {
		if code, _, stderr := command(t, "--restore", test.source, "--target", test.target); code != exitFailure || !strings.Contains(stderr, test.want) {
			t.Errorf("%s to %s: %d %s", test.source, test.target, code, stderr)
		}
	}
	tables, _ := filepath.Glob(filepath.Join(source, "data", "*.sst"))
	bad := tables[0]
	content, _ := os.ReadFile(bad)
	os.Remove(bad)
	content[len(content)/2] ^= 1
	os.WriteFile(bad, content, 0o600)
	code, _, stderr := command(t, "--restore", source, "--target", data, "--force")
	if code != exitFailure || !strings.Contains(stderr, filepath.Base(bad)) {
		t.Errorf("a damaged snapshot: %d %s", code, stderr)
	}
	if n := entitiesIn(t, data); n != 5 {
		t.Errorf("after refusals there are %d entities", n)
	}
}

func TestBackupCommand(t *testing.T) {
	dir := t.TempDir()
	data := stopped(t, dir, 5, "s")
	config := "storage.rocksdb_path=" + data
	backups := filepath.Join(dir, "b")
	for i := range 2 {
		if code, out, stderr := command(t, "--set", config, "--backup", backups); code != 0 || !strings.Contains(out, fmt.Sprintf("Backup %d in", i+1)) {
			t.Errorf("%d %s %s", code, out, stderr)
		}
	}
	for i, source := range []string{backups, backups + "@1"} {
		target := filepath.Join(dir, fmt.Sprint("r", i))
		if code, out, stderr := command(t, "--restore", source, "--target", target); code != 0 || entitiesIn(t, target) != 5 {
			t.Errorf("%s: %d %s %s", source, code, out, stderr)
		}
	}
	if code, _, stderr := command(t, "--restore", backups+"@9", "--target", filepath.Join(dir, "r9")); code != exitFailure || !strings.Contains(stderr, "no backup 9") {
		t.Errorf("%d %s", code, stderr)
	}
}

// TestVerifyDamage damages each kind of file: --verify says 1 and names it, and
// changes nothing.
func TestVerifyDamage(t *testing.T) {
	data := stopped(t, t.TempDir(), 60, "s")
	run := func() (int, string) {
		code, out, stderr := command(t, "--set", "storage.rocksdb_path="+data, "--verify")
		return code, out + stderr
	}
	before := contents(t, data)
	if code, said := run(); code != 0 || !strings.Contains(said, "All data is sound: 1 tables, 60 entities") {
		t.Fatalf("%d %s", code, said)
	}
	if after := contents(t, data); !slices.Equal(after, before) {
		t.Errorf("a verification changes the data: %v, %v", before, after)
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, entry := range entries {
		name := entry.Name()
		kind := filepath.Ext(name)
		if kind == "" {
			kind, _, _ = strings.Cut(name, "-")
		}
		if kinds[kind] || !slices.Contains([]string{".sst", ".log", "MANIFEST", "CURRENT", "CLOSED"}, kind) {
			continue
		}
		kinds[kind] = true
		path := filepath.Join(data, name)
		content, _ := os.ReadFile(path)
		os.Remove(path) // a table has a second link, in the snapshot
		for damage, bytes := range map[string][]byte{
			"a flipped bit": append(append(bytes.Clone(content[:len(content)/3]), content[len(content)/3]^8), content[len(content)/3+1:]...),
			"a cut":         content[:len(content)*2/3],
			"an end":        {},
			"an absence":    nil,
		} {
			if bytes != nil {
				os.WriteFile(path, bytes, 0o600)
			}
			if code, said := run(); (kind != "CLOSED" || bytes != nil) && (code != exitFailure || !strings.Contains(said, name)) {
				t.Errorf("%s of %s: %d %s", damage, name, code, said)
			}
			os.Remove(path)
		}
		os.WriteFile(path, content, 0o600)
	}
	if len(kinds) != 5 {
		t.Errorf("only %v were damaged", kinds)
	}
	if code, said := run(); code != 0 {
		t.Errorf("mended: %d %s", code, said)
	}
}

func contents(t *testing.T, dir string) (list []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, _ := os.ReadFile(filepath.Join(dir, entry.Name()))
		list = append(list, fmt.Sprintf("%s %d %x", entry.Name(), len(data), checksum(data)))
	}
	return list
}

func checksum(data []byte) (sum uint64) {
	for _, b := range data {
		sum = sum*31 + uint64(b)
	}
	return sum
}
