package api_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/server/api"
)

func TestIndexLifeCycle(t *testing.T) {
	c := newClient(t, api.Options{})
	c.must(201, "PUT", "/entities/t:1", `{"n":1,"s":"a","v":[1,0]}`)
	c.must(201, "PUT", "/entities/t:2", `{"n":2,"s":"a","v":[0,1]}`)
	r := c.must(200, "POST", "/index/create", `{"table":"t","column":"n","type":"range","unique":true}`)
	r.want("/state", `"ready"`, "/columns", `["n"]`, "/job/state", `"done"`)
	c.must(200, "POST", "/index/create", `{"table":"t","columns":["n","s"]}`)
	c.must(200, "POST", "/index/create", `{"table":"t","column":"v","type":"vector","config":{"metric":"l2"}}`)
	c.must(200, "POST", "/index/create", `{"table":"t","column":"at","type":"ttl","config":{"ttl_seconds":60}}`)
	c.must(200, "GET", "/index/stats?table=t", "").want(
		"/indexes/0/column", `"n"`, "/indexes/0/type", `"range"`, "/indexes/0/unique", "true", "/indexes/0/entry_count", "2", "/indexes/0/state", `"ready"`,
		"/indexes/1/column", "", "/indexes/1/columns", `["n","s"]`, "/indexes/1/type", `"composite"`,
		"/indexes/2/config/dimension", "2", "/indexes/2/config/metric", `"l2"`, "/indexes/2/config/m", "16", "/indexes/2/entry_count", "2",
		"/indexes/3/config/ttl_seconds", "60")
	c.fails(409, "duplicate_value", "PUT", "/entities/t:3", `{"n":1}`)
	c.must(200, "POST", "/index/rebuild", `{"table":"t","column":"n"}`).want("/state", `"ready"`)
	c.must(200, "POST", "/index/reindex", `{"table":"t"}`).want("/job/kind", `"reindex"`)
	c.must(200, "POST", "/index/drop", `{"table":"t","columns":["n"],"type":"range"}`).want("/dropped", "true")
	c.must(201, "PUT", "/entities/t:3", `{"n":1}`)
	c.must(200, "GET", "/index/stats", "").want("/indexes/2/type", `"ttl"`, "/indexes/3", "")

	for body, want := range map[string]struct{ code, pointer string }{
		`{"table":"t","column":"v","type":"vector"}`: {"index_exists", ""},
		`{"table":"t","column":"s","unique":true}`:   {"", ""},
		`{"table":"t"}`:  {"missing_field", "/column"},
		`{"column":"n"}`: {"missing_field", "/table"},
		`{"table":"t","column":"n","columns":["s"]}`:                                 {"invalid_value", "/columns"},
		`{"table":"t","column":"a..b"}`:                                              {"invalid_index", "/column"},
		`{"table":"t","column":"x","type":"best"}`:                                   {"invalid_index", "/type"},
		`{"table":"t","column":"x","type":"fulltext"}`:                               {"not_supported", ""},
		`{"table":"t","column":"x","type":"vector","config":{"dimension":-1}}`:       {"invalid_index", "/config/dimension"},
		`{"table":"t","column":"x","type":"vector","config":{"metric":"manhattan"}}`: {"invalid_index", "/config/metric"},
		`{"table":"t","column":"x","type":"vector","config":{"engine":"tpu"}}`:       {"invalid_index", "/config/engine"},
		`{"table":"t","column":"x","config":{"dim":3}}`:                              {"unknown_field", "/config/dim"},
		`{"table":"t","column":"x","type":"range","config":{"ttl_seconds":3}}`:       {"invalid_index", "/config/ttl_seconds"},
		`{"table":"1t","column":"x"}`:                                                {"invalid_table", "/table"},
	} {
		r := c.call("POST", "/index/create", body)
		if r.status < 400 || r.status >= 500 {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
		if want.code != "" {
			r.want("/code", quote(want.code))
		}
		if want.pointer != "" {
			r.want("/errors/0/pointer", quote(want.pointer))
		}
	}
	c.fails(404, "index_not_found", "POST", "/index/drop", `{"table":"t","column":"none"}`)
	c.fails(404, "table_not_found", "POST", "/index/drop", `{"table":"none","column":"a"}`)
	c.fails(404, "table_not_found", "POST", "/index/reindex", `{"table":"none"}`)
	c.fails(400, "invalid_parameter", "POST", "/index/create?wait=perhaps", `{"table":"t","column":"x"}`)
}

func TestJobs(t *testing.T) {
	c := newClient(t, api.Options{})
	for i := range 5 {
		var lines strings.Builder
		for j := range 2000 {
			fmt.Fprintf(&lines, `{"key":"t:%d","entity":{"n":%d,"s":"%0100d"}}`+"\n", i*2000+j, j, j)
		}
		c.must(200, "POST", "/entities/batch", lines.String(), ndjson)
	}
	r := c.must(202, "POST", "/index/create?wait=false", `{"table":"t","column":"n"}`)
	location := r.header.Get("Location")
	if want := "/jobs/" + strings.Trim(r.value("/job/id"), `"`); location != want {
		t.Errorf("Location %q, want %q", location, want)
	}
	events := c.events(location + "/stream")
	last := events[len(events)-1]
	if last.name != "end" {
		t.Errorf("the last event is %+v", last)
	}
	(&reply{t: t, body: []byte(last.data)}).want("/state", `"done"`, "/id", r.value("/job/id"))
	for _, e := range events[:len(events)-1] {
		if e.name != "progress" {
			t.Errorf("%+v", e)
		}
	}
	c.must(200, "GET", location, "").want("/state", `"done"`, "/subject", `"t.n (equality)"`)
	c.must(200, "GET", "/jobs", "").want("/jobs/0/id", r.value("/job/id"))
	// Canceling what has ended changes nothing.
	c.must(200, "POST", location+"/cancel", "").want("/state", `"done"`)
	c.fails(404, "job_not_found", "GET", "/jobs/none", "")
	c.fails(404, "job_not_found", "POST", "/jobs/none/cancel", "")
	c.fails(404, "job_not_found", "GET", "/jobs/none/stream", "")

	r = c.must(202, "POST", "/index/create?wait=false", `{"table":"t","column":"s"}`)
	location = r.header.Get("Location")
	c.must(200, "POST", location+"/cancel", "")
	events = c.events(location + "/stream")
	state := (&reply{t: t, body: []byte(events[len(events)-1].data)}).value("/state")
	if state != `"canceled"` && state != `"done"` { // it may have been faster
		t.Errorf("state %s", state)
	}
	if state == `"canceled"` {
		c.fails(404, "index_not_found", "POST", "/index/drop", `{"table":"t","column":"s"}`)
	}
}

type event struct{ name, data string }

// events reads a stream of server-sent events to its end.
func (c *client) events(path string) []event {
	c.t.Helper()
	res, err := c.http.Get(c.url + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		c.t.Fatalf("%s: %d %v", path, res.StatusCode, res.Header)
	}
	var list []event
	var e event
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "" && e.data != "":
			list, e = append(list, e), event{}
		case strings.HasPrefix(line, "event: "):
			e.name = strings.TrimPrefix(line, "event: ")
		case strings.HasPrefix(line, "data: "):
			e.data = strings.TrimPrefix(line, "data: ")
		}
	}
	if len(list) == 0 {
		c.t.Fatalf("%s: no events", path)
	}
	return list
}

// A stream doesn't hold up a shutdown; newClient's cleanup fails if it does.
func TestStreamEndsWithTheServer(t *testing.T) {
	c := newClient(t, api.Options{})
	var lines strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, `{"key":"t:%d","entity":{"n":%d}}`+"\n", i, i)
	}
	c.must(200, "POST", "/entities/batch", lines.String(), ndjson)
	location := c.must(202, "POST", "/index/reindex?wait=false", `{"table":"t"}`).header.Get("Location")
	res, err := c.http.Get(c.url + location + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	t.Cleanup(func() {
		res.Body.Close()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%v", took)
		}
	})
}
