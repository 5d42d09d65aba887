package engine_test

import (
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/testkit"
)

// TestLastCopies: the times of the newest copies are known at once and after a
// restart.
func TestLastCopies(t *testing.T) {
	db := testkit.OpenWith(t, testkit.Options(t.TempDir()+"/data"))
	last := func() engine.CopyStats {
		stats, err := db.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return stats.Copies
	}
	if got := last(); got != (engine.CopyStats{}) {
		t.Errorf("before the first: %+v", got)
	}
	work, err := db.CreateSnapshot(engine.SnapshotRef{Name: "a"})
	snapshot := finish(t, work, err)
	backups, err := db.CreateBackup()
	backup := finish(t, backups, err)
	want := engine.CopyStats{LastSnapshot: snapshot.Created, LastBackup: backup.Created}
	same := func(got engine.CopyStats) bool {
		return got.LastSnapshot.Equal(want.LastSnapshot) && got.LastBackup.Equal(want.LastBackup)
	}
	if got := last(); !same(got) {
		t.Errorf("after the first: %+v, want %+v", got, want)
	}
	db.Reopen()
	for deadline := time.Now().Add(30 * time.Second); !same(last()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a restart: %+v, want %+v", last(), want)
		}
	}
}
