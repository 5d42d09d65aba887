package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
)

// A rebuild that was asked for before its index was dropped doesn't bring the index
// back.
func TestRebuildOfADroppedIndex(t *testing.T) {
	db := testkit.Open(t)
	db.Put("t:1", `{"a":1}`)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"a"}, Type: schema.Equality})
	if err := engine.RebuildDropped(t.Context(), db.Engine, "t", "a", schema.Equality); errs.CodeOf(err) != "index_not_found" {
		t.Errorf("got %v", err)
	}
	if infos, err := db.IndexStats(t.Context(), "t"); err != nil || len(infos) != 0 {
		t.Errorf("indexes %+v %v", infos, err)
	}
}

// many puts so many entities that a build of an index takes a while.
func many(t *testing.T, e *engine.Engine) {
	t.Helper()
	for i := 0; i < 20_000; i += 1000 {
		var ops []engine.Op
		for n := range 1000 {
			ops = append(ops, testkit.Put(fmt.Sprintf("t:%05d", i+n), map[string]any{"a": i + n}))
		}
		if _, err := e.Apply(t.Context(), ops, true); err != nil {
			t.Fatal(err)
		}
	}
}

// A rebuild that began while its index was being dropped doesn't bring it back.
func TestDropDuringTheStartOfARebuild(t *testing.T) {
	db := testkit.Open(t)
	many(t, db.Engine)
	for _, typ := range []schema.IndexType{schema.Equality, schema.Range} {
		db.Index(schema.IndexDef{Table: "t", Columns: []string{"a"}, Type: typ})
	}
	job, err := engine.DropRebuilt(t.Context(), db.Engine, "t", "a", schema.Equality)
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(t.Context()); err != nil && errs.CodeOf(err) != "index_dropped" {
		t.Error(err)
	}
	if infos, err := db.IndexStats(t.Context(), "t"); err != nil || len(infos) != 1 || infos[0].Type != schema.Range {
		t.Errorf("indexes %+v %v", infos, err)
	}
}

// TestStopDuringABuild: what a build that is cut off by the end of the server says
// is true, as the next start finds it.
func TestStopDuringABuild(t *testing.T) {
	opts := testkit.Options(t.TempDir())
	e, err := engine.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	many(t, e)
	job, err := e.CreateIndex(t.Context(), schema.IndexDef{Table: "t", Columns: []string{"a"}, Type: schema.Equality})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(t.Context()); err != nil && (errs.CodeOf(err) != "job_canceled" || strings.Contains(err.Error(), "removed")) {
		t.Error(err)
	}
	db := testkit.OpenWith(t, opts)
	if infos, err := db.IndexStats(t.Context(), "t"); err != nil || len(infos) != 1 {
		t.Errorf("indexes %+v %v", infos, err)
	}
}
