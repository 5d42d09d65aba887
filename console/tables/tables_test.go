package tables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/net/html"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/query"
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
	s.get("tables", "No tables yet")
	people(s, 120)
	s.db.Index(schema.IndexDef{Table: "people", Columns: []string{"age"}, Type: schema.Range})
	s.get("tables", "people", "120", "range")
	s.get("tables?q=peo&sort=-size", "people")
	s.get("tables?q=zzz", "No table is called that.")

	first := s.get("tables/people", "50 of 120 entities on this page", "name 0", "home.city", "Next page")
	next := linkTo(t, first, "Next page")
	second := s.get("tables/"+next, "First page", "name 50")
	if strings.Contains(second, "name 49<") {
		t.Error("the second page repeats the first")
	}
	s.get("tables/people?order=-age&show=age&limit=20", "20 of 120 entities on this page", `aria-sort="descending"`, ">89<")
	s.get("tables/people?fcol=age&fop=lt&fval=10&fcol=name&fop=ne&fval=name+3", "19 of 19 matches on this page", "Export matches")
	s.get("tables/people?fcol=name&fop=contains&fval=7&filter=%7B%22not%22:%7B%22column%22:%22age%22,%22value%22:7%7D%7D&show=name", "19 of 19 matches on this page")
	s.get("tables/people?fcol=name&fval=nobody", "Nothing matches")
	s.get("tables/people?prefix=01", "10 keys begin with 01", "name 12")
	s.get("tables/people?prefix=0&limit=20", "The first 20 keys that begin with 0")
	s.get("tables/people?prefix=x", "No such key")
	for _, wrong := range []string{"tables/people?prefix=0&show=a..b", "tables/people?fcol=age&fop=between&fval=1", "tables/people?order=a..b", "tables/people?show=a..b", "tables/people?cursor=x"} {
		if status, text, _ := s.do("GET", wrong, "", ""); status != http.StatusBadRequest || !strings.Contains(text, "Nothing was read") {
			t.Errorf("%s: %d %s", wrong, status, text)
		}
	}
	if status, _, _ := s.do("GET", "tables/nobody", "", ""); status != http.StatusNotFound {
		t.Error("a missing table is", status)
	}
	s.get("tables/people/columns", "Of all 120 entities.", "list of", "vector", "home.city", "90 different values", "ready")
}

// linkTo is the address of a link, as the server of the test has it.
func linkTo(t *testing.T, page, title string) string {
	t.Helper()
	for n := range parse(t, page).Descendants() {
		if n.Type == html.ElementNode && n.Data == "a" && n.FirstChild != nil && n.FirstChild.Data == title {
			for _, a := range n.Attr {
				if a.Key == "href" {
					return strings.TrimPrefix(strings.TrimPrefix(a.Val, "../"), "tables/")
				}
			}
		}
	}
	t.Fatalf("there is no link %q", title)
	return ""
}

func parse(t *testing.T, page string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestEntity(t *testing.T) {
	s := newSite(t)
	pk := `a/b?c=d&é "x"`
	at := "?pk=" + url.QueryEscape(pk)

	status, _, to := s.post("create", "table", "books", "pk", pk, "entity", `{"title":"Dune","v":[3,4,0,0,0,0,0,0]}`)
	if status != http.StatusSeeOther || !strings.Contains(to, "tables/books/entity?pk=") {
		t.Fatal(status, to)
	}
	s.get("tables/books/entity"+at, "Dune", "was created.", ">5</td>", "3, 4, 0, 0, …", "Create a vector index", "curl")
	s.get("tables/books/entity"+at+"&delete=1", `<details class="confirm" open>`)
	status, text, _ := s.post("create", "table", "books", "pk", pk, "entity", `{}`)
	if status != http.StatusConflict || !strings.Contains(text, "an entity with this key already") {
		t.Error(status, text)
	}
	for _, bad := range [][]string{
		{"table", "no table", "entity", "{}"}, {"table", "books", "pk", strings.Repeat("x", 600), "entity", "{}"}, {"table", "books", "entity", `{"a":`}, {"table", "books", "entity", ""},
	} {
		if status, text, _ := s.post("create", bad...); status != http.StatusBadRequest || !strings.Contains(text, "field-error") {
			t.Errorf("%.80q: %d %s", bad, status, text)
		}
	}
	if status, _, to := s.post("create", "table", "books", "entity", `{"made":"by the server"}`); status != http.StatusSeeOther || !strings.Contains(to, "pk=0") {
		t.Error("without a key:", status, to)
	}

	s.get("tables/books/edit"+at, `name="version" value="1"`, "[3,4,0,0,0,0,0,0]")
	status, text, _ = s.post("tables/books/edit"+at, "version", "1", "entity", `{"title":`)
	if status != http.StatusBadRequest || !strings.Contains(text, `{&#34;title&#34;:`) || !strings.Contains(text, "field-error") {
		t.Error("the text is lost:", status, text)
	}
	if status, _, to = s.post("tables/books/edit"+at, "version", "1", "entity", `{"title":"Dune Messiah"}`); status != http.StatusSeeOther {
		t.Fatal(status, to)
	}

	// Someone else wrote first: both are shown, and nothing is lost.
	status, text, _ = s.post("tables/books/edit"+at, "version", "1", "entity", `{"title":"Mine"}`)
	if status != http.StatusPreconditionFailed {
		t.Error(status)
	}
	s.holds("a conflict", text, "Dune Messiah", "Mine", `name="version" value="2"`, "Replace version 2")
	if status, _, _ = s.post("tables/books/edit"+at, "version", "2", "entity", `{"title":"Mine"}`); status != http.StatusSeeOther {
		t.Error(status)
	}

	if status, text, _ = s.post("tables/books/delete"+at, "version", "3", "confirm", "something"); status != http.StatusBadRequest || !strings.Contains(text, "confirmation") {
		t.Error(status, text)
	}
	if status, _, _ = s.post("tables/books/delete"+at, "version", "1", "confirm", pk); status != http.StatusPreconditionFailed {
		t.Error("a version that nobody saw was deleted:", status)
	}
	if status, _, _ = s.post("tables/books/delete"+at, "version", "3", "confirm", pk); status != http.StatusSeeOther {
		t.Error(status)
	}
	status, text, _ = s.post("tables/books/edit"+at, "version", "3", "entity", `{"title":"Mine"}`)
	if status != http.StatusPreconditionFailed || !strings.Contains(text, "deleted meanwhile") || !strings.Contains(text, `name="version" value="0"`) {
		t.Error(status, text)
	}
	if status, _, _ = s.post("tables/books/edit"+at, "version", "0", "entity", `{"title":"Mine"}`); status != http.StatusSeeOther || s.db.GetDoc("books:"+pk) != `{"title":"Mine"}` {
		t.Error(status)
	}
	if status, _, _ := s.do("GET", "tables/books/entity?pk=none", "", ""); status != http.StatusNotFound {
		t.Error(status)
	}

	s.role = auth.ReadOnly
	s.get("tables/books/edit"+at, "disabled", "needs the role readwrite")
	s.get("tables/books/entity"+at, "needs the role readwrite")
}

func TestDeleteMatching(t *testing.T) {
	s := newSite(t)
	people(s, 100)
	filter := []string{"fcol", "age", "fop", "lt", "fval", "30"}
	s.get("tables/people/manage?fcol=age&fop=lt&fval=30", "40 entities match", "people:000", "delete 40")
	s.get("tables/people/manage?fcol=age&fop=lt&fval=-1", "No entity matches.")
	if status, _, _ := s.do("GET", "tables/people/manage?fcol=age&fop=x", "", ""); status != http.StatusBadRequest {
		t.Error(status)
	}
	send := func(fields ...string) (int, string, string) {
		return s.post("tables/people/delete-matching", append(slices.Clone(filter), fields...)...)
	}
	if status, text, _ := send("expected", "39", "confirm", "delete 39"); status != http.StatusConflict || !strings.Contains(text, "has changed") {
		t.Error(status, text)
	}
	if status, _, _ := send("expected", "40", "confirm", "delete"); status != http.StatusBadRequest {
		t.Error(status)
	}
	if status, _, _ := s.post("tables/people/delete-matching", "expected", "-1", "confirm", "delete -1"); status != http.StatusBadRequest {
		t.Error("without a filter:", status)
	}
	status, _, to := send("expected", "40", "confirm", "delete 40")
	_, id, ok := strings.Cut(to, "job=")
	job, found := s.db.Jobs().Get(id)
	if status != http.StatusSeeOther || !ok || !found {
		t.Fatal(status, to)
	}
	if err := job.Wait(t.Context()); err != nil || job.Status().Done != 40 {
		t.Error(job.Status(), err)
	}
	s.get("tables/people/manage?job="+id, "60 entities", "done")

	if status, _, _ := s.post("tables/people/drop", "confirm", "peopl"); status != http.StatusBadRequest {
		t.Error(status)
	}
	if status, _, to := s.post("tables/people/drop", "confirm", "people"); status != http.StatusSeeOther || to != "../../tables" {
		t.Error(status, to)
	}
	if _, err := s.db.Table(t.Context(), "people"); errs.KindOf(err) != errs.NotFound {
		t.Error("the table is still there")
	}
}

// upload is the body of an import's form.
func form(lines, text, file string, fields ...string) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	w.WriteField("lines", lines)
	for i := 0; i+1 < len(fields); i += 2 {
		w.WriteField(fields[i], fields[i+1])
	}
	w.WriteField("text", text)
	part, _ := w.CreateFormFile("file", "x.ndjson")
	io.WriteString(part, file)
	w.Close()
	return w.FormDataContentType(), b.String()
}

// TestImportExport: an export comes back whole, wherever the lines stand.
func TestImportExport(t *testing.T) {
	s := newSite(t)
	people(s, 700)
	_, exported, _ := s.do("GET", "tables/people/export", "", "")
	_, some, _ := s.do("GET", "tables/people/export?fcol=age&fop=lt&fval=10", "", "")
	if n := strings.Count(exported, "\n"); n != 700 {
		t.Fatalf("%d lines were exported", n)
	}
	if n := strings.Count(some, "\n"); n != 80 {
		t.Errorf("%d lines match", n)
	}
	if status, _, _ := s.do("GET", "tables/nobody/export", "", ""); status != http.StatusNotFound {
		t.Error("the export of a missing table:", status)
	}
	before := s.db.GetDoc("people:123")
	if err := s.db.DropTable(t.Context(), "people"); err != nil {
		t.Fatal(err)
	}

	first, rest, _ := strings.Cut(exported, "\n")
	contentType, body := form("operations", first, rest+"broken\n")
	status, text, to := s.do("POST", "import", contentType, body)
	if status != http.StatusSeeOther || !strings.Contains(to, "import?job=") {
		t.Fatal(status, text, to)
	}
	s.get(strings.TrimPrefix(to, "./"), "701", "700", "1 line was refused", "invalid_json", "The import is done.")
	if got := s.db.GetDoc("people:123"); got != before {
		t.Errorf("%s came back as %s", before, got)
	}

	contentType, body = form("objects", `{"id":7,"n":1}`, "", "table", "numbers", "column", "id")
	if status, text, _ := s.do("POST", "import", contentType, body); status != http.StatusSeeOther || s.db.GetDoc("numbers:7") != `{"id":7,"n":1}` {
		t.Error(status, text)
	}
	contentType, body = form("objects", `{}`, "", "table", "no table")
	if status, _, _ := s.do("POST", "import", contentType, body); status != http.StatusBadRequest {
		t.Error("a bad table:", status)
	}
	if status, _, _ := s.do("POST", "import", "application/x-www-form-urlencoded", "text=x"); status != http.StatusBadRequest {
		t.Error("a form without parts:", status)
	}
	// Cut short: what came is kept, and the answer says that it broke off.
	contentType, body = form("operations", first, rest)
	if status, text, _ := s.do("POST", "import", contentType, body[:len(body)/2]); status != http.StatusBadRequest || !strings.Contains(text, "broke off") {
		t.Error(status, text)
	}
}

// TestUpload: the lines are those of the form, however it is cut up.
func TestUpload(t *testing.T) {
	contentType, body := form("objects", "a\nb", "c\nd\n", "table", " books ", "column", "id")
	for _, r := range []io.Reader{strings.NewReader(body), iotest.OneByteReader(strings.NewReader(body)), iotest.DataErrReader(strings.NewReader(body))} {
		u, err := openUpload(contentType, r)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := io.ReadAll(u)
		if err != nil || string(lines) != "a\nb\nc\nd\n" || !u.objects || u.table != "books" || u.column != "id" {
			t.Errorf("%q, %v, %+v", lines, err, u)
		}
	}
	contentType2, only := form("operations", "", "x\n")
	if u, err := openUpload(contentType2, strings.NewReader(only)); err != nil {
		t.Error(err)
	} else if lines, err := io.ReadAll(u); err != nil || string(lines) != "x\n" { // its first line is line 1
		t.Errorf("%q %v", lines, err)
	}
	broken := errs.New(errs.Invalid, "body_truncated", "cut")
	u, err := openUpload(contentType, io.MultiReader(strings.NewReader(body[:len(body)-40]), iotest.ErrReader(broken)))
	if err == nil {
		_, err = io.ReadAll(u)
	}
	if !errors.Is(err, broken) {
		t.Error("the connection's error is lost:", err)
	}
	long, text := form("objects", "x", "", "table", strings.Repeat("x", 5000))
	if _, err := openUpload(long, strings.NewReader(text)); errs.CodeOf(err) != "invalid_form" {
		t.Error(err)
	}
}

// failing breaks exports off.
type failing struct{ *testkit.DB }

func (f failing) Export(ctx context.Context, table string, filter *query.Expr, fn func(*engine.Entity) error) error {
	if err := f.DB.Export(ctx, table, filter, fn); err != nil {
		return err
	}
	return errs.New(errs.Corrupt, "corrupt", "A block is broken.")
}

func TestBrokenExport(t *testing.T) {
	s := newSite(t)
	people(s, 3)
	s.tables.db = failing{s.db}
	_, text, _ := s.do("GET", "tables/people/export", "", "")
	if !strings.HasSuffix(text, `{"export_broke_off":"A block is broken."}`+"\n") {
		t.Error(text)
	}
	s.tables.o.MaxExports = 0
	if status, _, _ := s.do("GET", "tables/people/export", "", ""); status != http.StatusServiceUnavailable {
		t.Error(status)
	}
	if n := s.tables.exports.Load(); n != 0 {
		t.Errorf("%d exports are left over", n)
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
		_, text, _ := s.do("GET", path, "", "")
		if len(text) < 1000 {
			t.Fatalf("%s: %s", path, text)
		}
		for n := range parse(t, text).Descendants() {
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

func TestImportsRunning(t *testing.T) {
	s := newSite(t)
	release := make(chan struct{})
	if _, err := s.db.Jobs().Start(importKind, "books", func(context.Context, jobs.Progress) error { <-release; return nil }); err != nil {
		t.Fatal(err)
	}
	s.get("import/running", "books", "progress")
	close(release)
	for range 100 {
		if len(s.tables.running("")) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("an import that ended is still listed")
}
