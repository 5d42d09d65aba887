package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/golang/geo/s2"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/keys"
)

func def(typ IndexType, columns ...string) *IndexDef {
	return &IndexDef{ID: 7, Table: "t", Columns: columns, Type: typ, State: StateReady}
}

func TestIndexDefValidate(t *testing.T) {
	with := func(d *IndexDef, change func(*IndexDef)) *IndexDef { change(d); return d }
	vector := func(c VectorConfig) *IndexDef {
		return with(def(Vector, "v"), func(d *IndexDef) { d.Vector = &c })
	}
	for _, c := range []struct {
		def     *IndexDef
		pointer string // "": valid; "-": not supported
	}{
		{def(Equality, "a"), ""},
		{def(Range, "a.b"), ""},
		{def(Sparse, "a"), ""},
		{def(Geo, "a"), ""},
		{def(Vector, "a"), ""},
		{def(Composite, "a", "b"), ""},
		{with(def(TTL, "a"), func(d *IndexDef) { d.TTLSeconds = 60 }), ""},
		{with(def(Composite, "a", "b"), func(d *IndexDef) { d.Unique = true }), ""},
		{vector(VectorConfig{Dimension: 4096, Metric: "l2", M: 16, Quantization: "none", Engine: "cpu"}), ""},
		{def(Fulltext, "a"), "-"},
		{vector(VectorConfig{Quantization: "int8"}), ""},
		{vector(VectorConfig{Quantization: "fastscan"}), ""},
		{vector(VectorConfig{Engine: "gpu"}), ""},
		{def("btree", "a"), "/type"},
		{def("", "a"), "/type"},
		{def(Equality), "/columns"},
		{def(Equality, "a", "b"), "/columns"},
		{def(Composite, "a"), "/columns"},
		{def(Composite, strings.Split("abcdefghi", "")...), "/columns"},
		{def(Composite, "a", "b", "a"), "/columns/2"},
		{def(Range, "a..b"), "/columns/0"},
		{with(def(Geo, "a"), func(d *IndexDef) { d.Unique = true }), "/unique"},
		{with(def(Range, "a"), func(d *IndexDef) { d.TTLSeconds = 1 }), "/config/ttl_seconds"},
		{with(def(TTL, "a"), func(d *IndexDef) { d.TTLSeconds = -1 }), "/config/ttl_seconds"},
		{with(def(Range, "a"), func(d *IndexDef) { d.Vector = &VectorConfig{} }), "/config"},
		{vector(VectorConfig{Dimension: 4097}), "/config/dimension"},
		{vector(VectorConfig{M: 1}), "/config/m"},
		{vector(VectorConfig{M: 129}), "/config/m"},
		{vector(VectorConfig{Ef: -1}), "/config/ef"},
		{vector(VectorConfig{Metric: "hamming"}), "/config/metric"},
		{vector(VectorConfig{Quantization: "pq"}), "/config/quantization"},
		{vector(VectorConfig{Engine: "tpu"}), "/config/engine"},
	} {
		err := c.def.Validate()
		switch {
		case c.pointer == "" && err != nil, c.pointer == "-" && errs.KindOf(err) != errs.NotSupported:
			t.Errorf("%+v: %v", c.def, err)
		case len(c.pointer) > 1 && (errs.CodeOf(err) != "invalid_index" || pointerOf(err) != c.pointer):
			t.Errorf("%+v: %v at %s, want %s", c.def, err, pointerOf(err), c.pointer)
		}
	}
}

func TestIndexDefStoredForm(t *testing.T) {
	d := def(Vector, "v")
	d.Vector = &VectorConfig{Dimension: 100, Metric: "cosine", M: 16, EfConstruction: 200, Ef: 64, Quantization: "none", Engine: "auto"}
	text, err := json.Marshal(d)
	want := `{"id":7,"table":"t","columns":["v"],"type":"vector","vector":{"dimension":100,"metric":"cosine","m":16,"ef_construction":200,"ef":64,"quantization":"none","engine":"auto"},"state":"ready"}`
	if err != nil || string(text) != want {
		t.Errorf("stored as %s, %v\nwant %s", text, err, want)
	}
	text, err = json.Marshal(&IndexDef{ID: 1, Table: "t", Columns: []string{"a"}, Type: TTL, TTLSeconds: 5, State: StateBuilding})
	want = `{"id":1,"table":"t","columns":["a"],"type":"ttl","ttl_seconds":5,"state":"building"}`
	if err != nil || string(text) != want {
		t.Errorf("stored as %s, %v\nwant %s", text, err, want)
	}
}

// terms are a document's index terms, decoded for reading.
func terms(t *testing.T, d *IndexDef, doc string) ([]string, error) {
	t.Helper()
	var x Extracted
	if err := NewExtractor(d.Columns...).Extract([]byte(doc), &x); err != nil {
		t.Fatal(err)
	}
	cols := make([]int, len(d.Columns))
	for i := range cols {
		cols[i] = i
	}
	encoded, err := d.Terms(&x, cols)
	if !slices.IsSortedFunc(encoded, bytes.Compare) || len(slices.CompactFunc(slices.Clone(encoded), bytes.Equal)) != len(encoded) {
		t.Errorf("%s: terms aren't sorted or repeat", doc)
	}
	var out []string
	for _, term := range encoded {
		var parts []string
		for len(term) > 0 {
			v, rest, err := keys.Decode(term)
			if err != nil {
				t.Fatalf("%s: term %x: %v", doc, term, err)
			}
			parts = append(parts, v.String())
			term = rest
		}
		out = append(out, strings.Join(parts, "+"))
	}
	return out, err
}

func TestTerms(t *testing.T) {
	ttl := def(TTL, "a")
	ttl.TTLSeconds = 10
	for _, c := range []struct {
		def  *IndexDef
		doc  string
		want string
	}{
		{def(Equality, "a"), `{"a":1}`, `1`},
		{def(Range, "a"), `{"a":[3,1.0,"x",null,true,3,1,{}]}`, `null true 1 3 "x" object`},
		{def(Equality, "a"), `{"a":null}`, `null`},
		{def(Equality, "a"), `{"a":[]}`, `object`},
		{def(Equality, "a"), `{"b":1}`, ``},
		{def(Equality, "a.b"), `{"a":[{"b":2},{"b":[1,2]},{}]}`, `1 2`},
		{def(Sparse, "a"), `{"a":[null,1]}`, `1`},
		{def(Sparse, "a"), `{"a":null}`, ``},
		{def(Composite, "a", "b"), `{"a":1,"b":"x"}`, `1+"x"`},
		{def(Composite, "a", "b"), `{"a":[1,2],"b":[3,4]}`, `1+3 1+4 2+3 2+4`},
		{def(Composite, "a", "b"), `{"b":3}`, `missing+3`},
		{def(Composite, "a", "b", "c"), `{"b":null}`, `missing+null+missing`},
		{def(Composite, "a", "b"), `{"c":3}`, ``},
		{ttl, `{"a":100}`, `110000`},
		{ttl, `{"a":0.5}`, `10500`},
		{ttl, `{"a":-20}`, `-10000`},
		{ttl, `{"a":"1970-01-01T00:01:40Z"}`, `110000`},
		{ttl, `{"a":"1970-01-01T01:00:00.250+01:00"}`, `10250`},
		{ttl, `{"a":1e300}`, `9223372036854775807`},
		{ttl, `{"a":9223372036854775807}`, `9223372036854775807`},
		{ttl, `{"a":-1e300}`, `-9223372036854775808`},
		{ttl, `{"a":"tomorrow"}`, ``},
		{ttl, `{"a":null}`, ``},
		{ttl, `{"a":true}`, ``},
		{ttl, `{"a":[100]}`, ``},
		{ttl, `{}`, ``},
		{def(Vector, "a"), `{"a":[1,2]}`, ``},
		{def(Equality, "a"), `{"a":"` + strings.Repeat("x", MaxStringTermBytes) + `"}`, `"` + strings.Repeat("x", MaxStringTermBytes) + `"`},
	} {
		got, err := terms(t, c.def, c.doc)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s of %v in %.60s: %.100s, %v, want %.100s", c.def.Type, c.def.Columns, c.doc, got, err, c.want)
		}
	}
}

func TestTermsRefuses(t *testing.T) {
	long := `"` + strings.Repeat("x", MaxStringTermBytes+1) + `"`
	numbers := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprint(i)
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	for _, c := range []struct {
		def           *IndexDef
		doc           string
		code, pointer string
	}{
		{def(Equality, "a"), `{"a":[1,` + long + `]}`, "index_value_too_long", "/a"},
		{def(Composite, "b", "a.c"), `{"a":{"c":` + long + `}}`, "index_value_too_long", "/a/c"},
		{def(Composite, "a", "b"), `{"a":` + numbers(26) + `,"b":` + numbers(40) + `}`, "too_many_index_terms", "/b"},
	} {
		if got, err := terms(t, c.def, c.doc); errs.CodeOf(err) != c.code || pointerOf(err) != c.pointer {
			t.Errorf("%.40s: %v, %v", c.doc, got, err)
		}
	}
	if got, err := terms(t, def(Composite, "a", "b"), `{"a":`+numbers(25)+`,"b":`+numbers(40)+`}`); err != nil || len(got) != MaxCompositeTerms {
		t.Errorf("%d terms, %v", len(got), err)
	}
}

func TestCollides(t *testing.T) {
	for _, c := range []struct {
		def  *IndexDef
		doc  string
		want bool
	}{
		{def(Equality, "a"), `{"a":1}`, true},
		{def(Equality, "a"), `{"a":""}`, true},
		{def(Equality, "a"), `{"a":false}`, true},
		{def(Equality, "a"), `{"a":null}`, false},
		{def(Equality, "a"), `{"a":{}}`, false},
		{def(Composite, "a", "b"), `{"a":1,"b":2}`, true},
		{def(Composite, "a", "b"), `{"a":1}`, false},
		{def(Composite, "a", "b"), `{"a":1,"b":null}`, false},
		{def(Composite, "a", "b"), `{"a":[],"b":1}`, false},
	} {
		var x Extracted
		if err := NewExtractor(c.def.Columns...).Extract([]byte(c.doc), &x); err != nil {
			t.Fatal(err)
		}
		list, err := c.def.Terms(&x, []int{0, 1}[:len(c.def.Columns)])
		if err != nil || len(list) != 1 || c.def.Collides(list[0]) != c.want {
			t.Errorf("%s: %x collides is %v, %v", c.doc, list, !c.want, err)
		}
	}
}

func TestParseGeo(t *testing.T) {
	for _, good := range []string{
		`{"lat":52.5,"lon":13.25}`, `{"lon":13.25,"name":"x","lat":52.5}`, `[13.25,52.5]`, ` [13.25, 52.5, 34] `,
		`{"type":"Point","coordinates":[13.25,52.5]}`, `{"coordinates":[13.25,52.5,1],"type":"Point"}`, `{"l\u0061t":52.5,"lon":13.25}`,
	} {
		if p, err := ParseGeo([]byte(good)); err != nil || p != (GeoPoint{Lat: 52.5, Lon: 13.25}) {
			t.Errorf("%s: %v, %v", good, p, err)
		}
	}
	for _, bad := range []string{
		`1`, `"52.5,13.25"`, `null`, `[]`, `[1]`, `[1,2,3,4]`, `["1","2"]`, `[1,91]`, `[181,1]`, `[[1,2]]`, `{}`, `{"lat":1}`,
		`{"lat":"1","lon":2}`, `{"lat":91,"lon":0}`, `{"lat":null,"lon":0}`, `{"type":"Polygon","coordinates":[1,2]}`, `{"type":"Point"}`, `{"lat":[1],"lon":2}`,
	} {
		if p, err := ParseGeo([]byte(bad)); errs.CodeOf(err) != "invalid_geo" {
			t.Errorf("%s: %v, %v", bad, p, err)
		}
	}
	if _, err := ParseGeo([]byte(`{"lat":`)); errs.CodeOf(err) != "invalid_json" {
		t.Errorf("broken JSON: %v", err)
	}
}

func TestPoints(t *testing.T) {
	for doc, want := range map[string]int{
		`{"p":[1,2]}`: 1, `{"p":[[1,2],[3,4]]}`: 2, `{"p":[{"lat":1,"lon":2},7,null,{"lat":95,"lon":0}]}`: 1, `{"p":"x"}`: 0, `{}`: 0,
		`{"p":{"lat":1,"lon":2}}`: 1, `{"p":[]}`: 0,
	} {
		var x Extracted
		if err := NewExtractor("p").Extract([]byte(doc), &x); err != nil {
			t.Fatal(err)
		}
		list, err := def(Geo, "p").Terms(&x, []int{0})
		if got := x.Points(0); len(got) != want || len(list) != want || err != nil {
			t.Errorf("%s: %v, %x, %v", doc, got, list, err)
		}
	}
}

// TestGeoTerm: a term is the leaf cell, so the point is in it, within a metre
// of its centre, and in the term range of each of its parents.
func TestGeoTerm(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for range 1000 {
		p := GeoPoint{Lat: rng.Float64()*180 - 90, Lon: rng.Float64()*360 - 180}
		term := p.AppendTerm(nil)
		if len(term) != 8 {
			t.Fatalf("%v: a term of %d bytes", p, len(term))
		}
		var id uint64
		for _, b := range term {
			id = id<<8 | uint64(b)
		}
		cell := s2.CellID(id)
		const earthM, metre = 6_371_008.8, 1.0
		if !cell.IsLeaf() || cell.LatLng().Distance(p.LatLng()).Radians()*earthM > metre {
			t.Fatalf("%v: cell %v", p, cell)
		}
		parent := cell.Parent(rng.IntN(30))
		if cell < parent.RangeMin() || cell > parent.RangeMax() {
			t.Fatalf("%v isn't in %v", cell, parent)
		}
	}
}

func TestExpiryNeverOverflows(t *testing.T) {
	d := def(TTL, "a")
	d.TTLSeconds = maxTTLSeconds
	last := int64(math.MinInt64)
	for _, seconds := range []int64{math.MinInt64, math.MinInt64 / 1000, -maxTTLSeconds, 0,
		math.MaxInt64/1000 - maxTTLSeconds, math.MaxInt64/1000 - maxTTLSeconds + 1, math.MaxInt64 / 1000, math.MaxInt64} {
		var x Extracted
		if err := NewExtractor("a").Extract(fmt.Appendf(nil, `{"a":%d}`, seconds), &x); err != nil {
			t.Fatal(err)
		}
		at, ok := d.Expiry(&x, 0)
		if !ok || at < last {
			t.Errorf("%d seconds expire at %d, before a smaller number's %d", seconds, at, last)
		}
		last = at
	}
	if last != math.MaxInt64 {
		t.Errorf("the largest time expires at %d", last)
	}
}
