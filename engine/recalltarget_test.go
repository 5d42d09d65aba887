package engine_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
)

// TestRecallTarget: a search that names the recall it wants gets it, about, with an ef
// that the index was measured for, in a batch too; until then with a cautious one.
func TestRecallTarget(t *testing.T) {
	if testing.Short() {
		t.Skip("a calibration takes minutes under the race detector")
	}
	db := testkit.Open(t)
	const n, dim, k = 6000, 24, 10
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2", M: 8, EfConstruction: 60}})
	rng := rand.New(rand.NewPCG(5, 5))
	var ops []engine.Op
	for i := range n {
		ops = append(ops, testkit.Put(fmt.Sprintf("t:%d", i), map[string]any{"v": normalVector(rng, dim)}))
	}
	db.Do(ops...)
	awaitGraph(t, db)
	var queries [][]float32
	for range 150 {
		queries = append(queries, normalVector(rng, dim))
	}
	exact, err := db.Search(t.Context(), engine.SearchRequest{Vectors: queries, K: k, Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	search := func(target float64) (recall float64, plan *engine.SearchPlan) {
		results, err := db.Search(t.Context(), engine.SearchRequest{Vectors: queries, K: k, Recall: target, Explain: true})
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for i := range results {
			for _, h := range results[i].Hits {
				if h.Distance <= exact[i].Hits[k-1].Distance {
					found++
				}
			}
		}
		return float64(found) / float64(k*len(queries)), results[0].Plan
	}
	before, plan := search(0.95)
	if plan.Recall != 0.95 || plan.Ef != 286 || plan.Slack != 0 || !strings.HasPrefix(plan.Calibration, "none yet") || before < 0.95 {
		t.Errorf("before it is calibrated: %+v, recall %.3f", plan, before)
	}
	for started := time.Now(); strings.HasPrefix(plan.Calibration, "none yet"); _, plan = search(0.95) {
		if time.Since(started) > time.Minute {
			t.Fatal("no calibration was made")
		}
		time.Sleep(50 * time.Millisecond)
	}
	last := 0
	for _, target := range []float64{0.9, 0.95, 0.99} {
		got, plan := search(target)
		t.Logf("recall %v: %.4f with ef %d and slack %v, %s", target, got, plan.Ef, plan.Slack, plan.Calibration)
		if got < target-0.015 || got > target+0.04 {
			t.Errorf("asked for recall %v, got %.4f with %+v", target, got, plan)
		}
		if plan.Distances <= last {
			t.Errorf("recall %v takes %d distances, no more than less recall", target, plan.Distances)
		}
		last = plan.Distances
	}
}

func TestRecallTargetRefuses(t *testing.T) {
	db := randomVectors(t, 3)
	for _, req := range []engine.SearchRequest{{Recall: 0.5}, {Recall: 1}, {Recall: -1}, {Recall: 0.95, Ef: 10}} {
		req.Vectors = [][]float32{make([]float32, 8)}
		if _, err := db.Search(t.Context(), req); errs.CodeOf(err) != "invalid_recall" {
			t.Errorf("recall %v, ef %d: %v", req.Recall, req.Ef, err)
		}
	}
	// Few vectors are scanned, and the target is met.
	results, err := db.Search(t.Context(), engine.SearchRequest{Vectors: [][]float32{make([]float32, 8)}, Recall: 0.95, Explain: true})
	if err != nil || len(results[0].Hits) != 3 || results[0].Plan.Mode != "exact" {
		t.Errorf("%+v, %v", results, err)
	}
}
