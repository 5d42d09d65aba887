package tables

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/engine/schema"
)

// Cell is a value in a table of entities.
type Cell struct {
	// Text is shown; Kind is number, text, word (true, false, null), json, vector or
	// empty where there is no value.
	Text, Kind string
}

// maxCell is how much of a value a cell shows.
const maxCell = 160

// vectorFrom is the number of numbers from which an array is shown as a vector.
const vectorFrom = 8

// cells are the values of a document at the extractor's paths.
func cells(x *schema.Extractor, columns int, doc []byte) []Cell {
	out := make([]Cell, columns)
	var found schema.Extracted
	if x.Extract(doc, &found) != nil {
		return out
	}
	for i := range out {
		switch raw := found.Raw(i); {
		case raw != nil:
			out[i] = cell(raw)
		case found.Present(i): // within an array of objects
			out[i] = listCell(found.Values(i))
		}
	}
	return out
}

// cell shows one JSON value.
func cell(raw []byte) Cell {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return Cell{}
	}
	switch raw[0] {
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return Cell{}
		}
		return Cell{format.Shorten(string(text), maxCell), "text"}
	case '{':
		return Cell{format.Shorten(string(raw), maxCell), "json"}
	case '[':
		if n, first := numbersIn(raw); n >= vectorFrom {
			return Cell{"[" + strings.Join(first, ", ") + ", …] " + format.Count(n) + " numbers", "vector"}
		}
		return Cell{format.Shorten(string(raw), maxCell), "json"}
	case 't', 'f', 'n':
		return Cell{string(raw), "word"}
	}
	return Cell{format.Shorten(string(raw), maxCell), "number"}
}

func listCell(values []schema.Value) Cell {
	var parts []string
	size := 0
	for _, v := range values {
		if size > maxCell {
			parts = append(parts, "…")
			break
		}
		text := format.Shorten(v.String(), maxCell)
		size += len(text)
		parts = append(parts, text)
	}
	return Cell{strings.Join(parts, ", "), "json"}
}

// numbersIn counts the numbers of an array that holds nothing else, 0 for any
// other, and returns the first ones.
func numbersIn(raw []byte) (n int, first []string) {
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	if _, err := d.ReadToken(); err != nil {
		return 0, nil
	}
	for d.PeekKind() == '0' {
		value, err := d.ReadValue()
		if err != nil {
			return 0, nil
		}
		if n++; n <= 2 {
			first = append(first, string(value))
		}
	}
	if d.PeekKind() != ']' {
		return 0, nil
	}
	return n, first
}
