package engine_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/vecindex"
)

// TestKeysOfHits has the answers of searches for keys, which remember whose the
// vectors are, agree with a model while few entities come, change and go, so that
// their ids are used again and again.
func TestKeysOfHits(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2", Dimension: 2}})
	const seed = 7
	r := rand.New(rand.NewPCG(seed, 0))
	vectors := map[string][]float32{}
	for i := range 1500 {
		pk := fmt.Sprint(r.IntN(12))
		key := testkit.Key("t:" + pk)
		vector := []float32{float32(r.IntN(30)), float32(r.IntN(30))}
		have := vectors[pk] != nil
		switch {
		case have && r.IntN(3) == 0:
			db.Delete("t:" + pk)
			delete(vectors, pk)
		case have && r.IntN(2) == 0: // only what is beside the vector
			db.Do(engine.Op{Kind: engine.OpPatch, Key: key, Doc: fmt.Appendf(nil, `{"i":%d}`, i)})
		default:
			db.Put("t:"+pk, map[string]any{"v": []any{vector[0], vector[1]}, "i": i})
			vectors[pk] = vector
		}
		query := []float32{float32(r.IntN(30)), float32(r.IntN(30))}
		compareKeys(t, db, vectors, query, 1+r.IntN(8))
		if t.Failed() {
			t.Fatalf("after operation %d of seed %d", i, seed)
		}
	}
}

// compareKeys searches with one and with two queries at once.
func compareKeys(t *testing.T, db *testkit.DB, vectors map[string][]float32, query []float32, k int) {
	t.Helper()
	var want []float32
	for _, v := range vectors {
		want = append(want, vecindex.L2.Distance(query, v))
	}
	slices.Sort(want)
	want = want[:min(k, len(want))]
	for _, queries := range [][][]float32{{query}, {query, query}} {
		results, err := db.Search(t.Context(), engine.SearchRequest{Table: "t", Vectors: queries, K: k, Return: engine.ReturnKeys})
		if err != nil {
			t.Fatal(err)
		}
		for _, result := range results {
			var have []float32
			for _, h := range result.Hits {
				have = append(have, h.Distance)
				if v := vectors[h.Key.PK]; v == nil || vecindex.L2.Distance(query, v) != h.Distance || h.Doc != nil {
					t.Errorf("the hit %s at %v; its vector is %v", h.Key, h.Distance, v)
				}
			}
			if !slices.Equal(have, want) || !slices.IsSortedFunc(have, cmp.Compare[float32]) {
				t.Errorf("distances %v, want %v", have, want)
			}
		}
	}
}
