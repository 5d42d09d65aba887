package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Texts that want to be more than text. Whatever got out of one would be an element
// or an attribute of the name xssmark, or call a function of that name.
var hostileTexts = []string{
	`<script>xssmark()</script>`,
	`"><img src=x onerror=xssmark()>`,
	`'><xssmark onxssmark=1>`,
	`" autofocus onfocus="xssmark()" xssmark="`,
	`</textarea></title></script></template><xssmark>`,
	`<svg onload=xssmark()><xssmark>`,
	`javascript:xssmark()`,
	`&lt;xssmark&gt;`,
	"\u202exssmark\u2066\u202d",
	`{{xssmark}} ${xssmark()}`,
	strings.Repeat("xssmark", 64<<10/7),
	strings.Repeat("<xssmark> ", 64<<10/10),
}

// plantHostileTexts stores them in every field of entities, and in the names of
// columns and indexes.
func (s *server) plantHostileTexts() {
	s.t.Helper()
	for i, text := range hostileTexts {
		pk := fmt.Sprintf("%s %d", text[:min(len(text), 200)], i)
		doc := map[string]any{"embedding": []int{i, 1, 2}, "n": i, "text": text, text[:min(len(text), 60)]: map[string]any{"in": []string{text}}}
		body := must(json.Marshal(doc))
		s.call("PUT", "/entities/"+url.PathEscape("hostile:"+pk), string(body))
	}
	s.call("POST", "/index/create", `{"table": "hostile", "column": "embedding", "type": "vector", "config": {"dimension": 3, "metric": "l2"}}`)
	s.call("POST", "/index/create", `{"table": "hostile", "column": "n", "type": "range"}`)
	for _, text := range hostileTexts[:6] {
		s.try("POST", "/index/create", string(must(json.Marshal(map[string]string{"table": "hostile", "column": text, "type": "equality"}))))
		s.try("POST", "/query", string(must(json.Marshal(map[string]any{"table": "hostile", "predicates": []any{map[string]string{"column": text, "value": text}}}))))
		s.try("DELETE", "/entities/"+url.PathEscape("hostile:"+text), "")
	}
}

// try makes a call of the REST API that may be refused.
func (s *server) try(method, path, body string) {
	s.t.Helper()
	req := must(http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body)))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode >= 500 {
		s.t.Fatalf("%s %s: %d %v", method, path, res.StatusCode, err)
	}
}

// harmless checks that nothing of a hostile text became part of the page. The tab
// itself notices what the content security policy had to stop.
func (b *tab) harmless() {
	b.t.Helper()
	found := eval[string](b, `(() => {
		const all = [...document.querySelectorAll("*")];
		const bad = all.find(e => e.localName.includes("xssmark") || [...e.attributes].some(a => a.name.includes("xssmark") || a.name.startsWith("on")
			|| (/^(href|src|action|formaction)$/.test(a.name) && /^\s*javascript:/i.test(a.value))));
		return bad ? bad.outerHTML.slice(0, 200) : "";
	})()`)
	if found != "" {
		b.problem("a text became %s", found)
	}
}

// TestHostileTextInTheBrowser looks at every kind of page over hostile data, where
// it is narrowest, and does what scripts build pages from data for.
func TestHostileTextInTheBrowser(t *testing.T) {
	s := start(t, t.TempDir(), false, "features.cdc=true", "logging.level=debug", "query.slow_threshold_ms=1")
	s.plantHostileTexts()
	t.Run("pages", func(t *testing.T) {
		b := open(t, s.url, "light", phone)
		b.expected = []string{"404", "400"} // names that lead nowhere
		b.crawl(func(string) {
			b.harmless()
			b.fits()
		})
	})
	t.Run("live", func(t *testing.T) { hostileTails(open(t, s.url, "light", desktop), s) })
	t.Run("suggestions", func(t *testing.T) {
		b := open(t, s.url, "light", desktop)
		for _, path := range []string{
			"search?index=hostile.embedding&key=" + url.QueryEscape(hostileTexts[1]+" 1"), "search/map?index=hostile.embedding&color=text",
			"query?q=" + url.QueryEscape(`{"table": "hostile", "order_by": "n"}`), "query?by=form&table=hostile",
		} {
			b.visit(path)
			b.until(`document.body.innerHTML.includes("xssmark")`)
			b.harmless()
			b.fits()
		}
	})
}

// hostileTails lets hostile things happen while pages that show them live are open.
func hostileTails(b *tab, s *server) {
	for _, path := range []string{"feed", "logs"} {
		b.visit(path)
		b.until(`document.readyState === "complete"`)
		rows := eval[int](b, `(document.body.innerText.match(/xssmark/g) ?? []).length`)
		for _, text := range hostileTexts[:6] {
			s.try("PUT", "/entities/"+url.PathEscape("hostile:"+text), `{"live": "<xssmark>"}`)
		}
		b.until(fmt.Sprintf(`(document.body.innerText.match(/xssmark/g) ?? []).length > %d`, rows))
		b.harmless()
	}
}
