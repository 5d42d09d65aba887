// Package session is the console's sign-in: the page that asks for an API key, and
// the way out. The sessions themselves are the server's; this package only talks to
// people.
//
// It owns no goroutines and no locks.
package session

import (
	"net/http"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
)

// Options are what the server does about sessions. All of them are needed.
type Options struct {
	// SignIn begins a session of whom the key belongs to. Its errors are fit to be
	// shown.
	SignIn func(c fiber.Ctx, key string) (auth.Principal, error)
	// SignOut ends the session that the request came with.
	SignOut func(c fiber.Ctx)
	// AuthOff says that nobody is asked for a key, so nobody can sign in.
	AuthOff func() bool
}

// Session serves the sign-in. Make one with New.
type Session struct {
	frame *page.Frame
	o     Options
}

// New returns the sign-in.
func New(frame *page.Frame, o Options) *Session { return &Session{frame, o} }

// Routes lists the pages.
func (s *Session) Routes() []rest.Route {
	return []rest.Route{
		s.frame.Route(http.MethodGet, "sign-in", auth.Public, s.ask),
		s.frame.Route(http.MethodPost, "sign-in", auth.Public, s.signIn),
		s.frame.Route(http.MethodPost, "sign-out", auth.ReadOnly, s.signOut),
	}
}

// prompt is what the form says.
type prompt struct {
	// Next is where it leads, a path below /console/.
	Next string
	// Failure says what was wrong with the key before, Note anything else.
	Failure, Note string
}

// The notes of the sign-in page, by the name that links to it have for them.
func note(name string) string {
	if name == "out" {
		return "You are signed out."
	}
	return ""
}

func (s *Session) ask(c fiber.Ctx) error {
	next := page.Back(page.Query(c, "next"))
	if s.o.AuthOff() {
		return s.frame.Done(c, "", next)
	}
	return s.frame.Alone(c, http.StatusOK, "Sign in", form(prompt{Next: next, Note: note(page.Query(c, "note"))}))
}

func (s *Session) signIn(c fiber.Ctx) error {
	fields, err := page.FormOf(c)
	if err != nil {
		return err
	}
	next := page.Back(fields.Get("next"))
	if s.o.AuthOff() {
		return s.frame.Done(c, "", next)
	}
	if _, err := s.o.SignIn(c, fields.Get("key")); err != nil {
		p := problem.Of(err)
		return s.frame.Alone(c, p.Status, "Sign in", form(prompt{Next: next, Failure: p.Detail}))
	}
	return s.frame.Done(c, "", next)
}

func (s *Session) signOut(c fiber.Ctx) error {
	s.o.SignOut(c)
	return s.frame.Done(c, "", "sign-in", "note", "out")
}

// InPlaceOf is the form that the frame shows in place of a page that somebody has
// to sign in for. The problem says why.
func InPlaceOf(next string, p problem.Problem) templ.Component {
	if p.Code == "sign_in_required" {
		return form(prompt{Next: next})
	}
	return form(prompt{Next: next, Note: p.Detail})
}
