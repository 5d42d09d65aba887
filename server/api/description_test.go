package api_test

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/server/api"
)

func TestDocumentHasTheRoutes(t *testing.T) {
	c := newClient(t, api.Options{})
	var described []string
	ids := map[string]bool{}
	for path, item := range c.spec.Paths {
		for method, op := range item {
			described = append(described, strings.ToUpper(method)+" "+path)
			if ids[op.OperationID] || op.OperationID == "" {
				t.Errorf("%s %s: the operationId %q isn't its own", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			for _, p := range op.Parameters {
				if p.In == "path" && !strings.Contains(path, "{"+p.Name+"}") {
					t.Errorf("%s has no {%s}", path, p.Name)
				}
			}
		}
	}
	slices.Sort(described)
	if !slices.Equal(c.routes, described) {
		t.Errorf("routes and document differ:\n%v\n%v", c.routes, described)
	}
}

// contract is every route of API.md that this package answers.
var contract = []string{
	"DELETE /entities/{key}", "DELETE /tables/{table}", "DELETE /vector/by-filter",
	"GET /changefeed", "GET /changefeed/stats", "GET /changefeed/stream",
	"GET /docs", "GET /entities", "GET /entities/{key}", "GET /index/stats", "GET /jobs", "GET /jobs/{id}", "GET /jobs/{id}/stream",
	"GET /openapi.json", "GET /tables", "GET /tables/{table}", "GET /vector/index/config", "GET /vector/index/stats",
	"PATCH /entities/{key}",
	"POST /changefeed/retention",
	"POST /entities", "POST /entities/batch", "POST /entities/get", "POST /index/create", "POST /index/drop", "POST /index/rebuild",
	"POST /index/reindex", "POST /jobs/{id}/cancel", "POST /query", "POST /vector/batch_insert", "POST /vector/delete",
	"POST /vector/index/recall", "POST /vector/index/recall/curve", "POST /vector/index/save", "POST /vector/search",
	"PUT /entities/{key}", "PUT /vector/index/config",
}

func TestRoutesAreTheContract(t *testing.T) {
	if got := routesOf(api.New(nil, api.Options{})); !slices.Equal(got, contract) {
		t.Errorf("got  %v\nwant %v", got, contract)
	}
}

// Every schema is well-formed and every reference leads somewhere.
func TestDocumentIsClosed(t *testing.T) {
	c := newClient(t, api.Options{Version: "1.2.3"})
	body := c.must(200, "GET", "/openapi.json", "").want("/openapi", `"3.1.0"`, "/info/version", `"1.2.3"`).body
	for _, ref := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllSubmatch(body, -1) {
		if c.spec.Components.Schemas[string(ref[1])] == nil {
			t.Errorf("dangling reference to %s", ref[1])
		}
	}
	var doc struct {
		Components jsontext.Value `json:"components"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc.Components, &c.spec.Components, json.RejectUnknownMembers(true)); err != nil {
		t.Errorf("a schema has a keyword that the tests don't know: %v", err)
	}
	for path, item := range c.spec.Paths {
		for method, op := range item {
			for _, requirement := range op.Security {
				for name := range requirement {
					if len(c.spec.Components.SecuritySchemes[name]) == 0 {
						t.Errorf("%s %s needs %s, which is no security scheme", method, path, name)
					}
				}
			}
			if op.Role == "" || op.Role == "nobody" || (op.Role == "public") != (len(op.Security) == 0) {
				t.Errorf("%s %s: role %q with %d ways to show a key", method, path, op.Role, len(op.Security))
			}
		}
	}
}

// The examples of the document fit its own schemas, and the server takes them:
// whatever it says about the data, it understands the request.
func TestExamples(t *testing.T) {
	c := newClient(t, api.Options{})
	misunderstood := []string{"invalid_json", "unknown_field", "invalid_type", "missing_field", "invalid_value", "unknown_parameter", "invalid_vector", "invalid_filter"}
	for _, path := range slices.Sorted(maps.Keys(c.spec.Paths)) {
		for method, op := range c.spec.Paths[path] {
			method = strings.ToUpper(method)
			for status, body := range op.Responses {
				for _, m := range body.Content {
					if len(m.Example) > 0 && m.Example.Kind() != '"' {
						for _, complaint := range c.spec.validate(m.Schema, m.Example, "") {
							t.Errorf("%s %s: example of %s: %s", method, path, status, complaint)
						}
					}
				}
			}
			if op.RequestBody == nil {
				continue
			}
			for mediaType, m := range op.RequestBody.Content {
				example := string(m.Example)
				if m.Example.Kind() == '"' {
					var text string
					if err := json.Unmarshal(m.Example, &text); err != nil {
						t.Fatal(err)
					}
					example = text
				} else if complaints := c.spec.validate(m.Schema, m.Example, ""); complaints != nil {
					t.Errorf("%s %s: example body: %v", method, path, complaints)
				}
				url := strings.NewReplacer("{key}", "users:ada", "{table}", "users", "{id}", "x").Replace(path)
				r := c.call(method, url, example, "Content-Type: "+mediaType)
				if code := strings.Trim(r.value("/code"), `"`); r.status == 400 && slices.Contains(misunderstood, code) || r.status >= 500 {
					t.Errorf("%s %s refuses its own example %s: %s", method, path, example, r.body)
				}
			}
		}
	}
}

func TestDocsPage(t *testing.T) {
	c := newClient(t, api.Options{})
	r := c.call("GET", "/docs", "")
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", r.status, r.header)
	}
	page := string(r.body)
	for path, item := range c.spec.Paths {
		if !strings.Contains(page, path) {
			t.Errorf("the page doesn't mention %s", path)
		}
		for _, op := range item {
			if !strings.Contains(page, `id="`+op.OperationID+`"`) || !strings.Contains(page, `href="#`+op.OperationID+`"`) {
				t.Errorf("the page has no section, or no link to it, for %s", op.OperationID)
			}
		}
	}
	for _, banned := range []string{"<script", "https://", "http://", "ZgotmplZ", "<no value>"} {
		if strings.Contains(page, banned) {
			t.Errorf("the page contains %q", banned)
		}
	}
	if policy := r.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("policy %q", policy)
	}
}
