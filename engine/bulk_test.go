package engine_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
)

// TestExport: an export is of one moment, with and without a filter and an index.
func TestExport(t *testing.T) {
	db := testkit.Open(t)
	for i := range 1500 {
		db.Do(testkit.Put(fmt.Sprintf("t:%04d", i), map[string]any{"n": i % 2, "i": i}))
	}
	export := func(filter testkit.Filter, want int) {
		t.Helper()
		seen := map[string]bool{}
		err := db.Export(t.Context(), "t", parse(t, filter), func(e *engine.Entity) error {
			if len(seen) == 0 { // whatever happens meanwhile
				db.Do(testkit.Put("t:0000", map[string]any{"n": 7}), testkit.Put("t:new", map[string]any{"n": 1}))
				db.Delete("t:0001")
			}
			seen[string(e.Doc)] = true
			return nil
		})
		if err != nil || len(seen) != want {
			t.Errorf("%s exported %d entities, not %d: %v", filter, len(seen), want, err)
		}
		db.Do(testkit.Put("t:0000", map[string]any{"n": 0, "i": 0}), testkit.Put("t:0001", map[string]any{"n": 1, "i": 1}))
		db.Delete("t:new")
	}
	one, all := testkit.Filter{"column": "n", "value": 1}, testkit.Filter{"column": "n", "op": "exists"}
	export(all, 1500)
	export(one, 750)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"n"}, Type: schema.Equality})
	export(all, 1500)
	export(one, 750)
	stop := errors.New("enough")
	if err := db.Export(t.Context(), "t", nil, func(*engine.Entity) error { return stop }); !errors.Is(err, stop) {
		t.Error("the error of the receiver is lost:", err)
	}
	if err := db.Export(t.Context(), "none", nil, nil); errs.CodeOf(err) != "table_not_found" {
		t.Error(err)
	}
}

// TestStartDelete: the job deletes what matches, and counts it.
func TestStartDelete(t *testing.T) {
	db := testkit.Open(t)
	for i := range 2500 {
		db.Do(testkit.Put(fmt.Sprintf("t:%04d", i), map[string]any{"n": i % 5}))
	}
	job, err := db.StartDelete("t", parse(t, testkit.Filter{"column": "n", "op": "ne", "value": 3}))
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := job.Status(); s.State != jobs.Done || s.Done != 2000 || s.Total != 2000 {
		t.Errorf("%+v", s)
	}
	left, err := db.Query(t.Context(), engine.QueryRequest{Table: "t", Return: engine.ReturnCount})
	if err != nil || left.Count != 500 {
		t.Error(left, err)
	}
	if _, err := db.StartDelete("none", nil); errs.CodeOf(err) != "table_not_found" {
		t.Error(err)
	}
}
