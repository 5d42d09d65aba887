package engine_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
)

var filterCount = flag.Int("filters", 500, "random filters of TestRandomFilters")

func parse(t testing.TB, f testkit.Filter) *query.Expr {
	t.Helper()
	expr, err := query.ParseFilter(nil, []byte(f.String()))
	if err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	return expr
}

// TestRandomFilters compares queries with a naive evaluation of the same
// filters, over all kinds of indexes and without any.
func TestRandomFilters(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	opts := testkit.Options(t.TempDir())
	opts.Query = engine.QueryOptions{ParallelThreshold: 8, BatchSize: 4, Workers: 2}
	db := testkit.OpenWith(t, opts)
	for _, def := range modelIndexes()[3:] {
		def.Table = "indexed"
		db.Index(def)
	}
	docs := map[string]map[string]any{}
	for i := range 600 {
		pk := fmt.Sprintf("%03d", i)
		docs[pk] = testkit.RandomDoc(r)
		db.Do(testkit.Put("indexed:"+pk, docs[pk]), testkit.Put("bare:"+pk, docs[pk]))
	}
	modes := map[query.Mode]int{}
	count := *filterCount
	if testing.Short() {
		count /= 5
	}
	for range count {
		f := testkit.RandomFilter(r, 3)
		var want []string
		for pk, doc := range docs {
			if testkit.Matches(f, doc) {
				want = append(want, pk)
			}
		}
		slices.Sort(want)
		for _, table := range []string{"indexed", "bare"} {
			result, err := db.Query(t.Context(), engine.QueryRequest{Table: table, Filter: parse(t, f), Limit: 1000, Explain: true})
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			modes[result.Plan.Mode]++
			var have []string
			for _, e := range result.Entities {
				have = append(have, e.Key.PK)
			}
			slices.Sort(have)
			if !slices.Equal(have, want) {
				t.Fatalf("%s on %s: %v, want %v (plan %s)", f, table, have, want, testkit.JSON(result.Plan))
			}
		}
	}
	for _, mode := range []query.Mode{query.ModeEmpty, query.ModeFullScan, query.ModeIndex, query.ModeIndexParallel, query.ModeRangeAware} {
		if modes[mode] == 0 {
			t.Errorf("no filter was answered by %s: %v", mode, modes)
		}
	}
}

// TestPlanModes shows each mode of explain on a case of its own.
func TestPlanModes(t *testing.T) {
	opts := testkit.Options(t.TempDir())
	opts.Query.ParallelThreshold = 100
	opts.Query.Workers = 2
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "words", Columns: []string{"first"}, Type: schema.Equality})
	db.Index(schema.IndexDef{Table: "words", Columns: []string{"length"}, Type: schema.Range})
	for i := range 400 {
		first := "common"
		if i%40 == 0 {
			first = "rare"
		}
		db.Put(fmt.Sprintf("words:%d", i), map[string]any{"first": first, "length": i, "note": fmt.Sprint(i % 2)})
	}
	for name, c := range map[string]struct {
		filter  string
		order   []query.Order
		mode    query.Mode
		limit   int
		count   int
		scanned int
	}{
		"equality":     {filter: `{"column":"first","value":"rare"}`, mode: query.ModeIndex, count: 10, scanned: 10},
		"many matches": {filter: `{"column":"first","value":"common"}`, mode: query.ModeIndexParallel, count: 390, scanned: 390},
		"range":        {filter: `{"column":"length","op":"lt","value":5}`, mode: query.ModeRangeAware, count: 5, scanned: 5},
		"no index":     {filter: `{"column":"note","value":"1"}`, mode: query.ModeFullScan, count: 200, scanned: 400},
		"no such term": {filter: `{"column":"first","value":"absent"}`, mode: query.ModeEmpty, count: 0, scanned: 0},
		"order":        {order: []query.Order{{Column: "length", Desc: true}}, limit: 5, mode: query.ModeRangeAware, count: 5, scanned: 50},
	} {
		t.Run(name, func(t *testing.T) {
			var expr *query.Expr
			var err error
			if c.filter != "" {
				if expr, err = query.ParseFilter(nil, []byte(c.filter)); err != nil {
					t.Fatal(err)
				}
			}
			limit := cmp.Or(c.limit, 1000)
			result, err := db.Query(t.Context(), engine.QueryRequest{Table: "words", Filter: expr, Order: c.order, Limit: limit, Explain: true})
			if err != nil {
				t.Fatal(err)
			}
			if result.Plan.Mode != c.mode || result.Count != c.count || result.Plan.RowsScanned != c.scanned {
				t.Errorf("mode %s, %d entities, %d scanned; want %s, %d, %d (plan %s)", result.Plan.Mode, result.Count, result.Plan.RowsScanned,
					c.mode, c.count, c.scanned, testkit.JSON(result.Plan))
			}
		})
	}
}

// TestPlanCounts compares each step's actual count with what the step must
// have yielded.
func TestPlanCounts(t *testing.T) {
	db := testkit.Open(t)
	for column, kind := range map[string]schema.IndexType{"n": schema.Range, "mod": schema.Equality, "tag": schema.Equality} {
		db.Index(schema.IndexDef{Table: "t", Columns: []string{column}, Type: kind})
	}
	var ops []engine.Op
	for i := range 1000 {
		ops = append(ops, testkit.Put(fmt.Sprintf("t:%d", i), map[string]any{"n": i, "mod": i % 10, "tag": fmt.Sprint("t", i%3), "odd": i%2 == 1}))
	}
	db.Do(ops...)
	for name, c := range map[string]struct {
		filter string
		order  []query.Order
		limit  int
		what   engine.Return
		want   string
	}{
		"one term":      {filter: `{"column":"mod","value":3}`, want: "index_scan:100"},
		"early end":     {filter: `{"column":"mod","value":3}`, limit: 5, want: "index_scan:50"},
		"count":         {filter: `{"column":"mod","value":3}`, what: engine.ReturnCount, want: "index_scan:100"},
		"count of none": {filter: `{"column":"mod","value":30}`, what: engine.ReturnCount, want: "empty:0"},
		"intersection": {filter: `{"and":[{"column":"mod","value":3},{"column":"tag","value":"t1"},{"column":"odd","value":true}]}`, order: []query.Order{{Column: "odd"}},
			want: "sort:33(filter:33(intersect:33(index_scan:100 index_scan:333)))"},
		"union": {filter: `{"or":[{"column":"mod","value":3},{"column":"n","op":"lt","value":20}]}`,
			want: "union:118(index_scan:100 index_scan:20)"},
		"full scan": {filter: `{"column":"odd","value":true}`, want: "filter:500(full_scan:1000)"},
		"walk":      {order: []query.Order{{Column: "n"}}, limit: 3, want: "order_scan:50"},
	} {
		t.Run(name, func(t *testing.T) {
			req := engine.QueryRequest{Table: "t", Order: c.order, Limit: cmp.Or(c.limit, 1000), Return: c.what, Explain: true}
			if c.filter != "" {
				var err error
				if req.Filter, err = query.ParseFilter(nil, []byte(c.filter)); err != nil {
					t.Fatal(err)
				}
			}
			result, err := db.Query(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if have := countsOf(result.Plan.Tree()); have != c.want {
				t.Errorf("%s, want %s (plan %s)", have, c.want, testkit.JSON(result.Plan))
			}
		})
	}
}

// countsOf writes a tree of steps with their actual counts.
func countsOf(s query.StepTree) string {
	text := fmt.Sprintf("%s:%d", s.Action, *s.ActualCount)
	var inputs []string
	for _, child := range s.Children {
		inputs = append(inputs, countsOf(child))
	}
	if len(inputs) > 0 {
		text += "(" + strings.Join(inputs, " ") + ")"
	}
	return text
}

func TestOrderedPageReadsOnlyWhatItNeeds(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"n"}, Type: schema.Range})
	var ops []engine.Op
	for i := range 2000 {
		ops = append(ops, testkit.Put(fmt.Sprintf("t:%d", i), map[string]any{"n": i}))
	}
	db.Do(ops...)
	result, err := db.Query(t.Context(), engine.QueryRequest{Table: "t", Order: []query.Order{{Column: "n", Desc: true}}, Limit: 3, Return: engine.ReturnKeys, Explain: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"t:1999", "t:1998", "t:1997"}; !slices.Equal(result.Keys, want) {
		t.Errorf("keys %v, want %v", result.Keys, want)
	}
	if result.Plan.RowsScanned > 100 {
		t.Errorf("%d entities were read for a page of 3", result.Plan.RowsScanned)
	}
}

func TestFullScanCanBeRefused(t *testing.T) {
	db := testkit.Open(t)
	db.Put("t:1", `{"a":1}`)
	req := engine.QueryRequest{Table: "t", Filter: parse(t, testkit.Filter{"column": "a", "value": 1}), ForbidFullScan: true}
	if _, err := db.Query(t.Context(), req); errs.CodeOf(err) != "full_scan_refused" {
		t.Errorf("got %v", err)
	}
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"a"}, Type: schema.Equality})
	if result, err := db.Query(t.Context(), req); err != nil || result.Count != 1 {
		t.Errorf("got %+v, %v", result, err)
	}
}

func TestCursorBelongsToItsQuery(t *testing.T) {
	db := testkit.Open(t)
	for i := range 10 {
		db.Put(fmt.Sprintf("t:%d", i), map[string]any{"a": i})
	}
	first, err := db.Query(t.Context(), engine.QueryRequest{Table: "t", Limit: 3})
	if err != nil || first.NextCursor == "" {
		t.Fatalf("%+v %v", first, err)
	}
	for name, req := range map[string]engine.QueryRequest{
		"another filter": {Table: "t", Cursor: first.NextCursor, Filter: parse(t, testkit.Filter{"column": "a", "value": 1})},
		"another order":  {Table: "t", Cursor: first.NextCursor, Order: []query.Order{{Column: "a"}}},
		"rubbish":        {Table: "t", Cursor: "rubbish"},
		"forged":         {Table: "t", Cursor: "eyJmIjoxfQ"},
	} {
		if _, err := db.Query(t.Context(), req); errs.CodeOf(err) != "invalid_cursor" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestProjection(t *testing.T) {
	db := testkit.Open(t)
	db.Put("t:1", `{"a":1,"b":{"c":2,"d":3},"e":12345678901234567890}`)
	result, err := db.Query(t.Context(), engine.QueryRequest{Table: "t", Fields: []string{"b.c", "e"}})
	if err != nil {
		t.Fatal(err)
	}
	var have, want any
	_ = json.Unmarshal(result.Entities[0].Doc, &have)
	_ = json.Unmarshal([]byte(`{"b":{"c":2},"e":12345678901234567890}`), &want)
	if fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("got %s", result.Entities[0].Doc)
	}
}
