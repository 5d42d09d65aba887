package filterform

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
)

// operand is the text of a row's value as the JSON that the operator takes. What
// doesn't fit the operator is left to the parser of filters, which says why.
func operand(op query.Op, text string) jsontext.Value {
	trimmed := strings.TrimSpace(text)
	switch op {
	case query.In, query.Nin, query.Between:
		return list(trimmed)
	case query.Exists:
		if trimmed == "" {
			return jsontext.Value("true")
		}
		return scalar(trimmed)
	case query.Prefix, query.Contains: // of a text, so 19 is one
		if isString(trimmed) {
			return jsontext.Value(trimmed)
		}
		return quoted(trimmed)
	case query.GeoRadius:
		return numbers(trimmed, "lat", "lon", "radius_m")
	case query.GeoBox:
		return numbers(trimmed, "min_lat", "min_lon", "max_lat", "max_lon")
	}
	return scalar(trimmed)
}

// scalar is JSON as it is, and a JSON string of anything else.
func scalar(text string) jsontext.Value {
	if isJSON(text) {
		return jsontext.Value(text)
	}
	return quoted(text)
}

func isJSON(text string) bool { return text != "" && jsontext.Value(text).IsValid() }

func isString(text string) bool { return strings.HasPrefix(text, `"`) && isJSON(text) }

func quoted(text string) jsontext.Value {
	out, err := jsontext.AppendQuote(nil, text)
	if err != nil { // not UTF-8: the mark of that stands in its place
		out, _ = jsontext.AppendQuote(nil, strings.ToValidUTF8(text, "\uFFFD"))
	}
	return out
}

// list is a JSON array as it is, and one of the parts between the commas
// otherwise; a part in quotes may hold commas.
func list(text string) jsontext.Value {
	if strings.HasPrefix(text, "[") && isJSON(text) {
		return jsontext.Value(text)
	}
	out := jsontext.Value("[")
	for text != "" {
		part, rest := cutPart(text)
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, scalar(part)...)
		text = rest
	}
	return append(out, ']')
}

// cutPart is the part before the first comma outside quotes, and what follows.
func cutPart(text string) (part, rest string) {
	if strings.HasPrefix(text, `"`) {
		dec := jsontext.NewDecoder(bytes.NewBufferString(text))
		if value, err := dec.ReadValue(); err == nil {
			after := strings.TrimSpace(text[dec.InputOffset():])
			if after == "" || after[0] == ',' {
				return string(value), strings.TrimSpace(strings.TrimPrefix(after, ","))
			}
		}
	}
	part, rest, _ = strings.Cut(text, ",")
	return strings.TrimSpace(part), strings.TrimSpace(rest)
}

// numbers is a JSON object as it is, and one of the names and the parts between
// the commas otherwise.
func numbers(text string, names ...string) jsontext.Value {
	if strings.HasPrefix(text, "{") && isJSON(text) {
		return jsontext.Value(text)
	}
	parts := strings.Split(text, ",")
	if len(parts) != len(names) {
		return quoted(text)
	}
	out := jsontext.Value("{")
	for i, name := range names {
		part := strings.TrimSpace(parts[i])
		if _, err := strconv.ParseFloat(part, 64); err != nil || !isJSON(part) {
			return quoted(text)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, quoted(name)...), ':'), part...)
	}
	return append(out, '}')
}

// sayable conditions are those that a row can say: what it contains is a text.
func sayable(e *query.Expr) bool {
	return e.Kind == query.Leaf && (e.Leaf.Op != query.Contains || e.Leaf.Value.Kind() == schema.KindString)
}

// rowOf is a condition as a row that says the same.
func rowOf(p *query.Predicate) Row {
	row := Row{Column: p.Column, Op: string(p.Op)}
	switch p.Op {
	case query.In, query.Nin, query.Between:
		var parts []string
		for _, v := range p.Values {
			parts = append(parts, listText(v))
		}
		row.Value = strings.Join(parts, ", ")
	case query.GeoRadius:
		row.Value = joined(p.Circle.Lat, p.Circle.Lon, p.Circle.RadiusM)
	case query.GeoBox:
		row.Value = joined(p.Box.MinLat, p.Box.MinLon, p.Box.MaxLat, p.Box.MaxLon)
	case query.Prefix, query.Contains:
		row.Value = prefixText(p.Value)
	default:
		row.Value = ScalarText(p.Value)
	}
	return row
}

// ScalarText is the shortest text that a row reads as v.
func ScalarText(v schema.Value) string {
	text, plain := valueText(v)
	if plain && (text != strings.TrimSpace(text) || isJSON(text)) {
		return string(quoted(text))
	}
	return text
}

// valueText is a string as it is, which is plain, and anything else as JSON.
func valueText(v schema.Value) (text string, plain bool) {
	raw, err := v.MarshalJSON()
	if err != nil {
		return "", false
	}
	if v.Kind() != schema.KindString {
		return string(raw), false
	}
	if err := json.Unmarshal(raw, &text); err != nil {
		return string(raw), false
	}
	return text, true
}

// listText is ScalarText for a place in a list.
func listText(v schema.Value) string {
	text, plain := valueText(v)
	if plain && (text == "" || strings.ContainsAny(text, `",[`) || ScalarText(v) != text) {
		return string(quoted(text))
	}
	return text
}

func prefixText(v schema.Value) string {
	text, _ := valueText(v)
	if text != strings.TrimSpace(text) || isString(text) {
		return string(quoted(text))
	}
	return text
}

func joined(numbers ...float64) string {
	var parts []string
	for _, n := range numbers {
		parts = append(parts, strconv.FormatFloat(n, 'g', -1, 64))
	}
	return strings.Join(parts, ", ")
}
