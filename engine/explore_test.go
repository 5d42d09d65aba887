package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
)

// TestVectors reads samples of a table where only every third entity has a
// vector and some are deleted.
func TestVectors(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Dimension: 2, Metric: "l2"}})
	want := map[string]bool{}
	var ops []engine.Op
	for i := range 600 {
		doc := map[string]any{"n": i, "half": i % 2}
		if i%3 == 0 {
			doc["v"] = []float32{float32(i), 1}
		}
		ops = append(ops, testkit.Put(fmt.Sprintf("t:%d", i), doc))
	}
	db.Do(ops...)
	for i := range 600 {
		if i < 100 {
			db.Delete(fmt.Sprintf("t:%d", i))
		} else if i%3 == 0 {
			want[fmt.Sprint(i)] = true
		}
	}
	check := func(req engine.VectorsRequest, n int) {
		t.Helper()
		req.Table, req.Column = "t", "v"
		vectors, err := db.Vectors(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, v := range vectors {
			if !want[v.Key.PK] || seen[v.Key.PK] {
				t.Errorf("%s has no vector, or came twice", v.Key)
			}
			seen[v.Key.PK] = true
			if fmt.Sprint(v.Vector[0]) != v.Key.PK {
				t.Errorf("%s has the vector %v", v.Key, v.Vector)
			}
		}
		if len(vectors) != n {
			t.Errorf("%+v gave %d vectors, not %d", req, len(vectors), n)
		}
	}
	check(engine.VectorsRequest{Sample: 5}, 5)
	check(engine.VectorsRequest{Sample: 100}, 100)
	check(engine.VectorsRequest{Sample: 1000}, len(want))
	check(engine.VectorsRequest{PKs: []string{"102", "3", "103", "nobody", "105"}}, 2)
	check(engine.VectorsRequest{Sample: 1000, Filter: parse(t, testkit.Filter{"column": "half", "value": 1})}, len(want)/2)
	check(engine.VectorsRequest{Sample: 7, Filter: parse(t, testkit.Filter{"column": "v", "op": "exists", "value": true})}, 7)

	one, err := db.Vectors(t.Context(), engine.VectorsRequest{Table: "t", PKs: []string{"300"}})
	if err != nil || string(one[0].Doc) != `{"half":0,"n":300}` {
		t.Errorf("%s, %v", one[0].Doc, err)
	}
	one, err = db.Vectors(t.Context(), engine.VectorsRequest{Table: "t", PKs: []string{"300"}, Return: engine.ReturnKeys})
	if err != nil || one[0].Doc != nil || one[0].Key.PK != "300" || one[0].Version != 1 {
		t.Errorf("%+v, %v", one, err)
	}
	if _, err := db.Vectors(t.Context(), engine.VectorsRequest{Table: "t", Sample: engine.MaxVectors + 1}); errs.CodeOf(err) != "invalid_sample" {
		t.Errorf("got %v", err)
	}
}

func TestNames(t *testing.T) {
	db := testkit.Open(t)
	for _, key := range []string{"b:1", "a:xy", "a:x", "a:y", "a:x/<b>"} {
		db.Put(key, `{"n":1}`)
	}
	db.Index(schema.IndexDef{Table: "a", Columns: []string{"n"}, Type: schema.Range})
	db.Index(schema.IndexDef{Table: "b", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Dimension: 3}})
	if names := db.TableNames(); !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("tables %v", names)
	}
	for table, want := range map[string]string{"": "a.n range ready, b.v vector ready", "a": "a.n range ready"} {
		defs, err := db.IndexDefs(table)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for i, d := range defs {
			if i > 0 {
				text += ", "
			}
			text += fmt.Sprintf("%s.%s %s %s", d.Table, d.Columns[0], d.Type, d.State)
		}
		if text != want {
			t.Errorf("indexes of %q: %s, want %s", table, text, want)
		}
	}
	for prefix, want := range map[string][]string{"x": {"x", "x/<b>"}, "": {"x", "x/<b>"}, "z": {}, "y": {"y"}} {
		pks, err := db.PrimaryKeys(t.Context(), "a", prefix, 2)
		if err != nil || !slices.Equal(pks, want) {
			t.Errorf("%q: %v, %v", prefix, pks, err)
		}
	}
	if _, err := db.IndexDefs("nobody"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("got %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Vectors(gone, engine.VectorsRequest{Table: "b", Sample: 3}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
