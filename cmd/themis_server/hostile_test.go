package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/vccdb/vccdb/server/auth"
)

// mark is in every hostile text: an element or an attribute whose name has it came
// out of a text that wasn't escaped.
const mark = "xssmark"

// hostile are texts that would do something if they weren't taken for text.
var hostile = []string{
	`<script>` + mark + `()</script>`,
	`"><img src=x onerror=` + mark + `()>`,
	`'><` + mark + ` on` + mark + `=1>`,
	`" autofocus onfocus="` + mark + `()" ` + mark + `="`,
	`</textarea></title></script></style></template><` + mark + `>`,
	`<!--<` + mark + `>`, `--><` + mark + `>`, `]]><` + mark + `>`,
	`&lt;` + mark + `&gt;&#60;` + mark + `&#62;`,
	`javascript:` + mark + `()`, `data:text/html,<` + mark + `>`, `//` + mark + `.example/`, `\\` + mark + `.example`, `https://` + mark + `.example/`,
	`../../` + mark, `..%2f..%2f` + mark, `?` + mark + `=1&x=<` + mark + `>#` + mark,
	`{{` + mark + `}} ${` + mark + `} <%= ` + mark + ` %>`,
	"\u202e" + mark + "\u2066\u202d", mark + "\u2028\u2029\u0085<" + mark + ">", "\ufeff\ufffe" + mark + "\U000e0041",
	strings.Repeat("<"+mark+">", 64<<10/9), mark + strings.Repeat("\u202e\U0001d11e", 64<<10/7),
}

// short are those that are fit for a primary key.
func short() []string {
	return slices.DeleteFunc(slices.Clone(hostile), func(text string) bool {
		return len(text) > 400 || strings.ContainsAny(text, "\u0085")
	})
}

// hunt looks at all that the console answers.
type hunt struct {
	*testing.T
	// fault says what is wrong.
	fault  func(format string, args ...any)
	s      *secured
	client *http.Client
	base   *url.URL
	// seen are the shapes of what was asked for, to not ask the same again and
	// again; showed are the routes that showed a hostile text.
	seen   map[string]int
	showed map[string]bool
	queue  []string
	// from is the page that a target was met on first, at the one looked at now.
	from map[string]string
	at   string
	// streams are the addresses of those that were met.
	streams map[string]bool
	// patterns are the paths of the console's routes, cut at their slashes.
	patterns [][]string
	// forms are those that change something, for later.
	forms []form
	// benign is a hunt for links that lead nowhere.
	benign bool
	// asked counts answers, rendered pages and parts of them.
	asked, rendered int
}

// form is a form of a page.
type form struct {
	page, action string
	fields       url.Values
}

func newHunt(t *testing.T, s *secured) *hunt {
	h := &hunt{T: t, fault: t.Errorf, s: s, seen: map[string]int{}, showed: map[string]bool{}, streams: map[string]bool{}, from: map[string]string{}}
	h.base = &url.URL{Scheme: "http", Host: s.addr, Path: "/console/"}
	for _, op := range s.app.Operations() {
		if isPage(op) {
			h.patterns = append(h.patterns, strings.Split(op.Path, "/"))
		}
	}
	cookie := strings.TrimPrefix(s.signIn(s.admin), "Cookie: ")
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	h.client = &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	h.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		r.Header.Set("Cookie", cookie)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		return transport.RoundTrip(r)
	})
	return h
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// perShape bounds how often the same route is asked with the same parameters.
const perShape = 3

var numbers = regexp.MustCompile(`[0-9]+`)

// add queues a target unless its like was seen often enough.
func (h *hunt) add(target string) {
	u, err := h.base.Parse(target)
	if err != nil || !strings.HasPrefix(u.EscapedPath(), h.base.Path) {
		h.fault("a link leads out of the console: %q", target)
		return
	}
	u.Fragment = ""
	if h.from[u.String()] == "" {
		h.from[u.String()] = h.at
	}
	shape := h.route(u) + " " + strings.Join(slices.Sorted(keysOfQuery(u)), " ")
	if h.seen[shape]++; h.seen[shape] <= perShape {
		h.queue = append(h.queue, u.String())
	}
}

func keysOfQuery(u *url.URL) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range u.Query() {
			if !yield(key) {
				return
			}
		}
	}
}

// route is the pattern of the route that a page belongs to, or its path.
func (h *hunt) route(u *url.URL) string {
	parts := strings.Split(u.EscapedPath(), "/")
	for _, pattern := range h.patterns {
		fits := func(a, b string) bool { return a == b || strings.HasPrefix(a, "{") && b != "" }
		if slices.EqualFunc(pattern, parts, fits) {
			return strings.Join(pattern, "/")
		}
	}
	return numbers.ReplaceAllString(u.Path, "0")
}

// crawl asks for everything that is queued and all that it leads to.
func (h *hunt) crawl() {
	for len(h.queue) > 0 {
		target := h.queue[0]
		h.queue, h.at = h.queue[1:], target
		h.ask("GET", target, nil)
	}
}

// ask sends a request, and looks at the answer.
func (h *hunt) ask(method, target string, fields url.Values) {
	req, err := http.NewRequestWithContext(h.Context(), method, target, strings.NewReader(fields.Encode()))
	if err != nil {
		h.Fatal(err)
	}
	if method == "POST" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if strings.Contains(target, "/part") || len(target)%3 == 0 { // parts are asked for by htmx
		req.Header.Set("HX-Request", "true")
	}
	res, err := h.client.Do(req)
	if err != nil {
		h.Fatalf("%s %.200s: %v", method, target, err)
	}
	defer res.Body.Close()
	h.asked++
	what := fmt.Sprintf("%s %.200s (%d)", method, strings.TrimPrefix(target, h.base.String()), res.StatusCode)
	h.headers(what, res)
	if res.StatusCode >= 500 && res.StatusCode != 503 {
		h.fault("%s: it failed", what)
	}
	if h.benign && res.StatusCode >= 400 {
		h.fault("%s: a link leads to it from %s", what, h.from[target])
	}
	if to := res.Header.Get("Location"); to != "" {
		h.link(what, req.URL, to, true)
		return
	}
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if kind == "text/event-stream" {
		h.streams[target] = true // see listen
		return
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		h.Fatalf("%s: %v", what, err)
	}
	if kind == "text/html" {
		h.rendered++
		h.markup(what, req.URL, body)
	}
}

// headers holds what every answer must say to a browser.
func (h *hunt) headers(what string, res *http.Response) {
	policy := res.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'", "connect-src 'self'"} {
		if !strings.Contains(policy, want) {
			h.fault("%s: its policy lacks %s: %s", what, want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		h.fault("%s: %s", what, policy)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"} {
		if got := res.Header.Get(name); got != want {
			h.fault("%s: %s is %q", what, name, got)
		}
	}
	for name, values := range res.Header {
		if strings.Contains(strings.ToLower(name), mark) || strings.ContainsAny(strings.Join(values, ""), "\r\n") {
			h.fault("%s: a header is %q: %q", what, name, values)
		}
	}
}

// link holds that a link is relative and stays in the console, and queues it if it
// is to be followed.
func (h *hunt) link(what string, from *url.URL, to string, follow bool) {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || strings.HasPrefix(to, "/") || strings.ContainsAny(to, "\\\t\r\n") {
		h.fault("%s: a link isn't relative: %.200q", what, to)
		return
	}
	at := from.ResolveReference(u)
	if !strings.HasPrefix(at.EscapedPath(), h.base.Path) || at.Host != from.Host {
		h.fault("%s: a link leads out of the console: %.200q", what, to)
		return
	}
	if follow && !strings.Contains(at.Path, "sign-") {
		h.add(at.String())
	}
}

// markup looks at a page or a part of one.
func (h *hunt) markup(what string, from *url.URL, body []byte) {
	if !utf8.Valid(body) {
		h.fault("%s: it isn't UTF-8", what)
	}
	doc, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		h.fault("%s: %v", what, err)
		return
	}
	h.node(what, from, doc, false)
}

// node looks at a part of the tree; isolated is whether text in it can't reorder
// what stands beside it.
func (h *hunt) node(what string, from *url.URL, n *html.Node, isolated bool) {
	switch n.Type {
	case html.CommentNode:
		h.fault("%s: a comment: %.200q", what, n.Data)
	case html.TextNode:
		h.text(what, from, n, isolated)
	case html.ElementNode:
		if strings.Contains(n.Data, mark) || n.Data == "style" || n.Data == "iframe" || n.Data == "object" || n.Data == "base" {
			h.fault("%s: an element <%.100s>", what, n.Data)
		}
		h.attributes(what, from, n)
		isolated = isolated || isolates(n)
		if n.Data == "form" {
			h.form(from, n)
		}
	}
	for child := n.FirstChild; child != nil; child = child.NextSibling {
		h.node(what, from, child, isolated)
	}
}

// isolates says whether the text in an element has a direction of its own.
func isolates(n *html.Node) bool {
	switch n.Data {
	case "bdi", "textarea", "option", "title", "script", "code", "pre":
		return true
	}
	return attribute(n, "dir") == "auto"
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func (h *hunt) text(what string, from *url.URL, n *html.Node, isolated bool) {
	if n.Parent != nil && n.Parent.Data == "script" {
		if kind := attribute(n.Parent, "type"); kind != "application/json" {
			h.fault("%s: a script in the page: %.100q", what, n.Data)
		} else if !json.Valid([]byte(n.Data)) || strings.Contains(n.Data, "<") {
			h.fault("%s: data in the page that isn't JSON, or could end it: %.200q", what, n.Data)
		}
	}
	if strings.Contains(n.Data, mark) {
		h.showed[h.route(from)] = true
	}
	if strings.ContainsAny(n.Data, "\u202e\u202d") && !isolated {
		h.fault("%s: text that turns the direction of what is around it, in <%s>: %.100q", what, n.Parent.Data, n.Data)
	}
}

// urls are the attributes that hold an address.
var urls = []string{"href", "src", "action", "formaction", "hx-get", "hx-post", "hx-put", "hx-patch", "hx-delete", "sse-connect", "data-chart-stream", "poster", "background", "ping", "cite", "xlink:href", "srcset"}

func (h *hunt) attributes(what string, from *url.URL, n *html.Node) {
	for _, a := range n.Attr {
		name := strings.ToLower(a.Key)
		switch {
		case strings.Contains(name, mark), strings.HasPrefix(name, "on"), strings.HasPrefix(name, "hx-on"), name == "style", name == "srcdoc":
			h.fault("%s: <%s %s=%.100q>", what, n.Data, a.Key, a.Val)
		case strings.HasPrefix(name, "hx-") && strings.Contains(a.Val, "js:"), name == "hx-vals", name == "hx-vars", name == "hx-headers":
			h.fault("%s: <%s %s=%.100q>", what, n.Data, a.Key, a.Val)
		case slices.Contains(urls, name):
			if strings.HasPrefix(a.Val, "#") {
				continue
			}
			// A form's target wants its fields.
			field := n.Data == "form" || n.Data == "input" || n.Data == "select" || n.Data == "textarea"
			h.link(what, from, a.Val, name == "href" || name == "src" || name == "sse-connect" || name == "hx-get" && !field)
			if name == "src" && n.Data == "script" && strings.Contains(a.Val, mark) {
				h.fault("%s: <%s %s=%.100q>", what, n.Data, a.Key, a.Val)
			}
		case strings.Contains(a.Val, mark):
			h.showed[h.route(from)] = true
		}
	}
}

// form queues a form with hostile values if it only asks, or keeps it for later.
func (h *hunt) form(from *url.URL, n *html.Node) {
	u, err := url.Parse(attribute(n, "action"))
	if err != nil {
		h.fault("%s: action %v", from, err)
		return
	}
	f := form{page: from.String(), fields: fieldsOf(n)}
	at := from.ResolveReference(u)
	f.action = at.String()
	if h.benign {
		return
	}
	if strings.EqualFold(attribute(n, "method"), "post") {
		h.forms = append(h.forms, f)
		return
	}
	names := slices.Sorted(keysOfQuery(&url.URL{RawQuery: f.fields.Encode()}))
	for i, name := range names { // one hostile field at a time, the others as they are
		fields := url.Values{}
		for _, other := range names {
			fields.Set(other, f.fields.Get(other))
		}
		fields.Set(name, hostile[(h.asked+i)%(len(hostile)-2)])
		at.RawQuery = fields.Encode()
		h.add(at.String())
	}
}

// fieldsOf are the fields of a form as they stand.
func fieldsOf(n *html.Node) url.Values {
	fields := url.Values{}
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if name := attribute(n, "name"); n.Type == html.ElementNode && name != "" {
			switch n.Data {
			case "input", "button":
				if kind := attribute(n, "type"); kind != "checkbox" && kind != "radio" || !fields.Has(name) {
					fields.Set(name, attribute(n, "value"))
				}
			case "textarea":
				text := ""
				if n.FirstChild != nil {
					text = n.FirstChild.Data
				}
				fields.Set(name, text)
			case "select":
				fields.Set(name, "")
				for o := n.FirstChild; o != nil; o = o.NextSibling {
					if o.Data == "option" && (fields.Get(name) == "" || slices.ContainsFunc(o.Attr, func(a html.Attribute) bool { return a.Key == "selected" })) {
						fields.Set(name, attribute(o, "value"))
					}
				}
			}
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			walk(child)
		}
	}
	walk(n)
	return fields
}

// send sends the forms that change something, with one hostile field each. What
// they would do needs a confirmation that isn't given, is refused, or does no harm.
func (h *hunt) send() {
	forms := h.forms
	sent := map[string]int{}
	for _, f := range forms {
		u, err := url.Parse(f.action)
		if err != nil || strings.Contains(u.Path, "sign-") {
			continue
		}
		for i, name := range slices.Sorted(keysOfQuery(&url.URL{RawQuery: f.fields.Encode()})) {
			shape := h.route(u) + " " + name
			if sent[shape]++; sent[shape] > 2 {
				continue
			}
			fields := url.Values{}
			for other := range f.fields {
				fields.Set(other, f.fields.Get(other))
			}
			fields.Set(name, hostile[(len(sent)+i)%len(hostile)])
			if name != "confirm" && f.fields.Has("confirm") {
				fields.Set("confirm", hostile[0])
			}
			h.ask("POST", f.action, fields)
		}
	}
	if len(sent) < 10 {
		h.fault("only %d fields of forms were sent", len(sent))
	}
}

// plant stores hostile texts wherever the REST API takes them.
func (h *hunt) plant() {
	put := func(method, target string, value any, statuses ...int) {
		body, err := json.Marshal(value)
		if err != nil {
			h.Fatal(err)
		}
		req, err := http.NewRequestWithContext(h.Context(), method, h.base.Scheme+"://"+h.base.Host+target, bytes.NewReader(body))
		if err != nil {
			h.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Api-Key", h.s.admin)
		req.Header.Set("X-Request-ID", strings.ReplaceAll(hostile[2], " ", "/"))
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			h.Fatal(err)
		}
		defer res.Body.Close()
		answer, _ := io.ReadAll(res.Body)
		if !slices.Contains(statuses, res.StatusCode) {
			h.Fatalf("%s %.100s: %d %.500s", method, target, res.StatusCode, answer)
		}
	}
	document := map[string]any{"embedding": []float64{1, 2, 3}, "n": 1}
	for i, text := range hostile {
		document[fmt.Sprint("column", i)] = text
		document[text[:min(len(text), 100)]] = map[string]any{text[:min(len(text), 100)]: []any{text, i}}
	}
	long := len(hostile) - 2
	for i, pk := range short() {
		document["n"] = i
		if i == 1 { // two have the long ones
			delete(document, fmt.Sprint("column", long))
			delete(document, fmt.Sprint("column", long+1))
			delete(document, hostile[long][:100])
			delete(document, hostile[long+1][:100])
		}
		put("PUT", "/entities/hostile:"+url.PathEscape(pk), document, 201)
	}
	for _, name := range []string{"column0", "column2", "n"} {
		put("POST", "/index/create", map[string]any{"table": "hostile", "column": name, "type": "equality"}, 200)
	}
	for _, text := range hostile[:6] {
		put("POST", "/index/create", map[string]any{"table": "hostile", "column": text, "type": "equality"}, 200, 400)
		put("POST", "/query", map[string]any{"table": "hostile", "predicates": []any{map[string]any{"column": text, "value": text}}}, 200, 400)
		put("GET", "/entities/"+url.PathEscape("hostile:"+text+"/none"), nil, 404, 400)
		put("DELETE", "/entities/"+url.PathEscape("hostile:"+text+" none"), nil, 404, 400)
	}
	put("POST", "/admin/snapshot", map[string]any{"name": "one"}, 200, 201)
	put("POST", "/admin/snapshot", map[string]any{"name": hostile[2]}, 400)
	put("POST", "/admin/backup", map[string]any{}, 200, 201)
	put("POST", "/index/create", map[string]any{"table": "hostile", "column": "embedding", "type": "vector", "config": map[string]any{"dimension": 3, "metric": "l2"}}, 200)
}

// TestHuntNotices holds that the hunt finds what it looks for.
func TestHuntNotices(t *testing.T) {
	faults := 0
	h := &hunt{T: t, fault: func(string, ...any) { faults++ }, base: &url.URL{Scheme: "http", Host: "x", Path: "/console/"},
		s: &secured{}, from: map[string]string{}, seen: map[string]int{}, showed: map[string]bool{}}
	at := &url.URL{Scheme: "http", Host: "x", Path: "/console/tables"}
	bad := []string{
		"<" + mark + ">", "<p " + mark + "=1>", "<p onclick=x>", "<p style='color:red'>", "<style>p{}</style>", "<script>x()</script>", "<!-- x -->",
		`<script type="application/json">{"a":"</` + mark + `"}</script>`, `<script type="application/json">{a</script>`, "<iframe></iframe>", "<p hx-on:click=x>",
		"<a href=/tables>", "<a href=//x.example>", "<a href=https://x.example>", "<a href=javascript:x()>", "<a href=../../entities>", `<a href="\\x.example">`, "<form action=/x>",
		"<p hx-get=/x>", "<p sse-connect=../../x>", "<p>a\u202eb</p>", "<td><span>\u202db</span></td>", "<p>\xff</p>", "<img src=data:image/png;x>", "<base href=x>",
	}
	for _, page := range bad {
		before := faults
		if h.markup("bad", at, []byte(page)); faults == before {
			t.Errorf("nothing is wrong with %q", page)
		}
	}
	faults, h.queue = 0, nil
	h.markup("good", at, []byte(`<!DOCTYPE html><p title="<`+mark+`>">&lt;`+mark+`&gt;<bdi>`+"\u202e"+`</bdi><a href="./tables?x=%3C">x</a><script type="application/json">{"a":"\u003c"}</script>`))
	if faults > 0 || len(h.queue) != 1 || len(h.showed) != 1 {
		t.Errorf("%d faults, %q, %v", faults, h.queue, h.showed)
	}
}

// TestHostileText plants texts that want to be more than text wherever somebody
// can, and asks for every page, part, form and stream of the console.
func TestHostileText(t *testing.T) {
	dir := t.TempDir()
	s := startSecured(t, "features.cdc=true", "storage.backup_dir="+dir+"/backups"+hostile[2], "storage.snapshot_dirs="+dir+"/snapshots"+hostile[2])
	keys, err := auth.NewKeys([]auth.Key{
		{Key: s.admin, Role: auth.Admin, Name: hostile[2] + "\u202e"},
		{Key: s.readonly, Role: auth.ReadOnly, Name: hostile[1]},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.app.SetKeys(keys)
	h := newHunt(t, s)
	h.plant()
	for _, op := range s.app.Operations() {
		if !isPage(op) || op.Method != "GET" || strings.Contains(op.Path, "sign-") {
			continue
		}
		h.add(strings.NewReplacer("{table}", "hostile").Replace(path(op.Path)))
		for _, text := range hostile[:6] {
			h.add(regexp.MustCompile(`\{\w+\}`).ReplaceAllLiteralString(op.Path, url.PathEscape(text)))
		}
	}
	h.crawl()
	h.send()
	h.crawl()
	h.listen(func() {
		for _, text := range hostile[:6] {
			s.call("PUT", "/entities/"+url.PathEscape("hostile:"+text), `{"a": 1}`, s.admin)
			s.call("DELETE", "/entities/"+url.PathEscape("hostile:"+text), "", s.readonly)
		}
	}, "/console/logs/stream", "/console/audit/stream", "/console/feed/stream")
	t.Logf("%d answers, %d rendered, %d forms, shown by %q", h.asked, h.rendered, len(h.forms), slices.Sorted(func(yield func(string) bool) {
		for route := range h.showed {
			if !yield(route) {
				return
			}
		}
	}))
	if h.rendered < 50 || len(h.showed) < 5 {
		t.Errorf("only %d pages were looked at, and %d showed anything", h.rendered, len(h.showed))
	}
	s.searchForKeys()
}

// TestLinksLeadSomewhere follows every link there is.
func TestLinksLeadSomewhere(t *testing.T) {
	s := startSecured(t, "features.cdc=true")
	for i := range 120 {
		s.call("PUT", fmt.Sprintf("/entities/books:%d", i), fmt.Sprintf(`{"title": "Book %d", "year": %d, "embedding": [%d, 1, 2]}`, i, 1900+i, i), s.admin)
	}
	for _, body := range []string{
		`{"table": "books", "column": "year", "type": "range"}`, `{"table": "books", "column": "embedding", "type": "vector", "config": {"dimension": 3, "metric": "l2"}}`,
	} {
		if status, answer := s.call("POST", "/index/create", body, s.admin); status != 200 {
			t.Fatal(status, answer)
		}
	}
	h := newHunt(t, s)
	h.benign = true
	h.add("")
	h.add("query?q=" + url.QueryEscape(`{"table":"books","predicates":[{"column":"title","value":"Book 7"}]}`))
	h.add("search?index=books.embedding&key=7")
	h.crawl()
	if h.rendered < 40 {
		t.Errorf("only %d pages were found", h.rendered)
	}
}

// event is one of a stream.
type event struct {
	stream *url.URL
	data   string
}

// listen opens every stream that was met, lets hostile things happen, and looks at
// the events until those whose streams are of what clients do have shown one.
func (h *hunt) listen(happen func(), expected ...string) {
	ctx, cancel := context.WithCancel(h.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	events := make(chan event)
	for target := range h.streams {
		req, err := http.NewRequestWithContext(ctx, "GET", target, nil)
		if err != nil {
			h.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		res, err := h.client.Transport.RoundTrip(req)
		if err != nil {
			h.Fatal(err)
		}
		h.headers(target, res)
		readers.Go(func() {
			defer res.Body.Close()
			readEvents(ctx, req.URL, res.Body, events)
		})
	}
	happen()
	waiting := map[string]bool{}
	for _, path := range expected {
		waiting[path] = true
	}
	late := time.After(time.Minute)
	for len(waiting) > 0 {
		select {
		case e := <-events:
			if !json.Valid([]byte(e.data)) {
				h.markup("stream "+e.stream.Path, e.stream, []byte(e.data))
			}
			if strings.Contains(e.data, mark) {
				delete(waiting, h.route(e.stream))
			}
		case <-late:
			h.fault("nothing hostile was seen in %v of %v", waiting, h.streams)
			return
		}
	}
}

// readEvents sends the events of a stream until it ends.
func readEvents(ctx context.Context, from *url.URL, body io.Reader, events chan<- event) {
	var data strings.Builder
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			data.WriteString(text + "\n")
		}
		if lines.Text() != "" || data.Len() == 0 {
			continue
		}
		select {
		case events <- event{from, data.String()}:
		case <-ctx.Done():
			return
		}
		data.Reset()
	}
}
