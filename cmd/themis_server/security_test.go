package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/ops/history"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/schedule"
)

// secured is the whole server, in this process, with a key of each role. What it
// logs and answers is kept, to be searched for keys.
type secured struct {
	t    *testing.T
	app  *server.Server
	addr string
	// The keys; the last one is revoked before the tests use it.
	readonly, readwrite, admin, revoked string

	mu               sync.Mutex
	logged, answered bytes.Buffer
	// dialed numbers the connections, each of which has an address of its own:
	// wrong keys are limited by address.
	dialed int
}

// keep writes to a buffer of s.
type keep struct {
	s  *secured
	to *bytes.Buffer
}

func (k keep) Write(p []byte) (int, error) {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	return k.to.Write(p)
}

func startSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{t: t, readonly: auth.NewKey(), readwrite: "operator/chose+this==", admin: "0123456789-admin-by-hash", revoked: auth.NewKey()}
	keys := []map[string]string{
		{"key": s.readonly, "role": "readonly"}, {"key": s.readwrite, "role": "readwrite", "name": "writer"},
		{"key_hash": auth.HashKey(s.admin), "role": "admin", "name": "root"}, {"key": s.revoked, "role": "admin", "name": "gone"},
	}
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	live, err := config.Open(config.Source{Set: []string{
		"storage.rocksdb_path=" + filepath.Join(t.TempDir(), "data"), "storage.block_cache_size_mb=16", "storage.memtable_size_mb=16",
		"storage.durability=none", "server.enable_auth=true", "server.api_keys=" + string(text),
	}})
	if err != nil {
		t.Fatal(err)
	}
	logger, _, err := logging.New(logging.Options{Level: "trace", Output: keep{s, &s.logged}})
	if err != nil {
		t.Fatal(err)
	}
	db, err := engine.Open(t.Context(), engineOptions(live.Config(), logger))
	if err != nil {
		t.Fatal(err)
	}
	devices := gpu.New(gpu.Options{})
	copies := schedule.New(schedule.Options{Database: db})
	traffic := &history.Traffic{}
	past := history.New(history.Options{Database: db, Traffic: traffic.Counts, GPU: devices})
	t.Cleanup(past.Close)
	audit := slog.New(slog.NewJSONHandler(keep{s, &s.logged}, nil))
	s.app, err = newApp(&parts{live, db, devices, copies, traffic, past, logger, audit})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.app.Serve(listener) }()
	t.Cleanup(func() {
		if err := s.app.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		copies.Close()
		devices.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if status, _ := s.call("GET", "/tables", "", s.revoked); status != 200 {
		t.Fatalf("the key that will be revoked: %d", status)
	}
	left := live.Config().Server
	left.APIKeys = left.APIKeys[:len(left.APIKeys)-1]
	remaining, err := authKeys(&left)
	if err != nil {
		t.Fatal(err)
	}
	s.app.SetKeys(remaining)
	return s
}

func (s *secured) dial() net.Conn {
	s.t.Helper()
	s.mu.Lock()
	s.dialed++
	n := s.dialed
	s.mu.Unlock()
	from := &net.TCPAddr{IP: net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n))}
	conn, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// reply is one answer on a connection.
type reply struct {
	status int
	code   string
	body   string
}

// raw sends bytes and returns the answers, one for each method given at most; a
// stream's body is left unread. The request should end the connection.
func (s *secured) raw(text string, methods ...string) []reply {
	s.t.Helper()
	conn := s.dial()
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		s.t.Fatal(err)
	}
	var replies []reply
	reader := bufio.NewReader(io.TeeReader(conn, keep{s, &s.answered}))
	for _, method := range methods {
		res, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			break
		}
		r := reply{status: res.StatusCode}
		if res.Header.Get("Content-Type") != "text/event-stream" {
			body, err := io.ReadAll(res.Body)
			if err != nil {
				s.t.Errorf("%.200q: %v", text, err)
			}
			var p struct {
				Code string `json:"code"`
			}
			json.Unmarshal(body, &p)
			r.code, r.body = cmp.Or(p.Code, res.Header.Get(problem.CodeHeader)), string(body)
		}
		replies = append(replies, r)
	}
	return replies
}

// request writes a request that ends the connection; lines are more headers.
func request(method, target, body string, lines ...string) string {
	text := method + " " + target + " HTTP/1.1\r\nHost: themis.example\r\nConnection: close\r\n"
	for _, line := range lines {
		text += line + "\r\n"
	}
	if body != "" {
		text += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return text + "\r\n" + body
}

// call sends a request with a key, or without one if it is empty.
func (s *secured) call(method, target, body, key string) (int, string) {
	s.t.Helper()
	var lines []string
	if key != "" {
		lines = append(lines, "Authorization: Bearer "+key)
	}
	replies := s.raw(request(method, target, body, lines...), method)
	if len(replies) != 1 {
		s.t.Fatalf("%s %s: no answer", method, target)
	}
	return replies[0].status, replies[0].body
}

// searchForKeys fails if anything the server has said so far holds a key.
func (s *secured) searchForKeys() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	said := s.logged.String() + s.answered.String()
	for name, key := range map[string]string{"readonly": s.readonly, "readwrite": s.readwrite, "admin": s.admin, "revoked": s.revoked} {
		if at := strings.Index(said, key); at >= 0 {
			s.t.Errorf("the %s key was written: %q", name, said[max(0, at-300):at+len(key)])
		}
	}
	for _, want := range []string{`"msg":"audit"`, "level=DEBUG msg=request", "component=server"} {
		if !strings.Contains(said, want) {
			s.t.Errorf("nothing was searched: no %s", want)
		}
	}
}

// path fills the parameters of a route in.
func path(pattern string) string {
	for {
		before, rest, found := strings.Cut(pattern, "{")
		if !found {
			return pattern
		}
		name, after, _ := strings.Cut(rest, "}")
		value := "nothing"
		if name == "key" {
			value = "nothing:here"
		}
		pattern = before + value + after
	}
}

func bodyFor(method string) string {
	if method == "GET" || method == "DELETE" {
		return ""
	}
	return "{}"
}

// TestRoleMatrix asks every route of the server with every kind of caller.
func TestRoleMatrix(t *testing.T) {
	s := startSecured(t)
	callers := []struct {
		name, key string
		role      auth.Role
	}{
		{"none", "", 0}, {"wrong", auth.NewKey(), 0}, {"revoked", s.revoked, 0},
		{"readonly", s.readonly, auth.ReadOnly}, {"readwrite", s.readwrite, auth.ReadWrite}, {"admin", s.admin, auth.Admin},
	}
	operations := s.app.Operations()
	if len(operations) < 38 {
		t.Fatalf("only %d routes", len(operations))
	}
	for _, op := range operations {
		if op.Role < auth.Public || op.Role > auth.Admin {
			t.Errorf("%s %s has no role, so nobody can use it", op.Method, op.Path)
			continue
		}
		methods := []string{op.Method}
		if op.Method == "GET" {
			methods = append(methods, "HEAD")
		}
		for _, caller := range callers {
			for _, method := range methods {
				status, body := s.call(method, path(op.Path), bodyFor(op.Method), caller.key)
				want := 0 // anything else
				switch {
				case op.Role == auth.Public:
				case caller.role == 0:
					want = 401
				case caller.role < op.Role:
					want = 403
				}
				refused := status == 401 || status == 403 || status == 429
				if want != 0 && status != want || want == 0 && refused {
					t.Errorf("%s %s as %s: %d, want %d: %s", method, op.Path, caller.name, status, want, body)
				}
			}
		}
	}
	s.searchForKeys()
}

// TestStrangersLearnNothing holds that what isn't there looks like what is.
func TestStrangersLearnNothing(t *testing.T) {
	s := startSecured(t)
	replies := s.raw(request("GET", "/tables", ""), "GET")
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"} {
		for _, target := range []string{"/", "/none", "/tables/", "/consoles/", "/entities", "/metrics", "/.git/config"} {
			got := s.raw(request(method, target, ""), method)
			if len(got) != 1 || got[0].status != 401 || method != "HEAD" && got[0].code != replies[0].code {
				t.Errorf("%s %s: %+v", method, target, got)
			}
		}
	}
	conn := s.dial()
	defer conn.Close()
	io.WriteString(conn, request("OPTIONS", "/entities", ""))
	head, err := io.ReadAll(conn)
	if err != nil || strings.Contains(string(head), "Allow:") || !strings.Contains(string(head), "Www-Authenticate: Bearer\r\n") {
		t.Errorf("OPTIONS: %s %v", head, err)
	}
}

// TestAuditOfACall holds the entries against calls of each outcome.
func TestAuditOfACall(t *testing.T) {
	s := startSecured(t)
	s.call("PUT", "/entities/books:dune", `{"secret text": 1}`, s.readwrite)
	s.call("GET", "/entities/books:dune", "", s.readonly)
	s.call("POST", "/query", `{"table": "books"}`, s.readonly)
	s.call("PATCH", "/entities/books:ubik", `{}`, s.readwrite)
	s.call("DELETE", "/entities/books:dune?x="+s.readonly, "", s.readonly)
	s.call("GET", "/tables", "", "")
	s.mu.Lock()
	said := s.logged.String()
	s.mu.Unlock()
	var got []string
	for line := range strings.Lines(said) {
		var e struct {
			Time, Msg, RequestID, Principal, Role, Remote, Method, Route, Target, Outcome string
			Status                                                                        int
			TookMs                                                                        *float64 `json:"took_ms"`
			ID                                                                            string   `json:"request_id"`
		}
		if !strings.Contains(line, `"msg":"audit"`) || json.Unmarshal([]byte(line), &e, json.MatchCaseInsensitiveNames(true)) != nil {
			continue
		}
		if e.Time == "" || e.ID == "" || e.TookMs == nil || !strings.HasPrefix(e.Remote, "127.") {
			t.Errorf("incomplete: %s", line)
		}
		got = append(got, fmt.Sprintf("%s/%s %s %s %s %d %s", e.Principal, e.Role, e.Method, e.Route, e.Target, e.Status, e.Outcome))
	}
	want := []string{
		"writer/readwrite PUT /entities/:key /entities/books:dune 201 ok",
		"writer/readwrite PATCH /entities/:key /entities/books:ubik 404 failed",
		"key-1/readonly DELETE /entities/:key /entities/books:dune 403 denied",
		"/nobody GET /tables /tables 401 denied",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if strings.Contains(said, "secret text") {
		t.Error("a body is in the log")
	}
	s.searchForKeys()
}
