package query

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
)

func TestParseOrder(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Order
	}{
		{``, nil},
		{`null`, nil},
		{`"a"`, []Order{{Column: "a"}}},
		{`"-a.b"`, []Order{{Column: "a.b", Desc: true}}},
		{`{"column":"-a"}`, []Order{{Column: "-a"}}},
		{`{"column":"a","direction":"desc"}`, []Order{{Column: "a", Desc: true}}},
		{` [ "a" , {"column":"b","direction":"asc"}, "-c" ] `, []Order{{Column: "a"}, {Column: "b"}, {Column: "c", Desc: true}}},
	} {
		if got, err := ParseOrder([]byte(c.in)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v", c.in, got, err)
		}
	}
	for in, pointer := range map[string]string{
		`1`: "/order_by", `""`: "/order_by", `"-"`: "/order_by", `"a..b"`: "/order_by", `{}`: "/order_by", `[]`: "/order_by", `[[]]`: "/order_by/0",
		`["a","b","c","d","e"]`: "/order_by", `["a","-a"]`: "/order_by/1", `{"column":"a","direction":"down"}`: "/order_by/direction",
		`{"column":"a","dir":"asc"}`: "/order_by", `["a",null]`: "/order_by/1", `{"column":1}`: "/order_by", `["a"`: "/order_by", `"a" 1`: "/order_by", `{"column":"a"`: "/order_by",
	} {
		if got, err := ParseOrder([]byte(in)); errs.KindOf(err) != errs.Invalid || pointerOf(err) != pointer {
			t.Errorf("%s: %v, %v at %s", in, got, err, pointerOf(err))
		}
	}
}

func FuzzParseOrder(f *testing.F) {
	for _, in := range []string{`"a"`, `["-a",{"column":"b","direction":"desc"}]`, `[`, `{"column":`, `"\ud800"`} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		orders, err := ParseOrder(in)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Fatalf("%q: %v", in, err)
			}
			return
		}
		if _, err := NewSorter(orders).AppendKey(nil, []byte(`{"a":1}`), 1); err != nil {
			t.Fatalf("%q: %v", in, err)
		}
	})
}

// TestSorterAgainstNaive compares the keys of random documents as bytes with a
// comparison of what encoding/json decodes.
func TestSorterAgainstNaive(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 1))}
	for range 5_000 {
		orders := []Order{{Column: g.one(valueColumns), Desc: g.IntN(2) == 0}, {Column: "zz"}, {Column: g.one(geoColumns), Desc: g.IntN(2) == 0}}[:g.IntN(4)]
		sorter := NewSorter(orders)
		var docs [2]any
		var keys [2][]byte
		ids := [2]uint32{g.Uint32() >> g.IntN(32), g.Uint32() >> g.IntN(32)}
		if ids[0] == ids[1] {
			continue
		}
		for i := range docs {
			text := g.doc()
			key, err := sorter.AppendKey(nil, []byte(text), ids[i])
			if err != nil {
				t.Fatal(err)
			}
			docs[i], keys[i] = decodeAny(text), key
		}
		want := naiveLess(orders, docs[0], docs[1], ids[0], ids[1])
		if got := bytes.Compare(keys[0], keys[1]) < 0; got != want {
			t.Fatalf("%v: %v before %v is %v\nkeys %x, %x", orders, docs[0], docs[1], got, keys[0], keys[1])
		}
	}
}

func TestSorterPosition(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(2, 2))}
	for range 2000 {
		sorter := NewSorter([]Order{{Column: "c", Desc: g.IntN(2) == 0}})
		text, id := g.doc(), g.Uint32()
		key, err := sorter.AppendKey(nil, []byte(text), id)
		if err != nil {
			t.Fatal(err)
		}
		term, gotID, ok := sorter.Position(key)
		if !ok || gotID != id {
			t.Fatalf("%s: position %x, %d, %v", text, term, gotID, ok)
		}
		values := naiveValues(decodeAny(text), "c")
		if (term == nil) != (len(values) == 0) {
			t.Fatalf("%s: term %x", text, term)
		}
		if term != nil && !bytes.Equal(sorter.AppendTermKey(nil, term, id), key) {
			t.Fatalf("%s: %x isn't the key of its term %x", text, key, term)
		}
	}
	for _, bad := range [][]byte{nil, {0}, {0, 1, 2, 3, 4}, {1, 9, 1, 2, 3, 4}, {7, 1, 1, 2, 3, 4}} {
		if _, _, ok := NewSorter([]Order{{Column: "a"}}).Position(bad); ok {
			t.Errorf("%x is taken for a key", bad)
		}
	}
	if _, _, ok := NewSorter(nil).Position([]byte{0, 1, 2, 3, 4}); ok {
		t.Error("a sorter without a column has a position")
	}
}

func TestSorterRefusesBrokenDocuments(t *testing.T) {
	if _, err := NewSorter([]Order{{Column: "a"}}).AppendKey(nil, []byte(`{"a":`), 1); errs.KindOf(err) != errs.Corrupt {
		t.Error(err)
	}
}

// TestCoverings: the term of every point of a region is in the region's ranges,
// also at the poles, the antimeridian and cube edges.
func TestCoverings(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	latitude := func() float64 {
		return []float64{rng.Float64()*180 - 90, 90, -90, 89.99999, 35.264389, 0}[rng.IntN(6)]
	}
	longitude := func() float64 {
		return []float64{rng.Float64()*360 - 180, 180, -180, 45, 0, 179.99999}[rng.IntN(6)]
	}
	inside := 0
	for range 500 {
		p := &Predicate{Op: GeoRadius, Circle: &Circle{Lat: latitude(), Lon: longitude(), RadiusM: []float64{0, 1, 1e3, 1e5, 1e6, 19e6, 3e7}[rng.IntN(7)]}}
		contains := p.Circle.Contains
		if rng.IntN(2) == 0 {
			a, b := latitude(), latitude()
			p = &Predicate{Op: GeoBox, Box: &Box{MinLat: min(a, b), MaxLat: max(a, b), MinLon: longitude(), MaxLon: longitude()}}
			contains = p.Box.Contains
		}
		ranges := p.covering()
		for range 200 {
			at := schema.GeoPoint{Lat: latitude(), Lon: longitude()}
			if p.Circle != nil && rng.IntN(2) == 0 { // near the edge
				spread := p.Circle.RadiusM / EarthRadiusM * 60
				at = schema.GeoPoint{Lat: max(-90, min(90, p.Circle.Lat+(rng.Float64()*2-1)*spread)), Lon: p.Circle.Lon}
			}
			if !contains(at) {
				continue
			}
			inside++
			if !inRanges(ranges, at.AppendTerm(nil)) {
				t.Fatalf("%v is in %+v %+v but not in its covering", at, p.Circle, p.Box)
			}
		}
	}
	if inside < 500 {
		t.Errorf("only %d points inside", inside)
	}
}

func inRanges(ranges []Range, term []byte) bool {
	for _, r := range ranges {
		if bytes.Compare(r.Lo, term) <= 0 && bytes.Compare(term, r.Hi) < 0 {
			return true
		}
	}
	return false
}
