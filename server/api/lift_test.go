package api

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine/schema"
)

func TestLiftVector(t *testing.T) {
	for _, c := range []struct {
		in, rest string
		vector   []float32
	}{
		{`{"vector":[1,2.5],"k":5}`, `{"vector":[0],"k":5}`, []float32{1, 2.5}},
		{" { \"k\" : 5 ,\n\"vector\" :\t[ 1 ] } ", " { \"k\" : 5 ,\n\"vector\" :\t[0] } ", []float32{1}},
		{`{"x":"\"vector\":[1]","vector":[3]}`, `{"x":"\"vector\":[1]","vector":[0]}`, []float32{3}},
		{`{"a":[{"vector":[1]}],"b":"vector","vector":[7]}`, `{"a":[{"vector":[1]}],"b":"vector","vector":[0]}`, []float32{7}},
		{`{"vector":[1]`, `{"vector":[0]`, []float32{1}}, // which can't be decoded
		{`{"k":5}`, "", nil}, {`{"vector":{"b64":"AACAPw=="}}`, "", nil}, {`{"vector":[]}`, "", nil}, {`{"vector":[1,"2"]}`, "", nil},
		{`{"vector"`, "", nil}, {`{"vector":`, "", nil}, {`{"vector`, "", nil}, {`{"\`, "", nil}, {``, "", nil}, {`{"vectors":[[1]]}`, "", nil},
	} {
		vector, rest, ok := liftVector([]byte(c.in), "vector")
		if ok != (c.vector != nil) || !slices.Equal(vector, c.vector) || string(rest) != c.rest {
			t.Errorf("%s: %v from %s, %v", c.in, vector, rest, ok)
		}
	}
}

// FuzzLiftVector: whenever the rest can be decoded, the whole can, and says the same.
func FuzzLiftVector(f *testing.F) {
	for _, seed := range []string{`{"vector":[1,2.5],"k":5}`, ` { "k" : 5 , "vector" : [ 1 ] } `, `{"k":1,"vector":[1],"vector":[2]}`, `{"vectors":[[1]],"vector":[]}`,
		`{"x":"\"vector\":[1]","vector":[3]}`, `{"a":[{"vector":[1]}],"vector":[7]}`, `{"vector":[1]`, `["vector",[1]]`, `{"vector":[1]]}`, `{"x":]"vector":[1]}`,
		`{"x":1}"vector":[1]`, `["vector":[1]]`, `{"x":"vector":[1]}`, `{"vecto\u0072":[2],"vector":[1]}`} {
		f.Add([]byte(seed))
	}
	type body struct {
		Vector schema.FloatVector        `json:"vector"`
		Rest   map[string]jsontext.Value `json:",inline"`
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		vector, rest, ok := liftVector(text, "vector")
		if !ok {
			return
		}
		var whole, lifted body
		if json.Unmarshal(rest, &lifted) != nil {
			return
		}
		if err := json.Unmarshal(text, &whole); err != nil {
			t.Fatalf("%q: %v, but not of %q", text, err, rest)
		}
		if !slices.Equal(whole.Vector, vector) || !slices.Equal(lifted.Vector, []float32{0}) || !reflect.DeepEqual(whole.Rest, lifted.Rest) {
			t.Fatalf("%q: %+v, lifted %v from %+v", text, whole, vector, lifted)
		}
	})
}

// TestSearchRequiresNothing: decodeSearch looks for no member that is required.
func TestSearchRequiresNothing(t *testing.T) {
	for field := range reflect.TypeFor[searchRequest]().Fields() {
		if !strings.Contains(field.Tag.Get("json"), ",omitzero") {
			t.Errorf("%s is required", field.Name)
		}
	}
}
