package query

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/console/filterform"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api"
)

const (
	// maxPage bounds the entities that one page shows; REST returns more.
	maxPage = 500
	// defaultLimit is that of a query that names none.
	defaultLimit = 50
)

// request is a query as it was written, as JSON or as a form.
type request struct {
	// Fields says that the form was filled in, not the JSON.
	Fields bool
	// Text is the body of POST /query.
	Text string
	// Table, Filter, Order, Limit and Return are of the form; Order begins with a
	// minus to descend.
	Table, Order, Limit, Return string
	Filter                      filterform.Form
	// Cursor goes on after a page; AsJSON shows the answer as JSON.
	Cursor string
	AsJSON bool
}

// parse reads a request from query parameters or a form's body.
func parse(q url.Values) request {
	r := request{
		Fields: q.Get("by") == "form", Text: strings.TrimSpace(q.Get("q")), Table: q.Get("table"),
		Order: strings.TrimSpace(q.Get("order")), Limit: strings.TrimSpace(q.Get("limit")), Return: q.Get("return"),
		Filter: filterform.Parse(q), Cursor: q.Get("cursor"), AsJSON: last(q["view"]) == "json",
	}
	// Other pages link to a table and a filter.
	r.Fields = r.Fields || r.Text == "" && r.Table != "" && !r.Filter.Empty()
	return r
}

// last is what a button outside of the form adds to what the form has already.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// link is the request as names and values of a link.
func (r request) link() []string {
	var list []string
	add := func(name, value string) {
		if value != "" {
			list = append(list, name, value)
		}
	}
	if r.Fields {
		add("by", "form")
		add("table", r.Table)
		add("order", r.Order)
		add("limit", r.Limit)
		add("return", r.Return)
		list = append(list, r.Filter.Pairs()...)
	} else {
		add("q", r.Text)
	}
	if r.AsJSON {
		add("view", "json")
	}
	add("cursor", r.Cursor)
	return list
}

// written says whether there is a query to carry out. A form that was only opened,
// or that was asked for one more condition, is yet to be filled in.
func (r request) written() bool {
	if r.Fields {
		return (r.Return != "" || !r.Filter.Empty()) && r.Filter.More == 0
	}
	return r.Text != ""
}

// body is the query in the form that REST takes.
type body struct {
	Table  string      `json:"table"`
	Filter *query.Expr `json:"filter,omitzero"`
	Order  string      `json:"order_by,omitzero"`
	Limit  int         `json:"limit,omitzero"`
	Return string      `json:"return,omitzero"`
	Cursor string      `json:"cursor,omitzero"`
}

// text is the body as one writes it.
func (b body) text() string {
	raw, err := json.Marshal(b)
	if err != nil {
		return ""
	}
	return indented(raw)
}

func indented(raw jsontext.Value) string {
	if err := raw.Indent(jsontext.WithIndent("  ")); err != nil {
		return string(raw)
	}
	return string(raw)
}

// ask is a query that can be carried out.
type ask struct {
	engine.QueryRequest
	// Body is the query over REST, without the cursor.
	Body string
	// Cut says that a smaller page is shown than was asked for.
	Cut bool
}

// ask reads what was written.
func (r request) ask() (ask, error) {
	a := ask{Body: r.Text}
	if r.Fields {
		b, err := r.fromForm()
		if err != nil {
			return a, err
		}
		a.Body = b.text()
	}
	var err error
	if a.QueryRequest, err = api.ParseQuery([]byte(a.Body)); err != nil {
		return a, err
	}
	if r.Cursor != "" {
		a.Cursor = r.Cursor
	}
	a.Explain = true
	if a.Limit > maxPage && a.Return != engine.ReturnCount {
		a.Limit, a.Cut = maxPage, true
	}
	return a, nil
}

func (r request) fromForm() (body, error) {
	b := body{Table: r.Table, Order: r.Order, Limit: defaultLimit}
	if r.Return != string(engine.ReturnEntities) {
		b.Return = r.Return
	}
	var err error
	if b.Filter, err = r.Filter.Expr(); err != nil {
		return b, err
	}
	if r.Limit != "" {
		if b.Limit, err = strconv.Atoi(r.Limit); err != nil || b.Limit < 1 || b.Limit > maxPage {
			return b, errs.Field("invalid_value", "/limit", "must be a whole number from 1 to %d", maxPage)
		}
	}
	if r.Return == string(engine.ReturnCount) {
		b.Limit, b.Order = 0, ""
	}
	return b, nil
}

// asForm is a query as the form says it; nil if the form can't.
func asForm(a *ask) []string {
	if len(a.Order) > 1 || len(a.Fields) > 0 {
		return nil
	}
	r := request{Fields: true, Table: a.Table, Filter: filterform.Of(a.Filter), Limit: strconv.Itoa(a.Limit), Return: string(a.Return)}
	for _, o := range a.Order {
		if r.Order = o.Column; o.Desc {
			r.Order = "-" + o.Column
		}
	}
	return r.link()
}
