package engine_test

import (
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
