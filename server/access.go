package server

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/request"
)

// anonymous is everybody while no keys are set.
var anonymous = auth.Principal{Name: "anonymous", Role: auth.Admin}

// SetKeys replaces the keys for all later requests; nil turns authentication off.
func (s *Server) SetKeys(keys *auth.Keys) { s.keys.Store(keys) }

// require is the first step of every route's chain: it lets in whoever has the
// role at least. It runs before anything of the body is read. A route without a
// role lets nobody in, whether keys are set or not.
func (s *Server) require(role auth.Role) fiber.Handler {
	return func(c fiber.Ctx) error {
		info := request.Of(c)
		info.Role = role
		if role == auth.Public {
			return c.Next()
		}
		// A cache between here and the client must not give this answer to others;
		// handlers may be stricter.
		c.Set(fiber.HeaderCacheControl, "private, no-cache")
		principal, err := s.authenticate(c, info)
		if err != nil {
			return err
		}
		info.Principal = principal
		if role < auth.Public || principal.Role < role {
			return errs.New(errs.Forbidden, "forbidden",
				"This call needs the role %s; the key has the role %s. Nothing was done.", role, principal.Role)
		}
		return c.Next()
	}
}

// authenticate says who sends the request, within the limits of rate. What a
// wrong key gets doesn't depend on the route.
func (s *Server) authenticate(c fiber.Ctx, info *request.Info) (auth.Principal, error) {
	if err := s.limits.admitAddress(c, info.Remote); err != nil {
		return auth.Principal{}, err
	}
	keys := s.keys.Load()
	if keys == nil {
		return anonymous, sameOrigin(c)
	}
	key, err := presentedKey(c)
	if err != nil {
		return auth.Principal{}, err
	}
	principal, ok := keys.Authenticate(key)
	if err := s.limits.guessed(c, info.Remote, principal.Name, ok); err != nil {
		return auth.Principal{}, err
	}
	if !ok {
		return auth.Principal{}, unauthenticated(c, "unknown_key", "The API key is not one of this server's.")
	}
	return principal, s.limits.admitKey(c, principal.Name)
}

func unauthenticated(c fiber.Ctx, code, detail string) error {
	c.Set(fiber.HeaderWWWAuthenticate, "Bearer")
	return errs.New(errs.Unauthenticated, code, "%s Send it as \"Authorization: Bearer KEY\" or \"api-key: KEY\".", detail)
}

// presentedKey is the one key that a request carries. Two of them are refused:
// whoever stands between client and server may have looked at the other one.
func presentedKey(c fiber.Ctx) (string, error) {
	header := &c.Request().Header
	bearer, own := header.PeekAll(fiber.HeaderAuthorization), header.PeekAll("Api-Key")
	switch {
	case len(bearer)+len(own) == 0:
		return "", unauthenticated(c, "key_required", "This call needs an API key.")
	case len(bearer)+len(own) > 1:
		return "", unauthenticated(c, "ambiguous_key", "The request carries more than one API key.")
	case len(own) == 1:
		return string(own[0]), nil
	}
	scheme, key, _ := strings.Cut(string(bearer[0]), " ")
	if key = strings.TrimLeft(key, " "); !strings.EqualFold(scheme, "Bearer") || key == "" {
		return "", unauthenticated(c, "key_required", "The Authorization header holds no bearer token.")
	}
	return key, nil
}

// sameOrigin refuses what a foreign web page makes a browser send: the rules of
// net/http.CrossOriginProtection. It matters while no key is asked for, since a
// browser adds none by itself. Reading methods change nothing, and the page
// can't read the answer.
func sameOrigin(c fiber.Ctx) error {
	switch c.Method() {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	switch c.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return nil
	case "": // an older browser, or none
		origin := c.Get(fiber.HeaderOrigin)
		if origin == "" {
			return nil
		}
		if u, err := url.Parse(origin); err == nil && u.Host != "" && u.Host == string(c.Request().Host()) {
			return nil
		}
	}
	return errs.New(errs.Forbidden, "cross_origin", "This call comes from a web page of another origin. Nothing was done.")
}

// redact masks API keys in what is logged or answered.
func (s *Server) redact(text string) string { return s.keys.Load().Redact(text) }
