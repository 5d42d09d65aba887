package server

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
)

// require is the first step of every route's chain: it lets in whoever has the
// role at least. It runs before anything of the body is read. A route without a
// role lets nobody in, whether keys are set or not. With a renderer the route is a
// page of the console.
func (s *Server) require(role auth.Role, render problem.Renderer) fiber.Handler {
	isPage := render != nil
	return func(c fiber.Ctx) error {
		info := request.Of(c)
		info.Role = role
		if isPage {
			problem.RenderWith(c, render)
			if err := samePage(c); err != nil {
				return err
			}
		}
		if role == auth.Public {
			return c.Next()
		}
		// A cache between here and the client must not give this answer to others;
		// handlers may be stricter.
		c.Set(fiber.HeaderCacheControl, cacheControl(isPage))
		principal, err := s.authenticate(c, info, isPage)
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

// requireForNothing is require for what matches no route.
func (s *Server) requireForNothing() fiber.Handler {
	plain, pages := s.require(auth.ReadOnly, nil), s.o.Pages
	if pages.Render == nil {
		return plain
	}
	page := s.require(auth.ReadOnly, pages.Render)
	return func(c fiber.Ctx) error {
		if strings.HasPrefix(c.Path(), pages.Below) {
			return page(c)
		}
		return plain(c)
	}
}

// cacheControl is no-store for pages: the browser must not show them again to
// whoever sits there after somebody has signed out.
func cacheControl(isPage bool) string {
	if isPage {
		return "no-store"
	}
	return "private, no-cache"
}

// authenticate says who sends the request, within the limits of rate. What a
// wrong key gets doesn't depend on the route.
func (s *Server) authenticate(c fiber.Ctx, info *request.Info, isPage bool) (auth.Principal, error) {
	if err := s.limits.admitAddress(c, info.Remote); err != nil {
		return auth.Principal{}, err
	}
	access := s.access.Load()
	if access.keys == nil {
		info.Closing = access.closing[auth.Digest{}]
		if err := s.knownHost(c); err != nil {
			return auth.Principal{}, err
		}
		return anonymous, sameOrigin(c)
	}
	principal, err := s.identify(c, info, access, isPage)
	if err != nil {
		return auth.Principal{}, err
	}
	return principal, s.limits.admitKey(c, principal.Name)
}

// identify says whom the request's key belongs to, or its session if it is for a
// page.
func (s *Server) identify(c fiber.Ctx, info *request.Info, access *access, isPage bool) (auth.Principal, error) {
	if isPage {
		token, err := s.presentedSession(c)
		if err != nil {
			return auth.Principal{}, err
		}
		if token != "" {
			return s.resume(c, info, access.keys, token)
		}
	}
	key, err := presentedKey(c)
	if err != nil {
		return auth.Principal{}, err
	}
	sum := auth.DigestOf(key)
	principal, ok, err := s.holder(c, info, access.keys, sum)
	if err == nil && !ok {
		err = unauthenticated(c, "unknown_key", "The API key is not one of this server's.")
	}
	info.Closing = access.closing[sum]
	return principal, err
}

// holder says whom the key with a hash belongs to, within the limit of guesses.
func (s *Server) holder(c fiber.Ctx, info *request.Info, keys *auth.Keys, sum auth.Digest) (auth.Principal, bool, error) {
	principal, ok := keys.Holder(sum)
	return principal, ok, s.limits.guessed(c, info.Remote, principal.Name, ok)
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
