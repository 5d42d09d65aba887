package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/api"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/storage"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp's clock of the Date header and its cleaning of idle workers
		// live as long as the process, or up to a period longer than the server.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// maxBody is the body limit of the test server.
const maxBody = 1 << 20

// client talks to an API on a real engine over a real connection, and holds
// every answer against the OpenAPI document.
type client struct {
	t    *testing.T
	http *http.Client
	url  string
	spec *spec
	db   *engine.Engine
	// routes lists what is registered, in the form of the document.
	routes []string
}

// newClient starts a server on an engine of its own. The engine is checked when
// the test ends.
func newClient(t *testing.T, opts api.Options) *client {
	t.Helper()
	return newClientOf(t, engine.Options{}, opts, server.Options{})
}

// newClientOf is newClient with options of all layers.
func newClientOf(t *testing.T, data engine.Options, opts api.Options, serve server.Options) *client {
	t.Helper()
	ctx := context.Background()
	data.Storage = storage.Options{Path: t.TempDir(), CreateIfMissing: true, Durability: "none"}
	db, err := engine.Open(ctx, data)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	operations := ops.New(ops.Options{Database: db})
	opts.Operations = operations.Operations()
	work := api.New(db, opts)
	serve.MaxRequestBytes, serve.StreamRoutes = maxBody, []string{"POST /entities/batch"}
	srv := server.New(serve, operations, work)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	transport := &http.Transport{DisableCompression: true}
	c := &client{t: t, db: db, http: &http.Client{Transport: transport, Timeout: time.Minute}, url: "http://" + listener.Addr().String()}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		report, err := db.Check(ctx)
		if err != nil || report.Total > 0 {
			t.Errorf("Check: %+v, %v", report, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	c.spec = loadSpec(t, c)
	c.routes = routesOf(operations, work)
	return c
}

// routesOf lists what the packages serve, as "METHOD /path/{param}".
func routesOf(packages ...server.Routes) []string {
	var list []string
	for _, p := range packages {
		for _, r := range p.Routes() {
			list = append(list, r.Method+" "+r.Path)
		}
	}
	slices.Sort(list)
	return list
}

// reply is an answer whose body was read.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// do sends a request; headers are "Name: value". An answer that breaks the
// description is an error of the test.
func (c *client) do(method, path string, body io.Reader, headers ...string) *reply {
	c.t.Helper()
	r := c.send(method, path, body, headers...)
	c.spec.check(c.t, method, path, r)
	return r
}

func (c *client) send(method, path string, body io.Reader, headers ...string) *reply {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return &reply{c.t, res.StatusCode, res.Header, data}
}

// call is do with a body of text.
func (c *client) call(method, path, body string, headers ...string) *reply {
	c.t.Helper()
	if body == "" {
		return c.do(method, path, nil, headers...)
	}
	return c.do(method, path, strings.NewReader(body), headers...)
}

// must is call for a request that succeeds with the status.
func (c *client) must(status int, method, path, body string, headers ...string) *reply {
	c.t.Helper()
	r := c.call(method, path, body, headers...)
	if r.status != status {
		c.t.Fatalf("%s %s %s: %d, want %d: %s", method, path, body, r.status, status, r.body)
	}
	return r
}

// fails is call for a request that is refused with the status and code. The
// problem is returned for its pointers.
func (c *client) fails(status int, code, method, path, body string, headers ...string) problem.Problem {
	c.t.Helper()
	r := c.call(method, path, body, headers...)
	var p problem.Problem
	if err := json.Unmarshal(r.body, &p); err != nil {
		c.t.Fatalf("%s %s %s: %d, no problem: %s", method, path, body, r.status, r.body)
	}
	if r.status != status || p.Code != code {
		c.t.Fatalf("%s %s %s: %d %s, want %d %s: %s", method, path, body, r.status, p.Code, status, code, r.body)
	}
	return p
}

// value is the member of the answer at a JSON pointer, as JSON text; empty if
// there is none.
func (r *reply) value(pointer string) string {
	r.t.Helper()
	value := jsontext.Value(r.body)
	for token := range jsontext.Pointer(pointer).Tokens() {
		value = child(value, token)
		if value == nil {
			return ""
		}
	}
	return string(value)
}

func child(value jsontext.Value, name string) jsontext.Value {
	switch value.Kind() {
	case '{':
		var members map[string]jsontext.Value
		if json.Unmarshal(value, &members) == nil {
			return members[name]
		}
	case '[':
		var elements []jsontext.Value
		var i int
		if _, err := fmt.Sscan(name, &i); err == nil && json.Unmarshal(value, &elements) == nil && i < len(elements) {
			return elements[i]
		}
	}
	return nil
}

// want compares members of the answer: pointer, JSON text, pointer, ...
func (r *reply) want(pairs ...string) *reply {
	r.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := r.value(pairs[i]); got != pairs[i+1] {
			r.t.Errorf("%s is %s, want %s, in %s", pairs[i], got, pairs[i+1], r.body)
		}
	}
	return r
}

// raw sends a request target as it is, which package net/http wouldn't, and
// expects any answer but a 5xx.
func (c *client) raw(method, target string) {
	c.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", method, target)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		c.t.Errorf("%s %q: %v", method, target, err)
		return
	}
	defer res.Body.Close()
	if res.StatusCode >= 500 || res.StatusCode >= 400 && res.Header.Get("Content-Type") != problem.ContentType {
		c.t.Errorf("%s %q: %d %s", method, target, res.StatusCode, res.Header.Get("Content-Type"))
	}
	if res.Header.Get("X-Evil") != "" {
		c.t.Errorf("%s %q: a header of the client's making", method, target)
	}
}
