package openapi_test

import (
	"crypto/sha256"
	"encoding/base64"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
)

type inner struct {
	Score float32 `json:"score" doc:"How good." min:"0" max:"1"`
}

type base struct {
	ID uint64 `json:"id"`
}

type outer struct {
	base
	Name    string           `json:"name" enum:"a,b" default:"a"`
	When    time.Time        `json:"when,omitzero"`
	Inner   *inner           `json:"inner,omitzero"`
	List    []*inner         `json:"list"`
	Counts  map[string]int64 `json:"counts,omitempty"`
	Raw     jsontext.Value   `json:"raw,omitzero" schema:"object"`
	Special []float32        `json:"special,omitzero" schema:"Special"`
	Next    *outer           `json:"next,omitzero"`
	Skipped string           `json:"-"`
}

type failure struct {
	Code string `json:"code"`
}

func document() *openapi.Document {
	return openapi.Build(openapi.Options{
		Info:    openapi.Info{Title: "T", Version: "1"},
		Named:   map[string]*openapi.Schema{"Special": {Description: "By hand."}},
		Problem: reflect.TypeFor[failure](), ProblemType: "application/problem+json",
	}, []openapi.Operation{{
		Method: "GET", Path: "/live", ID: "live", Tag: "Things", Role: auth.Public,
	}, {
		Method: "POST", Path: "/things/{id}", Role: auth.ReadWrite, ID: "postThing", Tag: "Things", Summary: "Sum <script>", Description: "One.\n\nTwo.",
		Params:  []openapi.Param{{Name: "id", In: "path"}, {Name: "n", In: "query", Of: 0, Default: "3"}},
		Body:    []openapi.Media{openapi.JSON[outer](`{"id":1}`)},
		Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{{Type: "text/plain", Example: "a\nb"}}}},
	}})
}

func TestSchemas(t *testing.T) {
	got, err := document().JSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `"Inner":{"type":"object","properties":{"score":{"type":"number","format":"float","description":"How good.","minimum":0,"maximum":1}},"required":["score"]},` +
		`"Outer":{"type":"object","properties":{` +
		`"counts":{"type":"object","additionalProperties":{"type":"integer","format":"int64"}},` +
		`"id":{"type":"integer","format":"int64","minimum":0},` +
		`"inner":{"$ref":"#/components/schemas/Inner"},` +
		`"list":{"type":"array","items":{"anyOf":[{"$ref":"#/components/schemas/Inner"},{"type":"null"}]}},` +
		`"name":{"type":"string","enum":["a","b"],"default":"a"},` +
		`"next":{"$ref":"#/components/schemas/Outer"},` +
		`"raw":{"type":"object"},` +
		`"special":{"$ref":"#/components/schemas/Special"},` +
		`"when":{"type":"string","format":"date-time"}},"required":["id","name","list"]}`
	if !strings.Contains(string(got), want) {
		t.Errorf("got\n%s\nwant within it\n%s", got, want)
	}
	for _, part := range []string{
		`"openapi":"3.1.0"`, `"in":"path","required":true`, `"schema":{"type":"integer","format":"int64","default":3}`,
		`"text/plain":{"schema":{"type":"string"},"example":"a\nb"}`, `"default":{"description"`,
	} {
		if !strings.Contains(string(got), part) {
			t.Errorf("the document lacks %s:\n%s", part, got)
		}
	}
}

func TestPage(t *testing.T) {
	html, err := document().HTML()
	if err != nil {
		t.Fatal(err)
	}
	page := string(html)
	for _, part := range []string{
		"Sum &lt;script&gt;", "<p>One.</p>", "<p>Two.</p>", `<code>list[].score</code>`, `<code>next.name</code>`,
		"array of Inner or null", "path string", "Default: 3.", "a\nb",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)[1]
	sum := sha256.Sum256([]byte(style))
	if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(openapi.PagePolicy(), want) {
		t.Errorf("the policy %q doesn't allow the page's style sheet (%s)", openapi.PagePolicy(), want)
	}
}

func TestSecurity(t *testing.T) {
	got, err := document().JSON()
	if err != nil {
		t.Fatal(err)
	}
	page, err := document().HTML()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		string(got) + "public":  `"security":[],"x-role":"public"`,
		string(got) + "writers": `"security":[{"apiKey":[]},{"bearer":[]}],"x-role":"readwrite"`,
		string(got) + "schemes": `"apiKey":{"type":"apiKey","in":"header","name":"api-key"`,
		string(page):            "Role: readwrite",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
