package checks

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is a running themis_server with the configuration of deploy.
type server struct {
	t   *testing.T
	url string
	// dir holds its data, backups and snapshots.
	dir string
	key string
}

// startServer starts a server with deploy/themis.json, but paths and a port of
// the test's own, and stops it with the test.
func startServer(t *testing.T, settings ...string) *server {
	t.Helper()
	return startServerWith(t, filepath.Join(deploy, "themis.json"), settings...)
}

func startServerWith(t *testing.T, file string, settings ...string) *server {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--config", file}
	for _, s := range append([]string{
		"storage.rocksdb_path=" + dir + "/data", "storage.backup_dir=" + dir + "/backups", "storage.snapshot_dirs=" + dir + "/snapshots",
		"storage.block_cache_size_mb=32", "storage.memtable_size_mb=8", "server.port=0", "logging.level=info",
	}, settings...) {
		args = append(args, "--set", s)
	}
	cmd := exec.Command(serverProgram, args...)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, ended := make(chan string, 1), make(chan struct{})
	go follow(t, log, address, ended)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	select {
	case a := <-address:
		return &server{t: t, url: "http://" + a, dir: dir}
	case <-ended:
	case <-time.After(30 * time.Second):
	}
	t.Fatal("the server did not start")
	return nil
}

// follow reads the log to its end, and the address from the line that has it.
func follow(t *testing.T, log io.Reader, address chan<- string, ended chan<- struct{}) {
	defer close(ended)
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var entry struct{ Level, Msg, Address string }
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			t.Errorf("the log isn't JSON: %s", lines.Text())
		}
		if entry.Level == "ERROR" {
			t.Errorf("the log: %s", lines.Text())
		}
		if entry.Address != "" {
			select {
			case address <- entry.Address:
			default:
			}
		}
	}
}

// want sends a request and returns the body; the status must be that one.
func (s *server) want(status int, method, path, body string) string {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		s.t.Fatalf("%s %s: %d %s (%v), want %d", method, path, res.StatusCode, answer, err, status)
	}
	return string(answer)
}

// load makes the server do some of everything that is measured.
func (s *server) load() {
	s.t.Helper()
	for i := range 50 {
		s.want(201, "POST", "/entities", fmt.Sprintf(`{"table":"books","entity":{"year":%d,"tag":"t%d","embedding":[%d,1,0.5]}}`, 1900+i, i%5, i))
	}
	for _, index := range []string{
		`{"table":"books","column":"year","type":"range"}`, `{"table":"books","column":"tag"}`,
		`{"table":"books","column":"embedding","type":"vector","config":{"metric":"cosine"}}`,
	} {
		s.want(200, "POST", "/index/create", index)
	}
	s.search()
}

// search reads in every way, and meets an error.
func (s *server) search() {
	s.t.Helper()
	for range 5 {
		s.want(200, "POST", "/query", `{"table":"books","predicates":[{"column":"tag","value":"t1"}]}`)
		s.want(200, "POST", "/query", `{"table":"books","predicates":[{"column":"year","op":"lt","value":1920}],"order_by":"year","limit":5}`)
		s.want(200, "POST", "/vector/search", `{"table":"books","vector":[1,1,1],"k":3}`)
		s.want(201, "POST", "/entities", `{"table":"books","entity":{"year":2000,"tag":"t1","embedding":[1,2,3]}}`)
	}
	s.want(404, "GET", "/entities/books:none", "")
	s.want(200, "GET", "/changefeed?from_seq=0&limit=10", "")
	s.want(200, "POST", "/admin/flush", "")
}
