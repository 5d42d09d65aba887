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
	for _, quantization := range []string{"none", "int8"} {
		var rows []filteredRow
		printed := scenario(t, &rows, "filtered", "-quantization", quantization, "-nq", "20", "-allowed", "100,10,0.2")
		if len(rows) != 6 || rows[0].Filter != "independent" || rows[5].Filter != "opposed" || !strings.Contains(printed, "| opposed ") {
			t.Fatalf("%+v\n%s", rows, printed)
		}
		for _, r := range rows {
			if r.Allowed != int(r.Percent*20) || r.Recall < 0.9 || r.P50Ms <= 0 || r.P95Ms < r.P50Ms || r.Distances <= 0 {
				t.Errorf("%+v", r)
			}
		}
		// Four vectors are allowed: they are all found, and no more count.
		if rows[2].Recall != 1 || rows[5].Recall != 1 {
			t.Errorf("%+v", rows)
		}
	}
	for _, args := range [][]string{{"-allowed", "0"}, {"-allowed", "101"}, {"-quantization", "pq"}, {"-set", "none"}} {
		if err := run(t.Context(), append([]string{"filtered"}, args...), silent); err == nil {
			t.Errorf("%v: no error", args)
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

// TestAskAll: of an exact index everything is found, and under a filter fewer
// neighbours than asked for count as all.
func TestAskAll(t *testing.T) {
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
		a, err := askAll(t.Context(), index, w, queries, truth, allow, 10, 10)
		if err != nil || a.Recall != want || a.P95Ms <= 0 || a.Fallbacks != 0 {
			t.Errorf("%+v, %v", a, err)
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
