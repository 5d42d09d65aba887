package tables

import (
	"strings"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/engine/schema"
)

// maxList is how much a cell shows of the values in a list of objects.
const maxList = 160

// vectorFrom is the number of numbers from which an array counts as a vector that
// no index says is one.
const vectorFrom = 8

// cells are the values of a document at the extractor's paths.
func cells(x *schema.Extractor, columns int, doc []byte) []components.Cell {
	out := make([]components.Cell, columns)
	var found schema.Extracted
	if x.Extract(doc, &found) != nil {
		return out
	}
	for i := range out {
		switch raw := found.Raw(i); {
		case raw != nil:
			out[i] = components.CellOf(raw)
		case found.Present(i): // within an array of objects
			out[i] = listCell(found.Values(i))
		}
	}
	return out
}

func listCell(values []schema.Value) components.Cell {
	var parts []string
	size := 0
	for _, v := range values {
		if size > maxList {
			parts = append(parts, "…")
			break
		}
		text := components.CellOf([]byte(v.String())).Text
		size += len(text)
		parts = append(parts, text)
	}
	return components.Cell{Text: strings.Join(parts, ", "), Class: "json-folded"}
}
