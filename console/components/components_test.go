package components

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/a-h/templ"

	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/server/auth"
)

func render(t *testing.T, v *view.View, c templ.Component) string {
	t.Helper()
	var out bytes.Buffer
	if err := c.Render(view.With(t.Context(), v), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestButtonsKnowRoles(t *testing.T) {
	reader := &view.View{Root: "./", Principal: auth.Principal{Name: "r", Role: auth.ReadOnly}}
	writer := &view.View{Root: "./", Principal: auth.Principal{Name: "w", Role: auth.ReadWrite}}
	b := Button{Label: "Create", Role: auth.ReadWrite, Name: "go", Value: "1"}
	got := render(t, reader, Submit(b))
	if !strings.Contains(got, " disabled") || !strings.Contains(got, "needs the role readwrite") || strings.Contains(got, `name="go"`) {
		t.Errorf("as a reader: %s", got)
	}
	got = render(t, writer, Submit(b))
	if strings.Contains(got, " disabled") || !strings.Contains(got, `name="go" value="1"`) {
		t.Errorf("as a writer: %s", got)
	}
	b.Off = "Nothing is selected."
	if got := render(t, writer, Submit(b)); !strings.Contains(got, " disabled") || !strings.Contains(got, b.Off) {
		t.Errorf("switched off: %s", got)
	}
	c := Confirmation{Action: "./x", Label: "Drop", Text: "gone", Type: `a"<b>`, Role: auth.ReadWrite, Hidden: []string{"pk", `"><script>`}}
	if got := render(t, reader, Confirm(c)); strings.Contains(got, "<form") {
		t.Errorf("a reader gets the form: %s", got)
	}
	got = render(t, writer, Confirm(c))
	if !strings.Contains(got, `action="./x"`) || strings.Contains(got, "<script>") || strings.Contains(got, "<b>") {
		t.Errorf("a writer gets: %s", got)
	}
}

func TestCurl(t *testing.T) {
	v := &view.View{Base: "https://db.example/x"}
	if got, want := Command(view.With(t.Context(), v), "POST", "/query", "application/json", `{"a":"it's"}`), `curl -X POST 'https://db.example/x/query' -H "Authorization: Bearer $THEMIS_API_KEY" -H 'Content-Type: application/json' -d '{"a":"it'\''s"}'`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	v.AuthOff = true
	if got, want := Command(view.With(t.Context(), v), "GET", "/tables", "", ""), `curl 'https://db.example/x/tables'`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestJSONLayout(t *testing.T) {
	for _, c := range []struct{ doc, want string }{
		{`{}`, `{}`},
		{`[]`, `[]`},
		{`"a"`, `"a"`},
		{`{"a":1,"b":[true,null],"c":{"d":[]}}`, "{\n  \"a\": 1,\n  \"b\": [true, null],\n  \"c\": {\n    \"d\": []\n  }\n}"},
		{`{"v":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}`, "{\n  \"v\": [1, 2, 3 … 16 numbers]\n}"},
		{`[{"a":1},[2]]`, "[\n  {\n    \"a\": 1\n  },\n  [2]\n]"},
		{`{"a":1,"a":2}`, "{\n  \"a\": 1,\n  \"a\": 2\n}"},
		{`{"a":`, `{"a":`},
		{`not json`, `not json`},
	} {
		var got strings.Builder
		for _, p := range pieces([]byte(c.doc)) {
			got.WriteString(p.text)
		}
		if got.String() != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.doc, got.String(), c.want)
		}
	}
	if got := render(t, &view.View{}, JSON([]byte(`{"<script>":"</pre><script>alert(1)</script>"}`))); strings.Contains(got, "<script>") {
		t.Errorf("markup gets through: %s", got)
	}
}

// TestJSONIsBounded holds that a huge document doesn't make a huge page.
func TestJSONIsBounded(t *testing.T) {
	for name, doc := range map[string]string{
		"a long string":  `{"a":"` + strings.Repeat("x", 1<<20) + `"}`,
		"many members":   `{"a":[` + strings.Repeat(`{"b":"c"},`, 1<<17) + `1]}`,
		"a long name":    `{"` + strings.Repeat("n", 1<<20) + `":1}`,
		"broken and big": strings.Repeat("{", 1<<20),
		"many rows":      `[` + strings.Repeat(`"0123456789",`, 1<<17) + `1]`,
	} {
		size := 0
		for _, p := range pieces([]byte(doc)) {
			size += len(p.text)
		}
		if size > 3*maxText {
			t.Errorf("%s: %d bytes of text", name, size)
		}
	}
}

func TestIconsExist(t *testing.T) {
	for _, name := range []string{"check", "warn", "error", "info", "copy", "menu", "brand"} {
		var out bytes.Buffer
		if err := Icon(name).Render(context.Background(), &out); err != nil || !strings.HasPrefix(out.String(), "<svg") {
			t.Errorf("%s: %q %v", name, out.String(), err)
		}
	}
}
