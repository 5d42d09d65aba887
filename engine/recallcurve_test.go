package engine_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
)

// randomVectors fills the table t with n vectors of 8 dimensions in the column v.
func randomVectors(t *testing.T, n int) *testkit.DB {
	db := testkit.Open(t)
	fillRandom(t, db, n)
	return db
}

func fillRandom(t *testing.T, db *testkit.DB, n int) {
	t.Helper()
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Dimension: 8, Metric: "l2", M: 4, EfConstruction: 20}})
	rng := rand.New(rand.NewPCG(1, 2))
	var ops []engine.Op
	for i := range n {
		v := make([]float32, 8)
		for j := range v {
			v[j] = rng.Float32()
		}
		ops = append(ops, testkit.Put(fmt.Sprintf("t:%d", i), map[string]any{"v": v}))
	}
	if n > 0 {
		db.Do(ops...)
	}
}

// awaitGraph waits until every vector is in the graph.
func awaitGraph(t *testing.T, db *testkit.DB) {
	for {
		infos, err := db.VectorStats(t.Context(), "t", "v")
		if err != nil {
			t.Fatal(err)
		}
		if infos[0].VectorStats.Pending == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestRecallCurve(t *testing.T) {
	db := randomVectors(t, 3000)
	awaitGraph(t, db)
	job, err := db.StartRecallCurve(engine.RecallCurveRequest{Table: "t", Sample: 50, K: 5, Efs: []int{400, 5, 5, 40}})
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := job.Status()
	var curve engine.RecallCurve
	if err := json.Unmarshal(s.Result, &curve); err != nil {
		t.Fatal(err)
	}
	var efs []int
	for _, p := range curve.Points {
		efs = append(efs, p.Ef)
		if p.Recall <= 0 || p.Recall > 1 || p.Distances < 5 || p.P50Ms <= 0 || p.P99Ms < p.P50Ms {
			t.Errorf("point %+v", p)
		}
	}
	if !slices.Equal(efs, []int{5, 40, 400}) {
		t.Fatalf("measured at ef %v", efs)
	}
	if first, last := curve.Points[0], curve.Points[2]; last.Recall < 0.9 || last.Recall <= first.Recall || last.Distances <= first.Distances {
		t.Errorf("no better and no dearer: %+v to %+v", first, last)
	}
	if curve.Vectors != 3000 || curve.Pending != 0 || curve.Sample != 50 || curve.K != 5 || curve.Ef != 64 || curve.Table != "t" || curve.Column != "v" || curve.ExactP50Ms <= 0 {
		t.Errorf("curve %+v", curve)
	}
	if s.Kind != engine.RecallCurveKind || s.Unit != "searches" || s.Done != 200 || s.Total != 200 {
		t.Errorf("job %+v", s)
	}
}

func TestRecallCurveByDefault(t *testing.T) {
	db := randomVectors(t, 500)
	job, err := db.StartRecallCurve(engine.RecallCurveRequest{Sample: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	var curve engine.RecallCurve
	if err := json.Unmarshal(job.Status().Result, &curve); err != nil {
		t.Fatal(err)
	}
	var efs []int
	for _, p := range curve.Points {
		efs = append(efs, p.Ef)
	}
	if !slices.Equal(efs, []int{10, 20, 40, 64, 80, 160, 320}) {
		t.Errorf("measured at ef %v", efs)
	}
}

func TestRecallCurveRunsOnceAndCanBeCanceled(t *testing.T) {
	db := randomVectors(t, 3000)
	long := engine.RecallCurveRequest{Table: "t", Column: "v", Sample: 2000, K: 100, Efs: []int{5000, 6000, 7000, 8000, 9000, 10000}}
	job, err := db.StartRecallCurve(long)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.StartRecallCurve(long); errs.CodeOf(err) != "recall_running" {
		t.Errorf("a second one: %v", err)
	}
	job.Cancel()
	if err := job.Wait(t.Context()); errs.CodeOf(err) != "job_canceled" || job.Status().State != jobs.Canceled {
		t.Errorf("canceled: %v %s", err, job.Status().State)
	}
	job, err = db.StartRecallCurve(engine.RecallCurveRequest{Sample: 1})
	if err != nil {
		t.Fatalf("after it: %v", err)
	}
	if err := job.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRecallCurveRefuses(t *testing.T) {
	db := randomVectors(t, 1)
	for want, req := range map[string]engine.RecallCurveRequest{
		"too_few_vectors": {},
		"index_not_found": {Column: "w"},
		"table_not_found": {Table: "u"},
		"invalid_k":       {K: -1},
		"invalid_sample":  {Sample: -1},
	} {
		if _, err := db.StartRecallCurve(req); errs.CodeOf(err) != want {
			t.Errorf("%+v: %v, want %s", req, err, want)
		}
	}
	db.Do(testkit.Put("t:x", `{"v":[1,2,3,4,5,6,7,8]}`))
	for want, req := range map[string]engine.RecallCurveRequest{
		"invalid_sample": {Sample: 2001},
		"invalid_ef":     {Efs: []int{0}},
	} {
		if _, err := db.StartRecallCurve(req); errs.CodeOf(err) != want {
			t.Errorf("%+v: %v, want %s", req, err, want)
		}
	}
	if _, err := db.StartRecallCurve(engine.RecallCurveRequest{Efs: make([]int, 21)}); errs.CodeOf(err) != "invalid_ef" {
		t.Errorf("too many: %v", err)
	}
}
