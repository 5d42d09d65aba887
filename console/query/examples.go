package query

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine/schema"
)

// example is a query to begin with.
type example struct{ Title, Body string }

// examples are queries that fit what a sample of the table has.
func examples(table string, columns []schema.ColumnSurvey) []example {
	type predicate struct {
		Column string         `json:"column"`
		Op     string         `json:"op,omitzero"`
		Value  jsontext.Value `json:"value"`
	}
	type wire struct {
		Table      string      `json:"table"`
		Predicates []predicate `json:"predicates,omitempty"`
		Order      string      `json:"order_by,omitzero"`
		Limit      int         `json:"limit,omitzero"`
		Return     string      `json:"return,omitzero"`
	}
	var list []example
	add := func(title string, w wire) {
		if raw, err := json.Marshal(w); err == nil {
			list = append(list, example{title, indented(raw)})
		}
	}
	var text, number *schema.ColumnSurvey
	for i := range columns {
		switch c := &columns[i]; {
		case c.Arrays > 0 || c.Example == nil || strings.HasPrefix(c.Path, "-"):
		case c.Strings > 0 && c.Numbers == 0 && c.Longest <= 40 && (text == nil || c.Distinct < text.Distinct):
			text = c
		case c.Numbers > 0 && c.Strings == 0 && (number == nil || c.Distinct > number.Distinct):
			number = c
		}
	}
	if text != nil {
		is := []predicate{{Column: text.Path, Value: text.Example}}
		add("Entities with a value", wire{Table: table, Predicates: is, Limit: defaultLimit})
		add("How many have it", wire{Table: table, Predicates: is, Return: "count"})
	}
	if number != nil {
		add("The greatest "+number.Path, wire{Table: table, Order: "-" + number.Path, Limit: 10})
		from := []predicate{{Column: number.Path, Op: "gte", Value: number.Example}}
		add("A range of "+number.Path, wire{Table: table, Predicates: from, Order: number.Path, Limit: defaultLimit})
	}
	return list
}
