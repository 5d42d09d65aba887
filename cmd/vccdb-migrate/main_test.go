package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/storage/storagetest"
)

// What the test binary can be instead: the program, or a database held open.
const (
	asMigrate = "BE_VCCDB_MIGRATE"
	holdOpen  = "BE_A_DATABASE_AT"
)

func TestMain(m *testing.M) {
	if os.Getenv(asMigrate) != "" {
		main()
	}
	if dir := os.Getenv(holdOpen); dir != "" {
		if _, err := engine.Open(context.Background(), testkit.Options(dir)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("open")
		select {}
	}
	os.Exit(m.Run())
}

// migrate runs the program to its end.
func migrate(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut strings.Builder
	code = run(t.Context(), args, &out, &errOut)
	return code, out.String(), errOut.String()
}

// snapshot is every file below a folder, with a hash.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(name)
		info, _ := d.Info()
		files[name] = fmt.Sprintf("%x %v", sha256.Sum256(content), info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// untouched returns a check that a folder is as it is now.
func untouched(t *testing.T, dir string) func() {
	t.Helper()
	before := snapshot(t, dir)
	return func() {
		t.Helper()
		after := snapshot(t, dir)
		for name := range before {
			if before[name] != after[name] {
				t.Errorf("the file %s of the old data changed", name)
			}
		}
		if len(after) != len(before) {
			t.Errorf("the old data had %d files and have %d", len(before), len(after))
		}
	}
}

// nothingAt holds that a path isn't there.
func nothingAt(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
}

func legacyAt(t *testing.T, pairs ...string) (from, to string) {
	dir := t.TempDir()
	from, to = filepath.Join(dir, "old"), filepath.Join(dir, "new")
	if err := os.Mkdir(from, 0o700); err != nil {
		t.Fatal(err)
	}
	storagetest.Write(t, from, storagetest.Legacy(pairs...)...)
	return from, to
}

// TestLegacy migrates version 0.9 and holds each document against what was there.
func TestLegacy(t *testing.T) {
	var pairs []string
	want := map[string]string{}
	for i := range 2500 { // more than two batches
		key, doc := fmt.Sprintf("items:%04d", i), fmt.Sprintf(`{"n":%d,"tags":["a","b"]}`, i)
		pairs, want[key] = append(pairs, key, doc), doc
	}
	for key, docs := range map[string][2]string{
		"users:älice": {"{ \"name\": \"Älice\" ,\n \"big\": 9007199254740993 }", `{"name":"Älice","big":9007199254740993}`},
		"urls:a:b:c":  {`{}`, `{}`},
		"_t-1:x":      {`{"blob":"{}"}`, `{"blob":"{}"}`},
	} {
		pairs, want[key] = append(pairs, key, docs[0]), docs[1]
	}
	from, to := legacyAt(t, pairs...)
	check := untouched(t, from)
	code, stdout, stderr := migrate(t, "--from", from, "--to", to, "--version", "0.9", "--target", storage.Format(today).Release())
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d: %s\n%s", code, stdout, stderr)
	}
	for _, words := range []string{"4 tables, 2503 entities", "POST /index/create", "set storage.rocksdb_path to " + to, "2503 rows in "} {
		if !strings.Contains(stdout, words) {
			t.Errorf("the report lacks %q: %s", words, stdout)
		}
	}
	check()
	nothingAt(t, to+suffix, to+".rejects.jsonl")
	db := testkit.OpenWith(t, testkit.Options(to))
	for key, doc := range want {
		if got := db.GetDoc(key); got != doc {
			t.Errorf("%s is %s, was %s", key, got, doc)
		}
	}
}

// badRows are legacy rows that can't be entities, by the code of the reason.
var badRows = map[string][2]string{
	"invalid_key":         {"nocolon", `{}`},
	"invalid_table":       {"1st:x", `{}`},
	"invalid_json":        {"users:half", `{"a":`},
	"not_an_object":       {"users:list", `[1]`},
	"number_out_of_range": {"users:huge", `{"a":1e999}`},
	"too_deep":            {"users:deep", strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)},
}

// TestRejects holds that a row that can't be taken over is named, and that
// nothing is made unless it was allowed to leave such rows out.
func TestRejects(t *testing.T) {
	pairs := []string{"users:good", `{"a":1}`, "users:\xff", `{}`, "users:" + strings.Repeat("x", 513), `{}`, "users:", `{}`, "users:tab\t", `{}`, "users:empty", ""}
	for _, row := range badRows {
		pairs = append(pairs, row[0], row[1])
	}
	from, to := legacyAt(t, pairs...)
	check := untouched(t, from)
	code, stdout, stderr := migrate(t, "--from", from, "--to", to)
	if code != exitFailure || !strings.Contains(stderr, "11 rows (2 invalid_json, 5 invalid_key, 1 invalid_table, 1 not_an_object, 1 number_out_of_range, 1 too_deep)") {
		t.Errorf("exit %d: %s\n%s", code, stdout, stderr)
	}
	nothingAt(t, to, to+suffix)
	wantRejects(t, to+".rejects.jsonl")

	list := filepath.Join(t.TempDir(), "list")
	code, stdout, stderr = migrate(t, "--from", from, "--to", to, "--skip-invalid", "--rejects", list)
	if code != exitOK || !strings.Contains(stdout, "1 tables, 1 entities") || !strings.Contains(stdout, "Left out: 11 rows") || !strings.Contains(stdout, list) {
		t.Errorf("exit %d: %s\n%s", code, stdout, stderr)
	}
	wantRejects(t, list)
	check()
}

func wantRejects(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	byKey := map[string]reject{}
	for line := range strings.Lines(string(content)) {
		var r reject
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(line, err)
		}
		byKey[r.Key+string(r.KeyBytes)] = r
	}
	for code, row := range badRows {
		if r := byKey[row[0]]; r.Code != code || r.Detail == "" {
			t.Errorf("%s is listed as %+v, want %s", row[0], r, code)
		}
	}
	if r := byKey["users:\xff"]; len(byKey) != 11 || string(r.KeyBytes) != "users:\xff" {
		t.Errorf("the list is %s", content)
	}
}

// TestKilled kills the program in the middle of its work. The pipe that it lists
// the rejected rows in is full at that point, so the place is always the same.
func TestKilled(t *testing.T) {
	var pairs []string
	for i := range 3000 {
		pairs = append(pairs, fmt.Sprintf("a:%04d", i), `{}`, fmt.Sprintf("b%04d", i), strings.Repeat("x", 10))
	}
	from, to := legacyAt(t, pairs...)
	check := untouched(t, from)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--from", from, "--to", to, "--skip-invalid"}
	cmd := exec.CommandContext(t.Context(), os.Args[0], append(args, "--rejects", pipe)...)
	cmd.Env = append(os.Environ(), asMigrate+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if line, err := bufio.NewReaderSize(reader, 16).ReadString('\n'); err != nil || !strings.Contains(line, "b0000") {
		t.Fatal(line, err)
	}
	if code, _, stderr := migrate(t, args...); code != exitFailure || !strings.Contains(stderr, "another migration to "+to+" is under way") {
		t.Errorf("a second migration: exit %d, %s", code, stderr)
	}
	cmd.Process.Kill()
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatal("the program ended by itself:", err)
	}
	check()
	nothingAt(t, to)
	if left := snapshot(t, to+suffix); len(left) < 2 {
		t.Fatalf("it was killed before it made anything: %v", left)
	}

	code, stdout, stderr := migrate(t, args...)
	if code != exitOK || !strings.Contains(stdout, "1 tables, 3000 entities") || !strings.Contains(stdout, "3000 rows (3000 invalid_key)") {
		t.Errorf("after the kill: exit %d: %s\n%s", code, stdout, stderr)
	}
	check()
	nothingAt(t, to+suffix)
	testkit.OpenWith(t, testkit.Options(to))
}

// TestStopped holds that a migration that is told to stop leaves nothing.
func TestStopped(t *testing.T) {
	from, to := legacyAt(t, "a:b", `{}`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut strings.Builder
	if code := run(ctx, []string{"--from", from, "--to", to}, &out, &errOut); code != exitFailure || !strings.Contains(errOut.String(), "stopped; nothing was made") {
		t.Errorf("exit %d: %s", code, &errOut)
	}
	nothingAt(t, to, to+suffix)
}

// TestLiveSource holds that data that a process has open are refused.
func TestLiveSource(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holdOpen+"="+from)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "open\n" {
		t.Fatal(line, err)
	}
	code, _, stderr := migrate(t, "--from", from, "--to", to)
	if code != exitFailure || !strings.Contains(stderr, "Another process has the database at "+from+" open") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	nothingAt(t, to, to+suffix)
}

// TestRefusals are the ways to call the program that do nothing.
func TestRefusals(t *testing.T) {
	from, to := legacyAt(t, "users:alice", `{}`)
	check := untouched(t, from)
	dir := filepath.Dir(from)
	current, taken := filepath.Join(dir, "current"), filepath.Join(dir, "taken")
	testkit.OpenWith(t, testkit.Options(current)).Close()
	os.MkdirAll(filepath.Join(taken, "sub"), 0o700)
	os.MkdirAll(filepath.Join(dir, "strange"+suffix, "sub"), 0o700)
	foreign := filepath.Join(dir, "foreign")
	os.Mkdir(foreign, 0o700)
	storagetest.Write(t, foreign, storagetest.Row{Family: "default", Key: "k"}, storagetest.Row{Family: "other", Key: "k"})
	os.Symlink(from, filepath.Join(dir, "link"))
	before := snapshot(t, dir)
	for _, c := range []struct {
		args  []string
		code  int
		words string
	}{
		{[]string{"--to", to}, exitUsage, "--from and --to are needed"},
		{[]string{"--from", from, "--to", to, "more"}, exitUsage, `no argument "more"`},
		{[]string{"--from", from, "--to", to, "--version", "0.8"}, exitUsage, `version "0.8" isn't known`},
		{[]string{"--from", from, "--to", to, "--target", "0.10"}, exitUsage, "migrates to version " + today.Release() + " only"},
		{[]string{"--from", from, "--to", from}, exitUsage, "lie in each other"},
		{[]string{"--from", from, "--to", filepath.Join(dir, "link", "x")}, exitUsage, "lie in each other"},
		{[]string{"--from", from, "--to", dir}, exitUsage, "lie in each other"},
		{[]string{"--from", from, "--to", to, "--rejects", filepath.Join(from, "x")}, exitUsage, "in one of the data folders"},
		{[]string{"--from", dir, "--to", filepath.Join(t.TempDir(), "x")}, exitFailure, "no database at " + dir},
		{[]string{"--from", from, "--to", taken}, exitFailure, taken + " isn't empty"},
		{[]string{"--from", from, "--to", filepath.Join(dir, "strange")}, exitFailure, "no migration left it"},
		{[]string{"--from", from, "--to", to, "--version", "0.10"}, exitFailure, "are of version 0.9, not 0.10"},
		{[]string{"--from", current, "--to", to}, exitFailure, "nothing to migrate"},
		{[]string{"--from", foreign, "--to", to}, exitFailure, "not written by this program"},
	} {
		code, _, stderr := migrate(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.words) {
			t.Errorf("%v: exit %d, %s\nwant %d, %s", c.args, code, stderr, c.code, c.words)
		}
	}
	if code, stdout, _ := migrate(t, "--help"); code != exitOK || !strings.Contains(stdout, "--skip-invalid") {
		t.Errorf("--help: exit %d, %s", code, stdout)
	}
	check()
	if after := snapshot(t, dir); len(after) != len(before) {
		t.Errorf("these left something: %v", after)
	}
	// An empty folder is a fine target.
	os.Mkdir(to, 0o700)
	if code, stdout, stderr := migrate(t, "--from", filepath.Join(dir, "link"), "--to", to); code != exitOK {
		t.Errorf("into an empty folder: exit %d: %s\n%s", code, stdout, stderr)
	}
}

// TestFormat1 migrates the real rows of a database of version 0.10. Everything
// has to be there: entities with their versions, indexes, vectors.
func TestFormat1(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	os.Mkdir(from, 0o700)
	storagetest.Write(t, from, storagetest.Format1(t)...)
	os.Mkdir(filepath.Join(from, "lost+found"), 0o700)
	check := untouched(t, from)
	code, stdout, stderr := migrate(t, "--from", from, "--to", to, "--version", "0.10", "--target", "1.0")
	if code != exitOK || !strings.Contains(stdout, "2 tables, 7 entities, 19 index entries, 5 vectors") || !strings.Contains(stdout, "left out: lost+found") {
		t.Fatalf("exit %d: %s\n%s", code, stdout, stderr)
	}
	check()
	nothingAt(t, to+suffix)
	if err := storage.Upgrade(storage.Options{Path: to}); err == nil {
		t.Error("data of today's format were upgraded once more")
	}
	db := testkit.OpenWith(t, testkit.Options(to))
	found, err := db.Get(t.Context(), []engine.Key{testkit.Key("books:0")}, true)
	if err != nil || found[0].Version != 2 || !strings.Contains(string(found[0].Doc), "again") {
		t.Errorf("books:0 is %+v, %v", found, err)
	}
	filter, err := query.ParseFilter(nil, []byte(`{"column":"year","op":"gte","value":1963}`))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query(t.Context(), engine.QueryRequest{Table: "books", Filter: filter, Return: engine.ReturnKeys, Explain: true, ForbidFullScan: true})
	if err != nil || len(rows.Keys) != 3 {
		t.Errorf("the range index finds %v, %v", rows, err)
	}
	k := testkit.Key("books:4")
	near, err := db.Search(t.Context(), engine.SearchRequest{Table: "books", Column: "embedding", Key: &k, K: 2})
	if err != nil || len(near[0].Hits) != 2 || near[0].Hits[0].Key.PK != "3" {
		t.Errorf("the nearest to books:4 are %+v, %v", near, err)
	}
	var keys []string
	keys = append(keys, db.GetDoc("users:älice"), db.GetDoc("users:bob"), db.GetDoc("books:5"))
	if !slices.Equal(keys, []string{`{"name":"Älice","big":9007199254740993}`, `{"name":"Bob"}`, ""}) {
		t.Errorf("the others are %q", keys)
	}
}
