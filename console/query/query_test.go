package query

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/server/api"
	"github.com/vccdb/vccdb/server/auth"
)

const hostile = `<script>alert("x")</script>`

// site is the page over a table of 2000 numbers, with an index on n.
func site(t *testing.T) (*consoletest.Site, *testkit.DB) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"n"}, Type: schema.Range})
	ops := []engine.Op{testkit.Put("t:"+hostile, map[string]any{"n": -1, hostile: hostile})}
	for i := range 2000 {
		ops = append(ops, testkit.Put(fmt.Sprintf("t:%04d", i), map[string]any{"n": i, "tag": fmt.Sprint("tag", i%7)}))
	}
	db.Do(ops...)
	return consoletest.Serve(t, func(f *page.Frame) console.Group { return New(f, db) }), db
}

func TestJSON(t *testing.T) {
	s, _ := site(t)
	s.Holds(s.Get("query"), http.StatusOK, `data-editor="json"`, "&#34;table&#34;: &#34;t&#34;", `"t":["n","tag"`, "The greatest n")
	a := s.Follow(s.Post("query", "q", `{"table":"t","predicates":[{"column":"n","op":"lt","value":3}],"order_by":"-n"}`))
	s.Holds(a, http.StatusOK, "4 entities", "pk=0002", "Index scan", "n &lt; 3", "&#34;order_by&#34;", "Copy as curl")
	s.Lacks(a, "<script>alert", "An index would help")
	s.Holds(s.Get("query", "q", `{"table":"t","limit":2}`, "view", "json"), http.StatusOK, "next_cursor", "updated_at", `name="view" value="json"`)
	s.Holds(s.Get("query", "q", `{"table":"t","limit":2,"return":"keys"}`), http.StatusOK, "2 entities on this page", "pk=0000")
	s.Holds(s.Get("query", "q", `{"table":"t","return":"count","predicates":[{"column":"n","op":"gte","value":0}]}`), http.StatusOK, "2,000 entities match")
	// Too long for a link, so answered at once.
	long := `{"table":"t","predicates":[{"column":"n","op":"in","value":[1` + strings.Repeat(",1", 1500) + `]}]}`
	s.Holds(s.Post("query", "q", long), http.StatusOK, "1 entity", "pk=0001")
}

func TestPages(t *testing.T) {
	s, _ := site(t)
	text := `{"table":"t","order_by":"n","limit":700}`
	first := s.Get("query", "q", text)
	s.Holds(first, http.StatusOK, "500 entities on this page", "A page shows 500 entities at most", "pk=0498", "Next page")
	s.Lacks(first, "pk=0499", "First page")
	_, cursor, _ := strings.Cut(first.Body, `name="cursor" value="`)
	cursor, _, _ = strings.Cut(cursor, `"`)
	s.Holds(s.Follow(s.Post("query", "q", text, "cursor", cursor)), http.StatusOK, "pk=0499", "First page")
	s.Holds(s.Get("query", "q", text, "cursor", "nonsense"), http.StatusBadRequest, "cursor")
}

func TestForm(t *testing.T) {
	s, _ := site(t)
	s.Holds(s.Get("query", "by", "form", "table", "t"), http.StatusOK, `name="fcol"`, `<option value="t" selected>`)
	a := s.Follow(s.Post("query", "by", "form", "table", "t", "return", "entities", "order", "-n", "limit", "3", "fcol", "n", "fop", "lte", "fval", "10", "fcol", "tag", "fop", "exists", "fval", ""))
	s.Holds(a, http.StatusOK, "3 entities on this page", "pk=0010", "tag exists")
	// The tab leads to the same query as JSON.
	_, link, _ := strings.Cut(a.Body, `href="./query?q=`)
	link, _, _ = strings.Cut(link, `"`)
	text, err := url.QueryUnescape(link)
	if err != nil {
		t.Fatal(err)
	}
	if req, err := api.ParseQuery([]byte(text)); err != nil || req.Filter.Text() != "n <= 10 and tag exists" || !req.Order[0].Desc || req.Limit != 3 {
		t.Errorf("%s: %v", text, err)
	}
	s.Holds(s.Get("query", "by", "form", "table", "t", "return", "entities", "limit", "0"), http.StatusBadRequest, "must be a whole number from 1 to 500", `aria-invalid="true"`)
	s.Holds(s.Get("query", "by", "form", "table", "t", "return", "entities", "fcol", "n", "fop", "between", "fval", "1"), http.StatusBadRequest, "field-error")
	s.Holds(s.Get("query", "by", "form", "table", "t", "return", "count", "limit", "5", "order", "n"), http.StatusOK, "2,001 entities match")
	s.Holds(s.Get("query", "table", "t", "filter", `{"column":"n","value":7}`), http.StatusOK, "1 entity", "pk=0007", `name="order"`)
	s.Lacks(s.Get("query", "by", "form", "table", "t", "return", "entities", "fadd", "1"), "entities on this page")
}

func TestTheOtherForm(t *testing.T) {
	for text, want := range map[string]string{
		`{"table":"t","limit":5,"order_by":"a"}`:                                            "by=form&limit=5&order=a&return=entities&table=t",
		`{"table":"t","filter":{"or":[{"column":"a","value":1},{"column":"b","value":2}]}}`: "by=form&fany=1&fcol=a&fcol=b&fop=eq&fop=eq&fval=1&fval=2&limit=100&return=entities&table=t",
		`{"table":"t","order_by":["a","b"]}`:                                                "",
		`{"table":"t","fields":["a"]}`:                                                      "",
	} {
		a, err := request{Text: text}.ask()
		if err != nil {
			t.Fatal(err)
		}
		values := url.Values{}
		link := asForm(&a)
		for i := 0; i+1 < len(link); i += 2 {
			values.Add(link[i], link[i+1])
		}
		if got := values.Encode(); got != want {
			t.Errorf("%s is %s, not %s", text, got, want)
		}
	}
}

func TestAdvice(t *testing.T) {
	s, db := site(t)
	text := `{"table":"t","predicates":[{"column":"tag","value":"tag3"},{"column":"n","op":"ne","value":3}]}`
	a := s.Get("query", "q", `{"table":"t","predicates":[{"column":"tag","value":"tag33"}]}`)
	s.Holds(a, http.StatusOK, "No index serves this", "2,001", "Create equality index on tag", `action="./indexes/create"`, `name="back" value="query?q=`)
	s.Role = auth.ReadOnly
	s.Holds(s.Get("query", "q", `{"table":"t","predicates":[{"column":"tag","value":"tag33"}]}`), http.StatusOK, "needs the role readwrite")
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"tag"}, Type: schema.Equality})
	a = s.Get("query", "q", text)
	s.Holds(a, http.StatusOK, "Index scan", "tag (equality)")
	s.Lacks(a, "Create equality index")
}

func TestWhatIsWrong(t *testing.T) {
	s, _ := site(t)
	for text, want := range map[string]string{
		`{"table":"t","limti":3}`: "/limti", `{`: "JSON", `[]`: "object", `{"table":"t","predicates":[{"column":"n","op":"smells","value":1}]}`: "smells",
		hostile: "&lt;script&gt;", `{"table":"` + `a b` + `"}`: "table",
	} {
		a := s.Get("query", "q", text)
		s.Holds(a, http.StatusBadRequest, "answered", want, `aria-invalid="true"`)
		s.Lacks(a, "<script>alert")
	}
	s.Holds(s.Get("query", "q", `{"table":"nobody"}`), http.StatusNotFound, "nobody")
	s.Holds(s.Get("query?q=%zz"), http.StatusBadRequest)
}

func TestNoTables(t *testing.T) {
	db := testkit.Open(t)
	s := consoletest.Serve(t, func(f *page.Frame) console.Group { return New(f, db) })
	s.Holds(s.Get("query"), http.StatusOK, "Nothing to query yet")
}

func TestExamplesAreQueries(t *testing.T) {
	_, db := site(t)
	sample, err := db.SampleColumns(t.Context(), "t", 100)
	if err != nil {
		t.Fatal(err)
	}
	list := examples("t", sample.Columns)
	if len(list) != 4 {
		t.Errorf("%+v", list)
	}
	for _, e := range list {
		req, err := api.ParseQuery([]byte(e.Body))
		if err != nil {
			t.Fatalf("%s: %v", e.Body, err)
		}
		if result, err := db.Query(t.Context(), req); err != nil || result.Count == 0 {
			t.Errorf("%s found %+v, %v", e.Body, result, err)
		}
	}
	if len(examples("t", nil)) != 0 {
		t.Error("an empty table has examples")
	}
}
