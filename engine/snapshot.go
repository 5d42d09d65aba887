package engine

import (
	"cmp"
	"context"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/storage/snapshot"
)

// CopyOptions say where copies of the database are kept.
type CopyOptions struct {
	// SnapshotDirs are the folders that snapshots may stand in; without any, the
	// folder snapshots beside the data. The first takes those made by name.
	SnapshotDirs []string
	// BackupDir is the folder of backups, "" for backups beside the data.
	BackupDir string
	// Version is the program's, for manifests.
	Version string
}

func (o CopyOptions) ensureDefaults(data string) CopyOptions {
	if len(o.SnapshotDirs) == 0 {
		o.SnapshotDirs = []string{filepath.Join(filepath.Dir(filepath.Clean(data)), "snapshots")}
	}
	o.BackupDir = cmp.Or(o.BackupDir, filepath.Join(filepath.Dir(filepath.Clean(data)), "backups"))
	return o
}

// SnapshotRef names a new snapshot: by a name, by a path below one of the
// snapshot folders, or, with neither, by the time.
type SnapshotRef struct{ Name, Path string }

// Snapshot is a snapshot in a list. The figures are zero if its manifest can't be
// read; Damaged says why.
type Snapshot struct {
	Name, Path string
	Created    time.Time
	Sequence   uint64
	Bytes      int64
	Files      int
	Version    string
	Damaged    string
}

func snapshotOf(i *snapshot.Info) Snapshot {
	s := Snapshot{Name: i.Name, Path: i.Path}
	if i.Err != nil {
		s.Damaged = i.Err.Error()
	}
	if m := i.Manifest; m != nil {
		s.Created, s.Sequence, s.Bytes, s.Files, s.Version = m.Created, m.Sequence, m.Bytes, len(m.Files), m.Version
	}
	return s
}

// Backup is one backup.
type Backup struct {
	ID      uint32
	Created time.Time
	// Bytes and Files count what is shared with other backups too.
	Bytes int64
	Files int
}

func backupOf(b *storage.Backup) Backup {
	return Backup{ID: b.ID, Created: b.Created, Bytes: b.Bytes, Files: len(b.Files)}
}

// Work is a job that leads to a T.
type Work[T any] struct {
	Job *jobs.Job

	mu     sync.Mutex
	result T
}

// Result is what the job has led to, the zero value before it is done.
func (w *Work[T]) Result() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.result
}

func startWork[T any](e *Engine, kind, subject string, run func(context.Context, jobs.Progress) (T, error)) (*Work[T], error) {
	w := &Work[T]{}
	job, err := e.jobs.Start(kind, subject, func(ctx context.Context, p jobs.Progress) error {
		p.Unit("bytes")
		result, err := run(ctx, p)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.result = result
		return err
	})
	w.Job = job
	return w, err
}

// CreateSnapshot starts making a snapshot of everything. Errors at once are
// Invalid "invalid_snapshot_name" and "invalid_snapshot_path"; the job fails with
// Conflict "snapshot_exists" or StorageFull.
func (e *Engine) CreateSnapshot(ref SnapshotRef) (*Work[Snapshot], error) {
	place, err := e.snapshotPlace(ref)
	if err != nil {
		return nil, err
	}
	return startWork(e, SnapshotKind, place.Name, func(ctx context.Context, p jobs.Progress) (Snapshot, error) {
		info, err := e.snapshots.Create(ctx, e.store, place, p.Set)
		if err != nil {
			return Snapshot{}, err
		}
		e.copies.snapshot.note(info.Manifest.Created)
		return snapshotOf(info), nil
	})
}

func (e *Engine) snapshotPlace(ref SnapshotRef) (snapshot.Place, error) {
	switch {
	case ref.Name != "" && ref.Path != "":
		return snapshot.Place{}, errs.Field("invalid_value", "/path", "give either name or path, not both")
	case ref.Path != "":
		return e.snapshots.ByPath(ref.Path)
	}
	return e.snapshots.ByName(cmp.Or(ref.Name, snapshot.DefaultName(e.opts.Now())))
}

// Snapshots lists the snapshots, oldest first.
func (e *Engine) Snapshots() ([]Snapshot, error) {
	list, err := e.snapshots.List()
	if err != nil {
		return nil, err
	}
	out := make([]Snapshot, len(list))
	for i := range list {
		out[i] = snapshotOf(&list[i])
	}
	return out, nil
}

// Verification is the outcome of a job that verifies a copy.
type Verification struct {
	Sound bool `json:"sound"`
	// Findings are what is wrong, the first maxPublished of them.
	Findings []string `json:"findings"`
}

// maxPublished bounds what a job keeps of its outcome.
const maxPublished = 100

// verify runs a verification and publishes its outcome.
func verify(p jobs.Progress, run func(progress func(done, total uint64)) ([]string, error)) ([]string, error) {
	findings, err := run(p.Set)
	if err != nil {
		return nil, err
	}
	outcome := Verification{Sound: len(findings) == 0, Findings: findings[:min(len(findings), maxPublished)]}
	text, err := json.Marshal(&outcome)
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "internal", "the findings could not be written as JSON")
	}
	p.Result(text)
	return findings, nil
}

// VerifySnapshot starts comparing a snapshot's files with their checksums. The
// result is what is wrong, a sentence each, naming the file; the job fails with
// NotFound "snapshot_not_found".
func (e *Engine) VerifySnapshot(name string) (*Work[[]string], error) {
	return startWork(e, SnapshotVerifyKind, name, func(ctx context.Context, p jobs.Progress) ([]string, error) {
		return verify(p, func(progress func(done, total uint64)) ([]string, error) {
			report, err := e.snapshots.Verify(ctx, name, progress)
			if err != nil {
				return nil, err
			}
			return report.Findings, nil
		})
	})
}

// DeleteSnapshot removes a snapshot. Errors are NotFound "snapshot_not_found" and
// Conflict "snapshot_busy".
func (e *Engine) DeleteSnapshot(name string) error { return e.snapshots.Delete(name) }

// ArchiveSnapshot opens a snapshot as one tar file to read; it can't be deleted
// before that is closed. Reading ends with ctx. Errors are NotFound
// "snapshot_not_found", Corrupt "snapshot_damaged", Conflict "snapshot_busy" and
// Unavailable "too_many_downloads".
func (e *Engine) ArchiveSnapshot(ctx context.Context, name string) (*snapshot.Archive, error) {
	return e.snapshots.Archive(ctx, name)
}

// CreateBackup starts adding a backup to the folder of backups. The job can't be
// canceled; it fails with Conflict "backup_busy" or StorageFull.
func (e *Engine) CreateBackup() (*Work[Backup], error) {
	return startWork(e, BackupKind, e.opts.Copies.BackupDir, func(_ context.Context, p jobs.Progress) (Backup, error) {
		p.Uncancelable()
		b, err := e.store.Backup(e.opts.Copies.BackupDir)
		if err != nil {
			return Backup{}, err
		}
		e.copies.backup.note(b.Created)
		return backupOf(b), nil
	})
}

// Backups lists the backups, oldest first.
func (e *Engine) Backups() ([]Backup, error) {
	list, err := storage.Backups(e.opts.Copies.BackupDir)
	if err != nil {
		return nil, err
	}
	out := make([]Backup, len(list))
	for i := range list {
		out[i] = backupOf(&list[i])
	}
	return out, nil
}

// VerifyBackup starts comparing a backup's files with their checksums. The result
// is what is wrong. An error is NotFound "backup_not_found".
func (e *Engine) VerifyBackup(id uint32) (*Work[[]string], error) {
	dir := e.opts.Copies.BackupDir
	b, err := storage.ReadBackup(dir, id)
	if err != nil {
		return nil, err
	}
	return startWork(e, BackupVerifyKind, BackupName(dir, id), func(ctx context.Context, p jobs.Progress) ([]string, error) {
		return verify(p, func(progress func(done, total uint64)) ([]string, error) { return b.Verify(ctx, dir, progress) })
	})
}

// BackupName names one backup of a folder, as Restore takes it.
func BackupName(dir string, id uint32) string { return dir + "@" + strconv.FormatUint(uint64(id), 10) }

// PurgeBackups removes all backups but the newest ones.
func (e *Engine) PurgeBackups(keep int) error {
	if keep < 1 {
		return errs.Field("invalid_value", "/keep", "must be 1 or more")
	}
	return storage.PurgeBackups(e.opts.Copies.BackupDir, keep)
}

// StartCompaction starts rewriting all data; see Compact.
func (e *Engine) StartCompaction() (*jobs.Job, error) {
	return e.jobs.Start(CompactKind, "", func(ctx context.Context, _ jobs.Progress) error { return e.Compact(ctx) })
}

// CopyStats say when the newest copies were made; the zero time is never, as far
// as the folders tell.
type CopyStats struct{ LastSnapshot, LastBackup time.Time }

// copyTimes are the times behind CopyStats.
type copyTimes struct{ snapshot, backup latestTime }

// latestTime is the latest of the times it was told of, in Unix nanoseconds; 0 is
// none.
type latestTime struct{ nanoseconds atomic.Int64 }

func (l *latestTime) note(t time.Time) {
	for {
		known := l.nanoseconds.Load()
		if t.UnixNano() <= known || l.nanoseconds.CompareAndSwap(known, t.UnixNano()) {
			return
		}
	}
}

func (l *latestTime) load() time.Time {
	if known := l.nanoseconds.Load(); known != 0 {
		return time.Unix(0, known)
	}
	return time.Time{}
}

// noteCopies looks at the copies that earlier runs have made. The folders may be
// on other disks, so it isn't done while the database is opened.
func (e *Engine) noteCopies() {
	snapshots, err := e.Snapshots()
	if err != nil {
		e.log.Warn("the snapshots could not be listed", "component", "snapshot", "error", err)
	}
	for i := range snapshots {
		if snapshots[i].Damaged == "" {
			e.copies.snapshot.note(snapshots[i].Created)
		}
	}
	backups, err := e.Backups()
	if err != nil {
		e.log.Warn("the backups could not be listed", "component", "snapshot", "error", err)
	}
	for i := range backups {
		e.copies.backup.note(backups[i].Created)
	}
}
