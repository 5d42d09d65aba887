package copies

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/schedule"
)

// View is the page.
type View struct {
	// Newest first, as the backups.
	Snapshots []Snapshot
	Backups   []Backup
	// The problems say why there is no list.
	SnapshotsProblem, BackupsProblem string
	// SnapshotBytes is the sum of the snapshots' sizes.
	SnapshotBytes int64
	// SnapshotDir and BackupDir are where new ones go.
	SnapshotDir, BackupDir string
	LastSnapshot           time.Time
	LastBackup             time.Time
	// Jobs are those that run, and those that failed a short while ago.
	Jobs     []jobs.Status
	Schedule Schedule
	Archive  Archive
	// NewName was entered for a snapshot, NewNameError is what is wrong with it.
	NewName, NewNameError string
	// Keep is proposed for a purge.
	Keep string
}

// Snapshot is one in the list.
type Snapshot struct {
	engine.Snapshot
	// Scheduled ones were made by the server itself.
	Scheduled bool
	// Folder is where it stands, empty for where new ones go.
	Folder string
	Check  *Check
	// Restore is the command that puts it in the place of the data.
	Restore string
}

// Backup is one in the list.
type Backup struct {
	engine.Backup
	Check   *Check
	Restore string
}

// Check is the last verification of a copy that is known.
type Check struct {
	Running bool
	// Ended is when it did.
	Ended time.Time
	// Failed says why it could not be done.
	Failed   string
	Sound    bool
	Findings []string
}

// Archive is the archive of writes.
type Archive struct {
	Enabled  bool
	Path     string
	Sequence uint64
	Lag      time.Duration
	LagRows  uint64
	Gaps     uint64
	Problem  string
	// Keeps is how long it goes back, empty for all of it.
	Keeps string
	// Restore is the command that rolls the newest snapshot forward.
	Restore string
}

// view gathers the page.
func (p *Copies) view() (*View, error) {
	stats, err := p.o.Database.Stats()
	if err != nil {
		return nil, err
	}
	c := &p.o.Config.Config().Storage
	running := p.o.Database.Jobs().List()
	v := &View{
		SnapshotDir: absolute(c.SnapshotDirs[0]), BackupDir: absolute(c.BackupDir),
		LastSnapshot: stats.Copies.LastSnapshot, LastBackup: stats.Copies.LastBackup,
		Jobs: listed(running, time.Now()), Schedule: scheduleOf(p.o.Schedule), Keep: strconv.Itoa(max(c.BackupKeep, 1)),
	}
	target := absolute(c.RocksDBPath)
	snapshots, err := p.o.Database.Snapshots()
	if err != nil {
		v.SnapshotsProblem = problem.Of(err).Detail
	}
	backups, err := p.o.Database.Backups()
	if err != nil {
		v.BackupsProblem = problem.Of(err).Detail
	}
	v.list(snapshots, backups, running, target)
	v.Archive = archiveOf(c, &stats, v.newest(), target)
	return v, nil
}

// list fills in the copies, newest first.
func (v *View) list(snapshots []engine.Snapshot, backups []engine.Backup, all []jobs.Status, target string) {
	for _, s := range slices.Backward(snapshots) {
		v.SnapshotBytes += s.Bytes
		row := Snapshot{
			Snapshot: s, Scheduled: schedule.Scheduled(s.Name), Check: checkOf(all, engine.SnapshotVerifyKind, s.Name, s.Created), Restore: restore(s.Path, target),
		}
		if folder := filepath.Dir(s.Path); folder != v.SnapshotDir {
			row.Folder = folder
		}
		v.Snapshots = append(v.Snapshots, row)
	}
	for _, b := range slices.Backward(backups) {
		name := engine.BackupName(v.BackupDir, b.ID)
		v.Backups = append(v.Backups, Backup{
			Backup: b, Check: checkOf(all, engine.BackupVerifyKind, name, b.Created), Restore: restore(name, target),
		})
	}
}

// newest is the path of the newest snapshot that can be restored; empty if there
// is none.
func (v *View) newest() string {
	for i := range v.Snapshots {
		if v.Snapshots[i].Damaged == "" {
			return v.Snapshots[i].Path
		}
	}
	return ""
}

// How long a failed job is shown here, and how many at most.
const (
	failuresStay = 30 * time.Minute
	mostFailures = 3
)

// listed are the jobs of copies that run, and the latest that failed.
func listed(all []jobs.Status, now time.Time) []jobs.Status {
	var shown []jobs.Status
	failures := 0
	for _, s := range all {
		switch s.Kind {
		case engine.SnapshotKind, engine.BackupKind, engine.SnapshotVerifyKind, engine.BackupVerifyKind:
		default:
			continue
		}
		failed := s.State == jobs.Failed && now.Sub(*s.Finished) < failuresStay && failures < mostFailures
		if failed {
			failures++
		}
		if failed || s.State == jobs.Running {
			shown = append(shown, s)
		}
	}
	return shown
}

// checkOf is the newest verification of a copy, nil if none is known. One that
// began before the copy was made is of another one with its name.
func checkOf(all []jobs.Status, kind, subject string, made time.Time) *Check {
	for _, s := range all { // newest first
		if s.Kind != kind || s.Subject != subject || s.Started.Before(made) || s.State == jobs.Canceled {
			continue
		}
		if s.State == jobs.Running {
			return &Check{Running: true}
		}
		c := &Check{Ended: *s.Finished, Failed: s.Error}
		var v engine.Verification
		if s.State == jobs.Done && json.Unmarshal(s.Result, &v) == nil {
			c.Sound, c.Findings = v.Sound, v.Findings
		}
		return c
	}
	return nil
}

func archiveOf(c *config.Storage, stats *engine.Stats, newest, target string) Archive {
	a := Archive{
		Enabled: stats.Archive.Enabled, Path: c.WALArchivePath, Sequence: uint64(stats.Archive.LastSequence),
		Lag: time.Duration(stats.Archive.LagSeconds * float64(time.Second)), LagRows: stats.Archive.LagRows,
		Gaps: stats.Archive.Gaps, Problem: stats.Archive.LastError,
	}
	if a.Path != "" {
		a.Path = absolute(a.Path)
	}
	if c.WALTTLSeconds > 0 {
		a.Keeps = format.Duration(time.Duration(c.WALTTLSeconds) * time.Second)
	}
	if a.Enabled && newest != "" {
		a.Restore = restore(newest, target) + " --until " + time.Now().UTC().Truncate(time.Minute).Format(time.RFC3339) + " --archive " + word(a.Path)
	}
	return a
}

// restore is the command that puts a copy in the place of the data.
func restore(source, target string) string {
	return "themis_server --restore " + word(source) + " --target " + word(target) + " --force"
}

// word makes one word of a text for a POSIX shell, with quotes only if it needs
// them.
func word(text string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._-@:+,=", r)
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return components.Quote(text)
}

// absolute is a path as a shell in another folder needs it.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func purged(n int) string {
	if n == 0 {
		return "Nothing was removed: there are no more backups than that."
	}
	return format.Plural(n, "backup was", "backups were") + " removed."
}
