package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/vecindex"
)

func TestNumbersKeepTheirText(t *testing.T) {
	db := testkit.Open(t)
	const doc = `{"i":9223372036854775807,"big":18446744073709551616,"f":0.1000000000000000055,"z":-0.0,"e":1E+2}`
	db.Put("t:1", doc)
	if have := db.GetDoc("t:1"); have != doc {
		t.Errorf("got %s", have)
	}
}

func TestConditionalWrites(t *testing.T) {
	db := testkit.Open(t)
	one, two := uint64(1), uint64(2)
	try := func(op engine.Op) string {
		t.Helper()
		results, err := db.Apply(t.Context(), []engine.Op{op}, false)
		if err != nil {
			t.Fatal(err)
		}
		return code(results[0].Err)
	}
	put := testkit.Put("t:1", `{}`)
	put.IfVersion = &one
	if c := try(put); c != "version_mismatch" {
		t.Errorf("a version of nothing: %q", c)
	}
	db.Put("t:1", `{}`)
	if c := try(put); c != "" {
		t.Errorf("the right version: %q", c)
	}
	if c := try(put); c != "version_mismatch" {
		t.Errorf("the version before: %q", c)
	}
	absent := testkit.Put("t:1", `{}`)
	absent.IfAbsent = true
	if c := try(absent); c != "entity_exists" {
		t.Errorf("if absent: %q", c)
	}
	if c := try(engine.Op{Kind: engine.OpDelete, Key: testkit.Key("t:1"), IfVersion: &two}); c != "" {
		t.Errorf("delete: %q", c)
	}
}

func TestAtomicBatchKeepsNothing(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"u"}, Type: schema.Equality, Unique: true})
	db.Put("t:1", `{"u":1}`)
	results, err := db.Apply(t.Context(), []engine.Op{
		testkit.Put("t:2", `{"u":2}`), testkit.Put("t:3", `{"u":1}`), testkit.Put("t:4", `{"u":4}`),
	}, true)
	if errs.CodeOf(err) != "duplicate_value" {
		t.Errorf("error %v", err)
	}
	for i, want := range []string{"not_applied", "duplicate_value", "not_applied"} {
		if c := code(results[i].Err); c != want {
			t.Errorf("result %d: %q, want %q", i, c, want)
		}
	}
	if db.GetDoc("t:2") != "" || db.GetDoc("t:4") != "" {
		t.Error("a part of the batch was kept")
	}
}

func TestUniqueWithinABatch(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"u"}, Type: schema.Equality, Unique: true})
	db.Put("t:1", `{"u":1}`)
	// The value moves from one entity to another in one batch.
	db.Do(testkit.Put("t:1", `{"u":2}`), testkit.Put("t:2", `{"u":1}`))
	results, err := db.Apply(t.Context(), []engine.Op{testkit.Put("t:3", `{"u":7}`), testkit.Put("t:4", `{"u":7}`)}, false)
	if err != nil || results[0].Err != nil || code(results[1].Err) != "duplicate_value" {
		t.Errorf("%+v %v", results, err)
	}
	if !strings.Contains(results[1].Err.Error(), "t:3") {
		t.Errorf("the message doesn't name the owner: %v", results[1].Err)
	}
}

func TestUniqueUnderConcurrency(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"u"}, Type: schema.Equality, Unique: true})
	for round := range 20 {
		var won atomic.Int32
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				op := testkit.Put(fmt.Sprintf("t:%d-%d", round, w), fmt.Sprintf(`{"u":%d}`, round))
				if results, err := db.Apply(context.Background(), []engine.Op{op}, false); err == nil && results[0].Err == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d writers got the same unique value", won.Load())
		}
	}
}

func TestTTL(t *testing.T) {
	var offset atomic.Int64
	opts := testkit.Options(t.TempDir())
	base := time.Unix(1_700_000_000, 0)
	opts.Now = func() time.Time { return base.Add(time.Duration(offset.Load())) }
	opts.SweepInterval = 5 * time.Millisecond
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"at"}, Type: schema.TTL, TTLSeconds: 10})
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector})
	db.Put("t:1", fmt.Sprintf(`{"at":%d,"v":[1,0]}`, base.Unix()))
	db.Put("t:2", fmt.Sprintf(`{"at":%q,"v":[1,1]}`, base.Add(time.Hour).UTC().Format(time.RFC3339)))
	db.Put("t:3", `{"at":"never","v":[0,1]}`)
	offset.Store(int64(10 * time.Second))
	if doc := db.GetDoc("t:1"); doc != "" {
		t.Errorf("an expired entity is still read: %s", doc)
	}
	hits, err := db.Search(t.Context(), engine.SearchRequest{Table: "t", Vectors: [][]float32{{1, 0}}, K: 3})
	if err != nil || len(hits[0].Hits) != 2 {
		t.Errorf("search: %+v %v", hits, err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		info, err := db.Table(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		if info.Entities == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the expired entity was never swept")
		}
	}
}

// TestSweepOnFullDisk: what has expired is removed even while the store refuses
// writes to keep its reserve.
func TestSweepOnFullDisk(t *testing.T) {
	var disk syscall.Statfs_t
	dir := t.TempDir()
	if err := syscall.Statfs(dir, &disk); err != nil {
		t.Fatal(err)
	}
	var clock atomic.Int64
	clock.Store(1_700_000_000)
	opts := testkit.Options(dir)
	opts.Now = func() time.Time { return time.Unix(clock.Load(), 0) }
	opts.SweepInterval = 5 * time.Millisecond
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"at"}, Type: schema.TTL, TTLSeconds: 10})
	db.Put("t:1", fmt.Sprintf(`{"at":%d}`, clock.Load()))
	db.SetOptions(func(o *engine.Options) {
		// Less than that is free, and more than half of it.
		o.Storage.ReserveBytes = int64(disk.Bavail) * disk.Bsize / 3 * 4
	})
	db.Reopen()
	eventually := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it doesn't happen: ", what)
			}
		}
	}
	eventually("writes are refused", func() bool {
		key, err := engine.ParseKey("t:2")
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.Apply(t.Context(), []engine.Op{{Kind: engine.OpPut, Key: key, Doc: []byte(`{}`)}}, true)
		return errs.CodeOf(err) == "disk_full"
	})
	before, err := db.Table(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	clock.Add(60)
	eventually("the expired entity is swept", func() bool {
		now, err := db.Table(t.Context(), "t")
		return err == nil && now.Entities == before.Entities-1
	})
}

func TestVectorErrorsNameTheFieldAndKeepNothing(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"e.v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "cosine", Dimension: 2}})
	for doc, want := range map[string]string{
		`{"e":{"v":[1,2,3]}}`:               "dimension_mismatch",
		`{"e":{"v":[0,0]}}`:                 "zero_vector",
		`{"e":{"v":["a",1]}}`:               "invalid_vector",
		`{"e":{"v":"x"}}`:                   "invalid_vector",
		`{"e":{"v":[1e30,1e30]}}`:           "vector_out_of_range",
		`{"e":{"v":{"b64":"AACAPw=="}}}`:    "dimension_mismatch",
		`{"e":{"v":[]}}`:                    "invalid_vector",
		`{"e":{"v":[1e39,1]}}`:              "invalid_vector",
		`{"e":{"v":[[1,2],[3,4]]}}`:         "invalid_vector",
		`{"e":{"v":{"b64":"AACAPwAAgD8"}}}`: "invalid_vector",
	} {
		results, err := db.Apply(t.Context(), []engine.Op{testkit.Put("t:1", doc)}, false)
		if err != nil {
			t.Fatal(err)
		}
		var e *errs.Error
		if !errors.As(results[0].Err, &e) || e.Code != want || len(e.Fields) != 1 || e.Fields[0].Pointer != "/e/v" {
			t.Errorf("%s: %v (%+v), want %s at /e/v", doc, results[0].Err, e, want)
		}
		if db.GetDoc("t:1") != "" {
			t.Errorf("%s was kept", doc)
		}
	}
	db.Index(schema.IndexDef{Table: "l2", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2", Dimension: 2}})
	long := math.Sqrt(vecindex.MaxSquaredLength)
	results, err := db.Apply(t.Context(), []engine.Op{
		testkit.Put("l2:1", map[string]any{"v": []any{long * 1.01, 0}}), testkit.Put("l2:2", map[string]any{"v": []any{long * 0.99, 0}}),
	}, false)
	if err != nil || code(results[0].Err) != "vector_out_of_range" || results[1].Err != nil {
		t.Errorf("vectors about as long as they may be: %+v %v", results, err)
	}
	db.Put("t:1", `{"e":{"v":{"b64":"AACAPwAAgD8="}}}`)
	db.Put("t:2", `{"e":{"v":null}}`)
	db.Put("t:3", `{"e":{}}`)
}

func TestDimensionOfTheFirstVector(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector})
	// A batch that fails must not decide the dimension.
	if _, err := db.Apply(t.Context(), []engine.Op{testkit.Put("t:1", `{"v":[1,2,3]}`), testkit.Put("t:2", `{"v":[1,2]}`)}, true); errs.CodeOf(err) != "dimension_mismatch" {
		t.Fatalf("got %v", err)
	}
	db.Put("t:1", `{"v":[1,2]}`)
	db.Reopen()
	def, err := db.VectorConfig(t.Context(), "", "")
	if err != nil || def.Vector.Dimension != 2 || def.State != schema.StateReady {
		t.Errorf("%+v %v", def, err)
	}
	if _, err := db.Search(t.Context(), engine.SearchRequest{Vectors: [][]float32{{1, 2, 3}}}); errs.CodeOf(err) != "dimension_mismatch" {
		t.Errorf("got %v", err)
	}
}

func TestFailedIndexBuildLeavesNothing(t *testing.T) {
	db := testkit.Open(t)
	db.Put("t:1", `{"u":1,"v":[1,2]}`)
	db.Put("t:2", `{"u":1,"v":[1,2,3]}`)
	for _, def := range []schema.IndexDef{
		{Table: "t", Columns: []string{"u"}, Type: schema.Equality, Unique: true},
		{Table: "t", Columns: []string{"v"}, Type: schema.Vector},
	} {
		job, err := db.CreateIndex(t.Context(), def)
		if err != nil {
			t.Fatal(err)
		}
		if err := job.Wait(t.Context()); errs.KindOf(err) != errs.Conflict {
			t.Errorf("%v: got %v", def.Columns, err)
		}
	}
	if stats, err := db.IndexStats(t.Context(), "t"); err != nil || len(stats) != 0 {
		t.Errorf("%+v %v", stats, err)
	}
}

func TestDropTable(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"a"}, Type: schema.Equality})
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector})
	db.Put("t:1", `{"a":1,"v":[1,2]}`)
	db.Put("other:1", `{"a":1}`)
	if err := db.DropTable(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Table(t.Context(), "t"); errs.CodeOf(err) != "table_not_found" {
		t.Errorf("got %v", err)
	}
	db.Put("t:1", `{"a":2}`)
	db.Reopen()
	info, err := db.Table(t.Context(), "t")
	if err != nil || info.Entities != 1 || len(info.Indexes) != 0 || db.GetDoc("other:1") == "" {
		t.Errorf("%+v %v", info, err)
	}
}

// TestIndexesChangeUnderWrites creates, rebuilds and drops indexes while
// writers are at work; the check at the end finds what got lost between them.
func TestIndexesChangeUnderWrites(t *testing.T) {
	db := testkit.Open(t)
	for i := range 500 {
		db.Put(fmt.Sprintf("t:%d", i), map[string]any{"a": i, "v": []any{i + 1, i % 7}})
	}
	defs := []schema.IndexDef{
		{Table: "t", Columns: []string{"a"}, Type: schema.Range},
		{Table: "t", Columns: []string{"a", "b"}, Type: schema.Composite},
		{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2"}},
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for ctx.Err() == nil {
				key := fmt.Sprintf("t:%d", r.IntN(700))
				op := testkit.Put(key, map[string]any{"a": r.IntN(50), "b": r.IntN(3), "v": []any{1 + r.IntN(50), r.IntN(50)}})
				if r.IntN(3) == 0 {
					op = engine.Op{Kind: engine.OpDelete, Key: testkit.Key(key)}
				}
				if _, err := db.Apply(context.Background(), []engine.Op{op}, false); err != nil {
					t.Errorf("apply: %v", err)
				}
			}
		})
	}
	for range 4 {
		for _, def := range defs {
			db.Index(def)
		}
		job, err := db.Reindex(t.Context(), "t")
		if err == nil {
			err = job.Wait(t.Context())
		}
		if err != nil {
			t.Errorf("reindex: %v", err)
		}
		db.Check()
		for _, def := range defs {
			if err := db.DropIndex(t.Context(), "t", def.Columns, def.Type); err != nil {
				t.Errorf("drop: %v", err)
			}
		}
	}
	stop()
	wg.Wait()
}

// TestSearchSeesAcknowledgedWrites has writers that search for what they have
// just written, overwritten and deleted.
func TestSearchSeesAcknowledgedWrites(t *testing.T) {
	for _, what := range []engine.Return{engine.ReturnEntities, engine.ReturnKeys} {
		t.Run(string(what), func(t *testing.T) { searchAfterWrites(t, what) })
	}
}

func searchAfterWrites(t *testing.T, what engine.Return) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2", Dimension: 2}})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 150 {
				at := float32(1000*w + i)
				key := fmt.Sprintf("t:%d-%d", w, i%10)
				op := testkit.Put(key, map[string]any{"v": []any{at, 0.5}, "i": i})
				if _, err := db.Apply(context.Background(), []engine.Op{op}, true); err != nil {
					t.Errorf("apply: %v", err)
					return
				}
				results, err := db.Search(context.Background(), engine.SearchRequest{Table: "t", Vectors: [][]float32{{at, 0.5}}, K: 1, Return: what})
				if err != nil || len(results[0].Hits) != 1 || results[0].Hits[0].Key.String() != key || results[0].Hits[0].Distance != 0 {
					t.Errorf("after writing %s at %v: %+v %v", key, at, results, err)
					return
				}
				if i%3 == 0 {
					if _, err := db.Apply(context.Background(), []engine.Op{{Kind: engine.OpDelete, Key: testkit.Key(key)}}, true); err != nil {
						t.Errorf("delete: %v", err)
						return
					}
					results, err := db.Search(context.Background(), engine.SearchRequest{Table: "t", Vectors: [][]float32{{at, 0.5}}, K: 1, Return: what})
					if err != nil || len(results[0].Hits) > 0 && results[0].Hits[0].Key.String() == key {
						t.Errorf("%s is found after its deletion: %+v %v", key, results, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestSearchPages(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2"}})
	for i := range 100 {
		db.Put(fmt.Sprintf("t:%d", i), map[string]any{"v": []any{i / 2, 1}})
	}
	seen := map[string]bool{}
	last := float32(-1)
	req := engine.SearchRequest{Table: "t", Vectors: [][]float32{{0, 1}}, K: 7}
	for {
		results, err := db.Search(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range results[0].Hits {
			if seen[h.Key.PK] || h.Distance < last {
				t.Fatalf("%s at %v comes again or out of order", h.Key, h.Distance)
			}
			seen[h.Key.PK], last = true, h.Distance
		}
		if req.Cursor = results[0].NextCursor; req.Cursor == "" {
			break
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d of 100 seen", len(seen))
	}
}

func TestSearchByKeyAndFilter(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector})
	for i := range 20 {
		db.Put(fmt.Sprintf("t:%d", i), map[string]any{"v": []any{i + 1, 1}, "even": i%2 == 0})
	}
	key := testkit.Key("t:4")
	filter, err := query.ParseFilter([]byte(`[{"column":"even","value":true}]`), nil)
	if err != nil {
		t.Fatal(err)
	}
	results, err := db.Search(t.Context(), engine.SearchRequest{Key: &key, K: 3, Filter: filter})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range results[0].Hits {
		if h.Key == key || strings.Contains(string(h.Doc), `"v"`) || !strings.Contains(string(h.Doc), "true") {
			t.Errorf("hit %s %s", h.Key, h.Doc)
		}
	}
	if len(results[0].Hits) != 3 {
		t.Errorf("%d hits", len(results[0].Hits))
	}
}

func TestRecallOfAnExactIndexIsOne(t *testing.T) {
	opts := testkit.Options(t.TempDir())
	opts.Vector.Engine = "flat"
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector})
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 50 {
		db.Put(fmt.Sprintf("t:%d", i), map[string]any{"v": []any{r.NormFloat64(), r.NormFloat64()}})
	}
	report, err := db.VectorRecall(t.Context(), engine.RecallRequest{Sample: 20, K: 5})
	if err != nil || report.Recall != 1 || report.Sample != 20 {
		t.Errorf("%+v %v", report, err)
	}
}

func TestVectorConfigChanges(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Dimension: 2}})
	if def, err := db.SetVectorConfig(t.Context(), "t", "v", schema.VectorConfig{Ef: 99}); err != nil || def.Vector.Ef != 99 {
		t.Errorf("%+v %v", def, err)
	}
	if _, err := db.SetVectorConfig(t.Context(), "t", "v", schema.VectorConfig{M: 99}); errs.CodeOf(err) != "not_reloadable" {
		t.Errorf("got %v", err)
	}
	db.Reopen()
	if def, err := db.VectorConfig(t.Context(), "t", "v"); err != nil || def.Vector.Ef != 99 {
		t.Errorf("%+v %v", def, err)
	}
}

func TestStampsGrowAcrossRestartsAndClockJumps(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	opts := testkit.Options(t.TempDir())
	opts.Now = func() time.Time { return now }
	db := testkit.OpenWith(t, opts)
	db.Put("t:1", `{}`)
	before := updatedAt(t, db)
	now = now.Add(-time.Hour)
	db.Reopen()
	db.Put("t:1", `{}`)
	if after := updatedAt(t, db); !after.After(before) {
		t.Errorf("written at %v, before that at %v", after, before)
	}
}

func updatedAt(t *testing.T, db *testkit.DB) time.Time {
	found, err := db.Get(t.Context(), []engine.Key{testkit.Key("t:1")}, true)
	if err != nil || found[0] == nil {
		t.Fatal(found, err)
	}
	return found[0].UpdatedAt
}

func TestCheckFindsDamage(t *testing.T) {
	// The damage is done by an index that never heard of the entities: its
	// definition is there, its entries aren't.
	opts := testkit.Options(t.TempDir())
	e, err := engine.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	job, err := e.CreateIndex(t.Context(), schema.IndexDef{Table: "t", Columns: []string{"a"}, Type: schema.Equality})
	if err == nil {
		err = job.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Apply(t.Context(), []engine.Op{testkit.Put("t:1", `{"a":1}`)}, true); err != nil {
		t.Fatal(err)
	}
	if err := engine.DamageIndex(e, "t"); err != nil {
		t.Fatal(err)
	}
	report, err := e.Check(t.Context())
	if err != nil || report.Total < 2 {
		t.Fatalf("%+v %v", report, err)
	}
}

// TestWritesWhileVectorsLoad changes vectors while a start is still loading the
// stored ones; the loader must not bring back what it found in its snapshot.
func TestWritesWhileVectorsLoad(t *testing.T) {
	opts := testkit.Options(t.TempDir())
	opts.Vector.CheckpointInterval = -1
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2", Dimension: 2}})
	// Enough that loading them takes many times as long as the first write.
	n := 30_000
	if testing.Short() {
		n = 6000 // it takes as long under the race detector
	}
	var ops []engine.Op
	for i := range n {
		ops = append(ops, testkit.Put(fmt.Sprintf("t:%d", i), map[string]any{"v": []any{i, 0}}))
	}
	db.Do(ops...)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	db.Engine = e
	whileLoading := 0
	for i := n - 1; i >= 0; i -= 60 {
		if !e.Readiness().Ready {
			whileLoading++
			_, err := e.Search(t.Context(), engine.SearchRequest{Table: "t", Vectors: [][]float32{{0, 0}}})
			if err != nil && errs.CodeOf(err) != "recovering" {
				t.Fatal(err)
			}
		}
		db.Put(fmt.Sprintf("t:%d", i), map[string]any{"v": []any{i, 1}})
		db.Delete(fmt.Sprintf("t:%d", i-1))
	}
	if whileLoading == 0 {
		t.Error("everything was loaded before the first write; the test proved nothing")
	}
	db.WaitReady()
	// Exact, because vectors that come in the order of a line make a graph that
	// can miss the end of it.
	results, err := db.Search(t.Context(), engine.SearchRequest{Table: "t", Vectors: [][]float32{{float32(n - 1), 1}}, K: 1, Exact: true})
	if err != nil || len(results[0].Hits) != 1 || results[0].Hits[0].Distance != 0 {
		t.Errorf("%+v %v", results, err)
	}
}
