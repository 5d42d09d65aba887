package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/dataset"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/flat"
)

// scenario runs a subcommand on a small set and returns its JSON in result and what
// it printed.
func scenario(t *testing.T, result any, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	makeData(t, "-dir", dir, "-only", "s128", "-most", "2000")
	file := filepath.Join(dir, "result.json")
	var printed bytes.Buffer
	if err := run(t.Context(), append(args, "-data", dir, "-json", file), output{&printed, io.Discard}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, result); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "cold")); err != nil || len(left) > 0 {
		t.Errorf("files of indexes are left: %v, %v", left, err)
	}
	return printed.String()
}

func TestFiltered(t *testing.T) {
	var rows []filteredRow
	printed := scenario(t, &rows, "filtered", "-quantization", "none,int8,fastscan", "-nq", "20", "-far", "5", "-allowed", "10,0.2")
	if len(rows) != 27 || strings.Count(printed, "\n| int8     |") != 3 || !strings.Contains(printed, "| p95 ms, far ") {
		t.Fatalf("%d rows\n%s", len(rows), printed)
	}
	for i, r := range rows {
		quantization, filter := []string{"none", "int8", "fastscan"}[i/9], []string{"independent", "opposed", "far"}[i/3%3]
		if r.Quantization != quantization || r.Filter != filter || r.Percent != []float64{100, 10, 0.2}[i%3] {
			t.Errorf("row %d is %+v", i, r)
		}
		if r.Allowed != int(r.Percent*20) || r.Recall < 0.9 || r.P50Ms <= 0 || r.P95Ms < r.P50Ms || r.Distances <= 0 || r.P95Times <= 0 {
			t.Errorf("%+v", r)
		}
		// Four vectors are allowed: they are all found, and no more count.
		if r.Allowed == 4 && r.Recall != 1 || r.Percent == 100 && r.P95Times != 1 {
			t.Errorf("%+v", r)
		}
	}
	for _, args := range [][]string{{"-allowed", "0"}, {"-allowed", "101"}, {"-quantization", "pq"}, {"-set", "none"}} {
		if err := run(t.Context(), append([]string{"filtered"}, args...), silent); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

// TestFarOrders: what is nearest to a query comes last, in the order of the distance.
func TestFarOrders(t *testing.T) {
	for _, metric := range []vecindex.Metric{vecindex.L2, vecindex.Cosine} {
		w := &workload{metric: metric}
		w.base, w.queries = dataset.Manifold{Dim: 16, Seed: 3}.Make(500, 4)
		truth, err := exactNeighbours(t.Context(), w, 500)
		if err != nil {
			t.Fatal(err)
		}
		orders, err := farOrders(t.Context(), w, 3)
		if err != nil || len(orders) != 3 {
			t.Fatalf("%d orders, %v", len(orders), err)
		}
		for query, order := range orders {
			// In single precision some of them are as far as others.
			distance := func(id uint32) float32 { return w.metric.Distance(w.queries.Row(query), w.base.Row(int(id))) }
			for i, id := range order {
				near := uint32(truth[query][len(order)-1-i])
				if d := distance(id) - distance(near); d > 1e-4 || d < -1e-4 {
					t.Fatalf("%s, query %d: place %d has %d, and %d belongs there", metric, query, i, id, near)
				}
			}
		}
	}
}

// TestOpposedOrder: most of what lies near the queries comes late in the order, and
// half of what lies near them in the independent one.
func TestOpposedOrder(t *testing.T) {
	w := &workload{metric: vecindex.L2}
	w.base, w.queries = dataset.Manifold{Dim: 16, Seed: 1}.Make(2000, 100)
	early := func(o *ordering) float64 {
		truth, err := exactAmong(t.Context(), w, o.queries[:10], slices.Sorted(slices.Values(o.ids)), 20)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, near := range truth {
			for _, id := range near {
				if slices.Index(o.ids, uint32(id)) < len(o.ids)/2 {
					n++
				}
			}
		}
		return float64(n) / (10 * 20)
	}
	if got := early(opposedOrder(w)); got > 0.1 {
		t.Errorf("opposed filters of half of the vectors allow %.2f of what is near", got)
	}
	if got := early(independentOrder(w)); got < 0.3 || got > 0.7 {
		t.Errorf("independent filters of half of the vectors allow %.2f of what is near", got)
	}
}

// TestAsking: of an exact index everything is found, and under a filter fewer
// neighbours than asked for count as all.
func TestAsking(t *testing.T) {
	w := &workload{metric: vecindex.L2}
	w.base, w.queries = dataset.Manifold{Dim: 8, Seed: 2}.Make(300, 5)
	index, err := flat.New(w.metric, w.base.Dim, flat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	if err := fill(t.Context(), index, w, silent); err != nil {
		t.Fatal(err)
	}
	queries, ids := []int{4, 1}, []uint32{3, 70, 200}
	truth, err := exactAmong(t.Context(), w, queries, ids, 10)
	if err != nil {
		t.Fatal(err)
	}
	for allow, want := range map[*bitmap.Set]float64{bitmap.Of(ids...): 1, bitmap.Of(3, 70): 2.0 / 3} {
		var a asking
		for range 3 {
			for i, query := range queries {
				if err := a.ask(t.Context(), index, i, question{w.queries.Row(query), allow, truth[i]}, 10, 10); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := a.result(); got.Recall != want || got.P95Ms <= 0 || got.Fallbacks != 0 || len(a.times) != 2 {
			t.Errorf("%+v", got)
		}
	}
}

func TestChurn(t *testing.T) {
	for _, quantization := range []string{"none", "int8"} {
		var rows []churnRow
		printed := scenario(t, &rows, "churn", "-quantization", quantization, "-nq", "20", "-rounds", "3", "-time", "2ms")
		if len(rows) != 5 || !rows[4].Fresh || !strings.Contains(printed, "|  fresh | ") {
			t.Fatalf("%+v\n%s", rows, printed)
		}
		for _, r := range rows {
			if r.Recall < 0.9 || r.QPS <= 0 || r.Bytes <= 0 || r.Tombstones > 2000 {
				t.Errorf("%+v", r)
			}
		}
		if rows[0].Tombstones != 0 || rows[4].Tombstones != 0 {
			t.Errorf("nothing was replaced yet, and there are tombstones: %+v", rows)
		}
	}
}
