package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/api/openapi"
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
	// tokens are those of the sessions.
	tokens []string
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

func startSecured(t *testing.T, set ...string) *secured {
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
	live, err := config.Open(config.Source{Set: append([]string{
		"storage.rocksdb_path=" + filepath.Join(t.TempDir(), "data"), "storage.block_cache_size_mb=16", "storage.memtable_size_mb=16",
		"storage.durability=none", "server.enable_auth=true", "server.api_keys=" + string(text),
	}, set...)})
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
	worker := supervisor.New(workerOptions(&live.Config().GPU, "", devices, logger))
	copies := schedule.New(schedule.Options{Database: db})
	traffic := &history.Traffic{}
	past := history.New(history.Options{Database: db, Traffic: traffic.Counts, GPU: devices})
	entries, audited := logging.NewEntries(), logging.NewEntries()
	audit := logging.Keep(slog.New(slog.NewJSONHandler(keep{s, &s.logged}, nil)), audited)
	s.app, err = newApp(&parts{live, db, devices, worker, copies, traffic, past, logging.Keep(logger, entries), entries, &auditLog{audit, audited, nil}})
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
		past.Close()
		if err := errors.Join(db.Close(), worker.Close()); err != nil {
			t.Error(err)
		}
		devices.Close()
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
	for _, token := range s.tokens { // it is answered once, as a cookie
		if strings.Contains(s.logged.String(), token) || strings.Count(s.answered.String(), token) != 1 {
			s.t.Errorf("a session's token was written")
		}
	}
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

// signIn returns the cookie line of a session begun with the key.
func (s *secured) signIn(key string) string {
	s.t.Helper()
	conn := s.dial()
	defer conn.Close()
	form := url.Values{"key": {key}}.Encode()
	fmt.Fprintf(conn, "POST /console/sign-in HTTP/1.1\r\nHost: themis.example\r\nConnection: close\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(form), form)
	res, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, keep{s, &s.answered})), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	cookies := res.Cookies()
	if res.StatusCode != http.StatusSeeOther || len(cookies) != 1 {
		s.t.Fatalf("sign-in: %d %v", res.StatusCode, cookies)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = append(s.tokens, cookies[0].Value)
	return "Cookie: " + cookies[0].Name + "=" + cookies[0].Value
}

// isPage reports whether a route belongs to the console.
func isPage(op openapi.Operation) bool { return strings.HasPrefix(op.Path, page.Prefix) }

// TestRoleMatrix asks every route of the server with every kind of caller, with a
// key and with a session's cookie.
func TestRoleMatrix(t *testing.T) {
	s := startSecured(t)
	callers := []struct {
		name, key string
		role      auth.Role
	}{
		{"none", "", 0}, {"wrong", auth.NewKey(), 0}, {"revoked", s.revoked, 0},
		{"readonly", s.readonly, auth.ReadOnly}, {"readwrite", s.readwrite, auth.ReadWrite}, {"admin", s.admin, auth.Admin},
	}
	sessions := map[auth.Role]string{}
	for _, caller := range callers {
		if caller.role > 0 {
			sessions[caller.role] = s.signIn(caller.key)
		}
	}
	operations := s.app.Operations()
	if len(operations) < 43 || !slices.ContainsFunc(operations, isPage) {
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
			ways := map[string]auth.Role{"": 0}
			if caller.key != "" {
				ways = map[string]auth.Role{"Authorization: Bearer " + caller.key: caller.role}
			}
			if caller.role > 0 {
				cookie := sessions[caller.role]
				if op.Path == "/console/sign-out" {
					cookie = s.signIn(caller.key)
				}
				ways[cookie] = 0 // for the REST API it is nothing
				if isPage(op) {
					ways[cookie] = caller.role
				}
			}
			for line, role := range ways {
				for _, method := range methods {
					s.expect(op, method, caller.name, line, role)
				}
			}
		}
	}
	s.searchForKeys()
}

// expect asks a route with a header line and fails unless it answers as the role
// deserves.
func (s *secured) expect(op openapi.Operation, method, caller, line string, role auth.Role) {
	s.t.Helper()
	var lines []string
	if line != "" {
		lines = append(lines, line)
	}
	replies := s.raw(request(method, path(op.Path), bodyFor(op.Method), lines...), method)
	if len(replies) != 1 {
		s.t.Fatalf("%s %s: no answer", method, op.Path)
	}
	status := replies[0].status
	want := 0 // anything else
	switch {
	case op.Role == auth.Public:
	case role == 0:
		want = 401
	case role < op.Role:
		want = 403
	}
	refused := status == 401 || status == 403 || status == 429
	if op.Role == auth.Public && isPage(op) && op.Method == "POST" {
		refused = status == 403 || status == 429 // signing in without a key is refused, too
	}
	if want != 0 && status != want || want == 0 && refused {
		kind, _, _ := strings.Cut(line, ":")
		s.t.Errorf("%s %s as %s by %q: %d, want %d: %.300s", method, op.Path, caller, kind, status, want, replies[0].body)
	}
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
	s.strangersInTheConsole()
	conn := s.dial()
	defer conn.Close()
	io.WriteString(conn, request("OPTIONS", "/entities", ""))
	head, err := io.ReadAll(conn)
	if err != nil || strings.Contains(string(head), "Allow:") || !strings.Contains(string(head), "Www-Authenticate: Bearer\r\n") {
		t.Errorf("OPTIONS: %s %v", head, err)
	}
}

// strangersInTheConsole compares the pages that are there with those that aren't.
func (s *secured) strangersInTheConsole() {
	s.t.Helper()
	varies := regexp.MustCompile(`nonce="[^"]*"|data-now="[^"]*"|name="next" value="[^"]*"|(href|src|action|data-root)="[./]*`)
	targets := []string{"/console/", "/console/none", "/console/.git/config", "/console//", "/console/tables/../none", "/console/none?x=y", "/console/sign-in/", "/console/assets/"}
	for _, op := range s.app.Operations() {
		if isPage(op) && op.Role > auth.Public {
			targets = append(targets, path(op.Path))
		}
	}
	bodies := map[string]bool{}
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		for _, target := range targets {
			got := s.raw(request(method, target, ""), method)
			if len(got) != 1 || got[0].status != 401 || got[0].code != "sign_in_required" {
				s.t.Errorf("%s %s: %.300v", method, target, got)
				continue
			}
			bodies[varies.ReplaceAllString(got[0].body, "")] = true
		}
	}
	if len(bodies) != 1 || len(targets) < 10 {
		s.t.Errorf("%d different answers to %d targets: %.3000v", len(bodies), len(targets), bodies)
	}
}

// TestSignOutEndsStreams holds that what is shown live ends with the session.
func TestSignOutEndsStreams(t *testing.T) {
	s := startSecured(t)
	cookie := s.signIn(s.readonly)
	conn := s.dial()
	defer conn.Close()
	io.WriteString(conn, request("GET", "/console/overview/stream", "", cookie))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(res, err)
	}
	if replies := s.raw(request("POST", "/console/sign-out", "", cookie), "POST"); len(replies) != 1 || replies[0].status != 303 {
		t.Fatal(replies)
	}
	if _, err := io.ReadAll(res.Body); err != nil { // or the connection's deadline passes
		t.Errorf("the stream goes on: %v", err)
	}
}

// TestSignOutEndsExports holds that an export of much more than fits into the
// connection isn't sent to its end, and says so.
func TestSignOutEndsExports(t *testing.T) {
	s := startSecured(t)
	document := `{"text": "` + strings.Repeat("x", 1<<20) + `"}`
	for i := range 24 {
		if status, body := s.call("PUT", fmt.Sprintf("/entities/books:%d", i), document, s.admin); status != 201 {
			t.Fatal(status, body)
		}
	}
	cookie := s.signIn(s.readonly)
	conn := s.dial()
	defer conn.Close()
	io.WriteString(conn, request("GET", "/console/tables/books/export", "", cookie))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	if replies := s.raw(request("POST", "/console/sign-out", "", cookie), "POST"); len(replies) != 1 || replies[0].status != 303 {
		t.Fatal(replies)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Contains(body[max(0, len(body)-200):], []byte(`{"export_broke_off":"`)) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// TestConsoleOff holds that without the console nothing of it is there.
func TestConsoleOff(t *testing.T) {
	s := startSecured(t, "console.enabled=false")
	if slices.ContainsFunc(s.app.Operations(), isPage) {
		t.Error("there are pages")
	}
	for _, target := range []string{"/console", "/console/", "/console/sign-in", "/console/assets/brand.svg"} {
		for _, key := range []string{"", s.admin} {
			want := `"code":"route_not_found"`
			if key == "" {
				want = `"code":"key_required"`
			}
			if status, body := s.call("GET", target, "", key); !strings.Contains(body, want) {
				t.Errorf("%s: %d %s", target, status, body)
			}
		}
	}
	s.searchForKeys()
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
