package search

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/console/filterform"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
)

// What a search starts from.
const (
	byEntity = "entity"
	byVector = "vector"
)

// maxK bounds the results of one page, below what REST returns.
const maxK = 1000

// request is the form of a search as it was filled in.
type request struct {
	// Index is "table.column"; a table's name has no dot.
	Index string
	// By is what the search starts from: an entity or a vector.
	By string
	// Key is a primary key of the index's table, Vector the pasted text.
	Key, Vector string
	// K and Ef are as typed; empty is the default.
	K, Ef          string
	Exact, Compare bool
	Filter         filterform.Form
}

// parse reads a request from query parameters or a form's body.
func parse(q url.Values) request {
	r := request{
		Index: q.Get("index"), By: q.Get("by"), Key: strings.TrimSpace(q.Get("key")), Vector: strings.TrimSpace(q.Get("vector")),
		K: strings.TrimSpace(q.Get("k")), Ef: strings.TrimSpace(q.Get("ef")), Exact: q.Has("exact"), Compare: q.Has("compare"),
		Filter: filterform.Parse(q),
	}
	if r.By != byVector {
		r.By = byEntity
	}
	return r
}

// query is the request as names and values of a link.
func (r request) query() []string {
	var list []string
	add := func(name, value string) {
		if value != "" {
			list = append(list, name, value)
		}
	}
	add("index", r.Index)
	if r.By != byEntity {
		add("by", r.By)
	}
	add("key", r.Key)
	add("vector", r.Vector)
	add("k", r.K)
	add("ef", r.Ef)
	if r.Exact {
		add("exact", "on")
	}
	if r.Compare {
		add("compare", "on")
	}
	return append(list, r.Filter.Pairs()...)
}

// started says whether there is something to search for.
func (r request) started() bool {
	return r.By == byEntity && r.Key != "" || r.By == byVector && r.Vector != ""
}

// place is the table and the column of the index.
func (r request) place() (table, column string) {
	table, column, _ = strings.Cut(r.Index, ".")
	return table, column
}

// engineRequest is the search that the form asks for.
func (r request) engineRequest() (engine.SearchRequest, error) {
	req := engine.SearchRequest{Exact: r.Exact, Explain: true}
	req.Table, req.Column = r.place()
	var err error
	if req.K, err = number(r.K, "k", 10, maxK); err != nil {
		return req, err
	}
	if req.Ef, err = number(r.Ef, "ef", 0, engine.MaxK); err != nil {
		return req, err
	}
	if req.Filter, err = r.Filter.Expr(); err != nil {
		return req, err
	}
	if r.By == byEntity {
		req.Key = &engine.Key{Table: req.Table, PK: r.Key}
		return req, req.Key.Validate()
	}
	vector, err := parseVector(r.Vector)
	req.Vectors = [][]float32{vector}
	return req, err
}

// number reads a whole number from 1 to most.
func number(text, name string, without, most int) (int, error) {
	if text == "" {
		return without, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, errs.Field("invalid_value", "/"+name, "%s must be a whole number from 1 to %d", name, most)
	}
	return n, nil
}

// parseVector reads what people paste: a JSON array, {"b64": ...}, numbers with
// spaces or commas between them, or bare base64 of little-endian float32.
func parseVector(text string) ([]float32, error) {
	raw := []byte(text)
	switch {
	case strings.HasPrefix(text, "[") || strings.HasPrefix(text, "{"):
	case isNumbers(text):
		raw = []byte("[" + strings.Join(fields(text), ",") + "]")
	default:
		quoted, err := jsontext.AppendQuote(nil, strings.Join(strings.Fields(text), ""))
		if err != nil {
			return nil, errs.Field("invalid_vector", "/vector", "the vector isn't valid UTF-8")
		}
		raw = append(append([]byte(`{"b64":`), quoted...), '}')
	}
	vector, err := schema.ParseVector(raw)
	if err != nil {
		return nil, errs.Field("invalid_vector", "/vector", "%s", err.Error())
	}
	return vector, nil
}

func fields(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\n' || r == '\t' || r == '\r' })
}

// isNumbers says whether a text is a list of numbers without brackets. A single
// word may be base64 as well, so it has to look like a number.
func isNumbers(text string) bool {
	parts := fields(text)
	for _, part := range parts {
		if _, err := strconv.ParseFloat(part, 64); err != nil || !jsontext.Value(part).IsValid() {
			return false
		}
	}
	return len(parts) > 0
}

// wire is the search as a body of POST /vector/search.
type wire struct {
	Table  string         `json:"table"`
	Column string         `json:"column"`
	Key    string         `json:"key,omitzero"`
	Vector jsontext.Value `json:"vector,omitzero"`
	K      int            `json:"k,omitzero"`
	Ef     int            `json:"ef,omitzero"`
	Filter *query.Expr    `json:"filter,omitzero"`
	Exact  bool           `json:"exact,omitzero"`
}

// body is the search as REST takes it, for a command to copy.
func body(req engine.SearchRequest) string {
	w := wire{Table: req.Table, Column: req.Column, K: req.K, Ef: req.Ef, Filter: req.Filter, Exact: req.Exact}
	if req.Key != nil {
		w.Key = req.Key.String()
	} else if len(req.Vectors) == 1 {
		w.Vector = jsontext.Value("[")
		for i, x := range req.Vectors[0] {
			if i > 0 {
				w.Vector = append(w.Vector, ',')
			}
			w.Vector = jsontext.AppendFloat(w.Vector, float64(x), 32)
		}
		w.Vector = append(w.Vector, ']')
	}
	text, err := json.Marshal(w)
	if err != nil {
		return ""
	}
	return string(text)
}
