package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The keys of servers that ask for one.
const (
	adminKey  = "browser-test-admin-key-0123456789"
	writerKey = "browser-test-writer-key-012345678"
	readerKey = "browser-test-reader-key-012345678"
)

// server is a running themis_server.
type server struct {
	t   *testing.T
	url string
	dir string
	// key is sent with calls of the REST API.
	key string
}

// start runs a server on the data in dir, for which $DIR stands in settings. With
// auth it knows the three keys.
func start(t *testing.T, dir string, auth bool, settings ...string) *server {
	t.Helper()
	config := map[string]any{
		"server":  map[string]any{"host": "127.0.0.1", "port": 0, "enable_auth": auth},
		"storage": map[string]any{"rocksdb_path": dir + "/data", "backup_dir": dir + "/backups", "snapshot_dirs": []string{dir + "/snapshots"}, "block_cache_size_mb": 64, "memtable_size_mb": 16},
		"logging": map[string]any{"level": "info", "format": "json"},
	}
	s := &server{t: t, dir: dir}
	if auth {
		s.key = adminKey
		config["server"].(map[string]any)["api_keys"] = []map[string]string{
			{"key": adminKey, "role": "admin", "name": "ada"}, {"key": writerKey, "role": "readwrite", "name": "wim"}, {"key": readerKey, "role": "readonly", "name": "rita"},
		}
	}
	text, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "themis.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--config", filepath.Join(dir, "themis.json")}
	for _, setting := range settings {
		args = append(args, "--set", strings.ReplaceAll(setting, "$DIR", dir))
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
	var said lockedBuffer
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(io.TeeReader(log, &said))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var entry struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "themis_server runs" {
				address <- entry.Address
			}
		}
	}()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", said.tail(4000))
		}
	})
	select {
	case a := <-address:
		s.url = "http://" + a
	case <-ended:
		t.Fatalf("the server ended: %s", said.tail(2000))
	case <-time.After(time.Minute):
		t.Fatal("the server did not start")
	}
	return s
}

// lockedBuffer is what a server said so far.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.text.String()
	return text[max(0, len(text)-n):]
}

// words is how many words of the demo tests load, for the sake of time.
const words = 10_000

// loadWords loads the most frequent words of the demo, all if most is 0.
func (s *server) loadWords(most int) {
	s.t.Helper()
	args := []string{"demo", "-url", s.url, "-n", strconv.Itoa(most)}
	if s.key != "" {
		args = append(args, "-key", s.key)
	}
	if out, err := exec.Command(benchProgram, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("the demo's data: %v\n%s", err, out)
	}
}

// call makes a call of the REST API that has to go well.
func (s *server) call(method, path, body string) []byte {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.key != "" {
		req.Header.Set("Api-Key", s.key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, answer, err)
	}
	return answer
}

// sampleData loads words of the demo, and a table besides.
func (s *server) sampleData() {
	s.t.Helper()
	s.loadWords(words)
	s.loadBooks()
}

func (s *server) loadBooks() {
	s.t.Helper()
	for _, b := range []string{
		`{"key": "books:dune", "entity": {"title": "Dune", "author": "Frank Herbert", "year": 1965, "tags": ["sf", "desert"], "place": {"lat": 47.6, "lon": -122.3}}}`,
		`{"key": "books:ubik", "entity": {"title": "Ubik", "author": "Philip K. Dick", "year": 1969, "tags": ["sf"]}}`,
		`{"key": "books:emma", "entity": {"title": "Emma", "author": "Jane Austen", "year": 1815, "tags": ["classic", "love"]}}`,
	} {
		s.call("POST", "/entities", b)
	}
	s.call("POST", "/index/create", `{"table": "books", "column": "year", "type": "range"}`)
}
