package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func built() fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	script := strings.Repeat("plain;", 9)
	return fstest.MapFS{
		"icons/favicon.svg":     file("<svg/>"),
		"dist/placeholder":      file("x"),
		"dist/manifest.json":    file(`{"names":{"console.css":"console-A.css","console.js":"console-B.js"},"files":["console-A.css","console-B.js","lazy-C.js"]}`),
		"dist/licences.json":    file(`[{"name":"lib","version":"1.0.0","licence":"MIT","text":"Permission"}]`),
		"dist/console-A.css":    file("a{}"),
		"dist/console-A.css.br": file("longer than the file"),
		"dist/console-A.css.gz": file("longer than the file"),
		"dist/console-B.js":     file(script),
		"dist/console-B.js.br":  file("b"),
		"dist/console-B.js.gz":  file("gz"),
		"dist/lazy-C.js":        file(script),
		"dist/lazy-C.js.br":     file("b"),
		"dist/lazy-C.js.gz":     file("gz"),
	}
}

func field(a Answer, name string) string {
	for _, f := range a.Header {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func TestEmbedded(t *testing.T) {
	a, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Styles, "favicon.svg"} {
		if _, there := a.Serve(a.URL(name), "", ""); !there {
			t.Errorf("%s isn't served", name)
		}
	}
	if (a.URL(Scripts) != "") != a.Built() {
		t.Errorf("scripts at %q although built is %t", a.URL(Scripts), a.Built())
	}
}

func TestNotBuilt(t *testing.T) {
	source := fstest.MapFS{
		"css/overview.css":   {Data: []byte("overview")},
		"css/components.css": {Data: []byte("components")},
		"css/base.css":       {Data: []byte("base")},
		"css/tokens.css":     {Data: []byte("tokens")},
		"dist/placeholder":   {},
	}
	a, err := open(source)
	if err != nil {
		t.Fatal(err)
	}
	if a.Built() || a.URL(Scripts) != "" || len(a.Licences()) != 0 {
		t.Errorf("built %t, scripts at %q, licences %v", a.Built(), a.URL(Scripts), a.Licences())
	}
	plain, _ := a.Serve(a.URL(Styles), "", "")
	if want := "tokens\nbase\ncomponents\noverview\n"; string(plain.Body) != want {
		t.Errorf("the styles are %q, want %q", plain.Body, want)
	}
	before := a.URL(Styles)
	source["css/base.css"] = &fstest.MapFile{Data: []byte(strings.Repeat("base ", 400))}
	if a, err = open(source); err != nil {
		t.Fatal(err)
	}
	if a.URL(Styles) == before {
		t.Error("the name stayed the same although a style changed")
	}
	packed, _ := a.Serve(a.URL(Styles), "gzip", "")
	r, err := gzip.NewReader(bytes.NewReader(packed.Body))
	if err != nil {
		t.Fatal(err)
	}
	if unpacked, err := io.ReadAll(r); err != nil || !strings.Contains(string(unpacked), "base base") {
		t.Errorf("unpacked: %q, %v", unpacked, err)
	}
}

func TestServe(t *testing.T) {
	a, err := open(built())
	if err != nil {
		t.Fatal(err)
	}
	if !a.Built() || len(a.Licences()) != 1 {
		t.Errorf("built %t, licences %v", a.Built(), a.Licences())
	}
	for _, c := range []struct{ name, accept, coding, kind string }{
		{"console-B.js", "gzip, deflate, br, zstd", "br", "text/javascript; charset=utf-8"},
		{"lazy-C.js", "GZIP", "gzip", "text/javascript; charset=utf-8"},
		{"console-B.js", "br;q=0, *", "gzip", "text/javascript; charset=utf-8"},
		{"console-B.js", "*;q=0.1, br; q=0.0", "gzip", "text/javascript; charset=utf-8"},
		{"console-B.js", "identity", "", "text/javascript; charset=utf-8"},
		{"console-B.js", "", "", "text/javascript; charset=utf-8"},
		{"console-B.js", "br;q=none", "", "text/javascript; charset=utf-8"},
		{"console-A.css", "br, gzip", "", "text/css; charset=utf-8"},
		{a.URL("favicon.svg"), "br, gzip", "", "image/svg+xml"},
	} {
		got, there := a.Serve(c.name, c.accept, "")
		if !there || got.Status != http.StatusOK || field(got, "Content-Encoding") != c.coding || field(got, "Content-Type") != c.kind {
			t.Errorf("%s for %q: %t %d %v, want coding %q", c.name, c.accept, there, got.Status, got.Header, c.coding)
		}
		if field(got, "Vary") != "Accept-Encoding" || field(got, "X-Content-Type-Options") != "nosniff" || !strings.Contains(field(got, "Cache-Control"), "immutable") {
			t.Errorf("%s: %v", c.name, got.Header)
		}
	}
	for _, name := range []string{"", "console.js", "manifest.json", "placeholder", "console-B.js.br", "../web.go"} {
		if _, there := a.Serve(name, "", ""); there {
			t.Errorf("%q is served", name)
		}
	}
}

func TestNotModified(t *testing.T) {
	a, err := open(built())
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := a.Serve("console-B.js", "", "")
	packed, _ := a.Serve("console-B.js", "br", "")
	tag := field(packed, "ETag")
	if tag == field(plain, "ETag") {
		t.Errorf("two forms have the tag %s", tag)
	}
	for match, want := range map[string]int{
		tag: 304, `"x", W/` + tag: 304, "*": 304,
		"": 200, field(plain, "ETag"): 200, `"x"`: 200,
	} {
		got, _ := a.Serve("console-B.js", "br", match)
		if got.Status != want || (want == 304) != (got.Body == nil) {
			t.Errorf("If-None-Match %s: %d with %d bytes, want %d", match, got.Status, len(got.Body), want)
		}
	}
}

func TestIncomplete(t *testing.T) {
	for _, missing := range []string{"dist/lazy-C.js", "dist/console-B.js.br", "dist/licences.json"} {
		source := built()
		delete(source, missing)
		if _, err := open(source); err == nil {
			t.Errorf("no error without %s", missing)
		}
	}
	for _, manifest := range []string{"", "{}", `{"names":{"console.css":"no.css"}}`, `{"files":["a.map"]}`} {
		source := built()
		source["dist/manifest.json"] = &fstest.MapFile{Data: []byte(manifest)}
		if _, err := open(source); err == nil {
			t.Errorf("no error with the manifest %q", manifest)
		}
	}
}

// firstPage is how much a first visit may load, compressed; page is what is left
// of it for the HTML.
const (
	firstPage = 150_000
	page      = 40_000
)

// TestFirstPage holds if the task web has run: what a page loads at once is small,
// and it is one script, without others that the browser learns of from it.
func TestFirstPage(t *testing.T) {
	a, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if !a.Built() {
		t.Skip("the scripts aren't built")
	}
	total := 0
	for _, name := range []string{Styles, Scripts, "favicon.svg"} {
		answer, _ := a.Serve(a.URL(name), "br, gzip", "")
		total += len(answer.Body)
	}
	if total > firstPage-page {
		t.Errorf("a first page loads %d bytes besides its HTML", total)
	}
	script, _ := a.Serve(a.URL(Scripts), "", "")
	if imports := regexp.MustCompile(`\bimport\s*["{*]|\bfrom\s*"\./`).FindAll(script.Body, -1); len(imports) > 0 {
		t.Errorf("the first script imports others at once: %q", imports)
	}
}
