package main

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// parameters are what pages of the console read of their address. Numbers are
// those that are taken for one.
var (
	numberParameters = []string{"after", "before", "ef", "from", "k", "limit", "page", "size"}
	parameters       = append([]string{
		"at", "back", "by", "color", "column", "compare", "component", "count", "cursor", "delete", "exact", "fadd", "fany", "fcol", "fdrop", "filter", "fop", "fval",
		"index", "job", "key", "key_prefix", "level", "lines", "next", "note", "order", "outcome", "pk", "prefix", "q", "return", "run", "set.logging.level", "show", "shown",
		"sort", "state", "tab", "table", "type", "vector", "view", "was.logging.level", "who",
	}, numberParameters...)
)

// nasty are values that a page may stumble over.
var nasty = []string{
	"", "-1", "-9223372036854775808", "9223372036854775807", "18446744073709551616", "1e400", "NaN", "\x00", "\xff\xfe\xed\xa0\x80", "\r\nX-Split: 1",
	strings.Repeat("9", 60), strings.Repeat("[", 60), strings.Repeat("a.", 60), `[1e39]`, `[null]`, `{"b64":"////"}`, `{"table":"books","cursor":"AAAA","limit":-1}`,
	"books", "books.embedding", ".", "-", "9999-12-31T23:59:59.999999999Z",
}

// TestNastyParameters asks every page with every parameter set to what it may
// stumble over: it is never the server that fails.
func TestNastyParameters(t *testing.T) {
	s := startSecured(t, "features.cdc=true")
	for i := range 12 {
		s.call("PUT", fmt.Sprintf("/entities/books:%d", i), fmt.Sprintf(`{"n": %d, "embedding": [%d, 1, 2]}`, i, i), s.admin)
	}
	for _, body := range []string{
		`{"table": "books", "column": "n", "type": "range"}`, `{"table": "books", "column": "embedding", "type": "vector", "config": {"dimension": 3, "metric": "cosine"}}`,
	} {
		if status, answer := s.call("POST", "/index/create", body, s.admin); status != 200 {
			t.Fatal(status, answer)
		}
	}
	h := newHunt(t, s)
	segment := regexp.MustCompile(`\{\w+\}`)
	for _, op := range s.app.Operations() {
		if !isPage(op) || op.Method != "GET" || strings.HasSuffix(op.Path, "/stream") || strings.HasSuffix(op.Path, "/export") {
			continue
		}
		page := "http://" + s.addr + strings.NewReplacer("{table}", "books", "{sequence}", "1").Replace(op.Path)
		for _, value := range nasty {
			q := url.Values{}
			for _, name := range parameters {
				q.Set(name, value)
			}
			h.survives(page + "?" + q.Encode())
			if value != "" && strings.Contains(op.Path, "{") {
				h.survives("http://" + s.addr + segment.ReplaceAllLiteralString(op.Path, strings.ReplaceAll(url.PathEscape(value), ".", "%2E")) + "?pk=1")
			}
		}
		for _, name := range numberParameters { // where the others don't end it before
			h.survives(page + "?table=books&index=books.embedding&column=n&type=range&pk=1&key=1&" + name + "=9223372036854775807")
		}
		h.survives(page + "?%zz")
	}
	if h.asked < 500 {
		t.Errorf("only %d answers", h.asked)
	}
}

// survives asks for a page, every other time as htmx would for a part.
func (h *hunt) survives(target string) {
	req, err := http.NewRequestWithContext(h.Context(), "GET", target, nil)
	if err != nil {
		h.Fatal(err)
	}
	if h.asked++; h.asked%2 == 0 {
		req.Header.Set("HX-Request", "true")
		req.Header.Set("HX-Current-URL", "http://evil.example/console/../x//"+strings.Repeat("/", h.asked%40))
	}
	res, err := h.client.Do(req)
	if err != nil {
		h.Fatalf("%.300s: %v", target, err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 500 || len(res.Header["X-Split"]) > 0 {
		h.Errorf("%d %.300s", res.StatusCode, target)
	}
	h.headers(target, res)
}
