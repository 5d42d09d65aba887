package api

import (
	"cmp"
	"net/http"
	"reflect"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
)

const tagDescription = "Description"

func (a *API) descriptionRoutes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "GET", Path: "/openapi.json", Role: auth.ReadOnly, ID: "openapi", Tag: tagDescription,
			Summary: "This description as OpenAPI 3.1",
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[document]("")}}},
		}, Handle: a.sendSpec},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/docs", Role: auth.ReadOnly, ID: "docs", Tag: tagDescription,
			Summary: "This description as a page",
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{{Type: "text/html"}}}},
		}, Handle: a.sendPage},
	}
}

func (a *API) sendSpec(c fiber.Ctx) error {
	body, err := a.spec()
	if err != nil {
		return err
	}
	return rest.Send(c, http.StatusOK, body)
}

func (a *API) sendPage(c fiber.Ctx) error {
	body, err := a.page()
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Set(fiber.HeaderContentSecurityPolicy, openapi.PagePolicy())
	return c.Status(http.StatusOK).Send(body)
}

// document describes this package's routes and those of Options.Operations.
func (a *API) document() *openapi.Document {
	var ops []openapi.Operation
	for _, r := range a.Routes() {
		ops = append(ops, r.Operation)
	}
	return openapi.Build(openapi.Options{
		Info: openapi.Info{
			Title:   "Themis",
			Version: cmp.Or(a.opts.Version, "dev"),
			Description: "A vector-centric, multi-model database: JSON entities, secondary indexes and vector search. " +
				"Errors are application/problem+json (RFC 9457) with a stable code, the request's id and pointers to the fields at fault. " +
				"Every answer carries X-Request-ID. Lists are read in pages with limit and cursor. " +
				"Where the server asks for API keys, each call says which role its key needs: admin may do what readwrite may, and that what readonly may.",
		},
		Named: namedSchemas(),
		Types: map[reflect.Type]string{
			reflect.TypeFor[schema.FloatVector](): "Vector",
			reflect.TypeFor[schema.Value]():       "Value",
			reflect.TypeFor[query.Expr]():         "Filter",
		},
		Problem:     reflect.TypeFor[problem.Problem](),
		ProblemType: problem.ContentType,
	}, append(ops, a.opts.Operations...))
}

// namedSchemas are those of members that packages query and schema parse
// themselves.
func namedSchemas() map[string]*openapi.Schema {
	operators := []string{"eq", "ne", "in", "nin", "lt", "lte", "gt", "gte", "between", "exists", "prefix", "contains", "match", "geo_radius", "geo_box"}
	list := func(of string) *openapi.Schema { return &openapi.Schema{Type: "array", Items: openapi.Ref(of)} }
	branch := func(name string, s *openapi.Schema) *openapi.Schema {
		return &openapi.Schema{Type: "object", Properties: map[string]*openapi.Schema{name: s}, Required: []string{name}}
	}
	return map[string]*openapi.Schema{
		"Vector": {
			Description: "An array of numbers, or base64 of little-endian float32.",
			OneOf: []*openapi.Schema{
				{Type: "array", Items: &openapi.Schema{Type: "number"}},
				branch("b64", &openapi.Schema{Type: "string"}),
			},
		},
		"Value": {Description: "A JSON scalar."},
		"Predicate": {
			Type: "object", Description: "A condition on one column.",
			Properties: map[string]*openapi.Schema{
				"column": {Type: "string", Description: "A dotted JSON path."},
				"op":     {Type: "string", Enum: operators, Description: "eq if absent."},
				"value":  {Description: "What the operator compares with."},
			},
			Required: []string{"column"},
		},
		"Predicates": {Type: "array", Items: openapi.Ref("Predicate"), Description: "All must hold."},
		"Filter": {
			Description: "A tree of conditions.",
			OneOf: []*openapi.Schema{
				openapi.Ref("Predicate"), branch("and", list("Filter")), branch("or", list("Filter")), branch("not", openapi.Ref("Filter")),
			},
		},
		"Order": {
			Type: "object",
			Properties: map[string]*openapi.Schema{
				"column":    {Type: "string"},
				"direction": {Type: "string", Enum: []string{"asc", "desc"}},
			},
			Required: []string{"column"},
		},
		"OrderBy": {
			Description: "A column, -column for descending, {column, direction}, or a list of up to 4 of these. Entities without the column come last.",
			OneOf:       []*openapi.Schema{{Type: "string"}, openapi.Ref("Order"), {Type: "array", Items: &openapi.Schema{OneOf: []*openapi.Schema{{Type: "string"}, openapi.Ref("Order")}}}},
		},
	}
}
