// Package page is the frame of the console: it renders whole pages and parts of
// them, problems included, redirects after a form, and streams. What a page shows
// is the business of the packages beside it.
//
// Every link is relative (see view.URL), so that the console works below any prefix
// that a proxy adds, and every answer carries a content security policy without
// inline scripts or styles. Pages work without scripts; these only add to them.
//
// A stream has the goroutine of its connection, which ends with the stream; the
// frame counts them with an atomic. There are no other goroutines and no locks.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/web"
)

// Prefix is where the console begins.
const Prefix = "/console/"

// Options configure a Frame.
type Options struct {
	// Assets are the styles and scripts.
	Assets *web.Assets
	// AuthOff says whether callers are asked for no key now; nil is yes.
	AuthOff func() bool
	// Warnings stand above every page as long as they last, a sentence each; nil
	// is none.
	Warnings func() []string
	// SignIn is shown in place of a page to whoever has to sign in for it, for the
	// reason that the problem is: a form that leads to next, a path below /console/.
	// Nil shows the problem alone.
	SignIn func(next string, why problem.Problem) templ.Component
	// MaxStreams bounds the streams that are open at a time; 256.
	MaxStreams int
	// StreamLife is how long a stream lasts before the browser has to come again,
	// and prove who it is; 10 min.
	StreamLife time.Duration
}

// Frame renders pages. Make one with New.
type Frame struct {
	o       Options
	streams atomic.Int64
}

// New returns a frame.
func New(o Options) *Frame {
	if o.AuthOff == nil {
		o.AuthOff = func() bool { return true }
	}
	if o.Warnings == nil {
		o.Warnings = func() []string { return nil }
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 256
	}
	if o.StreamLife == 0 {
		o.StreamLife = 10 * time.Minute
	}
	return &Frame{o: o}
}

// Page is what the frame shows around the content.
type Page struct {
	Title string
	// Nav is the menu entry that the page belongs to.
	Nav string
	// Crumbs lead to the page, the page itself left out.
	Crumbs []Crumb
	// Actions stand beside the title; nil is none.
	Actions templ.Component
	// Wide pages take the whole width.
	Wide bool
}

// Crumb is a page above. Path is below /console/, as for URL.
type Crumb struct{ Title, Path string }

// Route makes a page of the console of a handler. The path is below /console/,
// with parameters as in {table}.
func (f *Frame) Route(method, path string, role auth.Role, handle fiber.Handler) rest.Route {
	return rest.Route{
		Operation: openapi.Operation{Method: method, Path: Prefix + path, Role: role},
		Handle: func(c fiber.Ctx) error {
			secure(c, "") // whatever the handler sends
			return handle(c)
		},
		Render: f.Problem,
	}
}

// Show answers with a whole page.
func (f *Frame) Show(c fiber.Ctx, p Page, content templ.Component) error {
	return f.ShowStatus(c, http.StatusOK, p, content)
}

// ShowStatus answers with a whole page and another status, as a form does that
// has to be filled in again.
func (f *Frame) ShowStatus(c fiber.Ctx, status int, p Page, content templ.Component) error {
	v := f.view(c)
	v.Notice = takeNotice(c)
	return f.render(c, status, v, layout(p, content))
}

// Part answers with a part of a page, for htmx.
func (f *Frame) Part(c fiber.Ctx, content templ.Component) error {
	return f.PartStatus(c, http.StatusOK, content)
}

// PartStatus is Part with another status.
func (f *Frame) PartStatus(c fiber.Ctx, status int, content templ.Component) error {
	return f.render(c, status, f.view(c), content)
}

// Alone answers with a page that has no menu, as for whoever isn't signed in.
func (f *Frame) Alone(c fiber.Ctx, status int, title string, content templ.Component) error {
	return f.render(c, status, f.view(c), alone(title, content))
}

// IsPart says whether htmx asks, for a part of a page.
func IsPart(c fiber.Ctx) bool { return c.Get("HX-Request") == "true" }

// Done answers a form that did its work: the browser goes on to a path below
// /console/ (as for URL, queries as names and values in turn) and shows the
// notice there, once.
func (f *Frame) Done(c fiber.Ctx, notice, path string, query ...string) error {
	leaveNotice(c, notice)
	to := root(c) + view.WithQuery(path, query)
	if IsPart(c) {
		c.Set("HX-Redirect", to)
		return c.SendStatus(http.StatusNoContent)
	}
	// fiber's redirect would take the path as it is too; it has to be relative.
	c.Set(fiber.HeaderLocation, to)
	return c.SendStatus(http.StatusSeeOther)
}

// Asset serves what pages load: the parameter {file} is a name of web.Assets.
func (f *Frame) Asset(c fiber.Ctx) error {
	answer, found := f.o.Assets.Serve(strings.Clone(c.Params("file")), c.Get(fiber.HeaderAcceptEncoding), c.Get(fiber.HeaderIfNoneMatch))
	if !found {
		return fiber.ErrNotFound
	}
	for _, field := range answer.Header {
		c.Set(field.Name, field.Value)
	}
	return c.Status(answer.Status).Send(answer.Body)
}

// Problem answers with an error as a page, or as an alert for htmx.
func (f *Frame) Problem(c fiber.Ctx, p problem.Problem) error {
	v := f.view(c)
	switch {
	case IsPart(c) && p.Status == http.StatusUnauthorized && c.Method() == http.MethodGet:
		// The page asks again as a whole, and gets the form to sign in.
		c.Set("HX-Refresh", "true")
		return f.render(c, p.Status, v, problemAlert(p))
	case IsPart(c):
		// Scripts show the alert wherever the answer was to go.
		c.Set("HX-Retarget", "#alerts")
		c.Set("HX-Reswap", "beforeend")
		return f.render(c, p.Status, v, problemAlert(p))
	case p.Status == http.StatusUnauthorized && f.o.SignIn != nil:
		next := ""
		if c.Method() == http.MethodGet {
			next = v.Here
		}
		return f.render(c, p.Status, v, alone("Sign in", f.o.SignIn(next, p)))
	case v.Principal.Role < auth.ReadOnly:
		return f.render(c, p.Status, v, alone(p.Title, problemAlert(p)))
	}
	return f.render(c, p.Status, v, layout(Page{Title: p.Title}, problemPage(p)))
}

// view gathers what templates may know of a request.
func (f *Frame) view(c fiber.Ctx) *view.View {
	v := &view.View{
		Root: root(c), Here: here(c), Base: base(c), Principal: request.Principal(c),
		AuthOff: f.o.AuthOff(), Theme: themeOf(c), Nonce: newNonce(),
		Styles: f.o.Assets.URL(web.Styles), Mark: f.o.Assets.URL("favicon.svg"),
	}
	if f.o.Assets.Built() {
		v.Scripts = f.o.Assets.URL(web.Scripts)
	}
	if v.Principal.Role >= auth.ReadOnly {
		v.Warnings = f.o.Warnings()
	}
	return v
}

func newNonce() string {
	var raw [16]byte
	rand.Read(raw[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// gzipFrom is the length from which compressing a page is worth it.
const gzipFrom = 2 << 10

func (f *Frame) render(c fiber.Ctx, status int, v *view.View, content templ.Component) error {
	var body bytes.Buffer
	if err := content.Render(view.With(c.Context(), v), &body); err != nil {
		return err
	}
	secure(c, v.Nonce)
	c.Set(fiber.HeaderContentType, "text/html; charset=utf-8")
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderVary, "HX-Request, Accept-Encoding")
	c.Status(status)
	// The server masks keys in problems, so those stay readable for it.
	if body.Len() < gzipFrom || problem.Recorded(c) != nil || !web.Accepts(c.Get(fiber.HeaderAcceptEncoding), "gzip") {
		return c.Send(body.Bytes())
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := w.Write(body.Bytes()); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	c.Set(fiber.HeaderContentEncoding, "gzip")
	return c.Send(packed.Bytes())
}

// secure sets the headers that bind a browser. The nonce is for the styles that
// the editor makes for itself.
func secure(c fiber.Ctx, nonce string) {
	styles := "style-src 'self'"
	if nonce != "" {
		styles += " 'nonce-" + nonce + "'"
	}
	c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; script-src 'self'; "+styles+
		"; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	c.Set(fiber.HeaderXFrameOptions, "DENY")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	if scheme(c) == "https" { // browsers complain about it elsewhere
		c.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	c.Set("Cross-Origin-Resource-Policy", "same-origin")
	c.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
}
