package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vccdb/vccdb/internal/dataset"
)

// serve starts a server with the given handlers and returns a client for it.
func serve(t *testing.T, handlers map[string]http.HandlerFunc) *client {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, handler := range handlers {
		mux.HandleFunc(pattern, handler)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return newClient(s.URL+"/", "secret", 1)
}

func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestCallErrors(t *testing.T) {
	c := serve(t, map[string]http.HandlerFunc{
		"GET /problem": text(404, `{"status":404,"code":"table_not_found","detail":"no such table","errors":[{"pointer":"/table","detail":"unknown"}]}`),
		"GET /plain":   text(502, "bad gateway"),
		"GET /odd":     text(200, "[]"),
	})
	_, err := call[tableInfo](t.Context(), c, "GET", "/problem", nil)
	var e *apiError
	if !errors.As(err, &e) || e.Code != "table_not_found" || err.Error() != "GET /problem: 404 table_not_found: no such table; /table: unknown" {
		t.Errorf("got %v", err)
	}
	if unless(err, "table_not_found") != nil || unless(err, "index_exists") == nil || unless(nil, "x") != nil {
		t.Error("unless lets the wrong errors pass")
	}
	if _, err = call[tableInfo](t.Context(), c, "GET", "/plain", nil); !errors.As(err, &e) || e.Status != 502 || !strings.Contains(e.Detail, "bad gateway") {
		t.Errorf("got %v", err)
	}
	if _, err = call[tableInfo](t.Context(), c, "GET", "/odd", nil); err == nil || errors.As(err, &e) && e.Status == 200 {
		t.Errorf("got %v", err)
	}
}

// batches collects what a load sends.
type batches struct {
	mu       sync.Mutex
	requests int
	lines    []string
}

func (b *batches) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	n := 0
	for scanner := bufio.NewScanner(r.Body); scanner.Scan(); n++ {
		b.lines = append(b.lines, scanner.Text())
	}
	if r.Header.Get("Content-Type") != "application/x-ndjson" || r.Header.Get("Authorization") != "Bearer secret" {
		n = 0
	}
	fmt.Fprintf(w, `{"lines":%d,"accepted":%d,"failed":0,"errors":[]}`, n, n)
}

func TestLoad(t *testing.T) {
	var got batches
	c := serve(t, map[string]http.HandlerFunc{"POST /entities/batch": got.ServeHTTP})
	const n = 2*linesPerRequest + 1
	var steps []int
	err := c.load(t.Context(), n,
		func(dst []byte, i int) []byte { return fmt.Appendf(dst, "%d", i) },
		func(done int) error { steps = append(steps, done); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if got.requests != 3 || !slices.Equal(steps, []int{linesPerRequest, 2 * linesPerRequest, n}) {
		t.Errorf("%d requests, progress %v", got.requests, steps)
	}
	if len(got.lines) != n || got.lines[0] != "0" || got.lines[n-1] != fmt.Sprint(n-1) {
		t.Errorf("%d lines, from %q to %q", len(got.lines), got.lines[0], got.lines[len(got.lines)-1])
	}
}

func TestLoadFails(t *testing.T) {
	for want, answer := range map[string]http.HandlerFunc{
		"words:x: zero_vector: no direction": text(200, `{"accepted":0,"failed":1,"errors":[{"line":1,"key":"words:x","code":"zero_vector","detail":"no direction"}]}`),
		"accepted 0 of 9999":                 text(200, `{"accepted":0,"failed":0,"errors":[]}`),
		"503 storage_failed":                 text(503, `{"code":"storage_failed","detail":"gone"}`),
		"isn't as expected":                  text(200, `nonsense`),
	} {
		c := serve(t, map[string]http.HandlerFunc{"POST /entities/batch": answer})
		long := strings.Repeat("x", 1000) // more than the connection's buffers hold
		err := c.loadPart(t.Context(), 0, 9999, func(dst []byte, _ int) []byte { return append(dst, long...) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestEntitiesAreJSON(t *testing.T) {
	type operation struct {
		Op, Key string
		Entity  struct {
			Word        string
			Length      int
			FirstLetter string `json:"first_letter"`
			Rank        int
			Embedding   []float32
			Group       int
			Weight      float64
			Name        string
		}
	}
	read := func(line []byte) (o operation) {
		t.Helper()
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return o
	}
	vector := []float32{0.1, -1e-20, 3, 16777216}
	o := read(appendWord(nil, dataset.Word{Text: "quay", Rank: 7, Vector: vector}))
	if e := o.Entity; o.Op != "put" || o.Key != "words:quay" || e.Word != "quay" || e.Length != 4 || e.FirstLetter != "q" || e.Rank != 7 || !slices.Equal(e.Embedding, vector) {
		t.Errorf("got %+v", o)
	}
	s := soak{base: dataset.Matrix{Dim: 4, Data: append(make([]float32, 4*103), vector...)}}
	o = read(s.line(nil, 103))
	if e := o.Entity; o.Key != "themis_soak:103" || e.Group != 3 || e.Weight != 25.75 || e.Name != "entity 103" || !slices.Equal(e.Embedding, vector) {
		t.Errorf("got %+v", o)
	}
}

func TestConnect(t *testing.T) {
	ready := map[string]http.HandlerFunc{"GET /health": text(200, `{"version":"1.0.0"}`), "GET /readyz": text(200, `{}`)}
	f := serverFlags{url: serve(t, ready).base}
	if _, started, err := f.connect(t.Context(), 1); err != nil || started != nil {
		t.Errorf("a running server: %v, %v", started, err)
	}
	f.url = serve(t, map[string]http.HandlerFunc{"GET /": text(200, "<html>")}).base
	if _, _, err := f.connect(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "something other than Themis") {
		t.Errorf("another program: %v", err)
	}
	f.url = closedServer(t)
	if _, _, err := f.connect(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "no server answers") {
		t.Errorf("nobody: %v", err)
	}
}

// closedServer is a URL at which nobody listens.
func closedServer(t *testing.T) string {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	return s.URL
}

// TestServerThatEnds holds that a server which doesn't come up is reported at
// once, with its last words.
func TestServerThatEnds(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "server")
	script := "#!/bin/sh\necho \"path $THEMIS_STORAGE_PATH port $THEMIS_SERVER_PORT $EXTRA\" >&2\nexit 3\n"
	if err := os.WriteFile(binary, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	f := serverFlags{url: closedServer(t), start: binary, dir: dir, port: 1234}
	begin := time.Now()
	_, _, err := f.connect(t.Context(), 1, "EXTRA=more")
	want := "path " + dir + "/rocksdb port 1234 more"
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}
