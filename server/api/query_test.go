package api_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/server/api"
)

func people(t *testing.T) *client {
	c := newClient(t, api.Options{})
	for i, doc := range []string{
		`{"name":"Ada","age":36,"v":[1,0,0]}`, `{"name":"Bob","age":41,"v":[0.9,0.1,0]}`,
		`{"name":"Eve","age":20,"v":[0,1,0]}`, `{"name":"Joe","v":[0,0,1]}`,
	} {
		c.must(201, "PUT", fmt.Sprintf("/entities/p:%d", i+1), doc)
	}
	c.must(200, "POST", "/index/create", `{"table":"p","column":"age","type":"range"}`)
	return c
}

func TestQuery(t *testing.T) {
	c := people(t)
	c.must(200, "POST", "/query", `{"table":"p","predicates":[{"column":"age","op":"gte","value":30}],"order_by":"-age","explain":true}`).want(
		"/table", `"p"`, "/count", "2", "/entities/0/key", `"p:2"`, "/entities/1/entity/name", `"Ada"`, "/plan/mode", `"range_aware"`)
	c.must(200, "POST", "/query", `{"table":"p","filter":{"or":[{"column":"name","value":"Eve"},{"not":{"column":"age","op":"exists"}}]},"return":"keys","order_by":["name"]}`).want(
		"/count", "2", "/keys", `["p:3","p:4"]`, "/entities", "", "/plan", "")
	c.must(200, "POST", "/query", `{"table":"p","return":"count"}`).want("/count", "4", "/keys", "", "/entities", "")
	c.must(200, "POST", "/query", `{"table":"p","predicates":[{"column":"name","value":"Ada"}],"filter":{"column":"age","value":36},"fields":["name"]}`).want(
		"/count", "1", "/entities/0/entity", `{"name":"Ada"}`)
	c.must(200, "POST", "/query", `{"table":"p","filter":null,"predicates":null,"order_by":null,"limit":null}`).want("/count", "4")

	r := c.must(200, "POST", "/query", `{"table":"p","order_by":"name","limit":3,"return":"keys"}`).want("/keys", `["p:1","p:2","p:3"]`)
	c.must(200, "POST", "/query", `{"table":"p","order_by":"name","limit":3,"return":"keys","cursor":`+r.value("/next_cursor")+`}`).want(
		"/keys", `["p:4"]`, "/next_cursor", "")

	c.fails(400, "full_scan_refused", "POST", "/query", `{"table":"p","predicates":[{"column":"name","value":"Ada"}],"allow_full_scan":false}`)
	c.fails(404, "table_not_found", "POST", "/query", `{"table":"none"}`)
	for body, pointer := range map[string]string{
		`{"table":"p","limit":0}`:                                                     "/limit",
		`{"table":"p","limit":10001}`:                                                 "/limit",
		`{"table":"p","limit":1.5}`:                                                   "/limit",
		`{"table":"p","limit":99999999999999999999}`:                                  "/limit",
		`{"table":"p","return":"everything"}`:                                         "/return",
		`{"table":"p","fields":["a",""]}`:                                             "/fields/1",
		`{"table":"p","fields":"a"}`:                                                  "/fields",
		`{"table":"p","predicates":[{"column":"a","value":1},{"op":"eq","value":1}]}`: "/predicates/1",
		`{"table":"p","filter":{"and":[{"column":"a","op":"like","value":1}]}}`:       "/filter/and/0/op",
		`{"table":"p","order_by":[{"column":"a","direction":"up"}]}`:                  "/order_by/0/direction",
		`{"table":"1"}`:              "/table",
		`{"table":{}}`:               "/table",
		`{"table":"p","explain":1}`:  "/explain",
		`{"table":"p","table":"p"}`:  "/table",
		`{"table":"p","cursor":[1]}`: "/cursor",
	} {
		r := c.call("POST", "/query", body)
		if got := r.value("/errors/0/pointer"); r.status != 400 || !strings.HasPrefix(got, strings.TrimSuffix(quote(pointer), `"`)) {
			t.Errorf("%s: %d, pointer %s, want %s: %s", body, r.status, got, pointer, r.body)
		}
	}
	c.fails(400, "invalid_cursor", "POST", "/query", `{"table":"p","cursor":"nonsense"}`)
	c.fails(422, "not_supported", "POST", "/query", `{"table":"p","predicates":[{"column":"name","op":"match","value":"x"}]}`)
}

func b64(v ...float32) string {
	var raw []byte
	for _, f := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
	}
	return `{"b64":"` + base64.StdEncoding.EncodeToString(raw) + `"}`
}

func TestSearch(t *testing.T) {
	c := people(t)
	c.fails(404, "index_not_found", "POST", "/vector/search", `{"vector":[1,0,0]}`)
	c.must(200, "POST", "/index/create", `{"table":"p","column":"v","type":"vector"}`)
	r := c.must(200, "POST", "/vector/search", `{"vector":[1,0,0],"k":2}`)
	r.want("/count", "2", "/k", "2", "/results/0/key", `"p:1"`, "/results/0/pk", `"1"`, "/results/0/distance", "0", "/results/0/score", "1",
		"/results/0/entity", `{"name":"Ada","age":36}`, "/results/1/key", `"p:2"`)
	c.must(200, "POST", "/vector/search", `{"vector":`+b64(1, 0, 0)+`,"k":1,"include_vectors":true}`).want(
		"/results/0/entity", `{"name":"Ada","age":36,"v":[1,0,0]}`)
	c.must(200, "POST", "/vector/search", `{"table":"p","column":"v","key":"p:1","k":1,"return":"keys"}`).want(
		"/results/0/key", `"p:2"`, "/results/0/entity", "")
	c.must(200, "POST", "/vector/search", `{"vector":[1,0,0],"predicates":[{"column":"age","op":"lt","value":30}],"fields":["name"],"explain":true}`).want(
		"/count", "1", "/results/0/entity", `{"name":"Eve"}`, "/plan/matching", "1")
	c.must(200, "POST", "/vector/search", `{"vector":[1,0,0],"max_distance":0.5,"exact":true}`).want("/count", "2", "/k", "10")
	c.must(200, "POST", "/vector/search", `{"vector":[1,0,0],"recall":0.95,"explain":true}`).want("/plan/recall", "0.95", "/count", "4")
	for _, body := range []string{`"recall":0.5`, `"recall":0`, `"recall":0.95,"ef":10`} {
		c.must(400, "POST", "/vector/search", `{"vector":[1,0,0],`+body+`}`).want("/errors/0/pointer", `"/recall"`)
	}
	c.must(200, "POST", "/vector/search", `{"vectors":[[1,0,0],`+b64(0, 0, 1)+`],"k":1,"return":"keys","explain":true}`).want(
		"/results/0/0/key", `"p:1"`, "/results/1/0/key", `"p:4"`, "/count", "2", "/plans/1/live", "4", "/plan", "")
	r = c.must(200, "POST", "/vector/search", `{"vector":[1,0,0],"k":3}`)
	c.must(200, "POST", "/vector/search", `{"vector":[1,0,0],"k":3,"cursor":`+r.value("/next_cursor")+`}`).want("/count", "1", "/next_cursor", "")

	for body, pointer := range map[string]string{
		`{}`:                                 "/vector",
		`{"vector":[1,0,0],"key":"p:1"}`:     "/vector",
		`{"vector":[]}`:                      "/vector",
		`{"vector":[1,"a",0]}`:               "/vector/1",
		`{"vector":[1,1e39,0]}`:              "/vector/1",
		`{"vector":[1,null]}`:                "/vector/1",
		`{"vector":{"b64":"???"}}`:           "/vector/b64",
		`{"vector":{"b64":"AAA="}}`:          "/vector/b64",
		`{"vector":{"b65":""}}`:              "/vector",
		`{"vectors":[[1,0,0],[1,0,[0]]]}`:    "/vectors/1",
		`{"vectors":[]}`:                     "/vectors",
		`{"vectors":[[1,0,0]],"cursor":"x"}`: "/cursor",
		`{"vector":[1,0,0],"k":0}`:           "/k",
		`{"vector":[1,0,0],"k":10001}`:       "/k",
		`{"vectors":[[1],[1],[1],[1],[1],[1],[1],[1],[1],[1],[1]],"k":10000}`: "/k",
		`{"vector":[1,0,0],"ef":0}`:              "/ef",
		`{"vector":[1,0,0],"return":"count"}`:    "/return",
		`{"vector":[1,0,0],"max_distance":"x"}`:  "/max_distance",
		`{"vector":[1,0,0],"filter":{"xor":[]}}`: "/filter",
		`{"key":"x"}`:                            "/key",
		`{"table":"1","vector":[1]}`:             "/table",
	} {
		r := c.call("POST", "/vector/search", body)
		if got := r.value("/errors/0/pointer"); r.status != 400 || !strings.HasPrefix(got, strings.TrimSuffix(quote(pointer), `"`)) {
			t.Errorf("%s: %d, pointer %s, want %s: %s", body, r.status, got, pointer, r.body)
		}
	}
	c.fails(400, "dimension_mismatch", "POST", "/vector/search", `{"vector":[1,0]}`)
	c.fails(400, "zero_vector", "POST", "/vector/search", `{"vector":[0,0,0]}`)
	c.fails(404, "entity_not_found", "POST", "/vector/search", `{"key":"p:none"}`)
	c.fails(404, "index_not_found", "POST", "/vector/search", `{"table":"p","column":"w","vector":[1,0,0]}`)
	c.must(200, "POST", "/index/create", `{"table":"q","column":"v","type":"vector"}`)
	c.fails(400, "ambiguous_index", "POST", "/vector/search", `{"vector":[1,0,0]}`)
}

func TestBatchInsert(t *testing.T) {
	c := newClient(t, api.Options{})
	c.fails(404, "index_not_found", "POST", "/vector/batch_insert", `{"items":[{"pk":"a","vector":[1]}]}`)
	// Without an index: stored under the default column, and checked as vectors.
	c.must(200, "POST", "/vector/batch_insert", `{"table":"t","items":[{"pk":"a","vector":[1,2]},{"pk":"b","vector":["x"]},{"vector":[1]},{"pk":"c"}]}`).want(
		"/inserted", "1", "/dimension", "2", "/errors/0/index", "1", "/errors/0/pk", `"b"`, "/errors/0/code", `"invalid_vector"`,
		"/errors/1/index", "2", "/errors/1/code", `"invalid_key"`, "/errors/2/code", `"missing_field"`)
	c.must(200, "GET", "/entities/t:a", "").want("/entity", `{"embedding":[1,2]}`)

	c.must(200, "POST", "/index/create", `{"table":"n","column":"emb.v","type":"vector"}`)
	c.must(200, "POST", "/vector/batch_insert", `{"items":[
		{"pk":"1","vector":`+b64(1, 2, 3)+`,"fields":{"a": 1.0, "emb":{"model":"m"}}},
		{"pk":"2","vector":[1,2]},
		{"pk":"3","vector":[0,0,0]},
		{"pk":"4","vector":[1,2,3],"fields":[]},
		{"pk":"5","vector":[1,2,3],"fields":{}},
		{"pk":"6","vector":[1,2,3],"fields":null},
		{"pk":"7","vector":"no"}]}`).want(
		"/inserted", "3", "/dimension", "3",
		"/errors/0/index", "3", "/errors/0/code", `"not_an_object"`,
		"/errors/1/index", "1", "/errors/1/code", `"dimension_mismatch"`,
		"/errors/2/index", "2", "/errors/2/code", `"zero_vector"`,
		"/errors/3/index", "6", "/errors/3/code", `"invalid_vector"`, "/errors/4", "")
	c.must(200, "GET", "/entities/n:1?vectors=false", "").want("/entity", `{"a":1.0,"emb":{"model":"m"}}`)
	c.must(200, "GET", "/entities/n:5", "").want("/entity/emb/v", `[1,2,3]`)
	c.must(200, "POST", "/vector/search", `{"vector":[1,2,3]}`).want("/count", "3")

	// The column is the vector's: a field can't take it.
	c.must(200, "POST", "/index/create", `{"table":"o","column":"v","type":"vector"}`)
	c.must(200, "POST", "/vector/batch_insert", `{"table":"o","items":[{"pk":"1","vector":[1,2],"fields":{"v":[3,4]}},{"pk":"2","vector":[1,2],"fields": {"w":1} }]}`).want(
		"/inserted", "1", "/errors/0/index", "0", "/errors/0/code", `"invalid_json"`)
	c.must(200, "GET", "/entities/o:2", "").want("/entity", `{"v":[1,2],"w":1}`)
	c.fails(400, "invalid_column", "POST", "/vector/batch_insert", `{"table":"x","column":"a..b","items":[{"pk":"1","vector":[1]}]}`)
}

func TestDeleteMany(t *testing.T) {
	c := newClient(t, api.Options{})
	fill := func() {
		for i := range 10 {
			c.call("PUT", fmt.Sprintf("/entities/t:a%d", i), fmt.Sprintf(`{"n":%d}`, i))
			c.call("PUT", fmt.Sprintf("/entities/t:b%d", i), fmt.Sprintf(`{"n":%d}`, i))
		}
	}
	left := func(n string) { c.must(200, "GET", "/tables/t", "").want("/entities", n) }
	fill()
	c.must(200, "POST", "/vector/delete", `{"table":"t","pks":["a1","a2","none","a2"]}`).want("/deleted", "2", "/method", `"pks"`)
	left("18")
	c.must(200, "POST", "/vector/delete", `{"table":"t","prefix":"a"}`).want("/deleted", "8", "/method", `"prefix"`)
	left("10")
	c.must(200, "POST", "/vector/delete", `{"table":"t","predicates":[{"column":"n","op":"lt","value":3}]}`).want("/deleted", "3", "/method", `"filter"`)
	c.must(200, "DELETE", "/vector/by-filter", `{"table":"t","filter":{"column":"n","op":"gte","value":8}}`).want("/deleted", "2", "/method", `"filter"`)
	left("5")
	c.fails(404, "table_not_found", "POST", "/vector/delete", `{"table":"none","prefix":"a"}`)
	for _, body := range []string{
		`{"table":"t"}`, `{"table":"t","pks":["b5"],"prefix":"b"}`, `{"table":"t","prefix":""}`, `{"table":"t","filter":null}`,
		`{"table":"t","pks":["b5"],"filter":{"column":"n","value":1}}`, `{"table":"t","pks":["b5",""]}`, `{"table":"t","prefix":"b","where":1}`, `{"pks":["b5"]}`,
	} {
		if r := c.call("POST", "/vector/delete", body); r.status != 400 {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	c.fails(400, "missing_field", "DELETE", "/vector/by-filter", `{"table":"t"}`)
	left("5")
}

func TestVectorIndexAdministration(t *testing.T) {
	c := people(t)
	c.must(200, "GET", "/vector/index/stats", "").want("/indexes", "[]")
	c.must(200, "POST", "/index/create", `{"table":"p","column":"v","type":"vector","config":{"metric":"dot"}}`)
	c.must(200, "GET", "/vector/index/config", "").want("/table", `"p"`, "/column", `"v"`, "/config/ef", "64", "/config/metric", `"dot"`)
	c.must(200, "PUT", "/vector/index/config", `{"ef":100}`).want("/config/ef", "100")
	c.must(200, "GET", "/vector/index/config?table=p&column=v", "").want("/config/ef", "100")
	c.must(200, "GET", "/vector/index/stats", "").want("/indexes/0/live", "4", "/indexes/0/metric", `"dot"`, "/indexes/0/dimension", "3", "/indexes/0/device", `"cpu"`)
	c.must(200, "PUT", "/vector/index/config", `{"engine":"gpu"}`).want("/config/ef", "100", "/config/engine", `"gpu"`)
	c.must(200, "GET", "/vector/index/stats", "").want("/indexes/0/device", `"cpu"`, "/indexes/0/gpu/state", `"off"`, "/indexes/0/gpu/reason", `"this server has no GPU worker"`)
	c.must(200, "POST", "/vector/search", `{"vector":[1,2,3],"k":2,"explain":true}`).
		want("/plan/device/engine", `"cpu"`, "/plan/device/reason", `"this server has no GPU worker"`)
	c.fails(400, "invalid_value", "PUT", "/vector/index/config", `{"engine":"tpu"}`)
	c.must(200, "POST", "/vector/index/recall", `{"sample":4,"k":2}`).want("/sample", "4", "/k", "2", "/recall", "1")
	c.must(200, "POST", "/vector/index/recall/curve", `{"sample":4,"k":2,"efs":[2,8]}`).
		want("/curve/points/1/ef", "8", "/curve/points/1/recall", "1", "/curve/vectors", "4", "/job/state", `"done"`, "/job/result/k", "2")
	c.must(202, "POST", "/vector/index/recall/curve?wait=false", `{}`).want("/job/kind", `"recall_curve"`)
	c.fails(400, "invalid_value", "POST", "/vector/index/recall/curve", `{"sample":2001}`)
	c.fails(400, "invalid_ef", "POST", "/vector/index/recall/curve", `{"efs":[0]}`)
	c.must(200, "POST", "/vector/index/save", "").want("/saved/0/table", `"p"`, "/saved/0/column", `"v"`, "/saved/0/epoch", "1")
	c.must(200, "POST", "/vector/index/save", `{"table":"p","column":"v"}`).want("/saved/0/epoch", "2")
	c.must(200, "GET", "/vector/index/stats", "").want("/indexes/0/checkpoint/epoch", "2", "/indexes/0/checkpoint/behind", "0", "/indexes/0/checkpoint/source", `"storage"`)
	c.fails(404, "index_not_found", "POST", "/vector/index/save", `{"table":"p","column":"w"}`)
	c.fails(400, "unknown_field", "POST", "/vector/index/save", `{"where":1}`)
	c.fails(404, "index_not_found", "GET", "/vector/index/config?table=p&column=w", "")
	c.fails(400, "missing_field", "PUT", "/vector/index/config", `{}`)
	c.fails(400, "invalid_value", "PUT", "/vector/index/config", `{"ef":-1}`)
	c.fails(400, "unknown_field", "PUT", "/vector/index/config", `{"ef":100,"m":8}`)
	c.fails(400, "invalid_value", "POST", "/vector/index/recall", `{"sample":0}`)
}
