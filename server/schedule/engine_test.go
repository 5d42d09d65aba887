package schedule

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/testkit"
)

// TestCopiesOfADatabase makes and prunes real copies: those of the schedule, and
// no others.
func TestCopiesOfADatabase(t *testing.T) {
	db := testkit.OpenWith(t, testkit.Options(t.TempDir()+"/data"))
	of := func(ahead time.Duration) string { return nameAt(time.Now().Add(ahead)) }
	hourAgo, future := of(-time.Hour), []string{of(time.Hour), of(2 * time.Hour)}
	for _, name := range append(future, "mine", of(-3*time.Hour), of(-2*time.Hour), hourAgo) {
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
	// Those of a time when the clock was wrong don't take the place of others.
	want := append([]string{"mine", hourAgo, s.Last.Name}, future...)
	if got := names(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("what is left: %v, want %v", got, want)
	}

	// One that is being downloaded goes the next time.
	archive, err := db.ArchiveSnapshot(t.Context(), hourAgo)
	if err != nil {
		t.Fatal(err)
	}
	if removed, err := l.copies.prune(1); err != nil || len(removed) != 0 {
		t.Errorf("during a download: %v, %v", removed, err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if removed, err := l.copies.prune(1); err != nil || !slices.Equal(removed, []string{hourAgo}) {
		t.Errorf("after the download: %v, %v", removed, err)
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
