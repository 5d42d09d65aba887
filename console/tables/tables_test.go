package tables

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/server/auth"
)

// people fills a table with n entities.
func people(s *site, n int) {
	ops := []engine.Op{}
	for i := range n {
		ops = append(ops, testkit.Put(fmt.Sprintf("people:%03d", i), map[string]any{
			"name": fmt.Sprintf("name %d", i), "age": i % 90, "tags": []any{"a", i}, "home": map[string]any{"city": "Ulm"}, "v": []any{1, 2, 3, 4, 5, 6, 7, 8},
		}))
	}
	s.db.Do(ops...)
}

func TestList(t *testing.T) {
	var infos []engine.TableInfo
	for i := range 250 {
		infos = append(infos, engine.TableInfo{Name: fmt.Sprintf("t%03d", i), Entities: uint64(i % 100), SizeBytes: uint64(1000 - i)})
	}
	names := func(l List) (out []string) {
		for _, r := range l.Rows {
			out = append(out, r.Name)
		}
		return out
	}
	l := newList(infos, "", "", 0)
	if len(l.Rows) != listPage || l.All != 250 || l.Found != 250 || l.Rows[0].Name != "t000" || l.Sort != "name" {
		t.Errorf("%+v", l)
	}
	if l = newList(infos, "", "name", 200); len(l.Rows) != 50 || l.Rows[0].Name != "t200" || l.shown() != "201 to 250 of 250 tables" {
		t.Errorf("%v %s", names(l), l.shown())
	}
	if l = newList(infos, "", "-entities", 0); !slices.Equal(names(l)[:3], []string{"t099", "t199", "t098"}) {
		t.Error(names(l)[:3])
	}
	if l = newList(infos, "", "size", 0); l.Rows[0].Name != "t249" {
		t.Error(names(l)[:3])
	}
	if l = newList(infos, "T24", "nonsense", 9999); len(l.Rows) != 10 || l.From != 0 || l.Sort != "name" || l.Entities == 0 {
		t.Errorf("%+v", l)
	}
	if l = newList(infos, "none", "", 0); len(l.Rows) != 0 || l.shown() != "No table is called that." {
		t.Errorf("%+v", l)
	}
	row := listRow(engine.TableInfo{Indexes: []engine.IndexInfo{
		{IndexDef: schema.IndexDef{Type: schema.Range, State: schema.StateReady}}, {IndexDef: schema.IndexDef{Type: schema.Range, State: schema.StateBuilding}},
		{IndexDef: schema.IndexDef{Type: schema.Vector, State: schema.StateReady}},
	}})
	if !slices.Equal(row.Kinds, []string{"range × 2", "vector"}) || !row.Building {
		t.Errorf("%+v", row)
	}
}

func TestCells(t *testing.T) {
	doc := `{"a":"x\"y","n":1.50,"b":true,"z":null,"o":{"p":[{"q":1},{"q":"r"}]},"v":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0],"l":[1,"x"],"long":"` + strings.Repeat("é", 500) + `"}`
	columns := []string{"a", "n", "b", "z", "o", "o.p.q", "v", "l", "none", "long"}
	got := cells(schema.NewExtractor(columns...), len(columns), []byte(doc))
	want := []string{`x"y`, "1.50", "true", "null", `{"p":[{"q":1},{"q":"r"}]}`, "1, r", "20 numbers", `[1,"x"]`, "", strings.Repeat("é", 60) + "…"}
	for i := range want {
		if got[i].Text != want[i] || got[i].Number != (columns[i] == "n") {
			t.Errorf("%s: %+v, want %q", columns[i], got[i], want[i])
		}
	}
}

func TestLayout(t *testing.T) {
	const doc = `{"a":1.0,"l":[1,"x",null],"o":{"deep":[{"b":"\u00fc"},[]]},"e":{}}`
	const want = "{\n  \"a\": 1.0,\n  \"l\": [1,\"x\",null],\n  \"o\": {\n    \"deep\": [\n      {\n        \"b\": \"\\u00fc\"\n      },\n      []\n    ]\n  },\n  \"e\": {}\n}"
	if got := Layout([]byte(doc)); got != want {
		t.Errorf("got %s", got)
	}
	if got := Layout([]byte("{broken")); got != "{broken" {
		t.Error(got)
	}
}

// FuzzLayout: a document that is laid out says the same.
func FuzzLayout(f *testing.F) {
	f.Add(`{"a":[1,{"b":[[],{}]}],"c":"x"}`)
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := schema.ValidateDocument([]byte(text))
		if err != nil {
			return
		}
		back, err := schema.ValidateDocument([]byte(Layout(doc)))
		if err != nil || !bytes.Equal(back, doc) {
			t.Fatalf("%s became %s: %v", doc, back, err)
		}
	})
}

func TestBrowse(t *testing.T) {
	s := newSite(t)
	s.Page("tables", "No tables yet")
	people(s, 120)
	s.db.Index(schema.IndexDef{Table: "people", Columns: []string{"age"}, Type: schema.Range})
	s.Page("tables", "people", "120", "range")
	s.Page("tables?q=peo&sort=-size", "people")
	s.Page("tables?q=zzz", "No table is called that.")

	first := s.Page("tables/people", "50 of 120 entities on this page", "name 0", "home.city", "Next page")
	next := s.linkTo(first, "Next page")
	second := s.Page("tables/"+next, "First page", "name 50")
	if strings.Contains(second, "name 49<") {
		t.Error("the second page repeats the first")
	}
	s.Page("tables/people?order=-age&show=age&limit=20", "20 of 120 entities on this page", `aria-sort="descending"`, ">89<")
	s.Page("tables/people?fcol=age&fop=lt&fval=10&fcol=name&fop=ne&fval=name+3", "19 of 19 matches on this page", "Export matches")
	s.Page("tables/people?fcol=name&fop=contains&fval=7&filter=%7B%22not%22:%7B%22column%22:%22age%22,%22value%22:7%7D%7D&show=name", "19 of 19 matches on this page")
	part := s.Page("tables/people?fcol=name&fop=exists&fval=&fcol=age&fop=gte&fval=0&limit=20", "20 of 120 matches on this page")
	s.Page("tables/"+s.linkTo(part, "Next page"), "20 of 120 matches on this page", "name 20") // a condition without a value stays its own
	s.Page("tables/people?fcol=name&fval=nobody", "Nothing matches")
	s.Page("tables/people?prefix=01", "10 keys begin with 01", "name 12")
	s.Page("tables/people?prefix=0&limit=20", "The first 20 keys that begin with 0")
	s.Page("tables/people?prefix=x", "No such key")
	for _, wrong := range []string{"tables/people?prefix=0&show=a..b", "tables/people?fcol=age&fop=between&fval=1", "tables/people?order=a..b", "tables/people?show=a..b", "tables/people?cursor=x"} {
		if a := s.Get(wrong); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "Nothing was read") {
			t.Errorf("%s: %d %s", wrong, a.Status, a.Body)
		}
	}
	if a := s.Get("tables/nobody"); a.Status != http.StatusNotFound {
		t.Error("a missing table is", a.Status)
	}
	s.Page("tables/people/columns", "Of all 120 entities.", "list of", "vector", "home.city", "90 different values", "ready")
}

// linkTo is the address of a link, as the server of the test has it.
func (s *site) linkTo(page, title string) string {
	s.Helper()
	for n := range s.Parse(page).Descendants() {
		if n.Type == html.ElementNode && n.Data == "a" && n.FirstChild != nil && n.FirstChild.Data == title {
			for _, a := range n.Attr {
				if a.Key == "href" {
					return strings.TrimPrefix(strings.TrimPrefix(a.Val, "../"), "tables/")
				}
			}
		}
	}
	s.Fatalf("there is no link %q", title)
	return ""
}

func TestEntity(t *testing.T) {
	s := newSite(t)
	pk := `a/b?c=d&é "x"`
	at := "?pk=" + url.QueryEscape(pk)

	a := s.Post("create", "table", "books", "pk", pk, "entity", `{"title":"Dune","v":[3,4,0,0,0,0,0,0]}`)
	if a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Location, "tables/books/entity?pk=") {
		t.Fatal(a.Status, a.Location)
	}
	s.Page("tables/books/entity"+at, "Dune", "was created.", ">5</td>", "3, 4, 0, 0, …", "Create a vector index", "curl")
	s.Page("tables/books/entity"+at+"&delete=1", `<details class="confirm" open>`)
	s.Holds(s.Post("create", "table", "books", "pk", pk, "entity", `{}`), http.StatusConflict, "an entity with this key already")
	for _, bad := range [][]string{
		{"table", "no table", "entity", "{}"}, {"table", "books", "pk", strings.Repeat("x", 600), "entity", "{}"}, {"table", "books", "entity", `{"a":`}, {"table", "books", "entity", ""},
	} {
		if a := s.Post("create", bad...); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "field-error") {
			t.Errorf("%.80q: %d %s", bad, a.Status, a.Body)
		}
	}
	if a := s.Post("create", "table", "books", "entity", `{"made":"by the server"}`); a.Status != http.StatusSeeOther || !strings.Contains(a.Location, "pk=0") {
		t.Error("without a key:", a.Status, a.Location)
	}

	s.Page("tables/books/edit"+at, `name="version" value="1"`, "[3,4,0,0,0,0,0,0]")
	// The text isn't lost.
	s.Holds(s.Post("tables/books/edit"+at, "version", "1", "entity", `{"title":`), http.StatusBadRequest, `{&#34;title&#34;:`, "field-error")
	if a := s.Post("tables/books/edit"+at, "version", "1", "entity", `{"title":"Dune Messiah"}`); a.Status != http.StatusSeeOther {
		t.Fatal(a.Status, a.Location)
	}

	// Someone else wrote first: both are shown, and nothing is lost.
	a = s.Post("tables/books/edit"+at, "version", "1", "entity", `{"title":"Mine"}`)
	s.Holds(a, http.StatusPreconditionFailed, "Dune Messiah", "Mine", `name="version" value="2"`, "Replace version 2")
	if a := s.Post("tables/books/edit"+at, "version", "2", "entity", `{"title":"Mine"}`); a.Status != http.StatusSeeOther {
		t.Error(a.Status)
	}

	if a := s.Post("tables/books/delete"+at, "version", "3", "confirm", "something"); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "confirmation") {
		t.Error(a.Status, a.Body)
	}
	if a := s.Post("tables/books/delete"+at, "version", "1", "confirm", pk); a.Status != http.StatusPreconditionFailed {
		t.Error("a version that nobody saw was deleted:", a.Status)
	}
	if a := s.Post("tables/books/delete"+at, "version", "3", "confirm", pk); a.Status != http.StatusSeeOther {
		t.Error(a.Status)
	}
	a = s.Post("tables/books/edit"+at, "version", "3", "entity", `{"title":"Mine"}`)
	s.Holds(a, http.StatusPreconditionFailed, "deleted meanwhile", `name="version" value="0"`)
	if a := s.Post("tables/books/edit"+at, "version", "0", "entity", `{"title":"Mine"}`); a.Status != http.StatusSeeOther || s.db.GetDoc("books:"+pk) != `{"title":"Mine"}` {
		t.Error(a.Status)
	}
	if a := s.Get("tables/books/entity?pk=none"); a.Status != http.StatusNotFound {
		t.Error(a.Status)
	}

	s.Role = auth.ReadOnly
	s.Page("tables/books/edit"+at, "disabled", "needs the role readwrite")
	s.Page("tables/books/entity"+at, "needs the role readwrite")
}

func TestDeleteMatching(t *testing.T) {
	s := newSite(t)
	people(s, 100)
	filter := []string{"fcol", "age", "fop", "lt", "fval", "30"}
	s.Page("tables/people/manage?fcol=age&fop=lt&fval=30", "40 entities match", "people:000", "delete 40")
	s.Page("tables/people/manage?fcol=age&fop=lt&fval=-1", "No entity matches.")
	if a := s.Get("tables/people/manage?fcol=age&fop=x"); a.Status != http.StatusBadRequest {
		t.Error(a.Status)
	}
	send := func(fields ...string) consoletest.Answer {
		return s.Post("tables/people/delete-matching", append(slices.Clone(filter), fields...)...)
	}
	if a := send("expected", "39", "confirm", "delete 39"); a.Status != http.StatusConflict || !strings.Contains(a.Body, "has changed") {
		t.Error(a.Status, a.Body)
	}
	if a := send("expected", "40", "confirm", "delete"); a.Status != http.StatusBadRequest {
		t.Error(a.Status)
	}
	if a := s.Post("tables/people/delete-matching", "expected", "-1", "confirm", "delete -1"); a.Status != http.StatusBadRequest {
		t.Error("without a filter:", a.Status)
	}
	a := send("expected", "40", "confirm", "delete 40")
	_, id, ok := strings.Cut(a.Location, "job=")
	job, found := s.db.Jobs().Get(id)
	if a.Status != http.StatusSeeOther || !ok || !found {
		t.Fatal(a.Status, a.Location)
	}
	if err := job.Wait(t.Context()); err != nil || job.Status().Done != 40 {
		t.Error(job.Status(), err)
	}
	s.Page("tables/people/manage?job="+id, "60 entities", "done")

	if a := s.Post("tables/people/drop", "confirm", "peopl"); a.Status != http.StatusBadRequest {
		t.Error(a.Status)
	}
	if a := s.Post("tables/people/drop", "confirm", "people"); a.Status != http.StatusSeeOther || a.Location != "tables" {
		t.Error(a.Status, a.Location)
	}
	if _, err := s.db.Table(t.Context(), "people"); errs.KindOf(err) != errs.NotFound {
		t.Error("the table is still there")
	}
}

// TestHostile: nothing that is stored becomes more than text.
func TestHostile(t *testing.T) {
	s := newSite(t)
	evil := `"><script>alert(1)</script><img src=x onerror=alert(1)>` + "\u202e'`" + strings.Repeat("W", 64<<10)
	pk := `"><script>alert(1)</script>` + "\u202e'javascript:x"
	s.db.Put("t:"+pk, map[string]any{"<script>": evil, evil[:200]: "x", "a": evil, "javascript:alert(1)": 1})
	at := "?pk=" + url.QueryEscape(pk)
	typed := "fcol=" + url.QueryEscape(evil[:300]) + "&fop=" + url.QueryEscape(evil[:60]) + "&fval=" + url.QueryEscape(evil[:300]) + "&filter=" + url.QueryEscape(evil[:300]) +
		"&order=" + url.QueryEscape(evil[:100]) + "&show=" + url.QueryEscape(evil[:100])
	for _, path := range []string{
		"tables", "tables?q=" + url.QueryEscape(evil[:300]), "tables/t", "tables/t?show=%3Cscript%3E&show=a", "tables/t?" + typed, "tables/t/columns",
		"tables/t/manage?" + typed, "tables/t/manage?fcol=a&fop=exists", "tables/t/entity" + at, "tables/t/entity" + at + "&delete=1", "tables/t/edit" + at,
		"create?table=" + url.QueryEscape(evil[:300]) + "&pk=" + url.QueryEscape(evil[:300]), "import?table=" + url.QueryEscape(evil[:300]) + "&column=%22%3E%3Cscript%3E",
	} {
		text := s.Get(path).Body
		if len(text) < 1000 {
			t.Fatalf("%s: %s", path, text)
		}
		for n := range s.Parse(text).Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			if n.Data == "img" {
				t.Errorf("%s: an image from the data", path)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.Contains(a.Val, "javascript:") && (a.Key == "href" || a.Key == "action") && !strings.Contains(a.Val, "%22") {
					t.Errorf("%s: <%s %s=%.80q>", path, n.Data, a.Key, a.Val)
				}
				if n.Data == "script" && a.Key == "type" && a.Val != "module" && a.Val != "application/json" {
					t.Errorf("%s: a script of the type %s", path, a.Val)
				}
			}
			if n.Data == "script" && n.FirstChild != nil && strings.Contains(n.FirstChild.Data, "<") {
				t.Errorf("%s: a data block with a tag in it", path)
			}
		}
		if len(text) > 1<<20 {
			t.Errorf("%s has %d bytes", path, len(text))
		}
	}
}

func TestVectors(t *testing.T) {
	e := &engine.Entity{Doc: []byte(`{"v":[3,4],"w":[0,0,0,0,0,0,0,2],"short":[1,2],"x":{"b64":"AACAPwAAAEA="}}`)}
	got := newEntity(e, []engine.IndexInfo{
		{IndexDef: schema.IndexDef{Type: schema.Vector, Columns: []string{"v"}, Vector: &schema.VectorConfig{Metric: "l2", Dimension: 2}}},
		{IndexDef: schema.IndexDef{Type: schema.Vector, Columns: []string{"x"}, Vector: &schema.VectorConfig{Metric: "l2", Dimension: 2}}},
	})
	found := map[string]Vector{}
	for _, v := range got.Vectors {
		found[v.Column] = v
	}
	if len(found) != 3 || found["v"].Norm != 5 || found["v"].Index == "" || found["w"].Norm != 2 || found["w"].Dimension != 8 || found["w"].Index != "" || found["x"].Dimension != 2 {
		t.Errorf("%+v", got.Vectors)
	}
}
