package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/storage/snapshot"
)

// Restoring
//
// The database is prepared beside the target, as .NAME.restoring, checked, put on
// disk, and then swapped with the target in one step (renameat2 with
// RENAME_EXCHANGE). So at every moment the target is the old database or the new
// one, whole. Where the file system can't do that, the old one is moved to
// .NAME.replaced first; a crash between the two renames is mended by
// FinishRestore. What is left over is removed by the next restore or start.
//
// Files are copied, never linked: a restored database shares no bytes with the
// snapshot, so nothing that happens to one harms the other, and the checksum is
// taken of what was copied.

// RestoreOptions say what to restore and where to.
type RestoreOptions struct {
	// Source is the folder of a snapshot, or of backups: then the latest is
	// restored, or, with @ID behind the folder, that one.
	Source string
	// Target is the database's folder, as in storage.rocksdb_path.
	Target string
	// Force replaces a target that isn't empty.
	Force bool
	// Keep names files in the target that aren't the database's and stay, if they
	// are there.
	Keep []string
	// Until rolls the copy forward to a point of its history with the archive of
	// writes in Archive; nil doesn't.
	Until   *storage.Until
	Archive string
	// Progress is told what is being done, and the bytes done and all; nil isn't.
	Progress func(step string, done, total uint64)
	Logger   *slog.Logger
}

// RestoreReport says what was restored.
type RestoreReport struct {
	storage.Restored
	// Replaced says that there was a database, which is gone.
	Replaced bool
	// Check is the engine's check of what was rolled forward, nil without Until.
	Check *CheckReport
}

func restoring(target string) string {
	return filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".restoring")
}

func replaced(target string) string {
	return filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".replaced")
}

// Restore restores a snapshot or backup. It verifies it first and never changes
// it. On an error the target is as before. Errors are NotFound
// "source_not_found", Corrupt "source_damaged", Conflict "target_not_empty",
// "storage_locked", "restore_running", Invalid "invalid_target", and those of
// storage.Replay.
func Restore(ctx context.Context, o RestoreOptions) (*RestoreReport, error) {
	if o.Progress == nil {
		o.Progress = func(string, uint64, uint64) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	source, err := findSource(ctx, &o)
	if err != nil {
		return nil, err
	}
	if o.Target, err = resolveTarget(o.Target); err != nil {
		return nil, err
	}
	if err := FinishRestore(o.Target); err != nil {
		return nil, err
	}
	occupied, err := checkTarget(&o)
	if err != nil {
		return nil, err
	}
	next := restoring(o.Target)
	if err := os.MkdirAll(next, 0o750); err != nil {
		return nil, restoreError(err, next)
	}
	lock, err := os.Open(next)
	if err != nil {
		return nil, restoreError(err, next)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errs.Wrap(err, errs.Conflict, "restore_running", "another restore to %s is under way", o.Target)
	}
	report, err := prepareRestore(ctx, &o, source, next)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		o.Progress("replacing "+o.Target, 0, 0)
		err = swap(next, o.Target, occupied)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(next))
	}
	report.Replaced = occupied
	return report, errors.Join(os.RemoveAll(next), os.RemoveAll(replaced(o.Target)))
}

// source is what is restored.
type source struct {
	// made is a time at which it was complete.
	made time.Time
	// check looks at all files, extract copies them into a folder; both return
	// what is wrong.
	check   func(progress snapshot.Progress) ([]string, error)
	extract func(target string, progress snapshot.Progress) ([]string, error)
}

func findSource(ctx context.Context, o *RestoreOptions) (*source, error) {
	path, err := filepath.Abs(o.Source)
	if err != nil {
		return nil, restoreError(err, o.Source)
	}
	if snapshot.IsSnapshot(path) {
		return snapshotSource(ctx, path)
	}
	dir, id := path, uint64(0)
	if at := strings.LastIndexByte(path, '@'); at > 0 && !storage.IsBackups(path) {
		if id, err = strconv.ParseUint(path[at+1:], 10, 32); err == nil {
			dir = path[:at]
		}
	}
	if !storage.IsBackups(dir) {
		return nil, errs.New(errs.NotFound, "source_not_found", "%s is neither a snapshot nor a folder of backups", o.Source)
	}
	return backupSource(ctx, dir, uint32(id))
}

func backupSource(ctx context.Context, dir string, id uint32) (*source, error) {
	if id == 0 {
		list, err := storage.Backups(dir)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, errs.New(errs.NotFound, "source_not_found", "there are no backups in %s", dir)
		}
		id = list[len(list)-1].ID
	}
	b, err := storage.ReadBackup(dir, id)
	if err != nil {
		return nil, err
	}
	return &source{
		made:    b.Finished,
		check:   func(p snapshot.Progress) ([]string, error) { return b.Verify(ctx, dir, p) },
		extract: func(target string, p snapshot.Progress) ([]string, error) { return b.Extract(ctx, dir, target, p) },
	}, nil
}

func snapshotSource(ctx context.Context, path string) (*source, error) {
	s := &source{}
	var manifest *snapshot.Manifest
	s.check = func(p snapshot.Progress) ([]string, error) {
		report, err := snapshot.VerifyFolder(ctx, path, p)
		if err != nil || len(report.Findings) > 0 {
			return reportFindings(report), err
		}
		manifest, s.made = report.Manifest, report.Manifest.Created
		return nil, nil
	}
	s.extract = func(target string, p snapshot.Progress) ([]string, error) {
		return manifest.Extract(ctx, path, target, p)
	}
	return s, nil
}

func reportFindings(r *snapshot.Report) []string {
	if r == nil {
		return nil
	}
	return r.Findings
}

// resolveTarget follows links to what is to be replaced and refuses what can't be.
func resolveTarget(path string) (string, error) {
	refuse := func(why string) error {
		return errs.New(errs.Invalid, "invalid_target", "%q can't be the target: %s", path, why)
	}
	if path == "" {
		return "", refuse("it is empty")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", refuse(err.Error())
	}
	resolved, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		parent, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				return "", restoreError(err, path)
			}
			return path, nil
		}
		if _, err := os.Lstat(path); err == nil {
			return "", refuse("it is a link that leads nowhere")
		}
		return filepath.Join(parent, filepath.Base(path)), nil
	case err != nil:
		return "", restoreError(err, path)
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return "", restoreError(err, path)
	}
	if !info.IsDir() {
		return "", refuse("it is a file")
	}
	// A mount point can't be renamed, and nothing beside it is on its disk.
	parent, err := os.Stat(filepath.Dir(resolved))
	if err != nil {
		return "", restoreError(err, path)
	}
	if filesystem(info) != filesystem(parent) || resolved == "/" {
		return "", refuse("it is a mount point. Restore into a folder inside it and set storage.rocksdb_path to that")
	}
	return resolved, nil
}

func filesystem(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Dev
	}
	return 0
}

// checkTarget reports whether the target holds something, if it may be replaced.
func checkTarget(o *RestoreOptions) (occupied bool, err error) {
	entries, err := os.ReadDir(o.Target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, restoreError(err, o.Target)
	}
	if len(entries) > 0 && !o.Force {
		return false, errs.New(errs.Conflict, "target_not_empty", "%s isn't empty; nothing was changed. --force replaces what is there", o.Target)
	}
	return true, storage.CheckUnlocked(o.Target)
}

// prepareRestore builds the restored database in next and puts it on disk.
func prepareRestore(ctx context.Context, o *RestoreOptions, from *source, next string) (*RestoreReport, error) {
	if err := emptyFolder(next); err != nil {
		return nil, restoreError(err, next)
	}
	step := func(name string) snapshot.Progress {
		return func(done, total uint64) { o.Progress(name, done, total) }
	}
	findings, err := from.check(step("verifying " + o.Source))
	if err == nil {
		err = damaged(o.Source, findings)
	}
	if err != nil {
		return nil, err
	}
	if findings, err = from.extract(next, step("copying")); err == nil {
		err = damaged(o.Source, findings)
	}
	if err != nil {
		return nil, err
	}
	report := &RestoreReport{}
	if o.Until == nil {
		report.Restored, err = storage.Adopt(next)
	} else {
		o.Progress(fmt.Sprintf("replaying %s to %s", o.Archive, o.Until), 0, 0)
		report.Restored, err = storage.Replay(ctx, next, o.Archive, *o.Until, from.made)
		if err == nil {
			o.Progress("checking", 0, 0)
			report.Check, err = checkRestored(ctx, next, o.Logger)
		}
	}
	if code := errs.CodeOf(err); code == "older_format" || code == "newer_format" {
		return nil, errs.Wrap(err, errs.Invalid, code,
			"%s holds data of another format; nothing was changed. Restore it with the version that made it, or run vccdb-migrate --from on the folder %s of a snapshot, which stays as it is",
			o.Source, snapshot.DataDir)
	}
	for _, name := range o.Keep {
		err = errors.Join(err, keepFile(o.Target, next, name))
	}
	if err != nil {
		return nil, err
	}
	return report, syncTree(next)
}

func keepFile(from, to, name string) error {
	data, err := os.ReadFile(filepath.Join(from, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(to, name), data, 0o600)
	}
	if err != nil {
		return restoreError(err, name)
	}
	return nil
}

func damaged(source string, findings []string) error {
	if len(findings) == 0 {
		return nil
	}
	return errs.New(errs.Corrupt, "source_damaged", "%s can't be restored; nothing was changed. It is damaged: %s", source, strings.Join(findings, "; "))
}

// checkRestored runs the engine's check. Nothing is swept meanwhile.
func checkRestored(ctx context.Context, path string, logger *slog.Logger) (report *CheckReport, err error) {
	e, err := Open(ctx, Options{
		Storage:       storage.Options{Path: path},
		Vector:        VectorOptions{Engine: "flat"},
		SweepInterval: math.MaxInt64,
		Logger:        logger,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := e.AwaitReady(ctx); err != nil {
		return nil, err
	}
	if report, err = e.Check(ctx); err != nil {
		return nil, err
	}
	if report.Total > 0 {
		return nil, errs.New(errs.Corrupt, "restored_unsound", "What was replayed isn't sound, so nothing was changed: %s", strings.Join(report.Findings, "; "))
	}
	return report, nil
}

// swap puts next in the target's place. next then holds what was there, if it
// was occupied.
func swap(next, target string, occupied bool) error {
	parent := filepath.Dir(target)
	var err error
	if !occupied {
		err = unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, target, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			err = os.Rename(next, target)
		}
	} else {
		err = unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, target, unix.RENAME_EXCHANGE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			err = swapInTwo(next, target)
		}
	}
	if err != nil {
		return restoreError(err, target)
	}
	return syncFolder(parent)
}

// swapInTwo is for file systems that can't exchange two names.
func swapInTwo(next, target string) error {
	if err := os.Rename(target, replaced(target)); err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(target)); err != nil {
		return err
	}
	if err := os.Rename(next, target); err != nil {
		return errors.Join(err, os.Rename(replaced(target), target))
	}
	return nil
}

// FinishRestore mends what a restore to path left when it was cut off: if it was
// between the two steps of a swap, the old database is put back. Leftovers are
// removed, unless a restore is under way.
func FinishRestore(path string) error {
	path = filepath.Clean(path)
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	next, old := restoring(path), replaced(path)
	if running(next) {
		return nil
	}
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(old, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return restoreError(err, path)
		}
	}
	if err := errors.Join(os.RemoveAll(next), os.RemoveAll(old)); err != nil {
		return restoreError(err, path)
	}
	return nil
}

// running reports whether a restore holds the folder that it prepares.
func running(next string) bool {
	f, err := os.Open(next)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

func emptyFolder(path string) error {
	entries, err := os.ReadDir(path)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(path, entry.Name())))
	}
	return err
}

// syncTree puts all files below path, and the folders, on disk.
func syncTree(path string) error {
	err := filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		return cmp.Or(err, syncFolder(name))
	})
	if err != nil {
		return restoreError(err, path)
	}
	return nil
}

// syncFolder syncs a folder or a file.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func restoreError(err error, where string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errs.Wrap(err, errs.StorageFull, "disk_full", "There is no room beside %s; nothing was changed.", where)
	}
	return errs.Wrap(err, errs.Internal, "restore_io", "%s could not be used", where)
}
