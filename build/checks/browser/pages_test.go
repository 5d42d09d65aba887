package browser

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// menu are the pages that the menu leads to; a crawl finds the others.
var menu = []string{"", "tables", "search", "query", "indexes", "feed", "jobs", "copies", "slow", "logs", "audit", "settings", "system", "gpu", "api"}

// samplesPerKind bounds how many pages of one kind a crawl looks at.
const samplesPerKind = 2

// identifiers in paths and queries don't make a page of another kind.
var identifiers = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|\d+`)

// kindOf is what pages share that differ in data only.
func kindOf(link string) string {
	u := must(url.Parse(link))
	segments := strings.Split(u.Path, "/")
	for i := range segments {
		if i%2 == 1 && i < 2 {
			segments[i] = "*"
		}
	}
	kind := identifiers.ReplaceAllString(path.Join(segments...), "*")
	names := make([]string, 0, 8)
	for name := range u.Query() {
		names = append(names, name)
	}
	if len(names) > 0 {
		kind += "?"
	}
	return kind
}

// crawl visits every kind of page that can be reached by links.
func (b *tab) crawl(visited func(link string)) {
	b.t.Helper()
	queue, seen, kinds := append([]string{}, menu...), map[string]bool{}, map[string]int{}
	for len(queue) > 0 {
		link := queue[0]
		queue = queue[1:]
		if seen[link] || kinds[kindOf(link)] >= samplesPerKind {
			continue
		}
		seen[link] = true
		kinds[kindOf(link)]++
		b.visit(link)
		visited(link)
		links := eval[[]string](b, `[...document.querySelectorAll("a[href]:not([download])")].map(a => new URL(a.getAttribute("href"), document.baseURI).href)`)
		for _, l := range links {
			below, ok := strings.CutPrefix(l, b.base+"/console/")
			if !ok {
				if u := must(url.Parse(l)); "http://"+u.Host != b.base && "http://"+u.Host != strings.TrimSuffix(b.base, must(url.Parse(b.base)).Path) {
					b.problem("a link to another host: %s", l)
				}
				continue
			}
			below, _, _ = strings.Cut(below, "#")
			if !strings.Contains(below, "/download") && !strings.Contains(below, "/export") && !strings.HasSuffix(below, "/stream") {
				queue = append(queue, below)
			}
		}
	}
	if len(seen) < len(menu) {
		b.t.Errorf("only %d pages", len(seen))
	}
	b.t.Logf("%d pages of %d kinds", len(seen), len(kinds))
}

// check is what every page has to pass.
func (b *tab) check(link string) {
	b.t.Helper()
	title, heading := ask(b, chromedp.Title()), eval[string](b, `document.querySelector("h1")?.innerText ?? ""`)
	if heading == "" || !strings.HasSuffix(title, "· Themis") {
		b.problem("title %q, heading %q", title, heading)
	}
	b.accessible()
	b.fits()
}

// TestEveryPage crawls the console with authentication off, in light and dark and
// at phone width, then as a reader and as an admin.
func TestEveryPage(t *testing.T) {
	dir := t.TempDir()
	t.Run("auth off", func(t *testing.T) {
		s := start(t, dir, false)
		s.sampleData()
		for _, look := range []struct {
			name, theme string
			size        [2]int64
		}{{"light", "light", desktop}, {"dark", "dark", desktop}, {"phone", "light", phone}} {
			t.Run(look.name, func(t *testing.T) {
				b := open(t, s.url, look.theme, look.size)
				b.crawl(b.check)
			})
		}
		t.Run("without scripts", func(t *testing.T) {
			b := open(t, s.url, "light", desktop)
			b.run(command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
			b.crawl(func(string) {
				if text := eval[string](b, `document.querySelector("main").innerText`); len(text) < 40 {
					b.problem("there is nothing to read but %q", text)
				}
			})
		})
		t.Run("below a prefix", func(t *testing.T) {
			target := must(url.Parse(s.url))
			proxy := httptest.NewServer(http.StripPrefix("/db/one", &httputil.ReverseProxy{
				Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
				FlushInterval: -1,
			}))
			t.Cleanup(proxy.Close)
			b := open(t, proxy.URL+"/db/one", "light", desktop)
			b.crawl(func(string) {})
		})
	})
	t.Run("auth on", func(t *testing.T) {
		s := start(t, dir, true)
		t.Run("reader", func(t *testing.T) {
			b := open(t, s.url, "light", desktop)
			b.expected = []string{"403"} // pages for admins say so
			b.signIn(readerKey)
			b.crawl(b.check)
		})
		t.Run("admin", func(t *testing.T) {
			b := open(t, s.url, "dark", desktop)
			b.signIn(adminKey)
			b.crawl(func(string) {}) // they look as with authentication off
		})
	})
}
