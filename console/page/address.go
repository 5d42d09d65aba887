package page

import (
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v3"
)

// root leads from the page to /console/.
func root(c fiber.Ctx) string {
	path := string(c.Request().URI().PathOriginal())
	if outer := outerPage(c); outer != "" {
		path = outer
	}
	_, below, _ := strings.Cut(path, Prefix)
	depth := min(strings.Count(below, "/"), maxDepth)
	if depth == 0 {
		return "./"
	}
	return strings.Repeat("../", depth)
}

// maxDepth is more than any page of the console has.
const maxDepth = 16

// outerPage is the path of the page that a part or a stream is asked for by, for
// links in it are relative to that one; empty if this is a page itself.
func outerPage(c fiber.Ctx) string {
	header := ""
	switch {
	case IsPart(c):
		header = "HX-Current-URL"
	case strings.HasPrefix(c.Get(fiber.HeaderAccept), "text/event-stream"):
		header = fiber.HeaderReferer
	}
	u, err := url.Parse(c.Get(header))
	if header == "" || err != nil || !strings.Contains(u.EscapedPath(), Prefix) {
		return ""
	}
	return u.EscapedPath()
}

// base is the REST API's address for the client. A proxy may say below which
// prefix it serves it; that is only shown, never followed.
func base(c fiber.Ctx) string {
	u := url.URL{Scheme: scheme(c), Host: string(c.Request().Host())}
	if prefix := c.Get("X-Forwarded-Prefix"); strings.HasPrefix(prefix, "/") {
		u.Path = strings.TrimRight(prefix, "/")
	}
	return u.String()
}

// scheme is https under TLS, and if a proxy says so; that too is only shown.
func scheme(c fiber.Ctx) string {
	if c.RequestCtx().IsTLS() || c.Get(fiber.HeaderXForwardedProto) == "https" {
		return "https"
	}
	return "http"
}

// Back makes a path below /console/ of what a form says it came from: anything
// that could lead elsewhere becomes the start page.
func Back(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != "" ||
		strings.HasPrefix(path, "/") || strings.ContainsAny(path, "\\\r\n\t") {
		return ""
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == ".." || strings.Contains(segment, ":") {
			return ""
		}
	}
	return path
}

// here is the page's own path and query below /console/, for Back.
func here(c fiber.Ctx) string {
	return strings.TrimPrefix(strings.Clone(c.OriginalURL()), Prefix)
}
