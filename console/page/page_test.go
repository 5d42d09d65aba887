package page

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/web"
)

// site serves pages as a server would, without asking for anything.
type site struct {
	*testing.T
	url      string
	client   *http.Client
	draining chan struct{}
	life     context.CancelFunc
}

func serve(t *testing.T, o Options, routes func(*Frame) []rest.Route) *site {
	t.Helper()
	assets, err := web.Open()
	if err != nil {
		t.Fatal(err)
	}
	o.Assets = assets
	frame := New(o)
	life, end := context.WithCancel(context.Background())
	s := &site{T: t, draining: make(chan struct{}), life: end}
	app := fiber.New(fiber.Config{CaseSensitive: true, StrictRouting: true})
	step := func(role auth.Role, render problem.Renderer) fiber.Handler {
		return func(c fiber.Ctx) error {
			request.Attach(c, &request.Info{ID: "1", Principal: auth.Principal{Name: "ops", Role: auth.Admin}, Lifetime: life, Closing: s.draining})
			problem.RenderWith(c, render)
			return c.Next()
		}
	}
	rest.Register(app, append(routes(frame), frame.Route("GET", "assets/{file}", auth.Public, frame.Asset), frame.Route("POST", "theme", auth.Public, frame.SetTheme)), step)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true}) }()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.url, s.client = "http://"+l.Addr().String(), &http.Client{Jar: jar, Timeout: 10 * time.Second}
	t.Cleanup(func() {
		end()
		s.client.CloseIdleConnections()
		if err := app.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return s
}

func (s *site) do(method, path, body string, header ...string) (*http.Response, string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res, string(text)
}

func link(path string) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		_, err := io.WriteString(w, `<a id="there" href="`+templ.EscapeString(string(view.URL(ctx, path, "q", "a b&c")))+`">x</a>`)
		return err
	})
}

func pages(f *Frame) []rest.Route {
	show := func(c fiber.Ctx) error { return f.Show(c, Page{Title: `<b>"t"</b>`}, link("tables/x")) }
	return []rest.Route{
		f.Route("GET", "", auth.ReadOnly, show),
		f.Route("GET", "tables/{table}", auth.ReadOnly, show),
		f.Route("GET", "a/b/c", auth.ReadOnly, show),
		f.Route("GET", "broken", auth.ReadOnly, func(fiber.Ctx) error {
			return errs.New(errs.Invalid, "invalid_x", "The <i>field</i> is bad.")
		}),
		f.Route("POST", "do", auth.ReadOnly, func(c fiber.Ctx) error {
			form, err := FormOf(c)
			if err != nil {
				return err
			}
			if err := Confirmed(form, "yes"); err != nil {
				return err
			}
			return f.Done(c, "Done: <script>alert(1)</script>", "tables/"+view.Segment("a/b"), "tab", "1")
		}),
	}
}

func TestConfirmed(t *testing.T) {
	for _, test := range []struct {
		typed, want string
		ok          bool
	}{
		{"books", "books", true}, {" books\n", "books", true}, {"a ", " a ", true}, {" ", " ", true},
		{"", "books", false}, {"Books", "books", false}, {"", " ", false}, {"\t", " ", false},
	} {
		if err := Confirmed(Form{url.Values{"confirm": {test.typed}}}, test.want); (err == nil) != test.ok {
			t.Errorf("%q for %q: %v", test.typed, test.want, err)
		}
	}
	if Confirmed(Form{url.Values{}}, "\t") == nil {
		t.Error("nothing was typed")
	}
}

// TestLinksAreRelative follows a link from pages of each depth, below a proxy's
// prefix and without one.
func TestLinksAreRelative(t *testing.T) {
	s := serve(t, Options{}, pages)
	for _, path := range []string{"", "tables/x", "a/b/c", "tables/x?q=/y/", "broken", "none/where"} {
		res, body := s.do("GET", "/console/"+path, "")
		if res.StatusCode == http.StatusNotFound {
			continue // the router's; the console has a page for it
		}
		for _, prefix := range []string{"", "/db/one"} {
			at, err := url.Parse("http://h" + prefix + "/console/" + path)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(body, `rel="stylesheet"`)
			_, rest, _ = strings.Cut(rest, `href="`)
			href, _, _ := strings.Cut(rest, `"`)
			to, err := at.Parse(href)
			if err != nil || !strings.HasPrefix(to.Path, prefix+"/console/assets/console-") {
				t.Errorf("%s%s: the styles are at %v (%q)", prefix, path, to, href)
			}
		}
	}
	_, body := s.do("GET", "/console/a/b/c", "")
	if !strings.Contains(body, `href="../../tables/x?q=a+b%26c"`) {
		t.Errorf("no link in %s", body)
	}
}

func TestEveryAnswerIsBound(t *testing.T) {
	s := serve(t, Options{}, pages)
	styles := s.mustStyles()
	nonces := map[string]bool{}
	for _, path := range []string{"/console/", "/console/broken", "/console/assets/" + styles} {
		res, body := s.do("GET", path, "")
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: %q", path, csp)
		}
		if _, nonce, ok := strings.Cut(csp, "'nonce-"); ok {
			nonce, _, _ = strings.Cut(nonce, "'")
			if nonces[nonce] || !strings.Contains(body, `nonce="`+nonce+`"`) {
				t.Errorf("%s: the nonce %q is old, or not in the page", path, nonce)
			}
			nonces[nonce] = true
		}
		if strings.Contains(body, "<b>\"t\"") || strings.Contains(body, "<i>field") {
			t.Errorf("%s: markup gets through", path)
		}
	}
	res, _ := s.do("GET", "/console/assets/"+styles, "")
	if res.StatusCode != http.StatusOK || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("the styles: %d %v", res.StatusCode, res.Header)
	}
	if res, _ := s.do("GET", "/console/assets/none.css", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("a missing asset: %d", res.StatusCode)
	}
}

func (s *site) mustStyles() string {
	_, body := s.do("GET", "/console/", "")
	_, rest, _ := strings.Cut(body, "assets/console-")
	name, _, ok := strings.Cut(rest, `"`)
	if !ok {
		s.Fatalf("no styles in %s", body)
	}
	return "console-" + name
}

// TestFormAndNotice follows a form that works and one that doesn't.
func TestFormAndNotice(t *testing.T) {
	s := serve(t, Options{}, pages)
	res, body := s.do("POST", "/console/do", "confirm=+yes+")
	if res.StatusCode != http.StatusOK || res.Request.URL.Path != "/console/tables/a/b" && res.Request.URL.EscapedPath() != "/console/tables/a%2Fb" || res.Request.URL.RawQuery != "tab=1" {
		t.Errorf("led to %s: %d", res.Request.URL, res.StatusCode)
	}
	if !strings.Contains(body, "Done: &lt;script&gt;") {
		t.Errorf("no notice in %s", body)
	}
	if _, body := s.do("GET", "/console/", ""); strings.Contains(body, "Done: ") {
		t.Error("the notice shows twice")
	}
	res, body = s.do("POST", "/console/do", "confirm=no")
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "<h1>") || !strings.Contains(body, "Nothing was done") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	res, body = s.do("POST", "/console/do", "confirm=no", "HX-Request", "true")
	if res.StatusCode != http.StatusBadRequest || strings.Contains(body, "<h1") || res.Header.Get("HX-Retarget") != "#alerts" {
		t.Errorf("for htmx: %d %v %s", res.StatusCode, res.Header, body)
	}
	res, _ = s.do("POST", "/console/do", "confirm=yes", "HX-Request", "true")
	if res.StatusCode != http.StatusNoContent || res.Header.Get("HX-Redirect") != "./tables/a%2Fb?tab=1" {
		t.Errorf("for htmx: %d %v", res.StatusCode, res.Header)
	}
	if res, _ = s.do("POST", "/console/do", `{"confirm":"yes"}`, "Content-Type", "application/json"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("JSON: %d", res.StatusCode)
	}
}

func TestTheme(t *testing.T) {
	s := serve(t, Options{}, pages)
	for _, theme := range []string{"dark", "light", "system"} {
		res, body := s.do("POST", "/console/theme", "theme="+theme+"&back=tables%2Fx")
		want := `data-theme="` + strings.TrimPrefix(theme, "system") + `"`
		if res.Request.URL.Path != "/console/tables/x" || !strings.Contains(body, want) {
			t.Errorf("%s: at %s, no %s", theme, res.Request.URL, want)
		}
	}
}

func TestBackStaysInTheConsole(t *testing.T) {
	for path, want := range map[string]string{
		"": "", "tables": "tables", "tables/a?cursor=x%2F&q=http://y": "tables/a?cursor=x%2F&q=http://y", "tables/a:b": "",
		"//evil.example": "", "/etc": "", "http://evil.example": "", "../../x": "", "a/../../x": "", "a/%2e%2e/../x": "",
		"javascript:alert(1)": "", "\\\\evil": "", "a\r\nSet-Cookie: x": "", "\t//evil": "", "%zz": "", "a/%2e%2e/%2e%2e/x": "", "?q=1": "?q=1",
	} {
		if got := Back(path); got != want {
			t.Errorf("Back(%q) = %q, want %q", path, got, want)
		}
	}
}

// stream is a client of a stream.
func (s *site) stream(path string) (*bufio.Reader, func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "text/event-stream" {
		s.Fatalf("%d %s", res.StatusCode, got)
	}
	return bufio.NewReader(res.Body), func() { cancel(); res.Body.Close() }
}

// TestStreamThatPanics holds that nothing of it stays: neither its place nor the
// goroutine that keeps it alive.
func TestStreamThatPanics(t *testing.T) {
	s := serve(t, Options{MaxStreams: 1}, func(f *Frame) []rest.Route {
		return []rest.Route{f.Route("GET", "live", auth.ReadOnly, func(c fiber.Ctx) error {
			return f.Stream(c, func(context.Context, *Stream) error { panic("oh") })
		})}
	})
	for range 3 {
		if res, body := s.do("GET", "/console/live", ""); res.StatusCode != 200 || body != "retry: 2000\n\n" {
			t.Errorf("%d %q", res.StatusCode, body)
		}
	}
}

func TestStream(t *testing.T) {
	s := serve(t, Options{MaxStreams: 1}, func(f *Frame) []rest.Route {
		return []rest.Route{
			f.Route("GET", "live", auth.ReadOnly, func(c fiber.Ctx) error {
				return f.Stream(c, func(ctx context.Context, s *Stream) error {
					if err := s.Text("text", "7\n8", "a\r\nevent: evil\rdata: b"); err != nil {
						return err
					}
					if err := s.Send("part", "", link("x")); err != nil {
						return err
					}
					<-ctx.Done()
					return nil
				})
			}),
		}
	})
	r, leave := s.stream("/console/live")
	var got strings.Builder
	for range 11 {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(line)
	}
	want := "retry: 2000\n\nid: 78\nevent: text\ndata: a\ndata: event: evil\ndata: data: b\n\nevent: part\ndata: <a id=\"there\" href=\"./x?q=a+b%26c\">x</a>\n\n"
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if res, _ := s.do("GET", "/console/live", ""); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a second stream: %d", res.StatusCode)
	}
	close(s.draining)
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("after the drain began: %q %v", rest, err)
	}
	leave()
}

// TestPagesAreCompressed holds that a page comes in a coding that was asked for.
func TestPagesAreCompressed(t *testing.T) {
	s := serve(t, Options{}, pages)
	for field, want := range map[string]string{"gzip, deflate, br": "gzip", "*": "gzip", "identity": "", "gzip;q=0": "", "x-gzip": "", "br": ""} {
		res, _ := s.do("GET", "/console/", "", "Accept-Encoding", field)
		if got := res.Header.Get("Content-Encoding"); got != want || !strings.Contains(res.Header.Get("Vary"), "Accept-Encoding") {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
}
