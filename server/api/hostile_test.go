package api_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/server/api"
)

// hostileBodies are wrong for every route.
func hostileBodies() map[string]string {
	return map[string]string{
		"empty": "", "space": " \n\t ", "null": "null", "array": "[]", "array of objects": "[{}]", "number": "1", "string": `"x"`, "true": "true",
		"not json": "not json", "half a word": "tru", "NaN": `{"a":NaN}`, "Infinity": `{"a":-Infinity}`, "hex": `{"a":0x1}`,
		"comment": `{/**/}`, "trailing comma": `{"a":1,}`, "single quotes": `{'a':1}`, "two values": `{} {}`, "trailing text": `{}x`,
		"bad utf8": "{\"a\":\"\xff\xfe\"}", "bad utf8 name": "{\"\xc3\x28\":1}", "lone surrogate": `{"a":"\ud800"}`, "NUL": "{\"a\":\"\x00\"}", "only NUL": "\x00\x00\x00\x00",
		"byte order mark": "\xef\xbb\xbf{}", "utf16": "{\x00\"\x00a\x00\"\x00", "duplicate": `{"a":1,"a":2}`, "unknown": `{"such_a_member":1}`, "empty name": `{"":1}`,
		"deep arrays": `{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}", "deeper": strings.Repeat(`{"a":`, 100_000),
		"deep objects": strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000),
		"huge number":  `{"a":1e999}`, "long number": `{"a":` + strings.Repeat("9", 100_000) + "}", "long name": `{"` + strings.Repeat("n", 100_000) + `":1}`,
		"many members": "{" + manyMembers(20_000) + "}", "oversize": `{"a":"` + strings.Repeat("x", maxBody) + `"}`, "form": "a=1&b=2", "xml": "<a/>",
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"m%d":%d,`, i, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// hostileValues take the place of a member's value.
func hostileValues() []string {
	return []string{
		"null", "true", "0", "-1", "1.5", "1e999", "99999999999999999999", `""`, `"x"`, `"\u0000"`, `"` + strings.Repeat("x", 5000) + `"`, "[]", "[null]", "[[]]", "[1,2]",
		"[NaN]", `["x",1]`, "{}", `{"a":1}`, `{"b64":1}`, `{"b64":"AAA"}`, `[{}]`, `[null,{}]`, strings.Repeat("[", 200) + strings.Repeat("]", 200),
		`{"and":` + strings.Repeat(`[{"and":`, 100) + "[]" + strings.Repeat("}]", 100) + "}",
	}
}

// mutations are what a good body becomes when one thing in it is wrong: each
// value at each depth replaced, each member taken out or doubled, a member too
// many, and cut off everywhere.
func mutations(t *testing.T, body string) []string {
	var out []string
	for _, value := range positions(t, jsontext.Value(body)) {
		for _, hostile := range hostileValues() {
			out = append(out, body[:value.start]+hostile+body[value.end:])
		}
		if value.member != "" {
			out = append(out, body[:value.start]+body[value.start:value.end]+","+value.member+":"+body[value.start:value.end]+body[value.end:])
		}
	}
	for i := 1; i < len(body); i += 1 + len(body)/60 {
		out = append(out, body[:i], body[:i]+"\xff"+body[i:])
	}
	return append(out, strings.Replace(body, "{", `{"such_a_member":1,`, 1))
}

type position struct {
	start, end int
	member     string
}

// positions finds every value of a JSON text below its top.
func positions(t *testing.T, text jsontext.Value) []position {
	var list []position
	var walk func(offset int, value jsontext.Value)
	walk = func(offset int, value jsontext.Value) {
		dec := jsontext.NewDecoder(bytes.NewReader(value))
		if kind := value.Kind(); kind != '{' && kind != '[' {
			return
		}
		if _, err := dec.ReadToken(); err != nil {
			t.Fatal(err)
		}
		for k := dec.PeekKind(); k != '}' && k != ']'; k = dec.PeekKind() {
			var member string
			if value.Kind() == '{' {
				name, err := dec.ReadValue()
				if err != nil {
					t.Fatal(err)
				}
				member = string(name)
			}
			v, err := dec.ReadValue()
			if err != nil {
				t.Fatal(err)
			}
			end := int(dec.InputOffset())
			list = append(list, position{offset + end - len(v), offset + end, member})
			walk(offset+end-len(v), v.Clone())
		}
	}
	walk(0, text)
	return list
}

// Whatever the body, no route answers with a 5xx, and every failure is a
// problem document (spec.check looks at each).
func TestHostileBodies(t *testing.T) {
	c := newClient(t, api.Options{})
	offered, requests, failures := 0, 0, 0
	send := func(name, method, path, mediaType, body string) {
		if offered++; testing.Short() && offered%5 != 0 {
			return
		}
		requests++
		r := c.call(method, path, body, "Content-Type: "+mediaType)
		if r.status >= 500 {
			t.Errorf("%s %s, %s: %d: %s", method, path, name, r.status, r.body)
		}
		if r.status >= 400 {
			failures++
		}
		if name == "oversize" && r.status != 413 && method != "GET" && mediaType == "application/json" && c.spec.operation(method, path).RequestBody != nil {
			t.Errorf("%s %s, %s: %d", method, path, name, r.status)
		}
	}
	replacer := strings.NewReplacer("{key}", "users:ada", "{table}", "users", "{id}", "none")
	bodies := hostileBodies()
	for _, pattern := range slices.Sorted(maps.Keys(c.spec.Paths)) {
		for method, op := range c.spec.Paths[pattern] {
			method, path := strings.ToUpper(method), replacer.Replace(pattern)
			seed(c)
			for name, body := range bodies {
				send(name, method, path, "application/json", body)
			}
			if op.RequestBody == nil {
				continue
			}
			for mediaType, m := range op.RequestBody.Content {
				example := string(m.Example)
				if m.Example.Kind() == '"' { // lines
					if err := json.Unmarshal(m.Example, &example); err != nil {
						t.Fatal(err)
					}
					example, _, _ = strings.Cut(example, "\n")
					for name, body := range bodies {
						send(name, method, path, mediaType, body)
					}
				}
				for i, body := range mutations(t, example) {
					if i%2 == 0 || !testing.Short() {
						send(body, method, path, mediaType, body)
					}
				}
			}
		}
	}
	t.Logf("%d requests, %d refused", requests, failures)
	if requests < 5000 && !testing.Short() || failures < requests/2 {
		t.Errorf("%d requests with %d failures: the test has lost its teeth", requests, failures)
	}
	c.must(200, "GET", "/tables", "")
}

// seed makes the data that the examples of the document speak of.
func seed(c *client) {
	c.send("DELETE", "/tables/users", nil)
	c.must(201, "PUT", "/entities/users:ada", `{"name":"Ada","age":36,"embedding":[0.12,-0.5,0.33]}`)
	c.must(201, "PUT", "/entities/users:bob", `{"name":"Bob","age":41,"embedding":[0.1,0.2,0.3]}`)
	c.must(200, "POST", "/index/create", `{"table":"users","column":"embedding","type":"vector","config":{"dimension":3}}`)
	c.must(200, "POST", "/index/create", `{"table":"users","column":"age","type":"range"}`)
}

// Hostile paths and query strings.
func TestHostileTargets(t *testing.T) {
	c := newClient(t, api.Options{})
	seed(c)
	for _, route := range c.routes {
		method, pattern, _ := strings.Cut(route, " ")
		for _, value := range []string{
			"%", "%zz", "%00", "%FF", "%C3%28", "..%2F..%2Fetc", "x%3Ay", strings.Repeat("a", 2000), "users:%0d%0aX-Evil:1", "'", `"`, "{key}", "*", "%2F", "%25", "$ref",
		} {
			if !strings.Contains(pattern, "{") {
				continue
			}
			path := pattern[:strings.Index(pattern, "{")] + value + pattern[strings.Index(pattern, "}")+1:]
			c.raw(method, path)
		}
		for _, query := range []string{"?", "?=", "?&&", "?%zz=%zz", "?limit=%00", "?table=%FF&table=users", "?cursor=" + strings.Repeat("A", 4000), "?wait=\x01", "?vectors[]=1", "?table=users&limit=-1"} {
			c.raw(method, strings.NewReplacer("{key}", "users:ada", "{table}", "nosuch", "{id}", "none").Replace(pattern)+query)
		}
	}
}
