package query

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
)

// answer is what a query returned, as the page shows it.
type answer struct {
	ask
	Took  time.Duration
	Count int
	// Keys are those of the rows; Grid has their values when entities were returned.
	Keys []engine.Key
	Grid components.Grid
	// Next goes on after this page; empty on the last.
	Next string
	Plan components.Plan
	// Advice are the indexes that the query lacks.
	Advice []query.Advice
	// JSON is the answer as REST gives it, if it was asked for.
	JSON []byte
}

// maxColumns bounds the columns of the answer's table.
const maxColumns = 8

// run carries out a query.
func (q *Query) run(ctx context.Context, r request, a ask) (*answer, error) {
	started := time.Now()
	result, err := q.db.Query(ctx, a.QueryRequest)
	if err != nil {
		return nil, err
	}
	out := &answer{ask: a, Took: time.Since(started), Count: result.Count, Next: result.NextCursor, Plan: components.QueryPlan(result.Plan)}
	if result.Plan != nil {
		out.Advice = result.Plan.Advice
	}
	if r.AsJSON {
		out.JSON, err = asJSON(&a, result, out.Took)
		return out, err
	}
	var docs [][]byte
	for i := range result.Entities {
		e := &result.Entities[i]
		out.Keys, docs = append(out.Keys, e.Key), append(docs, e.Doc)
	}
	for _, text := range result.Keys {
		key, err := engine.ParseKey(text)
		if err != nil {
			return nil, err
		}
		out.Keys, docs = append(out.Keys, key), append(docs, nil)
	}
	out.Grid = components.NewGrid(docs, maxColumns)
	return out, nil
}

// wireEntity is an entity in an answer of REST.
type wireEntity struct {
	Key       string         `json:"key"`
	Version   uint64         `json:"version"`
	UpdatedAt time.Time      `json:"updated_at"`
	Entity    jsontext.Value `json:"entity"`
}

// wireAnswer is the answer of POST /query, without the plan, which stands below.
type wireAnswer struct {
	Table      string       `json:"table"`
	Count      int          `json:"count"`
	Entities   []wireEntity `json:"entities,omitempty"`
	Keys       []string     `json:"keys,omitempty"`
	NextCursor string       `json:"next_cursor,omitzero"`
	TookMs     float64      `json:"took_ms"`
}

func asJSON(a *ask, result *engine.QueryResult, took time.Duration) ([]byte, error) {
	w := wireAnswer{Table: a.Table, Count: result.Count, NextCursor: result.NextCursor, TookMs: float64(took.Microseconds()) / 1000}
	for _, e := range result.Entities {
		w.Entities = append(w.Entities, wireEntity{e.Key.String(), e.Version, e.UpdatedAt.UTC(), jsontext.Value(e.Doc)})
	}
	if a.Return == engine.ReturnKeys {
		w.Keys = result.Keys
	}
	return json.Marshal(w)
}

// summary is the answer in a sentence.
func (a *answer) summary() string {
	text := format.Plural(a.Count, "entity", "entities")
	if a.Return == engine.ReturnCount {
		text = format.Plural(a.Count, "entity matches", "entities match")
	} else if a.Next != "" || a.Cursor != "" {
		text += " on this page"
	}
	return text + ", " + format.Duration(a.Took)
}
