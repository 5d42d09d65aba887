// Package pagetest answers requests for pages in tests, as a server would, without
// a connection. It owns no goroutines and no locks.
package pagetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/web"
)

// Site is a group of pages.
type Site struct {
	t   testing.TB
	app *fiber.App
	// Role is what the pages' reader may do. It isn't checked: that is the server's
	// part.
	Role auth.Role
}

// Answer is what a request got.
type Answer struct {
	Status int
	Body   string
	// Location is the path and query that the answer leads to, below /console/.
	Location string
}

// New returns the pages that routes makes of a frame, as an admin sees them.
func New(t testing.TB, routes func(*page.Frame) []rest.Route) *Site {
	t.Helper()
	assets, err := web.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &Site{t: t, Role: auth.Admin, app: fiber.New(fiber.Config{CaseSensitive: true, StrictRouting: true, ReadBufferSize: 16 << 10})}
	step := func(_ auth.Role, render problem.Renderer) fiber.Handler {
		return func(c fiber.Ctx) error {
			request.Attach(c, &request.Info{ID: "1", Principal: auth.Principal{Name: "tester", Role: s.Role}})
			problem.RenderWith(c, render)
			return c.Next()
		}
	}
	rest.Register(s.app, routes(page.New(page.Options{Assets: assets})), step)
	return s
}

// Get asks for a path below /console/. Query are names and values in turn.
func (s *Site) Get(path string, query ...string) Answer {
	s.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		values.Add(query[i], query[i+1])
	}
	if len(values) > 0 {
		path += "?" + values.Encode()
	}
	return s.do(httptest.NewRequest(http.MethodGet, page.Prefix+path, nil))
}

// Post sends a form. Fields are names and values in turn.
func (s *Site) Post(path string, fields ...string) Answer {
	s.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	req := httptest.NewRequest(http.MethodPost, page.Prefix+path, strings.NewReader(values.Encode()))
	req.Header.Set(fiber.HeaderContentType, fiber.MIMEApplicationForm)
	return s.do(req)
}

// Follow goes on to where an answer leads.
func (s *Site) Follow(a Answer) Answer {
	s.t.Helper()
	if a.Status != http.StatusSeeOther {
		s.t.Fatalf("status %d leads nowhere: %s", a.Status, a.Body)
	}
	return s.Get(a.Location)
}

func (s *Site) do(req *http.Request) Answer {
	s.t.Helper()
	res, err := s.app.Test(req, fiber.TestConfig{Timeout: 30 * time.Second})
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := Answer{Status: res.StatusCode, Body: string(body)}
	if to, err := req.URL.Parse(res.Header.Get(fiber.HeaderLocation)); err == nil && to != req.URL {
		a.Location = strings.TrimPrefix(to.RequestURI(), page.Prefix)
	}
	return a
}

// main is what a page shows, without the frame.
func (a Answer) main() string {
	_, main, found := strings.Cut(a.Body, "<main")
	if !found {
		return a.Body
	}
	return main
}

// Holds fails the test unless the answer has the status and all of the texts.
func (s *Site) Holds(a Answer, status int, texts ...string) {
	s.t.Helper()
	if a.Status != status {
		s.t.Errorf("status %d, not %d:\n%s", a.Status, status, a.main())
	}
	for _, text := range texts {
		if !strings.Contains(a.Body, text) {
			s.t.Errorf("no %q in:\n%s", text, a.main())
		}
	}
}

// Lacks fails the test if the answer has one of the texts.
func (s *Site) Lacks(a Answer, texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if strings.Contains(a.Body, text) {
			s.t.Errorf("%q stands in:\n%s", text, a.main())
		}
	}
}
