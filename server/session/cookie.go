package session

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
)

// hostPrefix makes browsers take the cookie from this very host only, over TLS,
// and for all of its paths.
const hostPrefix = "__Host-"

func cookieName(instance string) string {
	sum := sha256.Sum256([]byte(instance))
	return "themis_session_" + hex.EncodeToString(sum[:4])
}

// CookieName is the name of the cookie; secure is whether the browser speaks TLS.
func (s *Sessions) CookieName(secure bool) string {
	if secure {
		return hostPrefix + s.name
	}
	return s.name
}

// Presented returns the tokens in the request's cookies. There is one at most,
// unless somebody else has set another.
func (s *Sessions) Presented(c fiber.Ctx, secure bool) []string {
	var tokens []string
	name := s.CookieName(secure)
	for key, value := range c.Request().Header.Cookies() {
		if string(key) == name && len(value) > 0 {
			tokens = append(tokens, string(value))
		}
	}
	return tokens
}

// Send gives the browser a token. The browser forgets it when it is closed.
func (s *Sessions) Send(c fiber.Ctx, secure bool, token string) {
	c.Cookie(&fiber.Cookie{
		Name: s.CookieName(secure), Value: token, Path: "/",
		HTTPOnly: true, Secure: secure, SameSite: fiber.CookieSameSiteLaxMode, SessionOnly: true,
	})
}

// Forget makes the browser forget its token.
func (s *Sessions) Forget(c fiber.Ctx, secure bool) {
	c.Cookie(&fiber.Cookie{
		Name: s.CookieName(secure), Path: "/", Expires: fasthttp.CookieExpireDelete,
		HTTPOnly: true, Secure: secure, SameSite: fiber.CookieSameSiteLaxMode,
	})
}
