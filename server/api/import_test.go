package api

import (
	"bytes"
	"errors"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/rest"
)

// The document of a batch_insert item is its fields plus the vector, whatever the
// fields are.
func FuzzInsertDocument(f *testing.F) {
	f.Add(`{"a":1}`, "v")
	f.Add(` { } `, "v")
	f.Add(`{"a":{"x":1},"b":[]}`, "a.v")
	f.Add(`{"v":1}`, "v")
	f.Add(``, "a.b.c")
	f.Add("{\n\"a\" : 1 }", "v")
	f.Fuzz(func(t *testing.T, fields, column string) {
		path, err := schema.ParsePath(column)
		if err != nil {
			return
		}
		if fields != "" && !jsontext.Value(fields).IsValid() {
			return // a decoded body has no such fields
		}
		target := insertTarget{path: path}
		doc, err := target.document(&insertItem{Vector: jsontext.Value(`[1,2]`), Fields: jsontext.Value(fields)})
		if err != nil {
			return
		}
		var got, want map[string]jsontext.Value
		if err := json.Unmarshal(doc, &got); err != nil {
			if len(path) == 1 && json.Unmarshal([]byte(fields), &want) == nil && want[path[0]] != nil {
				return // the column twice: the engine refuses it
			}
			t.Fatalf("%s: %v", doc, err)
		}
		if fields != "" && json.Unmarshal([]byte(fields), &want) != nil {
			t.Fatalf("%q became %s", fields, doc)
		}
		for name, value := range want {
			if name != path[0] && !sameJSON(got[name], value) {
				t.Fatalf("%s lost %s: %s", doc, name, value)
			}
		}
		x := new(schema.Extracted)
		if err := schema.NewExtractor(column).Extract(doc, x); err != nil || !sameJSON(x.Raw(0), []byte(`[1,2]`)) {
			t.Fatalf("%s at %s is %s, %v", doc, column, x.Raw(0), err)
		}
	})
}

func sameJSON(a, b jsontext.Value) bool {
	a, b = a.Clone(), b.Clone()
	return a.Compact() == nil && b.Compact() == nil && bytes.Equal(a, b)
}

// Whatever the body, decoding it gives the type or an error of ours.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{"table":"t","vector":[1,2]}`, `{"vectors":[{"b64":"AACAPw=="}],"k":3}`, `{"filter":{"and":[]},"x":1}`, `{`, ``, `null`, `{"vector":[1,{}]}`, `{"k":1e3}`, `{"a":1}{`,
		`{"predicates":[{"a":[]}],"max_distance":1e99}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if _, err := rest.Decode[searchRequest]([]byte(body)); err != nil {
			if len(fieldsOf(t, err)) == 0 {
				t.Errorf("%q: no pointer: %v", body, err)
			}
		} else if !jsontext.Value(body).IsValid() {
			t.Errorf("%q was taken", body)
		}
	})
}

func fieldsOf(t *testing.T, err error) []errs.FieldError {
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind != errs.Invalid || e.Code == "" || e.Detail == "" {
		t.Fatalf("%#v", err)
	}
	return e.Fields
}
