package components

import "strings"

// Index names an index, there or to be made.
type Index struct {
	Table   string
	Columns []string
	Type    string
}

// Path and Query lead to the page of the index, for view.URL.
func (i Index) Path() string { return "indexes/index" }

// Query is the names and values in turn that go with Path, and with indexes/new,
// the form that makes such an index.
func (i Index) Query() []string {
	query := []string{"table", i.Table}
	for _, column := range i.Columns {
		query = append(query, "column", column)
	}
	return append(query, "type", i.Type)
}

// Name is table.column (type), as jobs and messages have it.
func (i Index) Name() string {
	return i.Table + "." + strings.Join(i.Columns, ",") + " (" + i.Type + ")"
}
