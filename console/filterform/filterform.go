// Package filterform is filters as people fill them in: rows of column,
// operator and value beside a field for a whole filter as JSON. It turns what
// was filled in into a query.Expr, a query.Expr into rows where rows can say it,
// and both into the query parameters of a page, so that a filtered page is a
// link. Editor renders the form; it works without scripts.
//
// A value is read as JSON where it is a JSON scalar, so that 1968 is a number
// and "1968" a text, and as text otherwise. Lists are separated by commas.
//
// The package owns no goroutines and no locks; nothing in it changes after it
// was made.
package filterform

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/errs"
)

// The names of the form's fields, which are query parameters too. The first
// three come once per row.
const (
	ColumnField = "fcol"
	OpField     = "fop"
	ValueField  = "fval"
	AnyField    = "fany"
	JSONField   = "filter"
	// DropField names the row to take away, AddField asks for one more. They are
	// the form's buttons and never stand in a link.
	DropField = "fdrop"
	AddField  = "fadd"
)

// maxRows bounds the rows of a form; a longer filter is written as JSON.
const maxRows = 50

// Row is one condition, as it was typed.
type Row struct{ Column, Op, Value string }

// empty rows are those that nobody has filled in yet.
func (r Row) empty() bool { return r.Column == "" && r.Value == "" }

// Form is a filter as it was filled in. The zero value matches everything.
type Form struct {
	// Rows must all match, or any of them with Any.
	Rows []Row
	Any  bool
	// JSON is a filter in the wire form that must match too.
	JSON string
	// More is how many empty rows were asked for.
	More int
}

// Parse reads a form from query parameters or a form body. Rows without a column
// and a value are left out.
func Parse(q url.Values) Form {
	f := Form{Any: q.Get(AnyField) != "", JSON: strings.TrimSpace(q.Get(JSONField))}
	columns := q[ColumnField]
	for i := range min(len(columns), maxRows) {
		if q.Get(DropField) == fmt.Sprint(i) {
			continue
		}
		row := Row{strings.TrimSpace(columns[i]), at(q[OpField], i), at(q[ValueField], i)}
		if row.Op == "" {
			row.Op = string(query.Eq)
		}
		if !row.empty() {
			f.Rows = append(f.Rows, row)
		}
	}
	if q.Has(AddField) {
		f.More = 1
	}
	return f
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// Values are the form as query parameters; none for a form that is empty.
func (f Form) Values() url.Values {
	q := url.Values{}
	for _, r := range f.Rows {
		q.Add(ColumnField, r.Column)
		q.Add(OpField, r.Op)
		q.Add(ValueField, r.Value)
	}
	if f.Any && len(f.Rows) > 0 {
		q.Set(AnyField, "1")
	}
	if f.JSON != "" {
		q.Set(JSONField, f.JSON)
	}
	return q
}

// Empty says whether the form matches everything.
func (f Form) Empty() bool { return len(f.Rows) == 0 && f.JSON == "" }

// Of is the form that says what e does: rows if e is a list of conditions, JSON
// otherwise.
func Of(e *query.Expr) Form {
	if e == nil {
		return Form{}
	}
	leaves := []*query.Expr{e}
	if e.Kind == query.AndOf || e.Kind == query.OrOf {
		leaves = e.Children
	}
	f := Form{Any: e.Kind == query.OrOf}
	for _, leaf := range leaves {
		if !sayable(leaf) || len(leaves) > maxRows {
			return Form{JSON: indented(e)}
		}
		f.Rows = append(f.Rows, rowOf(leaf.Leaf))
	}
	if len(f.Rows) == 0 {
		return Form{JSON: indented(e)}
	}
	return f
}

func indented(e *query.Expr) string {
	text := jsontext.Value(e.String())
	if err := text.Indent(jsontext.WithIndent("  ")); err != nil {
		return e.String()
	}
	return string(text)
}

// Expr is the filter, nil if it matches everything. The error is Invalid and
// names the rows and fields that are wrong: /rows/0/value, /filter/and/1. It
// names all wrong rows, not only the first.
func (f Form) Expr() (*query.Expr, error) {
	var wrong []errs.FieldError
	var rows []*query.Expr
	for i, r := range f.Rows {
		e, err := r.expr()
		if err != nil {
			wrong = append(wrong, placed(err, fmt.Sprintf("/rows/%d", i))...)
			continue
		}
		rows = append(rows, e)
	}
	all, err := query.ParseFilter(nil, []byte(f.JSON))
	if err != nil {
		wrong = append(wrong, placed(err, "")...)
	}
	if len(wrong) > 0 {
		return nil, &errs.Error{Kind: errs.Invalid, Code: "invalid_filter", Fields: wrong, Detail: "The filter can't be used: " + wrong[0].Detail}
	}
	if f.Any && len(rows) > 1 {
		return query.And(&query.Expr{Kind: query.OrOf, Children: rows}, all), nil
	}
	return query.And(append(rows, all)...), nil
}

// placed are the fields of an error of ParseFilter, with the pointers of a row
// where base names one.
func placed(err error, base string) []errs.FieldError {
	var e *errs.Error
	if !errors.As(err, &e) || len(e.Fields) == 0 {
		return []errs.FieldError{{Pointer: base + "/op", Detail: err.Error()}}
	}
	fields := slices.Clone(e.Fields)
	for i := range fields {
		if base != "" {
			fields[i].Pointer = base + strings.TrimPrefix(fields[i].Pointer, "/filter")
		}
	}
	return fields
}

// expr is the row as a filter.
func (r Row) expr() (*query.Expr, error) {
	leaf, err := json.Marshal(struct {
		Column string         `json:"column"`
		Op     string         `json:"op"`
		Value  jsontext.Value `json:"value,omitzero"`
	}{r.Column, r.Op, operand(query.Op(r.Op), r.Value)})
	if err != nil {
		return nil, errs.Field("invalid_filter", "/filter/value", "the text isn't valid UTF-8")
	}
	return query.ParseFilter(nil, leaf)
}

// Problem is what the error of Expr says about the place that a pointer names
// and all below it; empty if nothing.
func Problem(err error, pointer string) string {
	var e *errs.Error
	if !errors.As(err, &e) {
		return ""
	}
	for _, f := range e.Fields {
		if f.Pointer == pointer || strings.HasPrefix(f.Pointer, pointer+"/") {
			return f.Detail
		}
	}
	return ""
}
