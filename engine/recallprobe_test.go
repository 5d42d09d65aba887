package engine_test

import (
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/testkit"
)

// TestRecallProbe: with an interval, the recall of each index is known without anybody
// asking; without one nothing is measured.
func TestRecallProbe(t *testing.T) {
	opts := testkit.Options(t.TempDir())
	opts.Vector.RecallProbeInterval = 50 * time.Millisecond
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "empty", Columns: []string{"v"}, Type: schema.Vector})
	fillRandom(t, db, 2000)
	db.Search(t.Context(), engine.SearchRequest{Table: "t", Vectors: [][]float32{{1, 2, 3, 4, 5, 6, 7, 8}}})
	for started := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		stats, err := db.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if len(stats.Recall) == 0 || stats.Recall[0].Sent == 0 { // before the search
			if time.Since(started) > time.Minute {
				t.Fatal("nothing was measured")
			}
			continue
		}
		p := stats.Recall[0]
		if len(stats.Recall) != 1 || p.Table != "t" || p.Column != "v" || p.K != 10 || p.Ef != 64 || p.Queries < 40 || p.Sent != 1 ||
			p.Recall < 0.9 || p.Recall > 1 || p.Measured.IsZero() {
			t.Errorf("measured: %+v", stats.Recall)
		}
		infos, err := db.IndexStats(t.Context(), "t")
		if err != nil || infos[0].Recall == nil {
			t.Errorf("not told of the index: %+v, %v", infos, err)
		}
		return
	}
}
