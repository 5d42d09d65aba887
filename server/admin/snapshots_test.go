package admin

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/storage"
)

// copies is a database with its routes over a real connection. dir/snapshots and
// dir/more are its snapshot folders.
type copies struct {
	t    *testing.T
	db   *engine.Engine
	dir  string
	addr string
	// audit is what the audit log got.
	audit audited
}

type audited struct {
	mu   sync.Mutex
	text strings.Builder
}

func (a *audited) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(p)
}

func (a *audited) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}

func newCopies(t *testing.T) *copies {
	t.Helper()
	dir := t.TempDir()
	c := &copies{t: t, dir: dir}
	db, err := engine.Open(context.Background(), engine.Options{
		Storage: storage.Options{Path: filepath.Join(dir, "data"), CreateIfMissing: true, MemtableSizeMB: 1, BlockCacheSizeMB: 1},
		Copies:  engine.CopyOptions{SnapshotDirs: []string{filepath.Join(dir, "snapshots"), filepath.Join(dir, "more")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.db = db
	app := server.New(server.Options{Audit: slog.New(slog.NewTextHandler(&c.audit, nil))}, nothing{}, New(Options{Database: db}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.addr = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- app.Serve(listener) }()
	t.Cleanup(func() {
		if err := app.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	c.put("t:1", `{"a":1}`)
	return c
}

func (c *copies) put(key, doc string) {
	c.t.Helper()
	k, err := engine.ParseKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.db.Apply(context.Background(), []engine.Op{{Kind: engine.OpPut, Key: k, Doc: []byte(doc)}}, true); err != nil {
		c.t.Fatal(err)
	}
}

// raw sends a request byte by byte as it is given, so that no client mends the
// path, and returns the status and the body.
func (c *copies) raw(method, target, body string) (int, string) {
	c.t.Helper()
	conn, err := net.DialTimeout("tcp", c.addr, 5*time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: db\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, target, len(body), body)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		c.t.Fatalf("%s %q: %v", method, target, err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// ok wants a 2xx and reads the body into v.
func (c *copies) ok(method, target, body string, v any) {
	c.t.Helper()
	status, text := c.raw(method, target, body)
	if status/100 != 2 {
		c.t.Fatalf("%s %s: %d %s", method, target, status, text)
	}
	if v != nil {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, target, err, text)
		}
	}
}

func TestSnapshotRoutes(t *testing.T) {
	c := newCopies(t)
	var made snapshotWork
	c.ok("POST", "/admin/snapshot", `{"name":"one"}`, &made)
	if made.Snapshot == nil || made.Snapshot.Sequence != 1 || made.Snapshot.Path != filepath.Join(c.dir, "snapshots", "one") || made.Job.State != "done" {
		t.Errorf("made %+v", made)
	}
	c.ok("POST", "/admin/snapshot", `{"path":"`+filepath.Join(c.dir, "more", "two")+`"}`, nil)
	c.ok("POST", "/admin/snapshot", "", nil)
	if status, text := c.raw("POST", "/admin/snapshot?wait=false", `{"name":"later"}`); status != 202 || !strings.Contains(text, `"kind":"snapshot"`) {
		t.Errorf("wait=false: %d %s", status, text)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var list snapshotList
		c.ok("GET", "/admin/snapshots", "", &list)
		if len(list.Snapshots) == 4 && list.Snapshots[0].Name == "one" && list.Snapshots[1].Name == "two" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the list is %+v", list)
		}
	}
	for _, name := range []string{"one", "two"} {
		if status, text := c.raw("POST", "/admin/snapshot", `{"name":"`+name+`"}`); status != 409 {
			t.Errorf("%s a second time: %d %s", name, status, text)
		}
	}
	var v verification
	c.ok("POST", "/admin/snapshots/two/verify", "", &v)
	if !v.Sound || len(v.Findings) != 0 {
		t.Errorf("verify: %+v", v)
	}
	c.ok("DELETE", "/admin/snapshots/two", "", nil)
	if status, _ := c.raw("POST", "/admin/snapshots/two/verify", ""); status != 404 {
		t.Errorf("a deleted snapshot verifies with %d", status)
	}
	if left, _ := os.ReadDir(filepath.Join(c.dir, "more")); len(left) != 0 {
		t.Errorf("a deleted snapshot leaves %v", left)
	}
	c.ok("POST", "/admin/flush", "", nil)
	c.ok("POST", "/admin/compact", "", nil)
}

// TestVerifyFindsDamage changes a bit of each file of a snapshot and of a backup,
// cuts it short, and removes it: each is found, by name.
// TestDownload: the tar file has the length that was announced and holds a
// snapshot; a damaged one never seems whole, and none is locked afterwards.
func TestDownload(t *testing.T) {
	c := newCopies(t)
	c.ok("POST", "/admin/snapshot", `{"name":"one"}`, nil)
	get := func(method string) (*http.Response, []byte, error) {
		t.Helper()
		request, err := http.NewRequest(method, "http://"+c.addr+"/admin/snapshots/one/download", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		return answer, body, err
	}
	answer, body, err := get("GET")
	if err != nil || answer.StatusCode != 200 || answer.ContentLength != int64(len(body)) {
		t.Errorf("%d, %d of %d bytes: %v", answer.StatusCode, len(body), answer.ContentLength, err)
	}
	if got := answer.Header.Get("Content-Disposition"); got != `attachment; filename="one.tar"` {
		t.Error(got)
	}
	if log := c.audit.String(); !strings.Contains(log, "method=GET route=/admin/snapshots/:name/download target=/admin/snapshots/one/download status=200") {
		t.Errorf("the audit log has %s", log)
	}
	names := map[string]bool{}
	for files := tar.NewReader(bytes.NewReader(body)); ; {
		header, err := files.Next()
		if err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			break
		}
		names[header.Name] = true
	}
	if !names["one/manifest.json"] || !names["one/data/CURRENT"] {
		t.Errorf("it holds %v", names)
	}
	if answer, body, err := get("HEAD"); err != nil || answer.ContentLength < 1024 || len(body) != 0 {
		t.Errorf("HEAD: %d, %d bytes, %v", answer.ContentLength, len(body), err)
	}
	options, err := filepath.Glob(filepath.Join(c.dir, "snapshots", "one", "data", "OPTIONS-*"))
	mustDo(t, err)
	content, err := os.ReadFile(options[0])
	mustDo(t, err)
	content[0] ^= 1
	mustDo(t, os.WriteFile(options[0], content, 0o600))
	if answer, body, err := get("GET"); err == nil || answer.StatusCode == 200 && int64(len(body)) >= answer.ContentLength {
		t.Errorf("damaged: %d, %d of %d bytes: %v", answer.StatusCode, len(body), answer.ContentLength, err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		status, text := c.raw("DELETE", "/admin/snapshots/one", "")
		if status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it can't be deleted afterwards: %d %s", status, text)
		}
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	c := newCopies(t)
	c.ok("POST", "/admin/flush", "", nil)
	c.put("t:2", `{"a":2}`)
	c.ok("POST", "/admin/snapshot", `{"name":"s"}`, nil)
	c.ok("POST", "/admin/backup", "", nil)
	backup, err := newestBackup(c.db)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []struct {
		dir, route string
		skip       func(string) bool
	}{
		{filepath.Join(c.dir, "snapshots", "s"), "/admin/snapshots/s/verify", func(string) bool { return false }},
		{filepath.Join(c.dir, "backups"), fmt.Sprintf("/admin/backups/%d/verify", backup), func(name string) bool {
			return strings.HasPrefix(name, "meta") || name == "themis.lock"
		}},
	} {
		files := 0
		filepath.WalkDir(kind.dir, func(path string, d fs.DirEntry, _ error) error {
			name, _ := filepath.Rel(kind.dir, path)
			if d.IsDir() || kind.skip(name) {
				return nil
			}
			files++
			data, _ := os.ReadFile(path)
			os.Remove(path) // or the database's own file, by its other link, would change
			for damage, do := range map[string]func(){
				"a flipped bit": func() {
					bad := append([]byte{}, data...)
					bad[len(bad)/2] ^= 4
					os.WriteFile(path, bad, 0o600)
				},
				"a cut":      func() { os.WriteFile(path, data[:len(data)-1], 0o600) },
				"an absence": func() { os.Remove(path) },
			} {
				do()
				if damage == "an absence" && name == "manifest.json" {
					continue // then it is no snapshot
				}
				var v verification
				c.ok("POST", kind.route, "", &v)
				if v.Sound || !strings.Contains(fmt.Sprint(v.Findings), name) {
					t.Errorf("%s of %s: %+v", damage, name, v)
				}
			}
			os.WriteFile(path, data, 0o600)
			return nil
		})
		var v verification
		c.ok("POST", kind.route, "", &v)
		if !v.Sound || files < 4 {
			t.Errorf("%s: after mending %d files: %+v", kind.route, files, v)
		}
	}
}

func newestBackup(db *engine.Engine) (uint32, error) {
	list, err := db.Backups()
	if err != nil || len(list) == 0 {
		return 0, fmt.Errorf("%v, %w", list, err)
	}
	return list[len(list)-1].ID, nil
}

func TestBackupRoutes(t *testing.T) {
	c := newCopies(t)
	var ids []uint32
	for i := range 3 {
		c.put(fmt.Sprint("t:", i), `{"pad":"`+strings.Repeat("x", 2000)+`"}`)
		c.ok("POST", "/admin/flush", "", nil)
		var made backupWork
		c.ok("POST", "/admin/backup", "", &made)
		ids = append(ids, made.Backup.ID)
	}
	if ids[0] >= ids[1] || ids[1] >= ids[2] {
		t.Errorf("the numbers are %v", ids)
	}
	first, err := storage.ReadBackup(filepath.Join(c.dir, "backups"), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	last, err := storage.ReadBackup(filepath.Join(c.dir, "backups"), ids[2])
	if err != nil {
		t.Fatal(err)
	}
	shared := 0
	for _, f := range last.Files {
		for _, g := range first.Files {
			if f.Path == g.Path && strings.HasPrefix(f.Path, "shared") {
				shared++
			}
		}
	}
	if shared == 0 {
		t.Errorf("backups share no files: %v, %v", first.Files, last.Files)
	}
	var list backupList
	c.ok("POST", "/admin/backups/purge", `{"keep":1}`, &list)
	if len(list.Backups) != 1 || list.Backups[0].ID != ids[2] {
		t.Errorf("after the purge there are %+v", list)
	}
	var v verification
	c.ok("POST", fmt.Sprintf("/admin/backups/%d/verify", ids[2]), "", &v)
	if !v.Sound {
		t.Errorf("the backup that stays: %+v", v)
	}
	for target, want := range map[string]int{
		fmt.Sprintf("/admin/backups/%d/verify", ids[0]): 404, "/admin/backups/0/verify": 404, "/admin/backups/x/verify": 400,
		"/admin/backups/-1/verify": 400, "/admin/backups/99999999999/verify": 400, "/admin/backups/..%2f1/verify": 400,
	} {
		if status, text := c.raw("POST", target, ""); status != want {
			t.Errorf("%s: %d %s", target, status, text)
		}
	}
	if status, _ := c.raw("POST", "/admin/backups/purge", `{"keep":0}`); status != 400 {
		t.Errorf("keep 0: %d", status)
	}
}

// hostileNames are names of snapshots that must lead nowhere.
func hostileNames() []string {
	names := []string{
		"..", ".", "...", "....", "../x", "../../x", "../../../../../../etc/passwd", "a/../../x", "a/b", "/", "//", "/etc", "/etc/passwd", "//etc/passwd",
		"/proc/self/cwd/x", "/proc/self/root/tmp/x", "/dev/null", "/dev/fd/0", "~", "~root", "~/x", "$HOME", "${HOME}", "`id`", "$(id)", "x;id", "x|id", "x&id", "*", "?", "[a]", "{a,b}",
		"a\x00", "\x00", "a\x00b", "../x\x00ok", "ok\x00/../../x", "a\nb", "a\r\nb", "a\tb", " a", "a ", " ", "", "\u2025/x", "\u2024\u2024/x", "\uff0e\uff0e/x", "\uff0e\uff0e\uff0fx", "..\u2215x", "..\u2044x", "..\u29f8x",
		"\u202ename", "na\u200bme", "n\u0000ame", "\ufeffname", "\u00e9", "e\u0301", "\U0001F4A3", "\xff\xfe", "\xc0\xae\xc0\xae/x", "\xc0\xaf", "..\\x", "..\\..\\x", "C:\\x", "C:x", "\\\\host\\share", "con:", "a:b",
		"..%2fx", "%2e%2e%2fx", "%2e%2e/x", "%252e%252e%252fx", "%c0%ae%c0%ae%c0%afx", "%00", "a%00b", "%2fetc%2fpasswd", "%5c..%5cx", "..%5cx", "%u002e%u002e%u2215x",
		"-rf", "--help", "-", "_x", ".hidden", ".themis-x", ".themis-" + strings.Repeat("A", 26), ".tmp", ".git", "#x", "@x", "x@1", "x=1", "x,y", "x'y", "x\"y", "x<y>", "x%", "%", "%zz", "+", "x+y",
		strings.Repeat("a", 129), strings.Repeat("a", 255), strings.Repeat("a", 256), strings.Repeat("a", 1000), strings.Repeat("../", 40) + "x", strings.Repeat("a/", 200) + "x",
		"out", "evil", "dangling", "loop", "self", "up", "abs", "file", "pipe", "empty", "fakemanifest", "evil/data", "out/secret", "evil/manifest.json", "linked/data", "snapshots", "data", "more/x",
	}
	return names
}

// tree is a checksum of everything below dir but the parts left out: names,
// kinds, contents and times.
func tree(t *testing.T, dir string, without ...string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, part := range without {
			if path == filepath.Join(dir, part) {
				return fs.SkipDir
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if path != dir {
			fmt.Fprintln(h, path, info.Mode(), info.ModTime().UnixNano(), info.Size())
		}
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			h.Write(data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// TestTraversal tries to reach out of the snapshot folders, by names and paths
// over HTTP and over the engine, with links that stand there already.
func TestTraversal(t *testing.T) {
	c := newCopies(t)
	c.ok("POST", "/admin/snapshot", `{"name":"real"}`, nil)
	snapshots, outside := filepath.Join(c.dir, "snapshots"), filepath.Join(c.dir, "outside")
	mustDo(t, os.MkdirAll(filepath.Join(outside, "victim"), 0o700), os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	mustDo(t, os.CopyFS(filepath.Join(outside, "copy"), os.DirFS(filepath.Join(snapshots, "real"))))
	link := func(to, name string) { mustDo(t, os.Symlink(to, filepath.Join(snapshots, name))) }
	link("../outside", "out")
	link("../outside/copy", "evil")
	link("nowhere", "dangling")
	link("loop", "loop")
	link(".", "self")
	link("..", "up")
	link(outside+"/copy", "abs")
	mustDo(t, os.WriteFile(filepath.Join(snapshots, "file"), nil, 0o600), syscall.Mkfifo(filepath.Join(snapshots, "pipe"), 0o600), os.Mkdir(filepath.Join(snapshots, "empty"), 0o700))
	mustDo(t, os.Mkdir(filepath.Join(snapshots, "fakemanifest"), 0o700), os.Symlink("../../outside/copy/manifest.json", filepath.Join(snapshots, "fakemanifest", "manifest.json")))
	before := tree(t, c.dir, "data")
	tries := 0
	refused := func(what string, status int, text string) {
		t.Helper()
		tries++
		if status/100 != 4 || strings.Contains(text, "secret") {
			t.Errorf("%s: %d %.200s", what, status, text)
		}
	}
	for _, name := range hostileNames() {
		asJSON, _ := json.Marshal(map[string]string{"name": name})
		pathed, _ := json.Marshal(map[string]string{"path": filepath.Join(snapshots, "x") + "/../" + name})
		below, _ := json.Marshal(map[string]string{"path": snapshots + "/" + name})
		bare, _ := json.Marshal(map[string]string{"path": name})
		bodies := map[string]string{"path": string(pathed), "path below": string(below)}
		if name != "" { // no name is the time's, no path is none
			bodies["name"] = string(asJSON)
			bodies["bare path"] = string(bare)
		}
		for kind, body := range bodies {
			if name == "snapshots" || name == "data" {
				continue // good names, if odd ones
			}
			status, text := c.raw("POST", "/admin/snapshot", body)
			refused(fmt.Sprintf("create by %s %.60q", kind, name), status, text)
		}
		for _, escaped := range []string{url.PathEscape(name), strings.ReplaceAll(url.PathEscape(name), ".", "%2e")} {
			if escaped == "" {
				continue
			}
			status, text := c.raw("POST", "/admin/snapshots/"+escaped+"/verify", "")
			refused(fmt.Sprintf("verify %.60q", escaped), status, text)
			status, text = c.raw("GET", "/admin/snapshots/"+escaped+"/download", "")
			refused(fmt.Sprintf("download %.60q", escaped), status, text)
			status, text = c.raw("DELETE", "/admin/snapshots/"+escaped, "")
			refused(fmt.Sprintf("delete %.60q", escaped), status, text)
		}
		c.direct(name, &tries)
	}
	if after := tree(t, c.dir, "data"); after != before {
		t.Error("something was read into, written or removed outside")
	}
	if tries < 200 {
		t.Errorf("only %d tries", tries)
	}
	t.Log(tries, "tries")
}

// direct tries a name over the engine.
func (c *copies) direct(name string, tries *int) {
	c.t.Helper()
	clean := func(what string, err error) {
		c.t.Helper()
		*tries++
		switch errs.KindOf(err) {
		case errs.Invalid, errs.NotFound, errs.Conflict:
			if err != nil {
				return
			}
		}
		c.t.Errorf("%s %.60q: %v", what, name, err)
	}
	clean("delete", c.db.DeleteSnapshot(name))
	_, err := c.db.ArchiveSnapshot(context.Background(), name)
	clean("archive", err)
	work, err := c.db.VerifySnapshot(name)
	if err == nil {
		err = work.Job.Wait(context.Background())
	}
	clean("verify", err)
	_, err = c.db.CreateSnapshot(engine.SnapshotRef{Path: c.dir + "/outside/" + name})
	clean("create by path", err)
}

// TestSwappedFolder replaces a snapshot by links while it is being verified and
// deleted: what they lead to stays as it is.
func TestSwappedFolder(t *testing.T) {
	c := newCopies(t)
	c.ok("POST", "/admin/snapshot", `{"name":"s"}`, nil)
	snapshots, outside := filepath.Join(c.dir, "snapshots"), filepath.Join(c.dir, "outside")
	mustDo(t, os.CopyFS(outside, os.DirFS(filepath.Join(snapshots, "s"))))
	before := tree(t, outside)
	stop, swapped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swapped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Rename(filepath.Join(snapshots, "s"), filepath.Join(snapshots, "real"))
			_ = os.Symlink(outside, filepath.Join(snapshots, "s"))
			_ = os.Remove(filepath.Join(snapshots, "s"))
			_ = os.Rename(filepath.Join(snapshots, "real"), filepath.Join(snapshots, "s"))
			_ = os.Rename(filepath.Join(snapshots, "s", "data"), filepath.Join(snapshots, "s", "aside"))
			_ = os.Symlink(filepath.Join(outside, "data"), filepath.Join(snapshots, "s", "data"))
			_ = os.Remove(filepath.Join(snapshots, "s", "data"))
			_ = os.Rename(filepath.Join(snapshots, "s", "aside"), filepath.Join(snapshots, "s", "data"))
		}
	}()
	for i := range 60 {
		if work, err := c.db.VerifySnapshot("s"); err == nil {
			_ = work.Job.Wait(context.Background())
		}
		if i%10 == 9 {
			_ = c.db.DeleteSnapshot("s")
		}
	}
	close(stop)
	<-swapped
	if tree(t, outside) != before {
		t.Error("what the links led to has changed")
	}
}

func mustDo(t *testing.T, errors ...error) {
	t.Helper()
	for _, err := range errors {
		if err != nil {
			t.Fatal(err)
		}
	}
}
