package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// binary is the server, built by TestMain.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "torture")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "themis_server")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/vccdb/vccdb/cmd/themis_server").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the server: %v\n%s", err, out)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// home is a server's folder: data, snapshots, backups, configuration.
type home struct {
	dir, data, config string
}

// newHome writes a configuration that makes trouble likely: small memtables, so
// that files are written and merged all the time.
func newHome(t *testing.T, dir string) home {
	t.Helper()
	h := home{dir: dir, data: filepath.Join(dir, "data"), config: filepath.Join(dir, "themis.json")}
	config := fmt.Sprintf(`{
  // A server to torture.
  "storage": {"rocksdb_path": %q, "memtable_size_mb": 4, "block_cache_size_mb": 16},
  "server": {"host": "127.0.0.1", "port": 0},
  "features": {"cdc": true},
  "logging": {"level": "info"}
}`, h.data)
	if err := os.WriteFile(h.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// server is a running process.
type server struct {
	t       *testing.T
	cmd     *exec.Cmd
	base    string
	client  *http.Client
	started time.Time
	// exited is closed when the process has ended, ended says how.
	exited chan struct{}
	ended  error

	mu  sync.Mutex
	log bytes.Buffer
}

var address = regexp.MustCompile(`msg="themis_server runs".* address=(\S+)`)

// start runs the server, under another program if wrapper names one, and
// returns when it listens.
func (h home) start(t *testing.T, wrapper ...string) *server {
	t.Helper()
	s, err := h.tryStart(t, wrapper...)
	if err != nil {
		t.Fatalf("the server did not start: %v\n%s", err, s.logTail())
	}
	return s
}

func (h home) tryStart(t *testing.T, wrapper ...string) (*server, error) {
	t.Helper()
	args := append(wrapper, binary, "--config", h.config)
	s := &server{t: t, cmd: exec.Command(args[0], args[1:]...), exited: make(chan struct{}), started: time.Now()}
	s.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	listens := make(chan string, 1)
	go func() {
		defer close(s.exited)
		for lines := bufio.NewReader(stderr); ; {
			line, err := lines.ReadString('\n')
			s.mu.Lock()
			s.log.WriteString(line)
			s.mu.Unlock()
			if m := address.FindStringSubmatch(line); m != nil {
				listens <- m[1]
			}
			if err != nil {
				break
			}
		}
		s.ended = s.cmd.Wait()
	}()
	select {
	case at := <-listens:
		s.base = "http://" + at
		return s, nil
	case <-s.exited:
		return s, fmt.Errorf("it ended: %v", s.ended)
	case <-time.After(time.Minute):
		s.kill()
		return s, errors.New("it did not listen within a minute")
	}
}

// kill is kill -9 of the server and of what it runs under.
func (s *server) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.exited
	s.client.CloseIdleConnections()
}

// stop asks the server to end, and wants it to end well.
func (s *server) stop() {
	s.t.Helper()
	s.client.CloseIdleConnections()
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(40 * time.Second):
		s.kill()
		s.t.Fatalf("the server did not stop\n%s", s.logTail())
	}
	if s.ended != nil {
		s.t.Errorf("the server ended with %v\n%s", s.ended, s.logTail())
	}
}

func (s *server) logTail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.log.String()
	return text[max(0, len(text)-4000):]
}

// noPanic fails the test if the log has a panic in it.
func (s *server) noPanic() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	noPanic(s.t, s.log.String())
}

func noPanic(t *testing.T, text string) {
	t.Helper()
	for _, bad := range []string{"panic:", "goroutine 1 [", "Assertion `", "SIGSEGV", "SIGABRT"} {
		if at := strings.Index(text, bad); at >= 0 {
			t.Errorf("the server's output has %q:\n%s", bad, text[at:min(len(text), at+3000)])
		}
	}
}

// ready waits until the server is ready and returns how long that took since
// the process began.
func (s *server) ready() time.Duration {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		if status, _, err := s.call("GET", "/readyz", "", nil); err == nil && status == 200 {
			return time.Since(s.started)
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the server is not ready\n%s", s.logTail())
		}
	}
}

// call sends a request. An error is one of the connection: nothing is known of
// what became of the request.
func (s *server) call(method, path, contentType string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(context.Background(), method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// post sends JSON.
func (s *server) post(path, body string) (status int, answer []byte, err error) {
	return s.call("POST", path, "application/json", []byte(body))
}

// must sends JSON and decodes the answer, which has to be a 2xx.
func (s *server) must(method, path, body string, answer any) {
	s.t.Helper()
	status, raw, err := s.call(method, path, "application/json", []byte(body))
	if err != nil || status/100 != 2 {
		s.t.Fatalf("%s %s %s: %d %s %v\n%s", method, path, body, status, raw, err, s.logTail())
	}
	if answer != nil {
		if err := json.Unmarshal(raw, answer); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
}

// code is the code of a problem document.
func code(answer []byte) string {
	var p struct{ Code string }
	_ = json.Unmarshal(answer, &p)
	return p.Code
}

// run runs the server's program to its end.
func (h home) run(args ...string) (output string, exit int) {
	cmd := exec.Command(binary, append([]string{"--config", h.config}, args...)...)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// verify checks all data of a stopped server and returns how long that took.
func (h home) verify(t *testing.T) time.Duration {
	t.Helper()
	begin := time.Now()
	out, exit := h.run("--verify")
	noPanic(t, out)
	if exit != 0 || !strings.Contains(out, "All data is sound") {
		t.Errorf("--verify: exit %d\n%s", exit, out)
	}
	return time.Since(begin)
}
