package page

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/format"
)

// SetTheme answers the form that chooses light, dark or the system's way.
func (f *Frame) SetTheme(c fiber.Ctx) error {
	form, err := FormOf(c)
	if err != nil {
		return err
	}
	theme := form.Text("theme")
	cookie := &fiber.Cookie{Name: themeCookie, Value: theme, Path: "/", SameSite: fiber.CookieSameSiteStrictMode, MaxAge: 365 * 24 * 3600}
	if theme != "light" && theme != "dark" {
		cookie.Value, cookie.MaxAge, cookie.Expires = "", 0, time.Unix(1, 0)
	}
	c.Cookie(cookie)
	if IsPart(c) {
		return c.SendStatus(http.StatusNoContent)
	}
	return f.Done(c, "", Back(form.Text("back")))
}

const themeCookie = "themis_theme"

func themeOf(c fiber.Ctx) string {
	switch theme := c.Cookies(themeCookie); theme {
	case "light", "dark":
		return strings.Clone(theme)
	}
	return ""
}

// The notice travels in a cookie: it says what was done to the browser that did
// it, on whichever page it lands, and nothing is kept on the server.
const (
	noticeCookie = "themis_notice"
	maxNotice    = 400
)

func leaveNotice(c fiber.Ctx, notice string) {
	if notice == "" {
		return
	}
	c.Cookie(&fiber.Cookie{
		Name: noticeCookie, Value: base64.RawURLEncoding.EncodeToString([]byte(format.Shorten(notice, maxNotice))), Path: "/",
		MaxAge: 30, HTTPOnly: true, SameSite: fiber.CookieSameSiteStrictMode,
	})
}

func takeNotice(c fiber.Ctx) string {
	text, err := base64.RawURLEncoding.DecodeString(c.Cookies(noticeCookie))
	if err != nil || len(text) == 0 {
		return ""
	}
	c.Cookie(&fiber.Cookie{
		Name: noticeCookie, Path: "/", Expires: time.Unix(1, 0), HTTPOnly: true, SameSite: fiber.CookieSameSiteStrictMode,
	})
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
