package indexes

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/web"
)

// site is the pages over a database, as someone with the role sees them.
type site struct {
	*testing.T
	db   *testkit.DB
	app  *fiber.App
	role auth.Role
}

func newSite(t *testing.T) *site {
	t.Helper()
	assets, err := web.Open()
	if err != nil {
		t.Fatal(err)
	}
	db := testkit.Open(t)
	s := &site{T: t, db: db, role: auth.Admin, app: fiber.New(fiber.Config{CaseSensitive: true, StrictRouting: true})}
	pages := New(page.New(page.Options{Assets: assets}), Options{Database: db.Engine})
	step := func(_ auth.Role, render problem.Renderer) fiber.Handler {
		return func(c fiber.Ctx) error {
			request.Attach(c, &request.Info{ID: "1", Principal: auth.Principal{Name: "ops", Role: s.role}})
			problem.RenderWith(c, render)
			return c.Next()
		}
	}
	rest.Register(s.app, pages.Routes(), step)
	return s
}

func (s *site) do(method, path string, form url.Values) (*http.Response, string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, "http://h/console/"+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := s.app.Test(req, fiber.TestConfig{Timeout: 20 * time.Second})
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res, string(body)
}

// mainOf is the beginning of a page's content, for messages.
func mainOf(body string) string {
	_, content, _ := strings.Cut(body, "<main")
	return content[:min(len(content), 3000)]
}

// get wants the page and all of the texts on it.
func (s *site) get(path string, texts ...string) string {
	s.Helper()
	res, body := s.do("GET", path, nil)
	if res.StatusCode != http.StatusOK {
		s.Fatalf("%s: %d %s", path, res.StatusCode, body)
	}
	for _, text := range texts {
		if !strings.Contains(body, text) {
			s.Errorf("%s: no %s in %s", path, text, mainOf(body))
		}
	}
	return body
}

// post sends names and values in turn, wants the status, and returns where the
// answer leads, or the page.
func (s *site) post(status int, path string, fields ...string) string {
	s.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	res, body := s.do("POST", path, form)
	if res.StatusCode != status {
		s.Fatalf("%s %v: %d %s", path, form, res.StatusCode, body)
	}
	if status == http.StatusSeeOther {
		return res.Header.Get("Location")
	}
	return body
}

// await waits until no job runs.
func (s *site) await() {
	s.Helper()
	for _, status := range s.db.Jobs().List() {
		if job, ok := s.db.Jobs().Get(status.ID); ok {
			if err := job.Wait(s.Context()); err != nil {
				s.Fatal(err)
			}
		}
	}
}
