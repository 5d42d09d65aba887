package engine_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/vecindex"
)

// TestDistancesAreExact: whatever a graph is walked on, an answer has the distances of
// the vectors, the ones that a scan of them finds.
func TestDistancesAreExact(t *testing.T) {
	if testing.Short() {
		t.Skip("a graph of each kind takes a minute under the race detector, and nothing is concurrent")
	}
	for _, quantization := range []string{"none", "int8", "fastscan"} {
		for _, metric := range []vecindex.Metric{vecindex.Cosine, vecindex.L2, vecindex.Dot} {
			t.Run(quantization+" "+metric.String(), func(t *testing.T) {
				checkDistances(t, quantization, metric)
			})
		}
	}
}

func checkDistances(t *testing.T, quantization string, metric vecindex.Metric) {
	const n, dim, k = 2000, 24, 10
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{
		Metric: metric.String(), Quantization: quantization, M: 12, EfConstruction: 80,
	}})
	rng := rand.New(rand.NewPCG(1, 2))
	vectors, ops := map[string][]float32{}, []engine.Op{}
	for i := range n {
		key := fmt.Sprintf("t:%d", i)
		vectors[key] = normalVector(rng, dim)
		ops = append(ops, testkit.Put(key, map[string]any{"v": vectors[key]}))
	}
	db.Do(ops...)
	awaitGraph(t, db)
	found, wanted := 0, 0
	for range 20 {
		q := normalVector(rng, dim)
		results, err := db.Search(t.Context(), engine.SearchRequest{Vectors: [][]float32{q}, K: k, Ef: 150, Explain: true})
		if err != nil {
			t.Fatal(err)
		}
		exact, err := db.Search(t.Context(), engine.SearchRequest{Vectors: [][]float32{q}, K: k, Exact: true})
		if err != nil {
			t.Fatal(err)
		}
		if plan := results[0].Plan; plan.Mode != "graph" || plan.ExactFallback {
			t.Fatalf("not from the graph: %+v", plan)
		}
		for i, h := range results[0].Hits {
			want := metric.Distance(q, vectors[h.Key.String()])
			if math.Abs(float64(h.Distance-want)) > 1e-5*(1+math.Abs(float64(want))) {
				t.Errorf("%s is at %v, not %v", h.Key, want, h.Distance)
			}
			if i > 0 && h.Distance < results[0].Hits[i-1].Distance {
				t.Errorf("the hits aren't in order: %v", results[0].Hits)
			}
			if h.Distance <= exact[0].Hits[k-1].Distance {
				found++
			}
		}
		wanted += k
	}
	if found < wanted*95/100 {
		t.Errorf("%d of %d of the nearest were found", found, wanted)
	}
}

func normalVector(rng *rand.Rand, dim int) []float32 {
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// TestQuantizationStays: an index keeps what it was made with, whatever the default is
// at a later start.
func TestQuantizationStays(t *testing.T) {
	opts := testkit.Options(t.TempDir())
	opts.Vector.Quantization = "none"
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "a", Columns: []string{"v"}, Type: schema.Vector})
	db.Do(testkit.Put("a:1", `{"v":[1,2]}`))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	opts.Vector.Quantization = ""
	var err error
	if db.Engine, err = engine.Open(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	db.WaitReady()
	db.Index(schema.IndexDef{Table: "b", Columns: []string{"v"}, Type: schema.Vector})
	db.Do(testkit.Put("b:1", `{"v":[1,2]}`))
	for table, want := range map[string]string{"a": "none", "b": "int8"} {
		def, err := db.VectorConfig(t.Context(), table, "v")
		if err != nil || def.Vector.Quantization != want {
			t.Errorf("%s: %+v, %v; want %s", table, def.Vector, err, want)
		}
	}
	infos, err := db.VectorStats(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		if codes := info.VectorStats.Bytes["codes"]; (codes > 0) != (info.Table == "b") {
			t.Errorf("%s has %d bytes of codes", info.Table, codes)
		}
	}
	db.Check()
}

// TestWidestGraphOpens: what a definition may say, the graph that its first vector opens
// can have.
func TestWidestGraphOpens(t *testing.T) {
	for m := 2; m < 1000; m++ {
		def := schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{M: m, EfConstruction: 10_000, Ef: 10_000}}
		if def.Validate() == nil {
			continue
		}
		def.Vector.M = m - 1
		db := testkit.Open(t)
		db.Index(def)
		db.Do(testkit.Put("t:1", map[string]any{"v": []float32{1, 2}}))
		awaitGraph(t, db)
		return
	}
	t.Error("m has no bound")
}
