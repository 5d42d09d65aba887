// Package search is the console's playground for vector search: the nearest of an
// entity or of a pasted vector, narrowed by a filter, with scores, the plan, and
// the recall of this very search against an exact one; and pictures of results and
// of samples of an index in the plane.
//
// A search is a link: its form is sent by GET, except for a pasted vector, which
// may be too long for one. The package owns no goroutines and no locks.
package search

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/filterform"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
)

// Database is what the pages ask of the engine.
type Database interface {
	IndexDefs(table string) ([]schema.IndexDef, error)
	SampleColumns(ctx context.Context, table string, n int) (*engine.ColumnSample, error)
	PrimaryKeys(ctx context.Context, table, prefix string, limit int) ([]string, error)
	Search(ctx context.Context, req engine.SearchRequest) ([]engine.SearchResult, error)
	Vectors(ctx context.Context, req engine.VectorsRequest) ([]engine.StoredVector, error)
}

// Search serves the pages. Make one with New.
type Search struct {
	frame *page.Frame
	db    Database
}

// New returns the pages.
func New(f *page.Frame, db Database) *Search { return &Search{f, db} }

// Routes lists every route.
func (s *Search) Routes() []rest.Route {
	f := s.frame
	return []rest.Route{
		f.Route(http.MethodGet, "search", auth.ReadOnly, s.show),
		f.Route(http.MethodPost, "search", auth.ReadOnly, s.post),
		f.Route(http.MethodGet, "search/random", auth.ReadOnly, s.random),
		f.Route(http.MethodGet, "search/keys", auth.ReadOnly, s.keys),
		f.Route(http.MethodGet, "search/map", auth.ReadOnly, s.showMap),
	}
}

const (
	// columnSample is how many entities are read for the names of columns.
	columnSample = 60
	// suggested is how many keys are offered while one types, tried how many to
	// begin with.
	suggested = 12
	tried     = 8
	// maxChoices bounds the indexes that are offered.
	maxChoices = 3000
)

// playground is the page.
type playground struct {
	request
	choices
	Columns []string
	// Try are keys to begin with.
	Try     []string
	Results *results
	// Err is what is wrong with the form.
	Err error
}

// choices are the vector indexes and the one chosen.
type choices struct {
	Options []components.Option
	Def     schema.IndexDef
}

// choose lists the vector indexes. The first one is taken unless one is named.
func (s *Search) choose(index *string) (choices, error) {
	defs, err := s.db.IndexDefs("")
	if err != nil {
		return choices{}, err
	}
	defs = slices.DeleteFunc(defs, func(d schema.IndexDef) bool { return d.Type != schema.Vector })
	var c choices
	for _, d := range defs {
		name := d.Table + "." + d.Columns[0]
		if *index == "" {
			*index = name
		}
		if len(c.Options) > 0 && c.Options[len(c.Options)-1].Value == name {
			continue // its rebuild
		}
		if name == *index {
			c.Def = d
		} else if len(c.Options) >= maxChoices {
			continue
		}
		c.Options = append(c.Options, components.Option{Value: name, Label: name})
	}
	if c.Def.Table == "" && *index != "" {
		return c, errs.New(errs.NotFound, "index_not_found", "There is no vector index %s.", *index)
	}
	return c, nil
}

// columns are the names that the filter offers.
func (s *Search) columns(ctx context.Context, def schema.IndexDef) []string {
	sample, err := s.db.SampleColumns(ctx, def.Table, columnSample)
	if err != nil {
		return nil // then nothing is offered
	}
	var names []string
	for _, c := range sample.Columns {
		if c.Path != def.Columns[0] {
			names = append(names, c.Path)
		}
	}
	return names
}

func (s *Search) show(c fiber.Ctx) error {
	values, err := page.Values(c)
	if err != nil {
		return err
	}
	return s.answer(c, parse(values))
}

// post goes on to the search's link if its vector is short enough for one.
func (s *Search) post(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	r := parse(form.Values)
	if link := r.query(); r.Filter.More == 0 && view.Linkable("search", link) {
		return s.frame.Done(c, "", "search", link...)
	}
	return s.answer(c, r)
}

func (s *Search) answer(c fiber.Ctx, r request) error {
	p := page.Page{Title: "Vector search", Nav: "search"}
	chosen, err := s.choose(&r.Index)
	if err != nil {
		return err
	}
	if chosen.Def.Table == "" {
		return s.frame.Show(c, p, noIndex())
	}
	ctx := c.Context()
	g := playground{request: r, choices: chosen, Columns: s.columns(ctx, chosen.Def)}
	if r.started() {
		req, err := r.engineRequest()
		if err == nil {
			g.Results, err = s.run(ctx, r, req, chosen.Def)
		}
		if g.Err = err; errs.CodeOf(err) == "entity_not_found" {
			g.Try = s.like(ctx, chosen.Def.Table, r.Key)
		}
	} else if r.By == byEntity {
		if g.Try, err = s.some(ctx, chosen.Def, tried); err != nil {
			return err
		}
	}
	return s.frame.ShowStatus(c, statusOf(g.Err), p, g.page())
}

// statusOf is the status of a page whose form has a problem.
func statusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	return problem.Of(err).Status
}

// some are keys of entities with a vector, drawn at random.
func (s *Search) some(ctx context.Context, def schema.IndexDef, n int) ([]string, error) {
	vectors, err := s.db.Vectors(ctx, engine.VectorsRequest{Table: def.Table, Column: def.Columns[0], Sample: n, Return: engine.ReturnKeys})
	var pks []string
	for _, v := range vectors {
		pks = append(pks, v.Key.PK)
	}
	return pks, err
}

// like are keys that begin as one that isn't there does, with as much of it as any
// has.
func (s *Search) like(ctx context.Context, table, key string) []string {
	for _, text := range []string{key, strings.ToLower(key)} {
		for len(text) > 0 {
			pks, err := s.db.PrimaryKeys(ctx, table, text, tried)
			if err != nil {
				return nil // then nothing is offered
			}
			if len(pks) > 0 {
				return pks
			}
			_, size := utf8.DecodeLastRuneInString(text)
			text = text[:len(text)-size]
		}
	}
	return nil
}

// random goes on to the search of a random entity.
func (s *Search) random(c fiber.Ctx) error {
	index := page.Query(c, "index")
	chosen, err := s.choose(&index)
	if err != nil {
		return err
	}
	pks, err := s.some(c.Context(), chosen.Def, 1)
	if err != nil {
		return err
	}
	if len(pks) == 0 {
		return s.frame.Done(c, "The index has no vectors yet.", "search", "index", index)
	}
	return s.frame.Done(c, "", "search", "index", index, "key", pks[0], "k", page.Query(c, "k"), "ef", page.Query(c, "ef"))
}

// keys answers with the keys that begin like the one being typed.
func (s *Search) keys(c fiber.Ctx) error {
	r := request{Index: page.Query(c, "index")}
	table, _ := r.place()
	pks, err := s.db.PrimaryKeys(c.Context(), table, page.Query(c, "key"), suggested)
	if err != nil {
		return err
	}
	return s.frame.Part(c, keyOptions(pks))
}

// atlas is the page of the map.
type atlas struct {
	mapRequest
	choices
	Columns []string
	Picture *picture
	Err     error
}

func (s *Search) showMap(c fiber.Ctx) error {
	values, err := page.Values(c)
	if err != nil {
		return err
	}
	p := page.Page{Title: "Map of vectors", Nav: "search"}
	r := parseMap(values)
	chosen, err := s.choose(&r.Index)
	if err != nil {
		return err
	}
	if chosen.Def.Table == "" {
		return s.frame.Show(c, p, noIndex())
	}
	ctx := c.Context()
	a := atlas{mapRequest: r, choices: chosen, Columns: s.columns(ctx, chosen.Def)}
	a.Picture, a.Err = s.draw(ctx, r, chosen.Def)
	return s.frame.ShowStatus(c, statusOf(a.Err), p, a.page())
}

// editor is the filter's fields.
func editor(form filterform.Form, def schema.IndexDef, columns []string, err error) filterform.Editor {
	return filterform.Editor{Form: form, Table: def.Table, Columns: columns, Err: err}
}

// field is what an error says about one field of the form, "" if nothing.
func field(err error, name string) string { return filterform.Problem(err, "/"+name) }

// elsewhere is what an error says that no field of the form does.
func elsewhere(err error) templ.Component {
	for _, name := range []string{"k", "ef", "size", "vector", "rows", "filter"} {
		if field(err, name) != "" {
			return templ.NopComponent
		}
	}
	return failure(problem.Of(err))
}

// similar is the same search from another entity.
func (g playground) similar(pk string) []string {
	r := g.request
	r.By, r.Key, r.Vector = byEntity, pk, ""
	return r.query()
}

// back is the path of the page as it is, if it is a link.
func (g playground) back() string {
	if query := g.query(); view.Linkable("search", query) {
		return view.WithQuery("search", query)
	}
	return "search"
}

// colours are the columns that the map may be coloured by.
func (a atlas) colours() []components.Option {
	options := []components.Option{{Value: "", Label: "nothing"}}
	known := a.Colour == ""
	for _, c := range a.Columns {
		options = append(options, components.Option{Value: c, Label: c})
		known = known || c == a.Colour
	}
	if !known {
		options = append(options, components.Option{Value: a.Colour, Label: a.Colour})
	}
	return options
}
