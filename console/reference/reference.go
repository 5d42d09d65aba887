// Package reference is the description of the REST API in the console: every
// operation of the document that /openapi.json serves, found by words, each on a
// page of its own with its parameters, bodies and answers and a command to copy.
//
// The document is asked for once and doesn't change. The package owns no goroutines
// and no locks.
package reference

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Reference serves the pages. Make one with New.
type Reference struct {
	frame    *page.Frame
	document func() *openapi.Document
}

// New returns the pages of a document, which may still have to be made.
func New(f *page.Frame, document func() *openapi.Document) *Reference { return &Reference{f, document} }

// Routes lists every route.
func (r *Reference) Routes() []rest.Route {
	return []rest.Route{
		r.frame.Route(http.MethodGet, "api", auth.ReadOnly, r.list),
		r.frame.Route(http.MethodGet, "api/openapi.json", auth.ReadOnly, r.download),
		r.frame.Route(http.MethodGet, "api/{operation}", auth.ReadOnly, r.show),
	}
}

// Listing is the list of operations.
type Listing struct {
	Info openapi.Info
	// Words are what was looked for.
	Words  string
	Groups []openapi.Group
	Found  int
}

func (r *Reference) list(c fiber.Ctx) error {
	return r.frame.Show(c, page.Page{Title: "API reference", Nav: "api"}, listing(find(r.document().Page(), page.Query(c, "q"))))
}

// maxWords bounds what is looked for.
const maxWords = 200

// find lists the operations that have all words in their method, path, name,
// summary or group.
func find(p openapi.Page, words string) Listing {
	l := Listing{Info: p.Info, Words: strings.ToValidUTF8(words[:min(len(words), maxWords)], "")}
	wanted := strings.Fields(strings.ToLower(l.Words))
	for _, g := range p.Groups {
		group := openapi.Group{Name: g.Name}
		for _, op := range g.Operations {
			text := strings.ToLower(strings.Join([]string{op.Method, op.Path, op.ID, op.Summary, g.Name}, " "))
			if !slices.ContainsFunc(wanted, func(word string) bool { return !strings.Contains(text, word) }) {
				group.Operations = append(group.Operations, op)
			}
		}
		if len(group.Operations) > 0 {
			l.Groups = append(l.Groups, group)
			l.Found += len(group.Operations)
		}
	}
	return l
}

func (r *Reference) show(c fiber.Ctx) error {
	op, ok := operation(r.document().Page(), c.Params("operation"))
	if !ok {
		return errs.New(errs.NotFound, "operation_not_found", "The API has no operation of this name; the list has all of them.")
	}
	p := page.Page{Title: op.Summary, Nav: "api", Crumbs: []page.Crumb{{Title: "API reference", Path: "api"}}}
	return r.frame.Show(c, p, section(op))
}

// download sends what /openapi.json does: a browser that is signed in to the console
// has no key for that.
func (r *Reference) download(c fiber.Ctx) error {
	body, err := r.document().JSON()
	if err != nil {
		return err
	}
	c.Attachment("openapi.json")
	return rest.Send(c, http.StatusOK, body)
}

func operation(p openapi.Page, id string) (openapi.Section, bool) {
	for _, g := range p.Groups {
		for _, op := range g.Operations {
			if op.ID == id {
				return op, true
			}
		}
	}
	return openapi.Section{}, false
}

// sample stands for a parameter that a call needs.
func sample(row openapi.Row) string {
	switch row.Name {
	case "key":
		return "books:dune"
	case "table":
		return "books"
	}
	return strings.ToUpper(row.Name)
}

// target is the path of a call with samples for what it needs.
func target(op *openapi.Section) string {
	path, query := op.Path, url.Values{}
	for _, row := range op.Parameters {
		switch {
		case row.In == "path":
			path = strings.ReplaceAll(path, "{"+row.Name+"}", sample(row))
		case row.In == "query" && row.Required:
			query.Set(row.Name, sample(row))
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

// commands are the calls of an operation to copy: one for each form of its body.
func commands(ctx context.Context, op *openapi.Section) []string {
	if len(op.Bodies) == 0 {
		return []string{stream(op, components.Command(ctx, op.Method, target(op), "", ""))}
	}
	var list []string
	for _, b := range op.Bodies {
		if b.Example != "" {
			list = append(list, components.Command(ctx, op.Method, target(op), b.Media, compact(b.Example)))
		}
	}
	return list
}

// stream has curl show events as they come.
func stream(op *openapi.Section, command string) string {
	if strings.HasSuffix(op.Path, "/stream") {
		return strings.Replace(command, "curl ", "curl -N ", 1)
	}
	return command
}

// shortBody is how long a body may be to stand on one line.
const shortBody = 160

// compact is a JSON example on one line, if it is short.
func compact(example string) string {
	v := jsontext.Value(example)
	if v.Compact() != nil || len(v) > shortBody {
		return example
	}
	return v.String()
}

// kind is the kind of badge of a method.
func kind(method string) string {
	return cmp.Or(map[string]string{http.MethodGet: "info", http.MethodDelete: "danger", http.MethodPost: "ok"}[method], "warn")
}
