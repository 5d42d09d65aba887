package session

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/web"
)

const rightKey = "right-right-right"

// site is the sign-in without the server around it.
type site struct {
	app     *fiber.App
	authOff bool
	// signedIn counts who got in less who got out.
	signedIn int
}

func newSite(t testing.TB) *site {
	t.Helper()
	assets, err := web.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{app: fiber.New()}
	frame := page.New(page.Options{Assets: assets, SignIn: InPlaceOf})
	group := New(frame, Options{
		SignIn: func(_ fiber.Ctx, key string) (auth.Principal, error) {
			if key != rightKey {
				return auth.Principal{}, errs.New(errs.Unauthenticated, "unknown_key", "This is <none> of the keys.")
			}
			s.signedIn++
			return auth.Principal{Name: "ops", Role: auth.Admin}, nil
		},
		SignOut: func(fiber.Ctx) { s.signedIn-- },
		AuthOff: func() bool { return s.authOff },
	})
	secret := frame.Route("GET", "tables/{table}", auth.ReadOnly, func(fiber.Ctx) error {
		return errs.New(errs.Unauthenticated, "session_ended", "The session has ended.")
	})
	rest.Register(s.app, append(group.Routes(), secret), func(_ auth.Role, render problem.Renderer) fiber.Handler {
		return func(c fiber.Ctx) error {
			problem.RenderWith(c, render)
			return c.Next()
		}
	})
	return s
}

func (s *site) do(t testing.TB, method, path string, form url.Values) (int, string, string) {
	t.Helper()
	req := httptest.NewRequest(method, "/console/"+path, strings.NewReader(form.Encode()))
	if method == "POST" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := s.app.Test(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body strings.Builder
	if err := res.Write(&body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Location"), body.String()
}

func TestSignIn(t *testing.T) {
	s := newSite(t)
	status, _, body := s.do(t, "GET", "sign-in?next=tables%3Fsort%3Dname", nil)
	if status != 200 || !strings.Contains(body, `name="next" value="tables?sort=name"`) || !strings.Contains(body, `action="./sign-in"`) {
		t.Errorf("%d %s", status, body)
	}
	status, _, body = s.do(t, "GET", "tables/books?page=2", nil)
	if status != 401 || !strings.Contains(body, `name="next" value="tables/books?page=2"`) || !strings.Contains(body, `action="../sign-in"`) || !strings.Contains(body, "The session has ended.") {
		t.Errorf("in place of a page: %d %s", status, body)
	}
	status, _, body = s.do(t, "POST", "sign-in", url.Values{"key": {"wrong-wrong-wrong"}, "next": {"tables"}})
	if status != 401 || strings.Contains(body, "wrong-wrong") || !strings.Contains(body, "This is &lt;none&gt; of the keys.") || !strings.Contains(body, `name="next" value="tables"`) {
		t.Errorf("a wrong key: %d %s", status, body)
	}
	if status, to, _ := s.do(t, "POST", "sign-in", url.Values{"key": {rightKey}, "next": {"tables?sort=name"}}); status != 303 || to != "./tables?sort=name" || s.signedIn != 1 {
		t.Errorf("%d %s", status, to)
	}
	if status, to, _ := s.do(t, "POST", "sign-out", nil); status != 303 || to != "./sign-in?note=out" || s.signedIn != 0 {
		t.Errorf("%d %s", status, to)
	}
	if _, _, body := s.do(t, "GET", "sign-in?note=out", nil); !strings.Contains(body, "You are signed out.") {
		t.Error(body)
	}
	if status, _, _ := s.do(t, "GET", "sign-in?note=%3Cscript%3E", nil); status != http.StatusOK {
		t.Error(status)
	}
	s.authOff = true
	for _, method := range []string{"GET", "POST"} {
		if status, to, _ := s.do(t, method, "sign-in", url.Values{"key": {rightKey}}); status != 303 || to != "./" || s.signedIn != 0 {
			t.Errorf("%s with auth off: %d %s", method, status, to)
		}
	}
}

// outside are texts that look like paths below the console and lead elsewhere, at
// least for some browsers.
var outside = []string{
	"https://evil.example", "//evil.example", "/tables", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "data:text/html,x", "JaVaScRiPt:alert(1)",
	"..", "../", "../entities", "tables/../../tables", "%2e%2e/entities", ".%2E/entities", "tables/..%2f..%2fentities", "tables/..;/../..", "..\\entities", ".\t./entities",
	"\thttps://evil.example", "https:evil.example", "x:y", "./x:y", "a\r\nSet-Cookie: x=y", "\x00", "%", "@evil.example:80", "///evil.example", " //evil.example", "http:///evil.example",
	"tables/%5c..%5c..", "x?y\nz", "sign-in\\..\\..", "%00//evil.example", "\u2028//evil.example", "．．/entities",
}

// leads fails if a browser would leave the console.
func leads(t testing.TB, s *site, next string) {
	t.Helper()
	status, to, _ := s.do(t, "POST", "sign-in", url.Values{"key": {rightKey}, "next": {next}})
	if status != http.StatusSeeOther || to == "" {
		t.Fatalf("%q: %d %q", next, status, to)
	}
	if strings.ContainsAny(to, "\\\t\r\n\x00") || strings.HasPrefix(to, "/") {
		t.Fatalf("%q leads to %q", next, to)
	}
	base, err := url.Parse("https://host/prefix/console/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	// Browsers take %2e for a dot.
	for _, as := range []string{to, strings.NewReplacer("%2e", ".", "%2E", ".").Replace(to)} {
		u, err := base.Parse(as)
		if err != nil {
			t.Fatalf("%q leads to %q: %v", next, to, err)
		}
		if u.Scheme != "https" || u.Host != "host" || u.User != nil || !strings.HasPrefix(u.EscapedPath(), "/prefix/console/") {
			t.Fatalf("%q leads to %q", next, u)
		}
	}
}

func TestNextStaysInside(t *testing.T) {
	s := newSite(t)
	for _, next := range outside {
		leads(t, s, next)
	}
	for _, next := range []string{"", "tables", "tables/a%2Fb?pk=x%3Ay&cursor=..", "?range=hour", "search?vector=[1,2]", "tables/caf%C3%A9"} {
		leads(t, s, next)
		if _, to, _ := s.do(t, "POST", "sign-in", url.Values{"key": {rightKey}, "next": {next}}); to != "./"+next {
			t.Errorf("%q leads to %q", next, to)
		}
	}
}

func FuzzNext(f *testing.F) {
	s := newSite(f)
	for _, next := range outside {
		f.Add(next)
	}
	f.Fuzz(func(t *testing.T, next string) { leads(t, s, next) })
}
