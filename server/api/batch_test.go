package api_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vccdb/vccdb/server/api"
)

func TestBatch(t *testing.T) {
	c := newClient(t, api.Options{})
	c.must(201, "PUT", "/entities/t:old", `{"a":1}`)
	r := c.must(200, "POST", "/entities/batch", `{"operations":[
		{"op":"put","key":"t:new","entity":{"a":1}},
		{"key":"t:old","entity":{"a":2}},
		{"op":"patch","key":"t:old","entity":{"b":3},"if_version":2},
		{"op":"delete","key":"t:none"},
		{"op":"put","key":"bad","entity":{}},
		{"op":"put","key":"t:x"},
		{"op":"upsert","key":"t:x","entity":{}},
		{"op":"put","key":"t:x","entity":[]},
		{"op":"put","key":"t:old","entity":{},"if_version":1},
		{"op":"delete","key":"t:new"},
		{"op":"delete","key":"t:old","entity":{}}]}`)
	r.want("/succeeded", "4", "/failed", "7",
		"/results/0/status", "201", "/results/0/created", "true", "/results/0/version", "1",
		"/results/1/status", "200", "/results/1/version", "2",
		"/results/2/version", "3",
		"/results/3/status", "404", "/results/3/error/code", `"entity_not_found"`,
		"/results/4/status", "400", "/results/4/error/code", `"invalid_key"`, "/results/4/error/errors/0/pointer", `"/key"`,
		"/results/5/error/code", `"missing_field"`,
		"/results/6/error/code", `"invalid_value"`,
		"/results/7/error/code", `"not_an_object"`, "/results/7/error/errors/0/pointer", `"/entity"`,
		"/results/8/status", "412", "/results/8/error/code", `"version_mismatch"`,
		"/results/9/deleted", "true", "/results/9/status", "200",
		"/results/10/error/code", `"invalid_value"`)
	c.must(200, "GET", "/entities/t:old", "").want("/entity", `{"a":2,"b":3}`)
	c.must(200, "POST", "/entities/batch", `{"operations":[]}`).want("/results", "[]", "/succeeded", "0")
}

func TestAtomicBatch(t *testing.T) {
	c := newClient(t, api.Options{})
	c.must(201, "PUT", "/entities/t:1", `{"a":1}`)
	for operation, want := range map[string]struct {
		status  int
		code    string
		pointer string
	}{
		`{"op":"put","key":"t:1","entity":{"a":3},"if_version":9}`: {412, "version_mismatch", ""},
		`{"op":"delete","key":"t:none"}`:                           {404, "entity_not_found", ""},
		`{"op":"put","key":"t:3","entity":{"a":1e999}}`:            {400, "number_out_of_range", "/operations/1/entity/a"},
		`{"op":"put","key":"bad","entity":{}}`:                     {400, "invalid_key", "/operations/1/key"},
	} {
		body := `{"atomic":true,"operations":[{"key":"t:2","entity":{"a":2}},` + operation + `]}`
		p := c.fails(want.status, want.code, "POST", "/entities/batch", body)
		if !strings.HasPrefix(p.Detail, "operation 1: ") {
			t.Errorf("%s: detail %q", operation, p.Detail)
		}
		if want.pointer != "" && (len(p.Errors) != 1 || p.Errors[0].Pointer != want.pointer) {
			t.Errorf("%s: %+v", operation, p.Errors)
		}
		c.fails(404, "entity_not_found", "GET", "/entities/t:2", "")
	}
	c.must(200, "POST", "/entities/batch", `{"atomic":true,"operations":[{"key":"t:2","entity":{"a":2}},{"op":"delete","key":"t:1"}]}`).want("/succeeded", "2")
	c.fails(404, "entity_not_found", "GET", "/entities/t:1", "")
}

const ndjson = "Content-Type: application/x-ndjson"

func TestImport(t *testing.T) {
	c := newClient(t, api.Options{MaxLineBytes: 100_000})
	c.must(201, "PUT", "/entities/t:old", `{"a":1}`)
	lines := []string{
		`{"key":"t:1","entity":{"a":1}}`,
		``,
		`{"op":"patch","key":"t:old","entity":{"b":2}}`,
		`not json`,
		`{"key":"t:2","entity":{"a":1}} trailing`,
		`{"key":"t:3","entity":{"a":NaN}}`,
		`{"key":"t:4","entity":{"a":"` + strings.Repeat("x", 200_000) + `"}}`,
		"  \t" + `{"key":"t:5","entity":{"long":"` + strings.Repeat("x", 90_000) + `"}}` + "\r",
		`{"key":"t:6","entity":{},"what":1}`,
		`{"op":"delete","key":"t:none"}`,
		`[1]`,
		"{\"key\":\"t:7\",\"entity\":{\"s\":\"\xff\"}}",
		`{"op":"delete","key":"t:1"}`,
		`{"key":"t:last","entity":{"a":1}}`, // no newline after it
	}
	r := c.must(200, "POST", "/entities/batch", strings.Join(lines, "\n"), ndjson)
	r.want("/lines", "13", "/accepted", "5", "/created", "3", "/updated", "1", "/deleted", "1", "/failed", "8")
	want := []struct{ line, code string }{
		{"4", "invalid_json"}, {"5", "invalid_json"}, {"6", "invalid_json"}, {"7", "line_too_long"},
		{"9", "unknown_field"}, {"11", "not_an_object"}, {"12", "invalid_json"}, {"10", "entity_not_found"},
	}
	for i, w := range want {
		r.want(fmt.Sprintf("/errors/%d/line", i), w.line, fmt.Sprintf("/errors/%d/code", i), quote(w.code))
	}
	c.must(200, "GET", "/entities/t:old", "").want("/entity", `{"a":1,"b":2}`)
	c.must(200, "GET", "/entities/t:last", "")
	c.must(200, "GET", "/entities/t:5", "")
	c.fails(404, "entity_not_found", "GET", "/entities/t:2", "")
	c.must(200, "POST", "/entities/batch", "\n\n", ndjson).want("/lines", "0", "/errors", "[]")
}

// An import is longer than the body limit, spans many chunks and lists the first
// hundred errors only. The connection serves the next request.
func TestLongImport(t *testing.T) {
	c := newClient(t, api.Options{})
	const n = 12_345
	body, w := io.Pipe()
	go func() {
		for i := range n {
			fmt.Fprintf(w, `{"key":"t:%d","entity":{"i":%d,"pad":"%0200d"}}`+"\n", i, i, i)
			if i%50 == 0 {
				fmt.Fprintln(w, "{")
			}
		}
		w.Close()
	}()
	r := c.do("POST", "/entities/batch", body, ndjson)
	r.want("/lines", "12592", "/accepted", "12345", "/created", "12345", "/failed", "247", "/errors/99/code", `"invalid_json"`, "/errors/100", "")
	c.must(200, "GET", "/tables/t", "").want("/entities", "12345")
	c.must(200, "GET", "/entities/t:12344", "").want("/entity/i", "12344")
}

// A connection that breaks off leaves the whole chunks before.
func TestBrokenImport(t *testing.T) {
	c := newClient(t, api.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST /entities/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000000\r\n\r\n")
	for i := range 1500 {
		fmt.Fprintf(conn, `{"key":"t:%d","entity":{"i":%d}}`+"\n", i, i)
	}
	fmt.Fprint(conn, `{"key":"t:half","entity":{`)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	conn.Close()
	for _, part := range []string{" 400 ", `"code":"body_truncated"`, "1000 operations were applied", "line 1001"} {
		if !strings.Contains(string(answer), part) {
			t.Errorf("the answer lacks %q: %s", part, answer)
		}
	}
	c.must(200, "GET", "/tables/t", "").want("/entities", "1000")
}

func TestIdempotency(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	c := newClient(t, api.Options{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	create := func(key string) string { return "Idempotency-Key: " + key }

	first := c.must(201, "POST", "/entities", `{"table":"t","entity":{"a":1}}`, create("k1"))
	again := c.must(201, "POST", "/entities", `{"table":"t","entity":{"a":1}}`, create("k1"))
	if string(first.body) != string(again.body) || again.header.Get("Idempotency-Replayed") != "true" ||
		again.header.Get("Location") != first.header.Get("Location") || again.header.Get("ETag") != `"1"` {
		t.Errorf("replayed %s %v, first %s %v", again.body, again.header, first.body, first.header)
	}
	c.fails(409, "idempotency_key_reused", "POST", "/entities", `{"table":"t","entity":{"a":2}}`, create("k1"))
	c.must(200, "GET", "/tables/t", "").want("/entities", "1")
	// Keys are per route, and a failure isn't kept.
	c.must(200, "POST", "/entities/batch", `{"operations":[{"key":"t:1","entity":{}}]}`, create("k1")).want("/results/0/version", "1")
	c.must(200, "POST", "/entities/batch", `{"operations":[{"key":"t:1","entity":{}}]}`, create("k1")).want("/results/0/version", "1")
	c.fails(400, "empty_body", "POST", "/entities/batch", " ", create("k2"))
	c.must(200, "POST", "/entities/batch", `{"operations":[{"key":"t:1","entity":{}}]}`, create("k2")).want("/results/0/version", "2")
	// Streams.
	lines := `{"key":"t:s","entity":{}}` + "\n" + `{"key":"t:s","entity":{}}` + "\n"
	c.must(200, "POST", "/entities/batch", lines, ndjson, create("k3")).want("/created", "1", "/updated", "1")
	c.must(200, "POST", "/entities/batch", lines, ndjson, create("k3")).want("/created", "1", "/updated", "1")
	c.must(200, "GET", "/entities/t:s", "").want("/version", "2")
	c.fails(409, "idempotency_key_reused", "POST", "/entities/batch", lines+lines, ndjson, create("k3"))
	c.must(200, "GET", "/entities/t:s", "").want("/version", "2")
	// Vectors.
	c.must(200, "POST", "/vector/batch_insert", `{"table":"v","items":[{"pk":"a","vector":[1]}]}`, create("k4")).want("/inserted", "1")
	c.must(200, "POST", "/vector/batch_insert", `{"table":"v","items":[{"pk":"a","vector":[1]}]}`, create("k4"))
	c.must(200, "GET", "/entities/v:a", "").want("/version", "1")
	c.fails(400, "invalid_header", "POST", "/entities", `{"table":"t","entity":{}}`, create("has space"))
	c.fails(400, "invalid_header", "POST", "/entities", `{"table":"t","entity":{}}`, create(strings.Repeat("x", 256)))
	// After a day all is forgotten.
	mu.Lock()
	now = now.Add(24*time.Hour + time.Second)
	mu.Unlock()
	c.must(200, "POST", "/entities/batch", `{"operations":[{"key":"t:1","entity":{}}]}`, create("k1")).want("/results/0/version", "3")
}

// While a request runs, another with its key is told so.
func TestIdempotencyInFlight(t *testing.T) {
	c := newClient(t, api.Options{})
	body, w := io.Pipe()
	done := make(chan *reply)
	go func() { done <- c.send("POST", "/entities/batch", body, ndjson, "Idempotency-Key: k") }()
	for i := range 1000 { // one chunk
		fmt.Fprintf(w, `{"key":"t:%d","entity":{}}`+"\n", i)
	}
	for deadline := time.Now().Add(10 * time.Second); c.send("GET", "/entities/t:1", nil).status != 200; {
		if time.Now().After(deadline) {
			t.Fatal("the import didn't begin")
		}
		time.Sleep(5 * time.Millisecond)
	}
	c.fails(409, "idempotency_key_in_use", "POST", "/entities/batch", `{"operations":[]}`, "Idempotency-Key: k")
	w.Close()
	if r := <-done; r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}
