package search

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/server/auth"
)

const hostile = `<script>alert("x")</script>`

// site is the pages over a table of points on a circle, whose keys are degrees.
func site(t *testing.T) (*consoletest.Site, *testkit.DB) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "circle", Columns: []string{"at"}, Type: schema.Vector, Vector: &schema.VectorConfig{Dimension: 2, Metric: "cosine"}})
	var ops []engine.Op
	for i := range 360 {
		angle := float64(i) * math.Pi / 180
		ops = append(ops, testkit.Put(fmt.Sprintf("circle:%03d", i), map[string]any{"at": []float64{math.Cos(angle), math.Sin(angle)}, "quarter": i / 90, "name": hostile}))
	}
	db.Do(append(ops, testkit.Put("circle:none", map[string]any{"name": "no vector"}), testkit.Put("circle:"+hostile, map[string]any{"at": []float64{-1, 0.001}}))...)
	return consoletest.Serve(t, func(f *page.Frame) console.Group { return New(f, db) }), db
}

func TestSearchByEntity(t *testing.T) {
	s, _ := site(t)
	s.Holds(s.Get("search"), http.StatusOK, "Try one of these", `name="key"`)
	a := s.Get("search", "key", "090", "k", "2")
	s.Holds(a, http.StatusOK, "2 results in", "tables/circle/entity?pk=089", "tables/circle/entity?pk=091", "0.9998", "Graph search", "circle:090", "&lt;script&gt;")
	s.Lacks(a, "<script>alert", "pk=092", "pk=090")
	s.Holds(s.Get("search", "key", "090", "fcol", "quarter", "fop", "eq", "fval", "3", "k", "1"), http.StatusOK, "pk=359", "Allowed by the filter", "quarter = 3", "Create equality index on quarter")
	s.Holds(s.Get("search", "key", "000", "exact", "on", "k", "1"), http.StatusOK, "Exact scan")
	s.Holds(s.Get("search", "key", hostile, "k", "1"), http.StatusOK, "pk=180", "&lt;script&gt;alert")
}

func TestSearchByVector(t *testing.T) {
	s, _ := site(t)
	for _, text := range []string{"[0, 1]", "0 1", "0,1", "0;\n1", "0\t1", "AAAAAAAAgD8=", `{"b64": "AAAAAAAAgD8="}`} {
		a := s.Follow(s.Post("search", "by", "vector", "vector", text, "k", "1"))
		s.Holds(a, http.StatusOK, "pk=090", "1.0000", "1 result in")
	}
	// Too long for a link, so answered at once.
	long := "[0" + strings.Repeat(" ", 3000) + ",1]"
	s.Holds(s.Post("search", "by", "vector", "vector", long, "k", "1"), http.StatusOK, "pk=090")
	for text, want := range map[string]string{"[1,2,3]": "dimension", "[1,": "vector", "hello!": "base64", "1e99 1": "element"} {
		s.Holds(s.Get("search", "by", "vector", "vector", text), http.StatusBadRequest, want, `aria-invalid="true"`)
	}
}

func TestSearchSaysWhatIsWrong(t *testing.T) {
	s, _ := site(t)
	a := s.Get("search", "key", "09x")
	s.Holds(a, http.StatusNotFound, "there is no entity circle:09x", "key=090")
	s.Holds(s.Get("search", "key", "none"), http.StatusNotFound, "has no vector")
	s.Holds(s.Get("search", "key", "090", "k", "0"), http.StatusBadRequest, "k must be a whole number from 1 to 1000", `aria-invalid="true"`)
	s.Holds(s.Get("search", "key", "090", "ef", "many"), http.StatusBadRequest, "ef must be")
	s.Holds(s.Get("search", "key", "090", "fcol", "a", "fop", "between", "fval", "1"), http.StatusBadRequest, "field-error")
	s.Holds(s.Get("search", "index", "nobody.at", "key", "1"), http.StatusNotFound, "There is no vector index nobody.at")
	s.Holds(s.Get("search", "index", hostile), http.StatusNotFound, "&lt;script&gt;")
	s.Holds(s.Get("search?key=%zz"), http.StatusBadRequest)
}

func TestSearchWithoutIndex(t *testing.T) {
	db := testkit.Open(t)
	s := consoletest.Serve(t, func(f *page.Frame) console.Group { return New(f, db) })
	s.Holds(s.Get("search"), http.StatusOK, "No vector index yet")
	s.Holds(s.Get("search/map"), http.StatusOK, "No vector index yet")
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{}})
	s.Holds(s.Get("search"), http.StatusOK, "Similar to the entity")
	s.Holds(s.Get("search/map"), http.StatusOK, "Too few vectors")
	s.Holds(s.Get("search/random"), http.StatusSeeOther)
}

func TestKeysAreSuggested(t *testing.T) {
	s, _ := site(t)
	a := s.Get("search/keys", "index", "circle.at", "key", "09")
	s.Holds(a, http.StatusOK, `<option value="090">`, `<option value="099">`)
	s.Lacks(a, "100", "<html")
	s.Holds(s.Get("search/keys", "index", "circle.at", "key", "<"), http.StatusOK, "&lt;script&gt;")
	s.Holds(s.Follow(s.Get("search/random", "index", "circle.at")), http.StatusOK, "10 results in")
}

func TestMap(t *testing.T) {
	s, _ := site(t)
	s.Holds(s.Get("search/map", "color", "quarter", "size", "100"), http.StatusOK, "100 vectors of circle.at", "data-scatter-source", "scatter-4")
	a := s.Get("search/map", "fcol", "quarter", "fop", "eq", "fval", "2", "size", "5", "color", "name")
	s.Holds(a, http.StatusOK, "5 vectors of circle.at", "of their variance")
	s.Lacks(a, "<script>alert")
	s.Holds(s.Get("search/map", "size", "2001"), http.StatusBadRequest, "from 1 to 2000")
	s.Holds(s.Get("search/map", "color", hostile), http.StatusOK, "(none)")
}

func hits(distances string) []engine.SearchHit {
	var list []engine.SearchHit
	for i, d := range distances {
		list = append(list, engine.SearchHit{Key: engine.Key{Table: "t", PK: fmt.Sprint(string(d), i)}, Distance: float32(d - '0')})
	}
	return list
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		found, truth string
		right        int
	}{{"123", "123", 3}, {"125", "123", 2}, {"", "12", 0}, {"12", "", 0}, {"1222", "1222", 4}, {"456", "123", 0}, {"12", "123", 2}} {
		if got := compare(hits(c.found), hits(c.truth)); got.Found != c.right || got.Wanted != len(c.truth) {
			t.Errorf("%s of %s: %+v", c.found, c.truth, got)
		}
	}
	found := []engine.SearchHit{{Key: engine.Key{PK: "a"}, Distance: 1}, {Key: engine.Key{PK: "d"}, Distance: 4}}
	truth := []engine.SearchHit{{Key: engine.Key{PK: "a"}, Distance: 1}, {Key: engine.Key{PK: "b"}, Distance: 2}, {Key: engine.Key{PK: "e"}, Distance: 5}}
	all, missed := merge(found, truth)
	order := ""
	for _, h := range all {
		order += h.Key.PK
	}
	if order != "abde" || !missed["b"] || !missed["e"] || len(missed) != 2 {
		t.Errorf("%s, missed %v", order, missed)
	}
}

func TestComparedPage(t *testing.T) {
	s, _ := site(t)
	s.Holds(s.Get("search", "key", "090", "compare", "on", "ef", "5"), http.StatusOK, "Recall 100 %")
	s.Holds(s.Get("search", "key", "090", "compare", "on", "exact", "on"), http.StatusOK, "an exact one already")
	text := consoletest.Render(t, auth.ReadOnly, playground{
		request: request{Index: "circle.at"}, choices: choices{Def: schema.IndexDef{Table: "circle", Columns: []string{"at"}, Vector: &schema.VectorConfig{}}},
		Results: &results{Compared: &comparison{Found: 1, Wanted: 2}, Rows: []row{{Key: engine.Key{Table: "circle", PK: "1"}, Missed: true}}, Grid: components.NewGrid([][]byte{nil}, 1)},
	}.page())
	if !strings.Contains(text, "Recall 50 %") || !strings.Contains(text, "search-missed") {
		t.Error(text)
	}
}

func TestGroups(t *testing.T) {
	values := func(texts ...string) []jsontext.Value {
		var list []jsontext.Value
		for _, text := range texts {
			if text == "" {
				list = append(list, nil)
			} else {
				list = append(list, jsontext.Value(text))
			}
		}
		return list
	}
	names, of := groups(values(`"b"`, `"a"`, `"b"`, ``))
	if got := fmt.Sprint(names, of); got != "[b (2) (none) (1) a (1)] [0 2 0 1]" {
		t.Error(got)
	}
	names, of = groups(values(`1`, `2`, `3`, `4`, `5`, `6`, `7`, `8`, `9`, `10`, ``))
	if got := fmt.Sprint(names, of); got != "[1 to 2 3 to 4 5 to 6 7 to 8 9 to 10 (none)] [0 0 1 1 2 2 3 3 4 4 5]" {
		t.Error(got)
	}
	names, of = groups(values(`1`, `1`, `1`, `1`, `1`, `1`, `1`, `1`, `2`, `3`, `4`, `5`, `6`, `7`, `8`))
	if len(names) > 6 || of[0] != 0 || names[0] != "1" || of[14] != len(names)-1 {
		t.Error(names, of)
	}
	names, of = groups(values(`"1"`, `"2"`, `"3"`, `"4"`, `"5"`, `"6"`, `"7"`, `"7"`))
	if len(names) != 6 || names[5] != "2 other values" || of[6] != 0 || of[5] != 5 {
		t.Error(names, of)
	}
	if names, _ := groups(nil); len(names) != 0 {
		t.Error(names)
	}
}

func FuzzVector(f *testing.F) {
	for _, text := range []string{"[1,2]", "1 2", "AAAA", "{", "", "1e400", "NaN", "0x10 1", "'"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		vector, err := parseVector(text)
		if (err == nil) != (len(vector) > 0) {
			t.Fatalf("%q gave %v, %v", text, vector, err)
		}
		for _, x := range vector {
			if x != x || math.IsInf(float64(x), 0) {
				t.Fatalf("%q gave %v", text, vector)
			}
		}
	})
}
