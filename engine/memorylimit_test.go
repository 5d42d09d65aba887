package engine_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
)

func openLimited(t *testing.T, engineName string, limit int64) *testkit.DB {
	opts := testkit.Options(t.TempDir())
	opts.Vector.Engine, opts.Vector.MemoryLimit = engineName, limit
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2", M: 4, EfConstruction: 10}})
	return db
}

func memoryOf(t *testing.T, db *testkit.DB) int64 {
	t.Helper()
	infos, err := db.IndexStats(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	return infos[0].Usage.Memory()
}

// TestMemoryLimit: concurrent writers never get an index over its limit; what doesn't
// fit is refused alone and leaves nothing; what needs no room goes on; and what is
// stored is loaded whatever the limit is by then.
func TestMemoryLimit(t *testing.T) {
	for _, name := range []string{"hnsw", "flat"} {
		t.Run(name, func(t *testing.T) { testMemoryLimit(t, name) })
	}
}

func testMemoryLimit(t *testing.T, name string) {
	const limit, dim = 3 << 20, 32
	db := openLimited(t, name, limit)
	var kept, refused atomic.Int64
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for batch := 0; refused.Load() < 100 && batch < 500; batch++ {
				var ops []engine.Op
				for i := range 50 {
					ops = append(ops, testkit.Put(fmt.Sprintf("t:%d-%d-%d", w, batch, i), map[string]any{"v": normalVector(rng, dim)}))
				}
				results, err := db.Apply(t.Context(), ops, false)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range results {
					switch {
					case r.Err == nil:
						kept.Add(1)
					case errs.KindOf(r.Err) == errs.StorageFull && errs.CodeOf(r.Err) == "vector_memory_full":
						refused.Add(1)
					default:
						t.Error(r.Err)
					}
				}
			}
		})
	}
	writers.Wait()
	memory := memoryOf(t, db)
	t.Logf("%d kept in %d bytes of %d", kept.Load(), memory, limit)
	if refused.Load() == 0 || memory > limit || memory < limit*2/3 {
		t.Errorf("%d were refused at %d bytes of %d", refused.Load(), memory, limit)
	}
	infos, err := db.IndexStats(t.Context(), "t")
	if err != nil || int64(infos[0].Usage.Live) != kept.Load() || int64(infos[0].EntryCount) != kept.Load() || infos[0].MemoryLimit != limit {
		t.Errorf("%d were kept, and there are %+v, %v", kept.Load(), infos[0], err)
	}
	// Not one of an atomic batch, and an error that says what to do.
	rng := rand.New(rand.NewPCG(9, 9))
	ops := []engine.Op{testkit.Put("t:plain", `{"a":1}`)}
	for i := range 5000 {
		ops = append(ops, testkit.Put(fmt.Sprintf("t:x%d", i), map[string]any{"v": normalVector(rng, dim)}))
	}
	if _, err := db.Apply(t.Context(), ops, true); errs.CodeOf(err) != "vector_memory_full" || !strings.Contains(err.Error(), "memory_limit_mb") {
		t.Errorf("an atomic batch: %v", err)
	}
	// No room is needed by entities without a vector, by other columns, and by deletes.
	db.Put("t:plain", `{"a":1}`)
	if r := db.Do(engine.Op{Kind: engine.OpPatch, Key: testkit.Key("t:0-0-0"), Doc: []byte(`{"a":2}`)}); r[0].Err != nil {
		t.Errorf("another column: %v", r[0].Err)
	}
	db.Delete("t:0-0-1")
	db.Check()
	db.Reopen()
	db.WaitReady()
	db.Check()
}

// TestMemoryLimitOfBuilds: an index that can't be had within the limit isn't built, and
// leaves nothing.
func TestMemoryLimitOfBuilds(t *testing.T) {
	db := openLimited(t, "hnsw", 3<<20)
	rng := rand.New(rand.NewPCG(1, 1))
	var ops []engine.Op
	for i := range 20_000 {
		ops = append(ops, testkit.Put(fmt.Sprintf("t:%d", i), map[string]any{"w": normalVector(rng, 16)}))
	}
	db.Do(ops...)
	job, err := db.CreateIndex(t.Context(), schema.IndexDef{Table: "t", Columns: []string{"w"}, Type: schema.Vector, Vector: &schema.VectorConfig{M: 8, EfConstruction: 10}})
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(t.Context()); errs.CodeOf(err) != "vector_memory_full" || !strings.Contains(err.Error(), "no index was made") {
		t.Errorf("the build: %v", err)
	}
	if _, err := db.VectorConfig(t.Context(), "t", "w"); errs.CodeOf(err) != "index_not_found" {
		t.Errorf("after it: %v", err)
	}
	db.Check()
}
