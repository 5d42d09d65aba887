package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/testkit"
)

// openSlow is a database for which everything takes too long: 200 entities with
// a vector and without an index on "n" or "s".
func openSlow(t *testing.T) *testkit.DB {
	opts := testkit.Options(t.TempDir())
	opts.Query.SlowThreshold = time.Nanosecond
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Dimension: 2, Metric: "l2"}})
	for i := range 200 {
		db.Do(testkit.Put(fmt.Sprintf("t:%03d", i), map[string]any{"n": i, "s": fmt.Sprint("s", i), "v": []float64{float64(i), 1}}))
	}
	return db
}

func slowQueries(db *testkit.DB) []*engine.SlowQuery {
	var all []*engine.SlowQuery
	for _, item := range db.SlowQueries().After(0, 1000, nil).Items {
		all = append(all, item.Value)
	}
	return all
}

func filterOf(t *testing.T, text string) *query.Expr {
	t.Helper()
	e, err := query.ParseFilter(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSlowQueries(t *testing.T) {
	db := openSlow(t)
	ctx := engine.WithCaller(t.Context(), &engine.Caller{Name: "ops", RequestID: "r1"})
	filter := filterOf(t, `{"column":"s","value":"s7"}`)
	if _, err := db.Query(ctx, engine.QueryRequest{Table: "t", Filter: filter, Limit: 5, Order: []query.Order{{Column: "n"}}}); err != nil {
		t.Fatal(err)
	}
	results, err := db.Search(ctx, engine.SearchRequest{Table: "t", Vectors: [][]float32{{1.5, 2.5}, {3, 4}}, K: 3, Filter: filter})
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Plan != nil || results[1].Plan != nil {
		t.Error("a search that didn't ask for it got a plan")
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := db.Query(canceled, engine.QueryRequest{Table: "t", Filter: filter}); err == nil {
		t.Error("a canceled query has an answer")
	}
	if _, err := db.Query(ctx, engine.QueryRequest{Table: "none"}); err == nil {
		t.Error("a table that isn't there has an answer")
	}

	all := slowQueries(db)
	if len(all) != 4 {
		t.Fatalf("%d slow queries", len(all))
	}
	q := all[0]
	if q.Kind != engine.SlowQueryKind || q.Table != "t" || q.Caller.Name != "ops" || q.Caller.RequestID != "r1" || q.Took <= 0 || q.Found != 1 || q.Limit != 5 ||
		q.Filter != `{"column":"s","op":"eq","value":"s7"}` || q.FilterText != `s = "s7"` || q.Shape != "s = ?" || q.Order[0].Column != "n" || q.Error != "" {
		t.Errorf("the query: %+v", q)
	}
	if p := q.Plan; p.Mode != query.ModeFullScan || p.RowsScanned != 200 || len(p.Advice) != 1 || p.Advice[0].Columns[0] != "s" || p.Advice[0].Type != schema.Equality {
		t.Errorf("its plan: %s", testkit.JSON(p))
	}
	s := all[1]
	if s.Kind != engine.SlowSearchKind || s.Column != "v" || s.K != 3 || s.Vectors != 2 || s.Found != 2 || s.Search.Mode != "exact" || s.Search.Matching != 1 ||
		s.Plan.RowsScanned != 200 || len(s.Plan.Advice) != 1 {
		t.Errorf("the search: %+v, plan %s, %s", s, testkit.JSON(s.Plan), testkit.JSON(s.Search))
	}
	if c := all[2]; c.Error != "request_canceled" || c.Plan == nil {
		t.Errorf("the canceled one: %+v", c)
	}
	if c := all[3]; c.Error != "table_not_found" || c.Plan != nil {
		t.Errorf("the one without a table: %+v", c)
	}
	// Whatever is asked for or kept, it is without the vectors.
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "2.5,") || strings.Contains(string(text), "2.5]") {
		t.Errorf("a vector is kept: %s", text)
	}
	stats, err := db.Stats()
	if err != nil || stats.SlowQueries != 4 {
		t.Errorf("%d counted (%v)", stats.SlowQueries, err)
	}

	db.SetSlowThreshold(0)
	if _, err := db.Query(ctx, engine.QueryRequest{Table: "t"}); err != nil {
		t.Fatal(err)
	}
	if len(slowQueries(db)) != 4 || db.SlowThreshold() != 0 {
		t.Error("a query was kept while that is off")
	}
}

// TestSlowQueriesAreBounded: a filter of any size costs little to keep.
func TestSlowQueriesAreBounded(t *testing.T) {
	db := openSlow(t)
	values := make([]string, 9_000)
	for i := range values {
		values[i] = fmt.Sprintf("%q", fmt.Sprint("größe-", i))
	}
	var branches []string
	for i := range 500 {
		branches = append(branches, fmt.Sprintf(`{"column":"n","value":%d}`, i))
	}
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"n"}, Type: schema.Range})
	for _, filter := range []string{
		`{"column":"s","op":"in","value":[` + strings.Join(values, ",") + `]}`,
		`{"or":[` + strings.Join(branches, ",") + `]}`,
	} {
		if _, err := db.Query(t.Context(), engine.QueryRequest{Table: "t", Filter: filterOf(t, filter)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range slowQueries(db) {
		text, err := json.Marshal(q)
		if err != nil || len(text) > 32<<10 || !q.FilterCut || q.Plan == nil || !strings.HasSuffix(q.FilterText, "…") {
			t.Errorf("%d bytes are kept (%v): %.2000s", len(text), err, text)
		}
	}
}
