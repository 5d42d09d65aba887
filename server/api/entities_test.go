package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/vccdb/vccdb/server/api"
)

func TestEntityLifeCycle(t *testing.T) {
	c := newClient(t, api.Options{})
	r := c.must(201, "PUT", "/entities/users:ada", `{"name":"Ada","big":9007199254740993,"f":1.10}`)
	r.want("/key", `"users:ada"`, "/version", "1", "/created", "true")
	if etag := r.header.Get("ETag"); etag != `"1"` {
		t.Errorf("ETag %q", etag)
	}
	c.must(200, "PUT", "/entities/users:ada", `{"name":"Ada","big":9007199254740993,"f":1.10}`).want("/version", "2", "/created", "false")
	// Numbers come back digit for digit.
	r = c.must(200, "GET", "/entities/users:ada", "").want("/entity/big", "9007199254740993", "/entity/f", "1.10", "/version", "2")
	if etag := r.header.Get("ETag"); etag != `"2"` {
		t.Errorf("ETag %q", etag)
	}
	c.must(200, "GET", "/entities/users:ada?format=blob", "").
		want("/key", `"users:ada"`, "/blob", `"{\"name\":\"Ada\",\"big\":9007199254740993,\"f\":1.10}"`)
	c.must(200, "PATCH", "/entities/users:ada", `{"name":null,"age":{"x":1}}`).want("/version", "3")
	c.must(200, "GET", "/entities/users:ada", "").want("/entity", `{"big":9007199254740993,"f":1.10,"age":{"x":1}}`)
	c.must(200, "DELETE", "/entities/users:ada", "").want("/key", `"users:ada"`, "/deleted", "true")
	c.fails(404, "entity_not_found", "DELETE", "/entities/users:ada", "")
	c.fails(404, "entity_not_found", "GET", "/entities/users:ada", "")
	c.fails(404, "entity_not_found", "PATCH", "/entities/users:ada", `{"a":1}`)
}

func TestBlobForm(t *testing.T) {
	c := newClient(t, api.Options{})
	c.must(201, "PUT", "/entities/t:1", ` { "blob" : "{\"a\": 1.50}" } `)
	c.must(200, "GET", "/entities/t:1", "").want("/entity", `{"a":1.50}`)
	// Not alone or not a string: an entity with a member of that name.
	c.must(200, "PUT", "/entities/t:1", `{"blob":"{}","b":1}`)
	c.must(200, "GET", "/entities/t:1", "").want("/entity", `{"blob":"{}","b":1}`)
	c.must(200, "PUT", "/entities/t:1", `{"blob":{"a":1}}`)
	c.must(200, "GET", "/entities/t:1", "").want("/entity", `{"blob":{"a":1}}`)
	c.fails(400, "invalid_json", "PUT", "/entities/t:1", `{"blob":"no json"}`)
	c.fails(400, "not_an_object", "PUT", "/entities/t:1", `{"blob":"[1]"}`)
	c.fails(400, "invalid_json", "PUT", "/entities/t:1", `{"blob":"{}"} x`)
	c.fails(400, "invalid_json", "PUT", "/entities/t:1", `{"blob":"{}","blob":"{}"}`)
}

// Keys with every kind of character go through a path and come back.
func TestKeysInPaths(t *testing.T) {
	c := newClient(t, api.Options{})
	for i, pk := range []string{
		"plain", "a/b", "a:b:c", "100%", "%2F", "a b", "a+b", "?q=1&x", "#frag", "ünï", "日本語", "..", ".", "a/../b", "a\\b", `"q"`,
		"trailing/", "UPPER", "upper", ";p", "'", strings.Repeat("x", 512), "batch",
	} {
		key := "t:" + pk
		path := "/entities/" + url.PathEscape(key)
		c.must(201, "PUT", path, fmt.Sprintf(`{"i":%d}`, i))
		r := c.must(200, "GET", path, "").want("/entity/i", fmt.Sprint(i))
		if got := r.value("/key"); got != quote(key) {
			t.Errorf("key %s came back as %s", key, got)
		}
	}
	c.must(200, "GET", "/entities?table=t&limit=1000", "").want("/count", "23")
	for _, path := range []string{
		"/entities/nocolon", "/entities/t:", "/entities/:x", "/entities/1t:x", "/entities/t:%00", "/entities/t:%FF", "/entities/t:%7F",
		"/entities/t:" + strings.Repeat("x", 513), "/entities/" + strings.Repeat("t", 65) + ":x", "/entities/t%2Fx:1",
	} {
		r := c.send("GET", path, nil)
		if code := r.value("/code"); r.status != 400 || code != `"invalid_key"` && code != `"invalid_table"` {
			t.Errorf("GET %s: %d %s", path, r.status, r.body)
		}
	}
	for _, path := range []string{"/entities/t:a/b", "/entities%2Ft:a", "/ENTITIES/t:plain"} {
		if r := c.send("GET", path, nil); r.status != 404 || r.value("/code") != `"route_not_found"` {
			t.Errorf("GET %s: %d %s", path, r.status, r.body)
		}
	}
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func TestConditions(t *testing.T) {
	c := newClient(t, api.Options{})
	const path = "/entities/t:1"
	c.fails(412, "version_mismatch", "PUT", path, `{}`, `If-Match: "1"`)
	c.fails(412, "version_mismatch", "PUT", path, `{}`, "If-Match: *")
	c.must(201, "PUT", path, `{"v":1}`, "If-None-Match: *")
	c.fails(412, "entity_exists", "PUT", path, `{"v":0}`, "If-None-Match: *")
	c.fails(412, "version_mismatch", "PUT", path, `{"v":0}`, `If-Match: "7"`)
	c.fails(412, "version_mismatch", "PUT", path, `{"v":0}`, `If-Match: "foreign"`)
	c.fails(412, "version_mismatch", "PUT", path, `{"v":0}`, `If-Match: "6", "7"`)
	c.must(200, "PUT", path, `{"v":2}`, `If-Match: "1"`).want("/version", "2")
	c.must(200, "PUT", path, `{"v":3}`, `If-Match: "9", "2"`).want("/version", "3")
	c.must(200, "PUT", path, `{"v":4}`, "If-Match: *").want("/version", "4")
	c.must(200, "PATCH", path, `{"v":5}`, `If-Match: W/"4"`).want("/version", "5")
	c.fails(412, "version_mismatch", "PATCH", path, `{"v":0}`, `If-Match: "4"`)
	c.fails(412, "version_mismatch", "DELETE", path, "", `If-Match: "4"`)
	c.fails(400, "invalid_header", "PATCH", path, `{"v":0}`, "If-None-Match: *")
	c.fails(400, "invalid_header", "PUT", path, `{"v":0}`, `If-None-Match: "1"`)

	if r := c.call("GET", path, "", `If-None-Match: "5"`); r.status != 304 || len(r.body) != 0 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := c.call("GET", path, "", `If-None-Match: "1", W/"5"`); r.status != 304 {
		t.Errorf("%d %s", r.status, r.body)
	}
	c.must(200, "GET", path, "", `If-None-Match: "4"`).want("/entity", `{"v":5}`)
	c.must(200, "DELETE", path, "", `If-Match: "5"`)
}

func TestCreateEntity(t *testing.T) {
	c := newClient(t, api.Options{})
	r := c.must(201, "POST", "/entities", `{"table":"t","entity":{"a":1}}`)
	key := strings.Trim(r.value("/key"), `"`)
	id, err := uuid.Parse(strings.TrimPrefix(key, "t:"))
	if err != nil || id.Version() != 7 {
		t.Errorf("key %s: %v", key, err)
	}
	if location := r.header.Get("Location"); location != "/entities/"+url.PathEscape(key) {
		t.Errorf("Location %q", location)
	}
	c.must(200, "GET", r.header.Get("Location"), "").want("/entity", `{"a":1}`)
	c.must(201, "POST", "/entities", `{"key":"t:x","entity":{"a":1}}`).want("/key", `"t:x"`)
	c.must(200, "POST", "/entities", `{"key":"t:x","table":"t","entity":{"a":2}}`).want("/created", "false")
	c.fails(412, "entity_exists", "POST", "/entities", `{"key":"t:x","entity":{}}`, "If-None-Match: *")

	for body, pointer := range map[string]string{
		`{"entity":{}}`:                                "/key",
		`{"table":"t"}`:                                "/entity",
		`{"table":"1","entity":{}}`:                    "/table",
		`{"key":"nocolon","entity":{}}`:                "/key",
		`{"key":"u:1","table":"t","entity":{}}`:        "/table",
		`{"table":"t","entity":[1]}`:                   "/entity",
		`{"table":"t","entity":{"a":1e999}}`:           "/entity/a",
		`{"table":"t","entity":{},"extra":1}`:          "/extra",
		`{"table":"t","entity":{"a":1,"a":2}}`:         "/entity/a",
		`{"table":5,"entity":{}}`:                      "/table",
		`{"table":"t","entity":{"x":[[{"y":1e400}]]}}`: "/entity/x/0/0/y",
	} {
		r := c.call("POST", "/entities", body)
		if r.status != 400 || r.value("/errors/0/pointer") != quote(pointer) {
			t.Errorf("%s: %d, want pointer %s: %s", body, r.status, pointer, r.body)
		}
	}
}

func TestUnknownMembersAreAllNamed(t *testing.T) {
	c := newClient(t, api.Options{})
	p := c.fails(400, "unknown_field", "POST", "/query", `{"table":"t","filters":1,"limt":2,"cursor":"x"}`)
	if len(p.Errors) != 2 || p.Errors[0].Pointer != "/filters" || p.Errors[1].Pointer != "/limt" {
		t.Errorf("%+v", p.Errors)
	}
	p = c.fails(400, "unknown_field", "POST", "/entities/batch", `{"operations":[{"key":"t:1","entity":{}},{"key":"t:1","Op":"put","entity":{}}]}`)
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/operations/1/Op" {
		t.Errorf("%+v", p.Errors)
	}
	c.fails(400, "unknown_parameter", "GET", "/entities?table=t&limt=3", "")
	c.fails(400, "unknown_parameter", "PUT", "/entities/t:1?wait=true", `{}`)
	c.fails(400, "empty_body", "PUT", "/entities/t:1", " ")
	c.fails(400, "empty_body", "PATCH", "/entities/t:1", " ")
	c.fails(400, "empty_body", "POST", "/query", "")
	c.fails(400, "missing_field", "POST", "/query", "{}")
	c.fails(422, "content_encoding_not_supported", "PUT", "/entities/t:1", `{}`, "Content-Encoding: gzip")
}

// A foreign web page can't write, and the server's own only what is JSON.
func TestCrossSiteRequests(t *testing.T) {
	c := newClient(t, api.Options{})
	const entity = `{"table":"t","entity":{}}`
	for _, contentType := range []string{"text/plain", "application/json"} {
		c.fails(403, "cross_origin", "POST", "/entities", entity, "Origin: https://evil.example", "Content-Type: "+contentType)
		c.fails(403, "cross_origin", "POST", "/entities", entity, "Sec-Fetch-Site: cross-site", "Content-Type: "+contentType)
	}
	c.fails(415, "unsupported_media_type", "POST", "/entities", entity, "Origin: "+c.url, "Content-Type: text/plain")
	c.must(201, "POST", "/entities", entity, "Origin: "+c.url, "Content-Type: application/json")
	c.must(201, "POST", "/entities", entity, "Sec-Fetch-Site: same-origin", "Origin: https://console.example", "Content-Type: application/json")
	c.must(201, "POST", "/entities", entity, "Content-Type: application/x-www-form-urlencoded") // curl -d
}

func TestScroll(t *testing.T) {
	c := newClient(t, api.Options{})
	for i := range 25 {
		c.must(201, "PUT", fmt.Sprintf("/entities/t:%02d", i), `{}`)
	}
	seen := map[string]bool{}
	cursor := ""
	for pages := 1; ; pages++ {
		r := c.must(200, "GET", "/entities?table=t&limit=10&cursor="+url.QueryEscape(cursor), "")
		for i := 0; r.value(fmt.Sprintf("/entities/%d/key", i)) != ""; i++ {
			key := r.value(fmt.Sprintf("/entities/%d/key", i))
			if seen[key] {
				t.Errorf("%s twice", key)
			}
			seen[key] = true
		}
		if cursor = strings.Trim(r.value("/next_cursor"), `"`); cursor == "" {
			break
		}
		if pages > 3 {
			t.Fatal("no end")
		}
	}
	if len(seen) != 25 {
		t.Errorf("%d entities", len(seen))
	}
	c.fails(400, "missing_parameter", "GET", "/entities", "")
	c.fails(400, "invalid_parameter", "GET", "/entities?table=t&limit=0", "")
	c.fails(400, "invalid_parameter", "GET", "/entities?table=t&limit=10001", "")
	c.fails(400, "invalid_parameter", "GET", "/entities?table=t&limit=x", "")
	c.fails(400, "invalid_parameter", "GET", "/entities?table=t&vectors=maybe", "")
	c.fails(400, "invalid_cursor", "GET", "/entities?table=t&cursor=nonsense", "")
	c.fails(404, "table_not_found", "GET", "/entities?table=none", "")
}

func TestGetMany(t *testing.T) {
	c := newClient(t, api.Options{})
	c.must(201, "PUT", "/entities/t:1", `{"a":1}`)
	c.must(201, "PUT", "/entities/u:2", `{"a":2}`)
	c.must(200, "POST", "/entities/get", `{"keys":["u:2","t:none","t:1","v:0","u:2"]}`).want(
		"/entities/0/entity", `{"a":2}`, "/entities/1", "null", "/entities/2/key", `"t:1"`, "/entities/3", "null", "/entities/4/version", "1")
	c.must(200, "POST", "/entities/get", `{"keys":[]}`).want("/entities", "[]")
	p := c.fails(400, "invalid_key", "POST", "/entities/get", `{"keys":["t:1","x"]}`)
	if p.Errors[0].Pointer != "/keys/1" {
		t.Errorf("%+v", p.Errors)
	}
	c.fails(400, "invalid_value", "POST", "/entities/get", `{"keys":["t:1"`+strings.Repeat(`,"t:1"`, 10_000)+`]}`)
}

func TestTables(t *testing.T) {
	c := newClient(t, api.Options{})
	c.must(200, "GET", "/tables", "").want("/tables", "[]")
	c.must(201, "PUT", "/entities/b:1", `{"a":1}`)
	c.must(201, "PUT", "/entities/a:1", `{"a":1}`)
	c.must(200, "POST", "/index/create", `{"table":"a","column":"a"}`)
	c.must(200, "GET", "/tables", "").want("/tables/0/name", `"a"`, "/tables/0/entities", "1", "/tables/0/indexes/0/column", `"a"`, "/tables/1/indexes", "[]")
	c.must(200, "GET", "/tables/b", "").want("/name", `"b"`, "/entities", "1")
	c.must(200, "DELETE", "/tables/a", "").want("/table", `"a"`, "/dropped", "true")
	c.fails(404, "table_not_found", "GET", "/tables/a", "")
	c.fails(404, "table_not_found", "DELETE", "/tables/a", "")
	c.fails(404, "entity_not_found", "GET", "/entities/a:1", "")
}
