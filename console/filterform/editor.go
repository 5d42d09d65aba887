package filterform

import (
	"fmt"
	"slices"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/engine/query"
)

// Editor is what the fields of a filter show.
type Editor struct {
	// ID begins the ids of the elements; "filter" when empty.
	ID   string
	Form Form
	// Table and its Columns are offered while one types.
	Table   string
	Columns []string
	// Err is what Form.Expr said; nil is nothing.
	Err error
}

func (e Editor) id(part string) string {
	if e.ID == "" {
		return "filter-" + part
	}
	return e.ID + "-" + part
}

// rows are those filled in and the empty ones to go on with.
func (e Editor) rows() []Row {
	rows := slices.Clone(e.Form.Rows)
	for range max(e.Form.More, 1-len(rows)) {
		rows = append(rows, Row{Op: string(query.Eq)})
	}
	return rows
}

// problem is what is wrong with a row.
func (e Editor) problem(i int) string {
	if e.Err == nil || i >= len(e.Form.Rows) {
		return ""
	}
	return Problem(e.Err, fmt.Sprintf("/rows/%d", i))
}

func (e Editor) jsonProblem() string {
	if e.Err == nil {
		return ""
	}
	return Problem(e.Err, "/filter")
}

// schema is what the editor of JSON completes from.
func (e Editor) schema() map[string]map[string][]string {
	return map[string]map[string][]string{"tables": {e.Table: e.Columns}}
}

// operators are in the order in which people look for them.
func operators() []components.Option {
	return []components.Option{
		{Value: string(query.Eq), Label: "is"},
		{Value: string(query.Ne), Label: "is not"},
		{Value: string(query.Lt), Label: "<"},
		{Value: string(query.Lte), Label: "≤"},
		{Value: string(query.Gt), Label: ">"},
		{Value: string(query.Gte), Label: "≥"},
		{Value: string(query.Between), Label: "between"},
		{Value: string(query.In), Label: "is one of"},
		{Value: string(query.Nin), Label: "is none of"},
		{Value: string(query.Prefix), Label: "starts with"},
		{Value: string(query.Contains), Label: "contains"},
		{Value: string(query.Exists), Label: "exists"},
		{Value: string(query.GeoRadius), Label: "within radius"},
		{Value: string(query.GeoBox), Label: "in box"},
	}
}
