package tables

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/web"
)

func TestMain(m *testing.M) {
	// These are fasthttp's, one of each for the life of a process.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// site is the pages over a database, as an admin or whoever role says sees them.
type site struct {
	*testing.T
	db     *testkit.DB
	tables *Tables
	url    string
	client *http.Client
	role   auth.Role
}

func newSite(t *testing.T) *site {
	t.Helper()
	assets, err := web.Open()
	if err != nil {
		t.Fatal(err)
	}
	db := testkit.Open(t)
	s := &site{T: t, db: db, tables: New(page.New(page.Options{Assets: assets}), Options{Database: db}), role: auth.Admin}
	life, end := context.WithCancel(context.Background())
	app := fiber.New(fiber.Config{CaseSensitive: true, StrictRouting: true, StreamRequestBody: true, DisablePreParseMultipartForm: true})
	step := func(_ auth.Role, render problem.Renderer) fiber.Handler {
		return func(c fiber.Ctx) error {
			info := &request.Info{ID: "1", Principal: auth.Principal{Name: "ops", Role: s.role}, Lifetime: life}
			if c.Request().IsBodyStream() {
				info.Stream = c.Request().BodyStream()
			}
			request.Attach(c, info)
			problem.RenderWith(c, render)
			return c.Next()
		}
	}
	rest.Register(app, s.tables.Routes(), step)
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
	s.url, s.client = "http://"+l.Addr().String()+"/console/", &http.Client{Jar: jar, Timeout: 20 * time.Second}
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := app.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done
		end()
	})
	return s
}

// do answers with the status, the body and where it leads.
func (s *site) do(method, path, contentType, body string) (status int, text, location string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res.StatusCode, string(raw), res.Header.Get("Location")
}

// get reads a page that has to hold some texts.
func (s *site) get(path string, want ...string) string {
	s.Helper()
	status, text, _ := s.do("GET", path, "", "")
	if status != http.StatusOK {
		s.Fatalf("GET %s: %d %s", path, status, text)
	}
	s.holds(path, text, want...)
	return text
}

func (s *site) holds(what, text string, want ...string) {
	s.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			_, text, _ = strings.Cut(text, "<main")
			s.Errorf("%s has no %q:\n%.4000s", what, w, text)
		}
	}
}

// post sends a form, names and values in turn.
func (s *site) post(path string, fields ...string) (status int, text, location string) {
	s.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return s.do("POST", path, "application/x-www-form-urlencoded", form.Encode())
}
