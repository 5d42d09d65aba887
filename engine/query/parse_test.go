package query

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
)

func mustParse(t testing.TB, filter string) *Expr {
	t.Helper()
	e, err := ParseFilter(nil, []byte(filter))
	if err != nil {
		t.Fatalf("%s: %v", filter, err)
	}
	return e
}

func TestParseFilter(t *testing.T) {
	const a1 = `{"column":"a","op":"eq","value":1}`
	for _, c := range []struct{ predicates, filter, want string }{
		{``, ``, `{}`},
		{`null`, ` null `, `{}`},
		{`[]`, ``, `{}`},
		{``, `{"column":"a","value":1}`, a1},
		{``, ` { "value" : 1 , "op" : "eq" , "column" : "\u0061" } `, a1},
		{`[{"column":"a","value":1}]`, ``, a1},
		{`[{"column":"a","value":1},{"column":"b","op":"ne","value":null}]`, ``, `{"and":[` + a1 + `,{"column":"b","op":"ne","value":null}]}`},
		{`[{"column":"a","value":1}]`, `{"not":{"column":"a","value":1}}`, `{"and":[` + a1 + `,{"not":` + a1 + `}]}`},
		{``, `{"or":[{"and":[{"column":"a","value":1}]}]}`, `{"or":[{"and":[` + a1 + `]}]}`},
		{``, `{"column":"a","op":"in","value":[3,"x",1,3.0,null]}`, `{"column":"a","op":"in","value":[null,1,3,"x"]}`},
		{``, `{"column":"a","op":"nin","value":[]}`, `{"column":"a","op":"nin","value":[]}`},
		{``, `{"column":"a","op":"between","value":[2,1]}`, `{"column":"a","op":"between","value":[2,1]}`},
		{``, `{"column":"a.b","op":"exists"}`, `{"column":"a.b","op":"exists","value":true}`},
		{``, `{"column":"a","op":"exists","value":false}`, `{"column":"a","op":"exists","value":false}`},
		{``, `{"column":"a","op":"gte","value":9007199254740993}`, `{"column":"a","op":"gte","value":9007199254740993}`},
		{``, `{"column":"g","op":"geo_radius","value":{"lat":1.5,"lon":2,"radius_m":0}}`, `{"column":"g","op":"geo_radius","value":{"lat":1.5,"lon":2,"radius_m":0}}`},
		{``, `{"column":"g","op":"geo_box","value":{"top_left":[10,5],"bottom_right":{"lat":-5,"lon":20}}}`,
			`{"column":"g","op":"geo_box","value":{"min_lat":-5,"min_lon":10,"max_lat":5,"max_lon":20}}`},
	} {
		e, err := ParseFilter([]byte(c.predicates), []byte(c.filter))
		if err != nil || e.String() != c.want {
			t.Errorf("%s and %s: %s, %v\nwant %s", c.predicates, c.filter, e, err, c.want)
		}
	}
}

func leaves(n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(`{"column":"a","value":1},`, n), ",") + "]"
}

func nots(n int) string {
	return strings.Repeat(`{"not":`, n) + `{"column":"a","value":1}` + strings.Repeat(`}`, n)
}

func TestParseFilterRefuses(t *testing.T) {
	leaf := func(rest string) string { return `{"column":"a",` + rest + `}` }
	for _, c := range []struct{ predicates, filter, code, pointer string }{
		{`{}`, ``, "invalid_filter", "/predicates"},
		{`[1]`, ``, "invalid_filter", "/predicates/0"},
		{`[{"column":"a","value":1},{"and":[` + leaf(`"value":1`) + `]}]`, ``, "invalid_filter", "/predicates/1"},
		{`[{"column":"a","value":1}`, ``, "invalid_json", "/predicates"},
		{`[] 1`, ``, "invalid_filter", "/predicates"},
		{``, `[]`, "invalid_filter", "/filter"},
		{``, `{}`, "invalid_filter", "/filter"},
		{``, `"x"`, "invalid_filter", "/filter"},
		{``, `{"column":"a","value":1} {}`, "invalid_filter", "/filter"},
		{``, `{"column":"a","value":1}]`, "invalid_filter", "/filter"},
		{``, `{"and":[]}`, "invalid_filter", "/filter/and"},
		{``, `{"and":{}}`, "invalid_filter", "/filter/and"},
		{``, `{"or":[1]}`, "invalid_filter", "/filter/or/0"},
		{``, `{"not":[]}`, "invalid_filter", "/filter/not"},
		{``, `{"and":[{"or":[{"column":"a","value":1},{"column":"a"}]}]}`, "invalid_filter", "/filter/and/0/or/1/value"},
		{``, `{"and":[` + leaf(`"value":1`) + `],"column":"a"}`, "invalid_filter", "/filter"},
		{``, `{"and":[` + leaf(`"value":1`) + `],"or":[` + leaf(`"value":1`) + `]}`, "invalid_filter", "/filter"},
		{``, leaf(`"value":1,"boost":2`), "invalid_filter", "/filter/boost"},
		{``, leaf(`"value":1,"value":2`), "invalid_json", "/filter/value"},
		{``, `{"value":1}`, "invalid_filter", "/filter"},
		{``, `{"column":1,"value":1}`, "invalid_filter", "/filter/column"},
		{``, `{"column":"","value":1}`, "invalid_filter", "/filter"},
		{``, `{"column":"a..b","value":1}`, "invalid_filter", "/filter/column"},
		{``, leaf(`"op":7,"value":1`), "invalid_filter", "/filter/op"},
		{``, leaf(`"op":"like","value":1`), "invalid_filter", "/filter/op"},
		{``, leaf(`"op":"","value":1`), "invalid_filter", "/filter/op"},
		{``, leaf(`"op":"match","value":"x"`), "not_supported", "none"},
		{``, leaf(`"op":"eq"`), "invalid_filter", "/filter/value"},
		{``, leaf(`"value":[1]`), "invalid_filter", "/filter/value"},
		{``, leaf(`"value":{}`), "invalid_filter", "/filter/value"},
		{``, leaf(`"value":1e999`), "number_out_of_range", "/filter/value"},
		{``, leaf(`"value":01`), "invalid_json", "/filter"},
		{``, leaf(`"op":"in","value":1`), "invalid_filter", "/filter/value"},
		{``, leaf(`"op":"in","value":[1,[2]]`), "invalid_filter", "/filter/value/1"},
		{``, leaf(`"op":"in","value":[` + strings.Repeat("1,", MaxValues) + `1]`), "invalid_filter", "/filter/value"},
		{``, leaf(`"op":"between","value":[1]`), "invalid_filter", "/filter/value"},
		{``, leaf(`"op":"between","value":[1,"2"]`), "invalid_filter", "/filter/value"},
		{``, leaf(`"op":"exists","value":1`), "invalid_filter", "/filter/value"},
		{``, leaf(`"op":"prefix","value":1`), "invalid_filter", "/filter/value"},
		{``, leaf(`"op":"geo_radius","value":{"lat":1,"lon":2}`), "invalid_filter", "/filter/value"},
		{``, leaf(`"op":"geo_radius","value":{"lat":91,"lon":2,"radius_m":1}`), "invalid_filter", "/filter/value"},
		{``, leaf(`"op":"geo_radius","value":{"lat":1,"lon":2,"radius_m":-1}`), "invalid_filter", "/filter/value/radius_m"},
		{``, leaf(`"op":"geo_radius","value":{"lat":1,"lon":2,"radius_m":1,"unit":"km"}`), "invalid_filter", "/filter/value/unit"},
		{``, leaf(`"op":"geo_radius","value":{"lat":"1","lon":2,"radius_m":1}`), "invalid_filter", "/filter/value/lat"},
		{``, leaf(`"op":"geo_radius","value":5`), "invalid_filter", "/filter/value"},
		{``, leaf(`"op":"geo_box","value":{"min_lat":1,"min_lon":2,"max_lat":0,"max_lon":3}`), "invalid_filter", "/filter/value"},
		{``, leaf(`"op":"geo_box","value":{"min_lat":1,"min_lon":2,"max_lat":3}`), "invalid_filter", "/filter/value"},
		{``, leaf(`"op":"geo_box","value":{"top_left":[1,2],"bottom_right":[1,200]}`), "invalid_filter", "/filter/value/bottom_right"},
		{``, leaf(`"op":"geo_box","value":{"top_left":[1,2],"max_lat":3}`), "invalid_filter", "/filter/value"},
		{``, nots(MaxDepth), "invalid_filter", "/filter" + strings.Repeat("/not", MaxDepth)},
		{``, strings.Repeat(`{"not":`, 20000), "invalid_filter", "/filter" + strings.Repeat("/not", MaxDepth)},
		{leaves(600), `{"and":` + leaves(401) + `}`, "invalid_filter", "/filter/and/400"},
	} {
		e, err := ParseFilter([]byte(c.predicates), []byte(c.filter))
		if errs.CodeOf(err) != c.code {
			t.Errorf("%.80s and %.80s: %.80s, %v", c.predicates, c.filter, e, err)
			continue
		}
		if p := pointerOf(err); p != c.pointer {
			t.Errorf("%.80s and %.80s: pointer %s, want %s (%v)", c.predicates, c.filter, p, c.pointer, err)
		}
	}
	if e := mustParse(t, nots(MaxDepth-1)); e == nil {
		t.Error("the deepest allowed filter is nil")
	}
	if _, err := ParseFilter([]byte(leaves(MaxLeaves)), nil); err != nil {
		t.Errorf("the largest allowed filter: %v", err)
	}
}

func pointerOf(err error) string {
	var e *errs.Error
	if !errors.As(err, &e) || len(e.Fields) == 0 {
		return "none"
	}
	return e.Fields[0].Pointer
}

func FuzzParseFilter(f *testing.F) {
	for _, filter := range []string{
		`{"column":"a","op":"in","value":[1,"x",null]}`, `{"and":[{"not":{"column":"a.b","op":"exists"}},{"or":[{"column":"s","op":"prefix","value":"x"}]}]}`,
		`{"column":"g","op":"geo_radius","value":{"lat":1.5,"lon":2,"radius_m":100}}`, `{"column":"g","op":"geo_box","value":{"top_left":[10,5],"bottom_right":[11,4]}}`,
		`{"column":"a","op":"between","value":[1.5,2]}`, `{"and":[`, `{"not":`, `{"column":"a","value":-0.0}`, `[]`, nots(40), `{"column":"a","op":"gt","value":1e308}`,
		`{"column":"g","op":"geo_radius","value":{"lat":90,"lon":-180,"radius_m":1e300}}`,
	} {
		f.Add([]byte(filter), []byte(`{"a":[1,{"b":"x"}],"g":[1,2],"s":"xy"}`))
	}
	f.Fuzz(func(t *testing.T, filter, doc []byte) {
		e, err := ParseFilter(nil, filter)
		if err != nil {
			if k := errs.KindOf(err); k != errs.Invalid && k != errs.NotSupported {
				t.Fatalf("%q: kind of %v", filter, err)
			}
			return
		}
		if e == nil {
			return
		}
		again, err := ParseFilter(nil, []byte(e.String()))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%q is %s, read again %s (%v)", filter, e, again, err)
		}
		if doc, err = schema.ValidateDocument(doc); err != nil {
			return
		}
		if err := checkOnOneDocument(e, doc); err != nil {
			t.Fatalf("%q on %q: %v", filter, doc, err)
		}
	})
}

// checkOnOneDocument holds a filter against its negation, its normal form and
// its plan over a table of that document.
func checkOnOneDocument(e *Expr, doc []byte) error {
	want, err := e.Match(doc)
	if err != nil {
		return err
	}
	for _, same := range []*Expr{normalise(e, false), normalise(&Expr{Kind: NotOf, Children: []*Expr{e}}, true)} {
		if got, err := same.Match(doc); got != want || err != nil {
			return fmt.Errorf("%s matches %v (%v), the filter %v", same, got, err, want)
		}
	}
	table := &memoryTable{docs: [][]byte{doc}, entries: map[uint32][]entry{}, single: map[uint32]bool{}}
	for i, column := range e.Columns() {
		def := &schema.IndexDef{ID: uint32(i), Type: []schema.IndexType{schema.Range, schema.Geo}[i%2], Columns: []string{column}}
		if err := table.fill(def); err != nil {
			return nil // a value that can't be indexed
		}
		table.indexes = append(table.indexes, def)
	}
	plan, err := Build(context.Background(), e, nil, 0, table.indexes, table, Options{})
	if err != nil {
		return err
	}
	found := table.ids(plan.Root)[0]
	if plan.Residual != nil && found {
		found, err = plan.Residual.Match(doc)
	}
	if found != want || err != nil {
		return fmt.Errorf("the plan finds %v (%v), the filter matches %v: %s", found, err, want, describePlan(plan))
	}
	return nil
}
