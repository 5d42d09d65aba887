package query

import (
	"fmt"
	"sync"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		doc       string
		op, value string
		want      bool
	}{
		// eq and ne, in and nin.
		{`{"a":1}`, "eq", `1.0`, true},
		{`{"a":"1"}`, "eq", `1`, false},
		{`{"a":true}`, "eq", `1`, false},
		{`{"a":null}`, "eq", `null`, true},
		{`{}`, "eq", `null`, false},
		{`{"a":[1,2]}`, "eq", `2`, true},
		{`{"a":[[1],[2]]}`, "eq", `2`, true},
		{`{"a":9007199254740993}`, "eq", `9007199254740992`, false},
		{`{"a":-0.0}`, "eq", `0`, true},
		{`{"a":[1,2]}`, "ne", `2`, false},
		{`{"a":[1,2]}`, "ne", `3`, true},
		{`{}`, "ne", `3`, true},
		{`{"a":{}}`, "ne", `3`, true},
		{`{"a":2}`, "in", `[1,2]`, true},
		{`{"a":2}`, "in", `[]`, false},
		{`{}`, "in", `[null]`, false},
		{`{}`, "nin", `[1]`, true},
		{`{"a":2}`, "nin", `[]`, true},
		{`{"a":[5,2]}`, "nin", `[1,2]`, false},
		// Ranges stay in the type of their operand.
		{`{"a":4}`, "lt", `5`, true},
		{`{"a":null}`, "lt", `5`, false},
		{`{"a":false}`, "lt", `5`, false},
		{`{"a":"a"}`, "gt", `5`, false},
		{`{"a":{}}`, "gt", `5`, false},
		{`{}`, "lt", `5`, false},
		{`{"a":[1,10]}`, "gt", `9`, true},
		{`{"a":false}`, "lt", `true`, true},
		{`{"a":null}`, "lte", `null`, true},
		{`{"a":null}`, "lt", `null`, false},
		{`{"a":"b"}`, "gte", `"b"`, true},
		{`{"a":9007199254740993}`, "gt", `9007199254740992`, true},
		{`{"a":9223372036854775807}`, "lt", `9223372036854775808`, true},
		{`{"a":5}`, "between", `[5,5]`, true},
		{`{"a":5}`, "between", `[6,4]`, false},
		{`{"a":[1,10]}`, "between", `[4,6]`, false},
		{`{"a":null}`, "between", `[0,5]`, false},
		// exists is about the path.
		{`{"a":null}`, "exists", `true`, true},
		{`{"a":[]}`, "exists", `true`, true},
		{`{"a":{}}`, "exists", `true`, true},
		{`{"b":1}`, "exists", `true`, false},
		{`{"b":1}`, "exists", `false`, true},
		// Strings.
		{`{"a":"hello"}`, "prefix", `"hell"`, true},
		{`{"a":"hello"}`, "prefix", `"ello"`, false},
		{`{"a":[1,"hello"]}`, "prefix", `""`, true},
		{`{"a":1}`, "prefix", `""`, false},
		{`{"a":"hello"}`, "contains", `"ll"`, true},
		{`{"a":["x","hello"]}`, "contains", `"hello"`, true},
		{`{"a":[1,2]}`, "contains", `2`, true},
		{`{"a":"2"}`, "contains", `2`, false},
		{`{"a":[null]}`, "contains", `null`, true},
		// Places.
		{`{"a":{"lat":52.52,"lon":13.40}}`, "geo_radius", `{"lat":52.5,"lon":13.4,"radius_m":2300}`, true},
		{`{"a":{"lat":52.52,"lon":13.40}}`, "geo_radius", `{"lat":52.5,"lon":13.4,"radius_m":2200}`, false},
		{`{"a":[13.4,52.5]}`, "geo_radius", `{"lat":52.5,"lon":13.4,"radius_m":0}`, true},
		{`{"a":[[0,0],[13.4,52.5]]}`, "geo_radius", `{"lat":52.5,"lon":13.4,"radius_m":1}`, true},
		{`{"a":"52.5,13.4"}`, "geo_radius", `{"lat":52.5,"lon":13.4,"radius_m":1e9}`, false},
		{`{"a":[179.9,0]}`, "geo_box", `{"min_lat":-1,"min_lon":179,"max_lat":1,"max_lon":-179}`, true},
		{`{"a":[-179.9,0]}`, "geo_box", `{"min_lat":-1,"min_lon":179,"max_lat":1,"max_lon":-179}`, true},
		{`{"a":[-180,0]}`, "geo_box", `{"min_lat":-1,"min_lon":179,"max_lat":1,"max_lon":180}`, true},
		{`{"a":[180,0]}`, "geo_box", `{"min_lat":-1,"min_lon":-180,"max_lat":1,"max_lon":-180}`, true},
		{`{"a":[0,0]}`, "geo_box", `{"min_lat":-1,"min_lon":179,"max_lat":1,"max_lon":-179}`, false},
		{`{"a":[1,1]}`, "geo_box", `{"min_lat":1,"min_lon":1,"max_lat":1,"max_lon":1}`, true},
	} {
		filter := fmt.Sprintf(`{"column":"a","op":%q,"value":%s}`, c.op, c.value)
		if got, err := mustParse(t, filter).Match([]byte(c.doc)); got != c.want || err != nil {
			t.Errorf("%s on %s: %v, %v", filter, c.doc, got, err)
		}
	}
}

func TestMatchCombinations(t *testing.T) {
	const doc = `{"o":[{"x":1,"y":2},{"x":3}],"n":5}`
	for filter, want := range map[string]bool{
		`{"and":[{"column":"o.x","value":3},{"column":"o.y","value":2}]}`: true, // not of one object: paths are independent
		`{"or":[{"column":"n","value":1},{"column":"o.x","value":1}]}`:    true,
		`{"not":{"column":"n","op":"gt","value":4}}`:                      false,
		`{"not":{"not":{"column":"n","op":"gt","value":4}}}`:              true,
		`{"not":{"column":"missing","op":"gt","value":4}}`:                true,
		`{"column":"o.y","op":"exists"}`:                                  true,
		`{"column":"o.z","op":"exists"}`:                                  false,
	} {
		if got, err := mustParse(t, filter).Match([]byte(doc)); got != want || err != nil {
			t.Errorf("%s: %v, %v", filter, got, err)
		}
	}
	var everything *Expr
	if got, err := everything.Match([]byte(doc)); !got || err != nil {
		t.Errorf("a nil filter: %v, %v", got, err)
	}
	if _, err := mustParse(t, `{"column":"a","value":1}`).Match([]byte(`[`)); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("a broken document: %v", err)
	}
}

func TestMatcherIsConcurrent(t *testing.T) {
	m := mustParse(t, `{"column":"tags","op":"in","value":["x","y"]}`).Compile()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 500 {
				doc := fmt.Sprintf(`{"tags":["%c"]}`, 'w'+(w+i)%4)
				want := (w+i)%4 == 1 || (w+i)%4 == 2
				if got, err := m.Match([]byte(doc)); got != want || err != nil {
					t.Errorf("%s: %v, %v", doc, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkMatch(b *testing.B) {
	doc := []byte(`{"title":"A title of some length","lang":"en","year":1999,"tags":["a","b","c"],"price":12.5,"author":{"name":"Someone"}}`)
	m := mustParse(b, `{"and":[{"column":"year","op":"gte","value":1990},{"column":"price","op":"lt","value":20},{"column":"tags","value":"c"}]}`).Compile()
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := m.Match(doc); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
