package admin

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
)

func TestSlowQueries(t *testing.T) {
	c := newCopies(t)
	c.db.SetSlowThreshold(time.Nanosecond)
	filter, err := query.ParseFilter(nil, []byte(`{"column":"a","value":7}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"t", "t", "none"} {
		_, _ = c.db.Query(t.Context(), engine.QueryRequest{Table: table, Filter: filter}) // the last one fails, and is kept too
	}
	get := func(path string) (list slowList) {
		t.Helper()
		status, body := c.raw(http.MethodGet, path, "")
		if err := json.Unmarshal([]byte(body), &list); status != 200 || err != nil {
			t.Fatalf("%s: %d %s", path, status, body)
		}
		return list
	}
	list := get("/admin/slow?limit=2")
	if len(list.Queries) != 2 || !list.More || list.Queries[0].Error != "table_not_found" || list.Queries[0].Sequence != 3 {
		t.Errorf("the newest two: %+v", list)
	}
	q := list.Queries[1]
	if q.Kind != engine.SlowQueryKind || q.TookMs <= 0 || q.Table != "t" || string(q.Filter) != `{"column":"a","op":"eq","value":7}` || q.Text != "a = 7" ||
		q.Plan == nil || q.Plan.RowsScanned != 1 {
		t.Errorf("one: %+v", q)
	}
	if list = get("/admin/slow?before=2&table=t"); len(list.Queries) != 1 || list.More || list.Queries[0].Sequence != 1 {
		t.Errorf("those before: %+v", list)
	}
	if list = get("/admin/slow?table=other"); list.Queries == nil || len(list.Queries) != 0 {
		t.Errorf("another table: %+v", list)
	}
	for _, path := range []string{"/admin/slow?limit=0", "/admin/slow?limit=257", "/admin/slow?before=x"} {
		if status, body := c.raw(http.MethodGet, path, ""); status != 400 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := c.raw(http.MethodDelete, "/admin/slow", ""); status != 204 {
		t.Errorf("clear: %d %s", status, body)
	}
	if list = get("/admin/slow"); len(list.Queries) != 0 {
		t.Errorf("after clearing: %+v", list)
	}
}
