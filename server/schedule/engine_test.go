package schedule

import (
	"log/slog"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/testkit"
)

// TestCopiesOfADatabase makes and prunes real copies: those of the schedule, and
// no others.
func TestCopiesOfADatabase(t *testing.T) {
	db := testkit.OpenWith(t, testkit.Options(t.TempDir()+"/data"))
	for _, name := range []string{"mine", nameAt(time.Now().Add(-2 * time.Hour)), nameAt(time.Now().Add(-time.Hour)), nameAt(time.Now().Add(time.Hour))} {
		work, err := db.CreateSnapshot(engine.SnapshotRef{Name: name})
		if err == nil {
			err = work.Job.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	names := func() (names []string) {
		list, err := db.Snapshots()
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			names = append(names, list[i].Name)
		}
		return names
	}
	l := newLine(&snapshots{db.Engine}, Rule{Every: time.Minute, Keep: 2}, slog.New(slog.DiscardHandler))
	if next := l.plan(time.Now()); time.Until(next) > time.Minute || time.Until(next) < 50*time.Second {
		t.Errorf("due at %v", next)
	}
	l.try(t.Context())
	s := l.status()
	if s.Last == nil || s.Last.Err != nil || !Scheduled(s.Last.Name) || len(s.Last.Removed) != 2 || s.Made != 1 {
		t.Fatalf("%+v, %+v", s, s.Last)
	}
	if got := names(); len(got) != 3 || got[0] != "mine" || got[2] != s.Last.Name {
		t.Errorf("what is left: %v", got)
	}

	l = newLine(&backups{db.Engine}, Rule{Every: time.Hour, Keep: 2}, slog.New(slog.DiscardHandler))
	for range 3 {
		l.try(t.Context())
	}
	s = l.status()
	list, err := db.Backups()
	if err != nil || s.Last.Err != nil || s.Last.Name != "3" || len(s.Last.Removed) != 1 || s.Last.Removed[0] != "1" || len(list) != 2 {
		t.Errorf("%+v, %+v, %+v, %v", s, s.Last, list, err)
	}
	if next := l.plan(time.Now()); time.Until(next) < 59*time.Minute {
		t.Errorf("the next backup is due at %v", next)
	}
}

// TestSchedule: a schedule of its own accord makes what is due, and ends.
func TestSchedule(t *testing.T) {
	db := testkit.OpenWith(t, testkit.Options(t.TempDir()+"/data"))
	s := New(Options{Database: db.Engine})
	defer s.Close()
	s.Set(Plan{Snapshots: Rule{Every: time.Hour}, Backups: Rule{Every: time.Hour}})
	for deadline := time.Now().Add(30 * time.Second); s.Snapshots().Made == 0 || s.Backups().Made == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v, %+v", s.Snapshots(), s.Backups())
		}
	}
}
