// Package rest is what the packages with REST routes share: a route with its
// description, strict reading of bodies and parameters, and answers as JSON.
//
// Decode and the parameter readers copy what they return: Fiber's buffers are
// used again after a handler. Every error is an errs.Error in the terms of the
// request.
//
// It owns no goroutines and no locks.
package rest

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
)

// Route is an operation with its handler.
type Route struct {
	openapi.Operation
	Handle fiber.Handler
	// Render makes the route a page of the console: every problem, also of a
	// request that doesn't get to the handler, is answered by it; a session's cookie
	// is taken as well as a key; a form may be sent, from the same origin only; and
	// query parameters aren't checked. Such a route is no part of the OpenAPI
	// document.
	Render problem.Renderer
}

// Operations are the descriptions of routes.
func Operations(routes []Route) []openapi.Operation {
	var operations []openapi.Operation
	for _, r := range routes {
		operations = append(operations, r.Operation)
	}
	return operations
}

// Require makes the step that decides whether a request may go on to a route with
// the role; render is the route's.
type Require func(role auth.Role, render problem.Renderer) fiber.Handler

// Register adds the routes to r. The chain of each begins with what require makes;
// no handler is reached without. The steps come between that and the handler. HEAD
// is a GET without its body.
func Register(r fiber.Router, routes []Route, require Require, steps ...fiber.Handler) {
	for _, route := range routes {
		var chain []any
		for _, step := range steps {
			chain = append(chain, step)
		}
		methods := []string{route.Method}
		if route.Method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		r.Add(methods, fiberPath(route.Path), require(route.Role, route.Render), append(chain, serve(route))...)
	}
}

// fiberPath turns /entities/{key} into /entities/:key.
func fiberPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// serve wraps a handler with what all routes share.
func serve(r Route) fiber.Handler {
	known := map[string]bool{}
	for _, p := range r.Params {
		known[p.Name] = known[p.Name] || p.In == "query"
	}
	check := func(c fiber.Ctx) error { return checkRequest(c, known, len(r.Body) > 0) }
	if r.Render != nil {
		check = checkEncoding
	}
	return func(c fiber.Ctx) error {
		if err := check(c); err != nil {
			return problem.Write(c, err)
		}
		if err := r.Handle(c); err != nil {
			return problem.Write(c, err)
		}
		return nil
	}
}

// checkRequest refuses query parameters that the operation doesn't have (a typo
// would otherwise be a silent default) and bodies that a foreign web page could
// send without asking: a browser adds Origin to those, and a JSON content type
// makes it ask first.
func checkRequest(c fiber.Ctx, known map[string]bool, hasBody bool) error {
	for name := range c.Request().URI().QueryArgs().All() {
		if !known[string(name)] {
			return errs.New(errs.Invalid, "unknown_parameter", "the query parameter %q is not known here", name)
		}
	}
	if !hasBody {
		return nil
	}
	if err := checkEncoding(c); err != nil {
		return err
	}
	if c.Get(fiber.HeaderOrigin) != "" && !IsJSON(c.Get(fiber.HeaderContentType)) {
		return fiber.NewError(http.StatusUnsupportedMediaType,
			"A request from a web page must say Content-Type: application/json.")
	}
	return nil
}

func checkEncoding(c fiber.Ctx) error {
	if encoding := c.Get(fiber.HeaderContentEncoding); encoding != "" && encoding != "identity" {
		return errs.New(errs.NotSupported, "content_encoding_not_supported",
			"bodies are read as they are; Content-Encoding %q is not supported", encoding)
	}
	return nil
}

// IsJSON reports whether a content type is JSON or made of it.
func IsJSON(contentType string) bool {
	mediaType := MediaType(contentType)
	return mediaType == JSONType || strings.HasSuffix(mediaType, "+json") || IsNDJSON(contentType)
}

// IsNDJSON reports whether a content type is one of those in use for lines of
// JSON, which has no registered one.
func IsNDJSON(contentType string) bool {
	switch MediaType(contentType) {
	case NDJSONType, "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return true
	}
	return false
}

// MediaType is a content type without its parameters, in lower case.
func MediaType(contentType string) string {
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(mediaType))
}
