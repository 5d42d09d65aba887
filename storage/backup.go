package storage

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Backups
//
// RocksDB's backup engine writes them: table files go to a folder that all
// backups share, under names that contain their session and size, so a backup
// copies only those that no earlier one has; a file meta/ID, written last, lists
// a backup's files with their CRC-32C. Listing, verifying and restoring read
// these files here, in Go: RocksDB's C interface verifies sizes only, and doesn't
// say which file is bad.

// Backup is one backup in a folder of backups.
type Backup struct {
	ID      uint32
	Created time.Time
	// Finished is a time at which the backup was complete.
	Finished time.Time
	// Bytes counts the files that are shared with other backups too.
	Bytes int64
	Files []BackupFile
	// Rows is RocksDB's sequence number before the backup began.
	Rows uint64
}

// BackupFile is one file of a backup.
type BackupFile struct {
	// Path is below the folder of backups, with slashes.
	Path string
	// Name is what the file is called in a database.
	Name  string
	CRC32 uint32
}

// backupLock keeps two processes from writing to a folder of backups at once.
const backupLock = "themis.lock"

// lockBackups claims a folder of backups for writing.
func lockBackups(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, backupError(err, dir)
	}
	f, err := os.OpenFile(filepath.Join(dir, backupLock), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, backupError(err, dir)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errs.Wrap(err, errs.Conflict, "backup_busy", "another backup or purge in %s is under way; try again when it is done", dir)
	}
	return func() { f.Close() }, nil
}

func backupError(err error, dir string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errs.Wrap(err, errs.StorageFull, "disk_full", "There is no room in %s; the backups there are as before.", dir)
	}
	return errs.Wrap(err, errs.Internal, "backup_io", "The folder of backups %s could not be used.", dir)
}

// Backup adds a backup to the folder dir, which is made if it is missing. It
// holds all that was acknowledged before the call. It can't be interrupted;
// commits go on. Errors are Conflict "backup_busy", StorageFull "disk_full".
func (s *Store) Backup(dir string) (*Backup, error) {
	unlock, err := lockBackups(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := s.Timeline(); err != nil { // so that the copy has one
		return nil, err
	}
	id, err := s.db.Backup(dir)
	if err != nil {
		return nil, copyError(err)
	}
	return ReadBackup(dir, id)
}

// IsBackups reports whether a folder holds backups.
func IsBackups(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "meta"))
	return err == nil && info.IsDir()
}

// Backups lists the backups in a folder, oldest first; a folder that isn't there
// has none.
func Backups(dir string) ([]Backup, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "meta"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, backupError(err, dir)
	}
	list := []Backup{}
	for _, entry := range entries {
		id, err := strconv.ParseUint(entry.Name(), 10, 32)
		if err != nil { // the temporary name of a backup that isn't finished
			continue
		}
		b, err := ReadBackup(dir, uint32(id))
		if errs.KindOf(err) == errs.NotFound { // purged meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, *b)
	}
	slices.SortFunc(list, func(a, b Backup) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// ReadBackup describes one backup. Errors are NotFound "backup_not_found" and
// Corrupt "backup_damaged".
func ReadBackup(dir string, id uint32) (*Backup, error) {
	meta := filepath.Join(dir, "meta", strconv.FormatUint(uint64(id), 10))
	f, err := os.Open(meta)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New(errs.NotFound, "backup_not_found", "There is no backup %d in %s.", id, dir)
	}
	if err != nil {
		return nil, backupError(err, dir)
	}
	defer f.Close()
	b, err := parseBackup(f)
	if err != nil {
		return nil, errs.Wrap(err, errs.Corrupt, "backup_damaged", "Backup %d can't be used: %s is damaged.", id, meta)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, backupError(err, dir)
	}
	b.ID, b.Finished = id, info.ModTime().UTC()
	if b.Finished.Before(b.Created) {
		b.Finished = b.Created.Add(time.Second)
	}
	for _, file := range b.Files {
		// A file that is missing is Verify's to report.
		if info, err := os.Stat(filepath.Join(dir, file.Path)); err == nil {
			b.Bytes += info.Size()
		}
	}
	return b, nil
}

var errBackupMeta = errors.New("not the list of a backup's files")

// parseBackup reads a file of meta: the time in seconds, the sequence number, the
// number of files, and a line for each file: path, "crc32", checksum.
func parseBackup(r io.Reader) (*Backup, error) {
	lines := bufio.NewScanner(r)
	number := func() (int64, error) {
		if !lines.Scan() {
			return 0, errBackupMeta
		}
		return strconv.ParseInt(lines.Text(), 10, 64)
	}
	seconds, err := number()
	if err != nil {
		return nil, err
	}
	rows, err := number()
	if err != nil {
		return nil, err
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	b := &Backup{Created: time.Unix(seconds, 0).UTC(), Rows: uint64(rows)}
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || fields[1] != "crc32" || !filepath.IsLocal(fields[0]) {
			return nil, errBackupMeta
		}
		sum, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			return nil, err
		}
		b.Files = append(b.Files, BackupFile{Path: fields[0], Name: fileInDatabase(fields[0]), CRC32: uint32(sum)})
	}
	if lines.Err() != nil || int64(len(b.Files)) != n {
		return nil, errors.Join(errBackupMeta, lines.Err())
	}
	return b, nil
}

// fileInDatabase takes what makes a shared file's name unique away:
// shared_checksum/000011_sJB0JW_1417.sst is 000011.sst.
func fileInDatabase(path string) string {
	name := filepath.Base(path)
	if number, _, ok := strings.Cut(name, "_"); ok && strings.HasPrefix(path, "shared") {
		return number + filepath.Ext(name)
	}
	return name
}

// copyChunk is how much is copied between two looks at the context.
const copyChunk = 1 << 20

// Verify reads every file of a backup in dir, compares it with its checksum and
// returns what is wrong, a sentence each, naming the file. progress is told the
// bytes done and all.
func (b *Backup) Verify(ctx context.Context, dir string, progress func(done, total uint64)) ([]string, error) {
	return b.read(ctx, dir, progress, func(BackupFile) (io.WriteCloser, error) { return discard{}, nil })
}

// Extract copies the files of a backup in dir into the folder target and
// compares their checksums on the way. The copies are synced.
func (b *Backup) Extract(ctx context.Context, dir, target string, progress func(done, total uint64)) ([]string, error) {
	return b.read(ctx, dir, progress, func(f BackupFile) (io.WriteCloser, error) {
		out, err := os.OpenFile(filepath.Join(target, f.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
		return synced{out}, err
	})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// synced syncs a file before it closes it.
type synced struct{ *os.File }

func (s synced) Close() error { return errors.Join(s.Sync(), s.File.Close()) }

func (b *Backup) read(ctx context.Context, dir string, progress func(done, total uint64), to func(BackupFile) (io.WriteCloser, error)) (findings []string, err error) {
	done := uint64(0)
	for _, f := range b.Files {
		in, err := os.Open(filepath.Join(dir, f.Path))
		if errors.Is(err, fs.ErrNotExist) {
			findings = append(findings, f.Path+" is missing")
			continue
		}
		if err != nil {
			return nil, backupError(err, dir)
		}
		finding, err := f.copy(ctx, in, to, func(n int) {
			done += uint64(n)
			progress(done, uint64(b.Bytes))
		})
		in.Close()
		if err != nil {
			return nil, err
		}
		if finding != "" {
			findings = append(findings, finding)
		}
	}
	return findings, nil
}

func (f *BackupFile) copy(ctx context.Context, in io.Reader, to func(BackupFile) (io.WriteCloser, error), progress func(int)) (finding string, err error) {
	out, err := to(*f)
	if err != nil {
		return "", backupError(err, f.Name)
	}
	defer func() {
		if closeErr := out.Close(); err == nil && closeErr != nil {
			err = backupError(closeErr, f.Name)
		}
	}()
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	buf := make([]byte, copyChunk)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, readErr := in.Read(buf)
		sum.Write(buf[:n])
		if _, err := out.Write(buf[:n]); err != nil {
			return "", backupError(err, f.Name)
		}
		progress(n)
		switch {
		case readErr == io.EOF && sum.Sum32() != f.CRC32:
			return f.Path + " is damaged: its checksum is wrong", nil
		case readErr == io.EOF:
			return "", nil
		case readErr != nil:
			return fmt.Sprintf("%s can't be read: %v", f.Path, readErr), nil
		}
	}
}

// PurgeBackups removes all backups in a folder but the newest ones, and the files
// that only the others used.
func PurgeBackups(dir string, keep int) error {
	if !IsBackups(dir) {
		return nil
	}
	unlock, err := lockBackups(dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := rocks.PurgeBackups(dir, keep); err != nil {
		return backupError(err, dir)
	}
	return nil
}
