package reference

import (
	"reflect"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
)

type entity struct {
	Title string `json:"title" doc:"What it is <b>called</b>."`
}

func document() openapi.Page {
	return openapi.Build(openapi.Options{Info: openapi.Info{Title: "T", Version: "1"}}, []openapi.Operation{
		{Method: "PUT", Path: "/entities/{key}", ID: "putEntity", Tag: "Entities", Summary: "Create or replace", Role: auth.ReadWrite,
			Params: []openapi.Param{{Name: "key", In: "path"}, {Name: "vectors", In: "query"}},
			Body:   []openapi.Media{openapi.JSON[entity](`{"title": "it's"}`)}},
		{Method: "GET", Path: "/entities", ID: "scroll", Tag: "Entities", Summary: "Read a table", Role: auth.ReadOnly,
			Params:  []openapi.Param{{Name: "table", In: "query", Required: true}},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[entity](`{"title":"<script>"}`)}}}},
		{Method: "POST", Path: "/batch", ID: "batch", Tag: "Many", Summary: "Write many", Role: auth.ReadWrite,
			Body: []openapi.Media{openapi.JSON[entity](`{"title":"a"}`), {Type: "application/x-ndjson", Of: reflect.TypeFor[entity](), Example: "{\"title\":\"a\"}\n{\"title\":\"b\"}\n"}}},
		{Method: "GET", Path: "/feed/stream", ID: "follow", Tag: "Many", Summary: "Follow", Role: auth.ReadOnly},
	}).Page()
}

func TestFind(t *testing.T) {
	for words, want := range map[string]string{
		"": "putEntity scroll batch follow", "ENTITIES": "putEntity scroll", "get many": "follow", "replace put": "putEntity", "nothing": "",
		strings.Repeat("é", maxWords): "",
	} {
		l := find(document(), words)
		var ids []string
		for _, g := range l.Groups {
			for _, op := range g.Operations {
				ids = append(ids, op.ID)
			}
		}
		if got := strings.Join(ids, " "); got != want || l.Found != len(ids) {
			t.Errorf("%q finds %q (%d), want %q", words, got, l.Found, want)
		}
	}
}

func TestCommands(t *testing.T) {
	ctx := view.With(t.Context(), &view.View{Base: "http://db"})
	key := ` -H "Authorization: Bearer $THEMIS_API_KEY"`
	for id, want := range map[string][]string{
		"putEntity": {`curl -X PUT 'http://db/entities/books:dune'` + key + ` -H 'Content-Type: application/json' -d '{"title":"it'\''s"}'`},
		"scroll":    {`curl 'http://db/entities?table=books'` + key},
		"batch": {`curl -X POST 'http://db/batch'` + key + ` -H 'Content-Type: application/json' -d '{"title":"a"}'`,
			`curl -X POST 'http://db/batch'` + key + " -H 'Content-Type: application/x-ndjson' --data-binary '{\"title\":\"a\"}\n{\"title\":\"b\"}\n'"},
		"follow": {`curl -N 'http://db/feed/stream'` + key},
	} {
		op, ok := operation(document(), id)
		if got := commands(ctx, &op); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", id, got, want)
		}
	}
	if _, ok := operation(document(), "missing"); ok {
		t.Error("an operation that isn't there")
	}
}

func TestPagesEscape(t *testing.T) {
	var out strings.Builder
	if err := listing(find(document(), `"><script>`)).Render(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"putEntity", "scroll", "batch"} {
		op, _ := operation(document(), id)
		if err := section(op).Render(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
	}
	if page := out.String(); strings.Contains(page, "<script>") || strings.Contains(page, "<b>") || !strings.Contains(page, "&lt;b&gt;called") {
		t.Error(page)
	}
}
