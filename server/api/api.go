// Package api is the database over REST: entities, tables, indexes, queries,
// vectors and jobs, and the description of all that as OpenAPI and as a page.
//
// One file per resource holds its wire types, its routes and its handlers. A
// handler decodes the request into memory of its own, calls the Database and
// writes the answer; it decides nothing about data. A failed request is always
// answered as a problem document (package problem) and has changed nothing,
// unless the answer says otherwise: batches report per item, and a stream that
// breaks off says how far it came.
//
// The package starts no goroutines. Its only lock is the one of the record of
// idempotent answers.
package api

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/problem"
)

// Options configure an API. The zero value of each field means its default.
type Options struct {
	// Version is the product's, for the description.
	Version string
	// MaxLineBytes bounds one line of an NDJSON import; 10 MiB.
	MaxLineBytes int
	// ChunkTimeout bounds the writing of one chunk of an NDJSON import, which as
	// a whole may last as long as it likes; 30 s.
	ChunkTimeout time.Duration
	// Operations are the routes of other packages, for the description.
	Operations []openapi.Operation
	// Now is the clock, for tests.
	Now func() time.Time
}

func (o Options) ensureDefaults() Options {
	if o.MaxLineBytes == 0 {
		o.MaxLineBytes = 10 << 20
	}
	if o.ChunkTimeout == 0 {
		o.ChunkTimeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// API serves a Database.
type API struct {
	db   Database
	opts Options
	once *onceStore
	spec func() ([]byte, error)
	page func() ([]byte, error)
}

// New returns an API over db. It must be registered to answer anything.
func New(db Database, opts Options) *API {
	a := &API{db: db, opts: opts.ensureDefaults()}
	a.once = newOnceStore(a.opts.Now)
	document := sync.OnceValue(a.document)
	a.spec = sync.OnceValues(func() ([]byte, error) { return document().JSON() })
	a.page = sync.OnceValues(func() ([]byte, error) { return document().HTML() })
	return a
}

// route is an operation with its handler.
type route struct {
	openapi.Operation
	handle fiber.Handler
}

func (a *API) routes() []route {
	var all []route
	for _, resource := range [][]route{
		a.entityRoutes(), a.batchRoutes(), a.tableRoutes(), a.indexRoutes(), a.queryRoutes(),
		a.searchRoutes(), a.vectorWriteRoutes(), a.vectorIndexRoutes(), a.jobRoutes(), a.descriptionRoutes(),
	} {
		all = append(all, resource...)
	}
	return all
}

// Register adds every route to r.
func (a *API) Register(r fiber.Router) {
	for _, route := range a.routes() {
		r.Add([]string{route.Method}, fiberPath(route.Path), a.serve(route))
	}
}

// fiberPath turns /entities/{key} into /entities/:key.
func fiberPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// serve wraps a handler with what all routes share.
func (a *API) serve(r route) fiber.Handler {
	known := map[string]bool{}
	for _, p := range r.Params {
		known[p.Name] = known[p.Name] || p.In == "query"
	}
	return func(c fiber.Ctx) error {
		if err := checkRequest(c, known, len(r.Body) > 0); err != nil {
			return problem.Write(c, err)
		}
		if err := r.handle(c); err != nil {
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
	if encoding := c.Get(fiber.HeaderContentEncoding); hasBody && encoding != "" && encoding != "identity" {
		return errs.New(errs.NotSupported, "content_encoding_not_supported",
			"bodies are read as they are; Content-Encoding %q is not supported", encoding)
	}
	if hasBody && c.Get(fiber.HeaderOrigin) != "" && !isJSON(c.Get(fiber.HeaderContentType)) {
		return fiber.NewError(http.StatusUnsupportedMediaType,
			"A request from a web page must say Content-Type: application/json.")
	}
	return nil
}

// isJSON reports whether a content type is JSON or made of it.
func isJSON(contentType string) bool {
	mediaType := mediaTypeOf(contentType)
	return mediaType == jsonType || strings.HasSuffix(mediaType, "+json") || isNDJSON(contentType)
}

// isNDJSON reports whether a content type is one of those in use for lines of
// JSON, which has no registered one.
func isNDJSON(contentType string) bool {
	switch mediaTypeOf(contentType) {
	case ndjsonType, "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return true
	}
	return false
}

func mediaTypeOf(contentType string) string {
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(mediaType))
}
