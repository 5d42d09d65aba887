package tables

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
)

// columnSample is how many entities the page of columns looks at.
const columnSample = 500

// Columns is the page of a table's columns and indexes.
type Columns struct {
	Summary
	Sampled   int
	Truncated bool
	Rows      []ColumnRow
}

// ColumnRow is what a sample has in a column.
type ColumnRow struct {
	Path string
	// Types are the kinds of values, the most frequent first: text, number.
	Types []string
	// Share of the sampled entities have the column, of 1.
	Share float64
	// Notes are what else there is to say: 12 different, dimension 100.
	Notes   []string
	Example string
	// Indexes are the types of the indexes that the column is in.
	Indexes []string
}

func newColumns(info *engine.TableInfo, sample *engine.ColumnSample) Columns {
	v := Columns{Summary: summaryOf(info), Sampled: sample.Sampled, Truncated: sample.Truncated}
	for _, c := range sample.Columns {
		row := ColumnRow{Path: c.Path, Types: columnTypes(c), Notes: columnNotes(c), Share: float64(c.Entities) / float64(max(sample.Sampled, 1))}
		if !isVector(c) {
			row.Example = components.CellOf(c.Example).Text
		}
		for _, ix := range info.Indexes {
			if slices.Contains(ix.Columns, c.Path) {
				row.Indexes = append(row.Indexes, string(ix.Type))
			}
		}
		v.Rows = append(v.Rows, row)
	}
	return v
}

// isVector says whether all that a column holds are vectors.
func isVector(c schema.ColumnSurvey) bool { return c.Vectors > 0 && c.Vectors == c.Entities }

func columnTypes(c schema.ColumnSurvey) []string {
	if isVector(c) {
		return []string{"vector"}
	}
	type kind struct {
		name string
		n    int
	}
	kinds := []kind{{"text", c.Strings}, {"number", c.Numbers}, {"true or false", c.Bools}, {"object", c.Objects}, {"null", c.Nulls}}
	kinds = slices.DeleteFunc(kinds, func(k kind) bool { return k.n == 0 })
	slices.SortStableFunc(kinds, func(a, b kind) int { return b.n - a.n })
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	if c.Arrays > 0 {
		names = []string{"list of " + strings.Join(names, ", ")}
	}
	return names
}

func columnNotes(c schema.ColumnSurvey) []string {
	var notes []string
	switch {
	case isVector(c) && c.Dimension > 0:
		notes = append(notes, format.Count(c.Dimension)+" dimensions")
	case isVector(c):
		notes = append(notes, "of different lengths")
	case c.Distinct > 0:
		notes = append(notes, format.Plural(c.Distinct, "value", "different values"))
	}
	if c.Points > 0 && c.Points == c.Entities && !isVector(c) {
		notes = append(notes, "points on Earth")
	}
	if c.Times > 0 && c.Times == c.Entities {
		notes = append(notes, "times")
	}
	if c.Longest > 1000 {
		notes = append(notes, "up to "+format.Bytes(c.Longest))
	}
	return notes
}

func (t *Tables) columns(c fiber.Ctx) error {
	table, err := tableParam(c)
	if err != nil {
		return err
	}
	info, err := t.db.Table(c.Context(), table)
	if err != nil {
		return err
	}
	sample, err := t.db.SampleColumns(c.Context(), table, columnSample)
	if err != nil {
		return err
	}
	v := newColumns(info, sample)
	return t.frame.Show(c, page.Page{Title: table, Nav: nav, Crumbs: tableCrumbs(""), Wide: true, Actions: tableActions(v.Summary)}, columnsContent(v))
}

// sampled says what the figures are of.
func (v Columns) sampled() string {
	if uint64(v.Sampled) >= v.Entities {
		return "Of all " + format.Plural(v.Sampled, "entity", "entities") + "."
	}
	return "Of a sample of " + format.Plural(v.Sampled, "entity", "entities") + " from random places."
}
