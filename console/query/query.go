// Package query is the console's page for queries: an editor of the body of POST
// /query, or a form that writes it; the answer as a table or as JSON; and the plan as
// a tree of steps with what the planner reckoned beside what came, with the index
// that a full scan lacks.
//
// A short query is a link, so that it can be passed on and gone back to; a long
// one stays in its form. What was asked before is kept by the browser, not here.
// The package owns no goroutines and no locks.
package query

import (
	"context"
	"net/http"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/filterform"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
)

// Database is what the page asks of the engine.
type Database interface {
	TableNames() []string
	SampleColumns(ctx context.Context, table string, n int) (*engine.ColumnSample, error)
	Query(ctx context.Context, req engine.QueryRequest) (*engine.QueryResult, error)
}

// Query serves the page. Make one with New.
type Query struct {
	frame *page.Frame
	db    Database
}

// New returns the page.
func New(f *page.Frame, db Database) *Query { return &Query{f, db} }

// Routes lists every route.
func (q *Query) Routes() []rest.Route {
	f := q.frame
	return []rest.Route{
		f.Route(http.MethodGet, "query", auth.ReadOnly, q.show),
		f.Route(http.MethodPost, "query", auth.ReadOnly, q.post),
	}
}

const (
	// maxTables bounds the tables that are offered; columnSample is how many
	// entities are read for the names of a table's columns.
	maxTables    = 3000
	columnSample = 100
)

// desk is the page.
type desk struct {
	request
	Tables  []string
	Columns []schema.ColumnSurvey
	Answer  *answer
	Err     error
}

func (q *Query) show(c fiber.Ctx) error {
	values, err := page.Values(c)
	if err != nil {
		return err
	}
	return q.answer(c, parse(values))
}

// post goes on to the query's link if it is short enough for one.
func (q *Query) post(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	r := parse(form.Values)
	if link := r.link(); r.Filter.More == 0 && view.Linkable("query", link) {
		return q.frame.Done(c, "", "query", link...)
	}
	return q.answer(c, r)
}

func (q *Query) answer(c fiber.Ctx, r request) error {
	ctx := c.Context()
	d := desk{request: r, Tables: q.db.TableNames()}
	if r.written() {
		a, err := r.ask()
		if err == nil {
			d.Answer, err = q.run(ctx, r, a)
		}
		d.Err = err
		if d.Table == "" {
			d.Table = a.Table
		}
	}
	if d.Table == "" && len(d.Tables) > 0 {
		d.Table = d.Tables[0]
	}
	if d.Table != "" {
		if sample, err := q.db.SampleColumns(ctx, d.Table, columnSample); err == nil { // or else nothing is offered
			d.Columns = sample.Columns
		}
	}
	status := http.StatusOK
	if d.Err != nil {
		status = problem.Of(d.Err).Status
	}
	p := page.Page{Title: "Query", Nav: "query"}
	if len(d.Tables) == 0 {
		return q.frame.Show(c, p, noTable())
	}
	return q.frame.ShowStatus(c, status, p, d.page())
}

// text is what the editor shows.
func (d desk) text() string {
	switch {
	case d.Text != "" && !d.Fields:
		return d.Text
	case d.Answer != nil:
		return d.Answer.Body
	}
	return body{Table: d.Table, Limit: defaultLimit}.text()
}

// completion is what the editor completes from: the names of the tables, and the
// columns of the one that is asked.
func (d desk) completion() map[string]map[string][]string {
	tables := map[string][]string{}
	for _, name := range d.Tables[:min(len(d.Tables), maxTables)] {
		tables[name] = []string{}
	}
	tables[d.Table] = d.columnNames()
	return map[string]map[string][]string{"tables": tables}
}

func (d desk) columnNames() []string {
	names := []string{}
	for _, c := range d.Columns {
		names = append(names, c.Path)
	}
	return names
}

// tableOptions are the tables that the form offers.
func (d desk) tableOptions() []components.Option {
	names := d.Tables[:min(len(d.Tables), maxTables)]
	options := components.Options(names...)
	for _, name := range names {
		if name == d.Table {
			return options
		}
	}
	return append(options, components.Option{Value: d.Table, Label: d.Table})
}

func (d desk) editor() filterform.Editor {
	return filterform.Editor{Form: d.Filter, Table: d.Table, Columns: d.columnNames(), Err: d.Err}
}

// tabs lead from one way of writing a query to the other, and take it along if it
// can be said there.
func (d desk) tabs() []components.Tab {
	asJSON, asFields := []string{"table", d.Table}, []string{"by", "form", "table", d.Table}
	if d.Answer != nil {
		if link := (request{Text: d.Answer.Body}).link(); view.Linkable("query", link) {
			asJSON = link
		}
		if link := asForm(&d.Answer.ask); link != nil && view.Linkable("query", link) {
			asFields = link
		}
	}
	return []components.Tab{
		{Title: "JSON", Path: "query", Query: asJSON, Active: !d.Fields},
		{Title: "Form", Path: "query", Query: asFields, Active: d.Fields},
	}
}

// fieldError is what the error says about a field of the form, "" if nothing.
func (d desk) fieldError(name string) string { return filterform.Problem(d.Err, "/"+name) }

// note says what part of the answer is shown.
func (d desk) note() string {
	text := ""
	if d.Answer.Cut {
		text = "A page shows " + format.Count(maxPage) + " entities at most. "
	}
	if d.Answer.Grid.Left > 0 {
		text += format.Plural(d.Answer.Grid.Left, "more column isn't", "more columns aren't") + " shown; open an entity or choose JSON to see all."
	}
	return text
}

// back is the path of the page as it is, if it is a link.
func (d desk) back() string {
	if link := d.link(); view.Linkable("query", link) {
		return view.WithQuery("query", link)
	}
	return "query"
}
