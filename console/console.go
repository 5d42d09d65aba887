// Package console is the web console at /console/: it gathers the pages, which
// the packages below it make, one for each subject, and adds what they share.
//
//	format       how figures are written
//	view         what templates know of a request
//	components   what pages are made of
//	page         the frame: whole pages, parts, problems, streams
//	charts       the server's history as charts
//	filterform   filters as people fill them in
//	projection   vectors in the plane
//	consoletest  the server that pages are tested on
//
// Pages reach data through the engine and the services that the REST API uses,
// with the same roles: what a key may not do there it may not do here. It owns no
// goroutines and no locks.
package console

import (
	"net/http"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
)

// Group is the pages of one subject.
type Group interface {
	Routes() []rest.Route
}

// Console serves the console. Make one with New.
type Console struct {
	frame  *page.Frame
	groups []Group
}

// New returns a console of groups of pages, all of which use the frame.
func New(frame *page.Frame, groups ...Group) *Console { return &Console{frame, groups} }

// Problem answers a request for anything below page.Prefix that can't be served, as
// a page that isn't there.
func (c *Console) Problem(ctx fiber.Ctx, p problem.Problem) error { return c.frame.Problem(ctx, p) }

// Routes lists every route of the console.
func (c *Console) Routes() []rest.Route {
	f := c.frame
	entrance := f.Route(http.MethodGet, "", auth.Public, enter)
	entrance.Path = "/console"
	routes := []rest.Route{
		entrance,
		f.Route(http.MethodGet, "assets/{file}", auth.Public, f.Asset),
		f.Route(http.MethodPost, "theme", auth.Public, f.SetTheme),
	}
	for _, g := range c.groups {
		routes = append(routes, g.Routes()...)
	}
	return routes
}

// enter leads to the console proper, whose links are relative to its folder.
func enter(c fiber.Ctx) error {
	c.Set(fiber.HeaderLocation, "console/")
	return c.SendStatus(http.StatusPermanentRedirect)
}
