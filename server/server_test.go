package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp's clock of the Date header and its cleaning of idle workers
		// live as long as the process, or up to a period longer than the server.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// routes adapts a list to Routes.
type routes []rest.Route

func (r routes) Routes() []rest.Route { return r }

// add lists one more route; POSTs are for writers.
func (r *routes) add(method, path string, role auth.Role, handle fiber.Handler, body ...openapi.Media) {
	*r = append(*r, rest.Route{Operation: openapi.Operation{Method: method, Path: path, Role: role, Body: body}, Handle: handle})
}

// live is a running server with the routes that the tests need.
type live struct {
	*Server
	addr   string
	scheme string
	log    *bytes.Buffer
	client *http.Client
	mu     sync.Mutex
	seen   []string
	// release lets /wait answer.
	release chan struct{}
}

func (l *live) Observe(method, route string, status int, _ time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, fmt.Sprintf("%s %s %d", method, route, status))
}

func (l *live) observed() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.seen...)
}

// lockedWriter makes a buffer safe for a logger's reader.
type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}

func (l *live) logged() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

func start(t *testing.T, o Options, more ...Routes) *live {
	t.Helper()
	l := &live{scheme: "http", log: &bytes.Buffer{}, release: make(chan struct{}), client: &http.Client{Transport: &http.Transport{}}}
	o.Observer = l
	o.Logger = slog.New(slog.NewTextHandler(lockedWriter{&l.mu, l.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.StreamRoutes, o.UploadRoutes = []string{"POST /stream"}, []string{"POST /upload"}
	var operations routes
	operations.add("GET", "/readyz", auth.Public, func(c fiber.Ctx) error {
		if l.Draining() {
			return errs.New(errs.Unavailable, "draining", "Draining.")
		}
		return c.SendString("ready")
	})
	l.Server = New(o, operations, append(more, l.work())...)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- l.Serve(ln) }()
	t.Cleanup(func() {
		l.client.CloseIdleConnections()
		if !l.Draining() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := l.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l
}

func (l *live) work() routes {
	var r routes
	r.add("GET", "/things/{name}", auth.ReadOnly, func(c fiber.Ctx) error { return c.SendString(c.Params("name")) })
	r.add("POST", "/size", auth.ReadWrite, func(c fiber.Ctx) error { return c.SendString(fmt.Sprint(len(c.Body()))) })
	r.add("GET", "/panic", auth.ReadOnly, func(fiber.Ctx) error { panic("secret text") })
	r.add("GET", "/fails", auth.ReadOnly, func(fiber.Ctx) error { return fmt.Errorf("secret cause") })
	r.add("GET", "/sleep", auth.ReadOnly, func(c fiber.Ctx) error {
		<-c.Context().Done()
		return fmt.Errorf("scan: %w", c.Context().Err())
	})
	r.add("POST", "/wait", auth.ReadWrite, func(c fiber.Ctx) error {
		select {
		case <-l.release:
			return c.SendString("done")
		case <-request.Lifetime(c).Done():
			return context.Canceled
		}
	})
	count := func(c fiber.Ctx) error {
		lines, scanner := 0, bufio.NewScanner(request.Body(c))
		for scanner.Scan() {
			lines++
		}
		if err := scanner.Err(); err != nil {
			return err
		}
		if _, ok := c.Context().Deadline(); ok {
			return fmt.Errorf("a stream has a deadline")
		}
		return c.SendString(fmt.Sprint(lines))
	}
	r.add("POST", "/stream", auth.ReadWrite, count)
	r.add("POST", "/upload", auth.ReadWrite, count)
	r.add("GET", "/big", auth.ReadOnly, func(c fiber.Ctx) error { return c.Send(make([]byte, 8<<20)) })
	r.add("DELETE", "/admin", auth.Admin, func(c fiber.Ctx) error { return c.SendString("gone") })
	r.add("GET", "/blurts/{word}", auth.ReadOnly, func(c fiber.Ctx) error { panic("no " + c.Params("word")) })
	r.add("GET", "/quotes/{word}", auth.ReadOnly, func(c fiber.Ctx) error {
		return errs.New(errs.NotFound, "word_not_found", "There is no %q.", c.Params("word"))
	})
	r.add("GET", "/nobody", 0, func(c fiber.Ctx) error { return c.SendString("in") })
	return r
}

// do sends a request and returns the status, the header and the body, checking
// what every answer must have.
func (l *live) do(t *testing.T, method, path string, body io.Reader, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(method, l.scheme+"://"+l.addr+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := l.client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return check(t, res)
}

func check(t *testing.T, res *http.Response) (int, http.Header, string) {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	id := res.Header.Get("X-Request-ID")
	if id == "" {
		t.Errorf("%d without X-Request-ID", res.StatusCode)
	}
	if res.StatusCode >= 400 && res.Request.Method != "HEAD" {
		var p problem.Problem
		if err := json.Unmarshal(body, &p); err != nil || p.Status != res.StatusCode || p.RequestID != id || p.Code == "" {
			t.Errorf("%d is no problem document: %s", res.StatusCode, body)
		}
		if res.Header.Get("Content-Type") != problem.ContentType {
			t.Errorf("%d has type %s", res.StatusCode, res.Header.Get("Content-Type"))
		}
	}
	return res.StatusCode, res.Header, string(body)
}

// raw opens a connection and writes the lines given, \n as CRLF.
func (l *live) raw(t *testing.T, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	return c
}

// answer reads one response from a raw connection.
func answer(t *testing.T, c net.Conn) (int, string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "POST"})
	if err != nil {
		t.Fatal(err)
	}
	status, _, body := check(t, res)
	return status, body
}

// eventually waits for a condition.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it didn't happen within 30 s")
		}
	}
}

func TestAnswers(t *testing.T) {
	l := start(t, Options{})
	tests := []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/things/Ab%2Fc", 200, "Ab%2Fc"},
		{"HEAD", "/things/a", 200, ""},
		{"GET", "/things/a/", 404, "route_not_found"},
		{"GET", "/THINGS/a", 404, "route_not_found"},
		{"GET", "/", 404, "route_not_found"},
		{"DELETE", "/things/a", 405, "method_not_allowed"},
		{"BREW", "/things/a", 405, "method_not_allowed"},
		{"GET", "/readyz", 200, "ready"},
		{"POST", "/readyz", 405, "method_not_allowed"},
		{"GET", "/panic", 500, `"code":"internal"`},
		{"GET", "/fails", 500, `"code":"internal"`},
	}
	for _, test := range tests {
		status, header, body := l.do(t, test.method, test.path, nil)
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s %s = %d %s, want %d %s", test.method, test.path, status, body, test.status, test.want)
		}
		if strings.Contains(body, "secret") || strings.Contains(body, "goroutine") {
			t.Errorf("%s tells the cause: %s", test.path, body)
		}
		if status == 405 && header.Get("Allow") == "" {
			t.Errorf("%s %s: 405 without Allow", test.method, test.path)
		}
	}
	log := l.logged()
	for _, want := range []string{"panic: secret text", "secret cause", "level=ERROR", `route=/things/:name status=200`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	seen := strings.Join(l.observed(), "\n")
	for _, want := range []string{"GET /things/:name 200", "GET other 404", "other malformed 405", "GET /panic 500"} {
		if !strings.Contains(seen, want) {
			t.Errorf("the observer wasn't told of %q:\n%s", want, seen)
		}
	}
}

func TestRequestID(t *testing.T) {
	l := start(t, Options{})
	if _, header, _ := l.do(t, "GET", "/readyz", nil, "X-Request-ID", "mine-1"); header.Get("X-Request-ID") != "mine-1" {
		t.Errorf("got %q", header.Get("X-Request-ID"))
	}
	for _, given := range []string{"", "a b", "ä", strings.Repeat("x", 129)} {
		_, header, _ := l.do(t, "GET", "/readyz", nil, "X-Request-ID", given)
		if got := header.Get("X-Request-ID"); len(got) != 16 {
			t.Errorf("given %q, got %q", given, got)
		}
	}
}

// chunked hides a reader's length, so that the client sends chunks.
type chunked struct{ io.Reader }

func TestBodyLimit(t *testing.T) {
	const limit = 1 << 20
	l := start(t, Options{MaxRequestBytes: limit})
	tests := []struct {
		size, status int
	}{{0, 200}, {1, 200}, {8 << 10, 200}, {8<<10 + 1, 200}, {limit, 200}, {limit + 1, 413}, {32 << 20, 413}}
	for _, test := range tests {
		for _, framing := range []string{"length", "chunks"} {
			var body io.Reader = bytes.NewReader(make([]byte, test.size))
			if framing == "chunks" {
				body = chunked{body}
			}
			status, _, got := l.do(t, "POST", "/size", body)
			if status != test.status || status == 200 && got != fmt.Sprint(test.size) {
				t.Errorf("%d bytes in %s: %d %s, want %d", test.size, framing, status, got, test.status)
			}
		}
	}
	if held := l.bodyBytes.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
	// An unread body on a route that reads none isn't taken for a request.
	c := l.raw(t, "GET /readyz HTTP/1.1\nHost: x\nContent-Length: 40\n\nGET /panic HTTP/1.1\nHost: x\n\nxxxxxxxxxx\n")
	if status, _ := answer(t, c); status != 200 {
		t.Errorf("a GET with a body: %d", status)
	}
	if rest, _ := io.ReadAll(c); len(rest) != 0 {
		t.Errorf("a second answer: %s", rest)
	}
	if strings.Contains(l.logged(), "/panic") {
		t.Error("the body was taken for a request")
	}
}

func TestKeepAliveAndPipelining(t *testing.T) {
	l := start(t, Options{})
	c := l.raw(t, "POST /size HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc"+
		"POST /nowhere HTTP/1.1\nHost: x\nContent-Length: 2\n\nab"+
		"GET /things/z HTTP/1.1\nHost: x\n\n"+
		"POST /size HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n4\nabcd\n0\n\n") // ends the connection
	reader := bufio.NewReader(c)
	for _, want := range []string{"3", "route_not_found", "z", "4"} {
		res, err := http.ReadResponse(reader, &http.Request{Method: "POST"})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, body := check(t, res); !strings.Contains(body, want) {
			t.Errorf("got %s, want %s", body, want)
		}
	}
}

func TestMalformed(t *testing.T) {
	l := start(t, Options{})
	tests := []struct {
		name, text string
		status     int
		code       string
	}{
		{"no http", "hello\n\n", 400, "malformed_request"},
		{"huge header", "GET / HTTP/1.1\nHost: x\nA: " + strings.Repeat("a", 20<<10) + "\n\n", 431, "header_too_large"},
		{"bad chunk", "POST /size HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\nzz\nabc\n", 400, "malformed_body"},
		{"bad chunk end", "POST /size HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n2\nabcd\n0\n\n", 400, "malformed_body"},
		{"bad stream", "POST /stream HTTP/1.1\nHost: x\nContent-Type: application/x-ndjson\nTransfer-Encoding: chunked\n\nzz\nabc\n", 400, "malformed_body"},
	}
	for _, test := range tests {
		if status, body := answer(t, l.raw(t, test.text)); status != test.status || !strings.Contains(body, test.code) {
			t.Errorf("%s: %d %s, want %d %s", test.name, status, body, test.status, test.code)
		}
	}
	truncated := []string{
		"POST /size HTTP/1.1\nHost: x\nContent-Length: 100\n\nabc",
		"POST /size HTTP/1.1\nHost: x\nContent-Length: 20000\n\n" + strings.Repeat("x", 9000),
		"POST /size HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n5\nab",
		"POST /stream HTTP/1.1\nHost: x\nContent-Type: application/x-ndjson\nContent-Length: 20000\n\n" + strings.Repeat("x", 9000),
		"POST /stream HTTP/1.1\nHost: x\nContent-Type: application/x-ndjson\nTransfer-Encoding: chunked\n\n5\nab",
	}
	for _, text := range truncated {
		c := l.raw(t, text)
		c.(*net.TCPConn).CloseWrite()
		if status, body := answer(t, c); status != 400 || !strings.Contains(body, "body_truncated") {
			t.Errorf("%.30q cut short: %d %s", text, status, body)
		}
	}
}

func TestTimeoutStopsTheWork(t *testing.T) {
	l := start(t, Options{RequestTimeout: 50 * time.Millisecond})
	begin := time.Now()
	status, _, body := l.do(t, "GET", "/sleep", nil)
	if status != 504 || !strings.Contains(body, "longer than 50ms") {
		t.Errorf("got %d %s", status, body)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestOverload(t *testing.T) {
	l := start(t, Options{MaxInFlight: 2})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if status, _, _ := l.do(t, "POST", "/wait", nil); status != 200 {
				t.Errorf("waiting: %d", status)
			}
		})
	}
	eventually(t, func() bool { return len(l.slots) >= 2 })
	status, header, body := l.do(t, "GET", "/things/a", nil)
	if status != 503 || header.Get("Retry-After") == "" || !strings.Contains(body, "overloaded") {
		t.Errorf("got %d %s, Retry-After %q", status, body, header.Get("Retry-After"))
	}
	if status, _, _ := l.do(t, "GET", "/readyz", nil); status != 200 {
		t.Errorf("/readyz under load: %d", status)
	}
	close(l.release)
	wg.Wait()
	if status, _, _ = l.do(t, "GET", "/things/a", nil); status != 200 {
		t.Errorf("after the load: %d", status)
	}
}

func TestBodyMemoryIsBounded(t *testing.T) {
	l := start(t, Options{MaxBufferedBytes: 1 << 20})
	var wg sync.WaitGroup
	wg.Go(func() { l.do(t, "POST", "/wait", bytes.NewReader(make([]byte, 1<<20))) })
	eventually(t, func() bool { return l.bodyBytes.Load() >= 1<<20-freeBodyBytes })
	if status, _, body := l.do(t, "POST", "/size", bytes.NewReader(make([]byte, 1<<20))); status != 503 || !strings.Contains(body, "overloaded") {
		t.Errorf("a second big body: %d %s", status, body)
	}
	if status, _, _ := l.do(t, "POST", "/size", bytes.NewReader(make([]byte, freeBodyBytes))); status != 200 {
		t.Errorf("a small body: %d", status)
	}
	close(l.release)
	wg.Wait()
	if held := l.bodyBytes.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}

// TestStream sends more than the limits of ordinary requests allow, in size and
// in time.
func TestStream(t *testing.T) {
	l := start(t, Options{MaxRequestBytes: 1 << 10, RequestTimeout: 20 * time.Millisecond, MaxBufferedBytes: 1 << 10, BodyTimeout: 20 * time.Millisecond})
	for _, framing := range []string{"length", "chunks"} {
		line := strings.Repeat("x", 1<<10) + "\n"
		var body io.Reader = strings.NewReader(strings.Repeat(line, 2000))
		if framing == "chunks" {
			body = &slowReader{chunked{body}, 10, 10 * time.Millisecond}
		}
		status, _, got := l.do(t, "POST", "/stream", body, "Content-Type", "application/x-ndjson; charset=utf-8")
		if status != 200 || got != "2000" {
			t.Errorf("%s: %d %s", framing, status, got)
		}
	}
	if status, _, _ := l.do(t, "POST", "/stream", bytes.NewReader(make([]byte, 4<<10)), "Content-Type", "application/json"); status != 413 {
		t.Errorf("not NDJSON: %d", status)
	}
	if status, _, _ := l.do(t, "POST", "/size", bytes.NewReader(make([]byte, 4<<10)), "Content-Type", "application/x-ndjson"); status != 413 {
		t.Errorf("another route: %d", status)
	}
	upload := strings.Repeat("x\n", 4<<10)
	if status, _, got := l.do(t, "POST", "/upload", strings.NewReader(upload), "Content-Type", "multipart/form-data; boundary=x"); status != 200 || got != "4096" {
		t.Errorf("an upload: %d %s", status, got)
	}
	for path, media := range map[string]string{"/upload": "application/x-ndjson", "/stream": "multipart/form-data; boundary=x"} {
		if status, _, _ := l.do(t, "POST", path, strings.NewReader(upload), "Content-Type", media); status != 413 {
			t.Errorf("%s to %s: %d", media, path, status)
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	l := start(t, Options{MaxStreams: 1})
	c := l.raw(t, "POST /stream HTTP/1.1\nHost: x\nContent-Type: application/x-ndjson\nTransfer-Encoding: chunked\n\n3\na\n\n")
	eventually(t, func() bool { return len(l.Server.streams) >= 1 })
	if status, _, _ := l.do(t, "POST", "/stream", strings.NewReader("a\n"), "Content-Type", "application/x-ndjson"); status != 503 {
		t.Errorf("a second stream: %d", status)
	}
	if status, _, _ := l.do(t, "GET", "/things/a", nil); status != 200 {
		t.Errorf("beside a stream: %d", status)
	}
	io.WriteString(c, "0\r\n\r\n")
	if status, body := answer(t, c); status != 200 {
		t.Errorf("the first stream: %d %s", status, body)
	}
}

// slowReader pauses in each of its first reads.
type slowReader struct {
	io.Reader
	pauses int
	pause  time.Duration
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.pauses > 0 {
		r.pauses--
		time.Sleep(r.pause)
	}
	return r.Reader.Read(p)
}

// TestSlowClients holds that a client that stops sending or reading loses its
// connection, and that the server works on meanwhile with few slots.
func TestSlowClients(t *testing.T) {
	const patience = 150 * time.Millisecond
	l := start(t, Options{MaxInFlight: 1, HeaderTimeout: patience, BodyTimeout: patience, StallTimeout: patience, IdleTimeout: patience})
	slow := map[string]net.Conn{
		"header": l.raw(t, "GET /things/a HTTP/1.1\nHost: x"),
		"body":   l.raw(t, "POST /size HTTP/1.1\nHost: x\nContent-Length: 100\n\nabc"),
		"long":   l.raw(t, "POST /size HTTP/1.1\nHost: x\nContent-Length: 100000\n\n"+strings.Repeat("x", 10000)),
		"chunks": l.raw(t, "POST /size HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n5\nab"),
		"stream": l.raw(t, "POST /stream HTTP/1.1\nHost: x\nContent-Type: application/x-ndjson\nTransfer-Encoding: chunked\n\n5\nab"),
	}
	reader := l.raw(t, "GET /big HTTP/1.1\nHost: x\n\n") // and reads nothing
	eventually(t, func() bool { return slices.Contains(l.observed(), "GET /big 200") })
	if status, _, _ := l.do(t, "GET", "/things/a", nil); status != 200 {
		t.Errorf("beside slow clients: %d", status)
	}
	for name, c := range slow {
		if status, body := answer(t, c); status != 408 {
			t.Errorf("%s: %d %s, want 408", name, status, body)
		}
	}
	idle := l.raw(t, "GET /things/a HTTP/1.1\nHost: x\n\n")
	answer(t, idle)
	if n, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("an idle connection: %d, %v, want EOF", n, err)
	}
	time.Sleep(2 * patience)
	if n, err := io.Copy(io.Discard, reader); n >= 8<<20 && err == nil {
		t.Error("a client that read nothing got the whole answer")
	}
}

func TestDrain(t *testing.T) {
	l := start(t, Options{DrainDelay: time.Second}) // also a busy machine asks for /readyz within
	answered := make(chan int)
	go func() {
		status, _, _ := l.do(t, "POST", "/wait", nil)
		answered <- status
	}()
	eventually(t, func() bool { return len(l.slots) >= 1 })
	drained := make(chan error)
	go func() { drained <- l.Shutdown(context.Background()) }()
	eventually(t, l.Draining)
	if status, _, _ := l.do(t, "GET", "/readyz", nil); status != 503 {
		t.Errorf("/readyz while draining: %d", status)
	}
	eventually(t, func() bool {
		c, err := net.Dial("tcp", l.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case err := <-drained:
		t.Fatalf("Shutdown returned %v before the request was done", err)
	default:
	}
	close(l.release)
	if status := <-answered; status != 200 {
		t.Errorf("the request under way: %d", status)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestDrainThatRunsOut(t *testing.T) {
	l := start(t, Options{})
	answered := make(chan string)
	go func() {
		status, _, body := l.do(t, "GET", "/sleep", nil)
		answered <- fmt.Sprint(status, body)
	}()
	eventually(t, func() bool { return len(l.slots) >= 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := l.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if got := <-answered; !strings.HasPrefix(got, "503") || !strings.Contains(got, "shutting_down") {
		t.Errorf("the request under way: %s", got)
	}
}

// TestDrainWithStalledClients holds that clients that send nothing more, or never
// did, don't hold up the shutdown.
func TestDrainWithStalledClients(t *testing.T) {
	l := start(t, Options{})
	l.raw(t, "")
	streamed := l.raw(t, "POST /stream HTTP/1.1\nHost: x\nContent-Type: application/x-ndjson\nTransfer-Encoding: chunked\n\n5\nab")
	bodied := l.raw(t, "POST /size HTTP/1.1\nHost: x\nContent-Length: 20000\n\n"+strings.Repeat("x", 9000))
	eventually(t, func() bool { return len(l.Server.streams) == 1 && l.active.Load() == 2 })
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := l.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > abortGrace {
		t.Errorf("the shutdown took %v", took)
	}
	for name, c := range map[string]net.Conn{"streamed": streamed, "bodied": bodied} {
		if status, body := answer(t, c); status != 503 || !strings.Contains(body, "shutting_down") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestSilentConnectionsEndAtOnce(t *testing.T) {
	l := start(t, Options{HeaderTimeout: time.Minute})
	silent := l.raw(t, "")
	eventually(t, func() bool {
		own := l.listener.Load()
		if own == nil { // Serve has yet to begin
			return false
		}
		own.mu.Lock()
		defer own.mu.Unlock()
		return len(own.mu.open) == 1
	})
	begin := time.Now()
	if err := l.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the shutdown took %v", took)
	}
	if _, err := io.ReadAll(silent); err != nil {
		t.Error(err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	l := start(t, Options{MaxConnections: 1})
	first := l.raw(t, "GET /things/a HTTP/1.1\nHost: x\n\n")
	if status, _ := answer(t, first); status != 200 {
		t.Errorf("the first connection: %d", status)
	}
	if status, body := answer(t, l.raw(t, "")); status != 503 || !strings.Contains(body, "overloaded") {
		t.Errorf("the second connection: %d %s", status, body)
	}
	first.Close()
	eventually(t, func() bool {
		status, _ := answer(t, l.raw(t, "GET /things/a HTTP/1.1\nHost: x\nConnection: close\n\n"))
		return status == 200
	})
}

// failingListener has errors to give before connections.
type failingListener struct {
	net.Listener
	errs []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	a, b := net.Pipe()
	b.Close()
	return a, nil
}

func TestAcceptOutlastsALack(t *testing.T) {
	lack := &net.OpError{Op: "accept", Err: syscall.EMFILE}
	l := newListener(&failingListener{errs: []error{lack, lack}}, 1, time.Second)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	l = newListener(&failingListener{errs: []error{net.ErrClosed}}, 1, time.Second)
	if _, err := l.Accept(); err == nil {
		t.Error("a closed listener goes on")
	}
}
