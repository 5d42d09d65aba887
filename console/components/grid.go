package components

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/a-h/templ"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
)

// Grid is documents as a table: a column for each member that they have, those
// that most have first.
type Grid struct {
	Columns []string
	// Numeric says which columns hold nothing but numbers.
	Numeric []bool
	// Rows are in the order of the documents, with a cell for each column.
	Rows [][]Cell
	// Left is how many columns had no room.
	Left int
}

// Cell is a value in one line.
type Cell struct {
	// Text is empty where the document has no such member.
	Text string
	// Class is the one of its kind in JSON: json-string, json-number, json-word or
	// json-folded; Number is for the right edge.
	Class  string
	Number bool
}

// maxCell bounds the text of a cell; a page of thousands of words mustn't have
// megabytes.
const maxCell = 120

// maxNumbers is the length of an array of numbers that is still read by people.
const maxNumbers = 40

// NewGrid lays out documents in at most so many columns, without those named.
func NewGrid(docs [][]byte, most int, without ...string) Grid {
	type seen struct {
		name         string
		count, first int
	}
	var columns []*seen
	byName := map[string]*seen{}
	parsed := make([]map[string]Cell, len(docs))
	for i, doc := range docs {
		parsed[i] = map[string]Cell{}
		EachMember(doc, func(name string, value jsontext.Value) {
			if slices.Contains(without, name) {
				return
			}
			parsed[i][name] = CellOf(value)
			c := byName[name]
			if c == nil {
				c = &seen{name: name, first: len(columns)}
				columns = append(columns, c)
				byName[name] = c
			}
			c.count++
		})
	}
	slices.SortFunc(columns, func(a, b *seen) int { return cmp.Or(-cmp.Compare(a.count, b.count), cmp.Compare(a.first, b.first)) })
	g := Grid{Left: max(0, len(columns)-most)}
	columns = columns[:min(most, len(columns))]
	slices.SortFunc(columns, func(a, b *seen) int { return cmp.Compare(a.first, b.first) })
	for _, c := range columns {
		g.Columns, g.Numeric = append(g.Columns, c.name), append(g.Numeric, true)
	}
	for _, members := range parsed {
		row := make([]Cell, len(columns))
		for i, name := range g.Columns {
			row[i] = members[name]
			g.Numeric[i] = g.Numeric[i] && (row[i].Number || row[i].Text == "")
		}
		g.Rows = append(g.Rows, row)
	}
	return g
}

// EachMember calls fn for the members of a document. What isn't an object has
// none. The value is valid during the call.
func EachMember(doc []byte, fn func(name string, value jsontext.Value)) {
	// Of a buffer, the decoder needs no copy.
	d := jsontext.NewDecoder(bytes.NewBuffer(doc), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return
		}
		text := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return
		}
		fn(text, value)
	}
}

// CellOf is a JSON value in one line.
func CellOf(value jsontext.Value) Cell {
	switch value.Kind() {
	case 0:
		return Cell{}
	case '"':
		text, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return Cell{Text: format.Shorten(string(value), maxCell), Class: "json-string"}
		}
		return Cell{Text: format.Shorten(string(text), maxCell), Class: "json-string"}
	case '0':
		return Cell{Text: string(value), Class: "json-number", Number: true}
	case '[':
		if n := numbers(value); n >= foldFrom || n > 2 && len(value) > maxNumbers {
			return Cell{Text: format.Count(n) + " numbers", Class: "json-folded"}
		}
	case 't', 'f', 'n':
		return Cell{Text: string(value), Class: "json-word"}
	}
	return Cell{Text: format.Shorten(string(value), maxCell)}
}

// numbers is how many there are in an array of nothing else, 0 for another.
func numbers(array jsontext.Value) int {
	if bytes.ContainsAny(array[1:], "\"[{tfn") || !bytes.ContainsAny(array, "0123456789") {
		return 0
	}
	return bytes.Count(array, []byte{','}) + 1
}

// EntityPath leads to the page of an entity, for view.URL.
func EntityPath(key engine.Key) (path string, query []string) {
	return "tables/" + view.Segment(key.Table) + "/entity", []string{"pk", key.PK}
}

// EntityURL is the link to the page of an entity.
func EntityURL(ctx context.Context, key engine.Key) templ.SafeURL {
	path, query := EntityPath(key)
	return view.URL(ctx, path, query...)
}
