package server

import (
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/request"
)

// How browsers sign in to the console: with a key once, with a session's cookie
// from then on. Package session keeps the sessions.

// SignIn begins a session of whom the key belongs to, within the limits of rate and
// of guesses. A session that the browser had before ends; nothing of it is kept.
func (s *Server) SignIn(c fiber.Ctx, key string) (auth.Principal, error) {
	info := request.Of(c)
	info.Audited = true
	keys := s.access.Load().keys
	if keys == nil || s.o.Sessions == nil {
		return auth.Principal{}, errs.New(errs.Conflict, "auth_off", "Authentication is off, so there is nothing to sign in to.")
	}
	if err := s.limits.admitAddress(c, info.Remote); err != nil {
		return auth.Principal{}, err
	}
	sum := auth.DigestOf(strings.TrimSpace(key)) // it may have been pasted
	principal, ok, err := s.holder(c, info, keys, sum)
	if err != nil {
		return auth.Principal{}, err
	}
	if !ok {
		return auth.Principal{}, errs.New(errs.Unauthenticated, "unknown_key", "This is not one of the server's API keys.")
	}
	if err := s.limits.admitKey(c, principal.Name); err != nil {
		return auth.Principal{}, err
	}
	secure := s.isSecure(c)
	for _, token := range s.o.Sessions.Presented(c, secure) {
		s.o.Sessions.End(token)
	}
	s.o.Sessions.Send(c, secure, s.o.Sessions.Start(sum, principal))
	info.Principal = principal
	return principal, nil
}

// SignOut ends the session that the request came with.
func (s *Server) SignOut(c fiber.Ctx) {
	request.Of(c).Audited = true
	if s.o.Sessions == nil {
		return
	}
	secure := s.isSecure(c)
	for _, token := range s.o.Sessions.Presented(c, secure) {
		s.o.Sessions.End(token)
	}
	s.o.Sessions.Forget(c, secure)
}

// SetSessionLimits changes how long sessions last, as session.Options say.
func (s *Server) SetSessionLimits(idle, maxAge time.Duration) {
	if s.o.Sessions != nil {
		s.o.Sessions.SetLimits(idle, maxAge)
	}
}

// presentedSession is the token that a request for a page carries, empty if it
// carries a key instead. More than one of them are refused: the other one was set
// by somebody else who has a page on this host, or looked at by whoever stands
// between client and server.
func (s *Server) presentedSession(c fiber.Ctx) (string, error) {
	var tokens []string
	if s.o.Sessions != nil {
		tokens = s.o.Sessions.Presented(c, s.isSecure(c))
	}
	switch withKey := presentsKey(c); {
	case len(tokens) > 1:
		return "", errs.New(errs.Unauthenticated, "ambiguous_session",
			"The browser sent more than one session. Delete the cookies of this host, then sign in again.")
	case len(tokens) == 1 && withKey:
		return "", errs.New(errs.Unauthenticated, "ambiguous_key", "The request carries a session and an API key; it may have one of them.")
	case len(tokens) == 1:
		return tokens[0], nil
	case withKey:
		return "", nil
	}
	return "", errs.New(errs.Unauthenticated, "sign_in_required", "Sign in to see this page.")
}

// resume says whom a session belongs to.
func (s *Server) resume(c fiber.Ctx, info *request.Info, keys *auth.Keys, token string) (auth.Principal, error) {
	visit, ok := s.o.Sessions.Resume(token, keys, isActive(c))
	if !ok {
		s.o.Sessions.Forget(c, s.isSecure(c))
		return auth.Principal{}, errs.New(errs.Unauthenticated, "session_ended", "The session has ended. Nothing was done; sign in again.")
	}
	if visit.Token != "" {
		s.o.Sessions.Send(c, s.isSecure(c), visit.Token)
	}
	info.SessionEnded = visit.Ended
	return visit.Principal, nil
}

// isActive reports whether the request may be somebody's doing: the page itself
// opens streams and asks for its parts, again and again as long as it is open.
func isActive(c fiber.Ctx) bool {
	return !strings.HasPrefix(c.Get(fiber.HeaderAccept), "text/event-stream") && c.Get("Themis-Poll") == ""
}

// presentsKey reports whether the request carries a key in a header. Basic
// credentials are none: a proxy in front may ask for them.
func presentsKey(c fiber.Ctx) bool {
	header := &c.Request().Header
	if len(header.PeekAll("Api-Key")) > 0 {
		return true
	}
	for _, line := range header.PeekAll(fiber.HeaderAuthorization) {
		if scheme, _, _ := strings.Cut(string(line), " "); !strings.EqualFold(scheme, "Basic") {
			return true
		}
	}
	return false
}

// isSecure reports whether the browser speaks TLS, as far as can be known here: with
// this server, or with a trusted proxy that says so.
func (s *Server) isSecure(c fiber.Ctx) bool {
	if s.o.TLS != nil {
		return true
	}
	scheme, _, _ := strings.Cut(c.Get(fiber.HeaderXForwardedProto), ",")
	return strings.EqualFold(strings.TrimSpace(scheme), "https") && s.isProxy(addrOf(c.RequestCtx().RemoteAddr()))
}

// samePage refuses what a page elsewhere makes the browser do here: changes, and
// anything but a link that is followed. A browser that doesn't say is an old one;
// then changes still have their Origin, and the rest can only be read.
func samePage(c fiber.Ctx) error {
	if err := sameOrigin(c); err != nil {
		return err
	}
	switch c.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return nil
	}
	if c.Method() == http.MethodGet && c.Get("Sec-Fetch-Mode") == "navigate" && c.Get("Sec-Fetch-Dest") == "document" {
		return nil
	}
	return errs.New(errs.Forbidden, "cross_origin", "This call comes from a web page of another origin. Nothing was done.")
}
