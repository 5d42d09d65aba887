package copies

import (
	"archive/tar"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/schedule"
)

func TestMain(m *testing.M) { consoletest.Main(m) }

// site is the page of a database.
type site struct {
	*consoletest.Site
	db   *engine.Engine
	live *config.Live
	dir  string
}

func open(t *testing.T) *site {
	t.Helper()
	s := &site{dir: filepath.Join(t.TempDir(), "it's here")}
	s.db = testkit.OpenWith(t, testkit.Options(s.dir+"/data")).Engine
	live, err := config.Open(config.Source{Set: []string{"storage.rocksdb_path=" + s.dir + "/data"}})
	if err != nil {
		t.Fatal(err)
	}
	s.live = live
	plan := schedule.New(schedule.Options{Database: s.db, Plan: schedule.Plan{Snapshots: schedule.Rule{Keep: 7}, Backups: schedule.Rule{Keep: 7}}})
	t.Cleanup(plan.Close)
	live.Subscribe(config.Subscriber{Apply: func(_, after *config.Config) error {
		c := &after.Storage
		rule := func(minutes, keep int) schedule.Rule {
			return schedule.Rule{Every: time.Duration(minutes) * time.Minute, Keep: keep}
		}
		plan.Set(schedule.Plan{Snapshots: rule(c.SnapshotIntervalMinutes, c.SnapshotKeep), Backups: rule(c.BackupIntervalMinutes, c.BackupKeep)})
		return nil
	}})
	s.Site = consoletest.Serve(t, func(f *page.Frame) console.Group {
		return New(f, Options{Database: s.db, Schedule: plan, Config: live})
	})
	return s
}

// post sends a form and reads the page that the browser gets to.
func (s *site) post(status int, path string, fields ...string) string {
	s.Helper()
	a := s.Post(path, fields...)
	if a.Status == http.StatusSeeOther {
		a = s.Follow(a)
	}
	return s.words(a, status)
}

func (s *site) get(path string) string {
	s.Helper()
	return s.words(s.Get(path), http.StatusOK)
}

func (s *site) words(a consoletest.Answer, status int) string {
	s.Helper()
	if a.Status != status {
		s.Fatalf("status %d, want %d\n%s", a.Status, status, consoletest.Content(a.Body))
	}
	return consoletest.Words(s.Parse(a.Body))
}

func (s *site) wants(text string, wants ...string) {
	s.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			s.Errorf("%q lacks %q", text, want)
		}
	}
}

func TestSnapshots(t *testing.T) {
	s := open(t)
	s.wants(s.get("copies"), "No snapshot yet", "No backup yet", "Newest snapshot never", "storage.enable_wal_archival")
	s.wants(s.post(200, "copies/snapshots", "name", "before-upgrade"), "The snapshot before-upgrade was made.", "1 snapshot", "not yet")
	s.wants(s.post(200, "copies/snapshots"), "The snapshot snapshot-2", "2 snapshots")
	s.wants(s.post(400, "copies/snapshots", "name", "../<b>"), "a snapshot's name has 1 to 128 letters")
	s.wants(s.post(400, "copies/snapshots", "name", "before-upgrade"), "with the name before-upgrade already")
	s.wants(s.post(200, "copies/snapshots/before-upgrade/verify"), "The snapshot before-upgrade is sound", "sound")

	// The command is what a shell needs.
	path := filepath.Join(s.dir, "snapshots", "before-upgrade")
	quoted := "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	s.wants(s.get("copies"), "themis_server --restore "+quoted+" --target ")

	download := s.Get("copies/snapshots/before-upgrade/download")
	header, err := tar.NewReader(strings.NewReader(download.Body)).Next()
	if length := download.Header.Get("Content-Length"); err != nil || header.Name != "before-upgrade/manifest.json" || length != strconv.Itoa(len(download.Body)) {
		t.Errorf("the download begins with %+v, %v, of %s bytes", header, err, length)
	}

	manifest := filepath.Join(path, "data", "CURRENT")
	if err := os.WriteFile(manifest, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.wants(s.post(200, "copies/snapshots/before-upgrade/verify"), "before-upgrade is damaged", "1 finding data/CURRENT")

	s.wants(s.post(400, "copies/snapshots/before-upgrade/delete", "confirm", "before"), "The confirmation doesn't match")
	if list, err := s.db.Snapshots(); err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	s.wants(s.post(200, "copies/snapshots/before-upgrade/delete", "confirm", "before-upgrade"), "before-upgrade was deleted")
	s.post(404, "copies/snapshots/before-upgrade/delete", "confirm", "before-upgrade")
	s.post(404, "copies/snapshots/nothing/verify")
	for _, name := range []string{"nothing", "%2e%2e", "..%2f..%2fetc", "%00"} {
		if a := s.Get("copies/snapshots/" + name + "/download"); a.Status/100 != 4 || strings.Contains(a.Header.Get("Content-Type"), "tar") {
			t.Errorf("%s: %d", name, a.Status)
		}
	}
}

func TestBackups(t *testing.T) {
	s := open(t)
	s.wants(s.post(200, "copies/backups"), "Backup 1 was made.")
	s.post(200, "copies/backups")
	s.wants(s.post(200, "copies/backups"), "Backup 3 was made.", "3 backups", "backups@3' --target")
	s.wants(s.post(200, "copies/backups/2/verify"), "Backup 2 is sound")
	s.post(404, "copies/backups/9/verify")
	s.post(400, "copies/backups/x/verify")
	for _, bad := range [][]string{{"keep", "1"}, {"keep", "0", "confirm", "purge"}, {"keep", "all", "confirm", "purge"}, {"confirm", "purge"}} {
		s.post(400, "copies/purge", bad...)
	}
	if list, err := s.db.Backups(); err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	s.wants(s.post(200, "copies/purge", "keep", "1", "confirm", "purge"), "2 backups were removed.", "1 backup")
	s.wants(s.post(200, "copies/purge", "keep", "5", "confirm", "purge"), "Nothing was removed")
}

// TestSchedule: the form changes the configuration, and that the schedule.
func TestSchedule(t *testing.T) {
	s := open(t)
	form := func(status int, every, unit, keep string) string {
		t.Helper()
		return s.post(status, "copies/schedule", "snapshot.every", every, "snapshot.unit", unit, "snapshot.keep", keep,
			"backup.every", "0", "backup.unit", "60", "backup.keep", "7")
	}
	for _, bad := range [][]string{{"-1", "60", "7"}, {"<b>", "60", "7"}, {"400", "1440", "7"}, {"999999999999", "1440", "7"}, {"1", "0", "7"}, {"1", "60", "many"}, {"1", "60", "99999"}} {
		s.wants(form(400, bad[0], bad[1], bad[2]), "Schedule")
	}
	s.wants(form(400, "<b>", "60", "many"), "This must be a whole number from 0.")
	s.wants(form(400, "1", "60", "99999"), "storage.snapshot_keep is 99999; it must be a whole number from 0 to 10000")
	s.wants(form(200, "0", "60", "7"), "Nothing was changed")
	if h := s.live.History(); len(h) != 0 {
		t.Fatalf("%+v", h)
	}
	s.wants(form(200, "2", "1440", "3"), "The schedule was changed, until the next restart.", "Every 2 d")
	if c := s.live.Config().Storage; c.SnapshotIntervalMinutes != 2880 || c.SnapshotKeep != 3 || c.BackupIntervalMinutes != 0 {
		t.Errorf("%+v", c)
	}
	if h := s.live.History(); len(h) != 1 || len(h[0].Changes) != 2 || h[0].Persisted {
		t.Errorf("%+v", h)
	}
	// The first one is made at once.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if text := s.get("copies"); strings.Contains(text, "Made scheduled-2") {
			s.wants(text, "The next one is due in 47 h", "1 snapshot")
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(s.get("copies"))
		}
	}
}
