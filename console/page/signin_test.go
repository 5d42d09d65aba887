package page

import (
	"net/http"
	"strings"
	"testing"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
)

// TestSignInInPlace holds what somebody sees whose session has ended: the form in
// place of a page, which leads back to it, the same when a part of an open page
// asks, and a word where a form was sent, whose values stay.
func TestSignInInPlace(t *testing.T) {
	form := func(next string, why problem.Problem) templ.Component {
		return templ.Raw("[" + next + " " + why.Code + "]")
	}
	s := serve(t, Options{SignIn: form}, func(f *Frame) []rest.Route {
		ended := func(fiber.Ctx) error { return errs.New(errs.Unauthenticated, "session_ended", "It has ended.") }
		return []rest.Route{f.Route("GET", "tables/{table}", auth.ReadOnly, ended), f.Route("POST", "do", auth.ReadOnly, ended)}
	})
	for _, test := range []struct {
		method, path, text, refresh string
		headers                     []string
	}{
		{"GET", "tables/a%2Fb?tab=1", "[tables/a%2Fb?tab=1 session_ended]", "", nil},
		{"POST", "do", "[ session_ended]", "", nil},
		{"GET", "tables/a", "It has ended.", "true", []string{"HX-Request", "true"}},
		{"POST", "do", "It has ended.", "", []string{"HX-Request", "true"}},
	} {
		res, body := s.do(test.method, "/console/"+test.path, "", test.headers...)
		if res.StatusCode != http.StatusUnauthorized || !strings.Contains(body, test.text) || res.Header.Get("HX-Refresh") != test.refresh || strings.Contains(body, "sidebar") {
			t.Errorf("%s %s %v: %d %v %s", test.method, test.path, test.headers, res.StatusCode, res.Header, body)
		}
	}
}
