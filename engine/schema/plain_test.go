package schema

import (
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var plainSeeds = []string{
	`{"title":"A title","year":1999,"tags":["a","b"],"embedding":[0.1,-2.5e-05,3],"x":null,"y":true,"z":false,"o":{}}`,
	` { "a" : [ 1 , 2 ] , "b" : { "c" : "d e" } } `, `{"a":1,"a":2}`, `{"a":{"a":{"a":[]}}}`, `{"ä":"ö\u0041"}`, "{\"a\":\"\xff\"}",
	`{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e999}`, `{"a":1e}`, `{"a":1E+07}`, `{"a":-0.0}`, `{"a":truex}`, `{"a":nul}`,
	`{"a":1,}`, `{,}`, `{"a" 1}`, `{"a":[1,]}`, `{"a":[1 2]}`, `{"a":"b`, `{"a":1}x`, `{"a":1}{}`, `[1]`, `"x"`, ``, ` `, "{\"a\":\"\t\"}",
	`{"a":"\n\"\\\b\f\r\t","b\\":"\\"}`, `{"a":"\/"}`, `{"a":"\`, `{"a":"\"}`, "{\"a\x01\":1}", "{\"a\":\"\x7f\"}", "{\v}",
}

// FuzzPlainDocument: what is accepted comes out of the general decoder the same.
func FuzzPlainDocument(f *testing.F) {
	for _, seed := range plainSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc := plainDocument(raw)
		if doc == nil {
			return
		}
		want, err := validateDocument(raw)
		if err != nil || string(want) != string(doc) {
			t.Fatalf("%q: %q, want %q, %v", raw, doc, want, err)
		}
	})
}

// FuzzLift: whenever the rest can be decoded, the whole can, and says the same.
func FuzzLift(f *testing.F) {
	for _, seed := range plainSeeds {
		f.Add([]byte(`{"k":1,"e":` + seed + `,"l":[{"e":` + seed + `},{},{"x":2,"e":[1]}]}`))
	}
	for _, seed := range []string{`{"e":1,"e":2}`, `{"e":1,"\u0065":2}`, `{"\u0065":2}`, `{"l":[{"e":1}],"l":[{"e":2}]}`, `{"l":[1]}`, `{"l":{"e":1}}`, `[{"e":1}]`,
		`{"l":[{"e":1}`, `{"e":1]}`, `{"x":]"e":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if value, rest, ok := Lift(text, "e"); ok {
			var lifted, whole map[string]jsontext.Value
			if jsonv2.Unmarshal(rest, &lifted) == nil {
				if err := jsonv2.Unmarshal(text, &whole); err != nil {
					t.Fatalf("%q: %v, but not of %q", text, err, rest)
				}
				if lifted["e"] = value; !sameValues(lifted, whole) {
					t.Fatalf("%q: %q, want %q", text, lifted, whole)
				}
			}
		}
		if values, rest, ok := LiftEach(text, "l", "e"); ok {
			type body struct {
				List []map[string]jsontext.Value `json:"l"`
				Rest map[string]jsontext.Value   `json:",inline"`
			}
			var lifted, whole body
			if jsonv2.Unmarshal(rest, &lifted) == nil {
				if err := jsonv2.Unmarshal(text, &whole); err != nil {
					t.Fatalf("%q: %v, but not of %q", text, err, rest)
				}
				if len(values) != len(whole.List) || len(lifted.List) != len(whole.List) || !sameValues(lifted.Rest, whole.Rest) {
					t.Fatalf("%q: %d of %d values; %q, want %q", text, len(values), len(whole.List), lifted.Rest, whole.Rest)
				}
				for i, value := range values {
					if value != nil {
						lifted.List[i]["e"] = value
					}
					if !sameValues(lifted.List[i], whole.List[i]) {
						t.Fatalf("%q: %q, want %q", text, lifted.List[i], whole.List[i])
					}
				}
			}
		}
	})
}

func sameValues(a, b map[string]jsontext.Value) bool {
	return maps.EqualFunc(a, b, func(x, y jsontext.Value) bool { return string(x) == string(y) })
}

// TestPlainDocument: the usual documents are accepted, and those at the limits
// are as the general decoder says.
func TestPlainDocument(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	accepted := 0
	for range 5_000 {
		raw := []byte(randomObject(rng, 4))
		doc := plainDocument(raw)
		want, err := validateDocument(raw)
		if doc != nil && (err != nil || string(want) != string(doc)) {
			t.Fatalf("%q: %q, want %q, %v", raw, doc, want, err)
		}
		if doc != nil {
			accepted++
		}
	}
	if accepted < 500 {
		t.Errorf("only %d documents were accepted", accepted)
	}
	for _, c := range []struct {
		raw  string
		want bool
	}{
		{plainSeeds[0], true},
		{plainSeeds[1], true},
		{`{"a":"\n\"\\\b\f\r\t","b\\":"\\"}`, true},
		{`{"a":"\/"}`, false},
		{`{"a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + `}`, true},
		{`{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`, false},
		{`{"a":` + strings.Repeat("9", plainNumberBytes) + `e99}`, true},
		{`{"a":` + strings.Repeat("9", plainNumberBytes+1) + `e99}`, false},
		{`{"a":1e100}`, false},
	} {
		doc := plainDocument([]byte(c.raw))
		if (doc != nil) != c.want {
			t.Errorf("%s: accepted %v, want %v", c.raw, doc != nil, c.want)
		}
		if want, err := validateDocument([]byte(c.raw)); doc != nil && (err != nil || string(want) != string(doc)) {
			t.Errorf("%s: %s, want %s, %v", c.raw, doc, want, err)
		}
	}
}
