package storage

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

// When the disk is full
//
// The store refuses writes a little before the disk is full, while reads go on,
// and takes them again by itself once there is space. The reserve is what makes
// that harmless: RocksDB never meets a full disk, so no write is ever left in
// doubt, and what is in memtables can still be put into files. Commits that only
// remove data may use half of it: they are small, and without them nobody could
// make space through the store.
//
// Another program may fill the disk faster than that. Then a write of RocksDB
// fails, and what its log holds of it is unknown; RocksDB refuses all writes.
// Once there is space for the memtables, Resume writes them to files and begins
// a new log. From then on the write that failed is certainly not stored. (Until
// then a process that is killed may find it, whole, when it opens the store.)
//
// Any other failure is for good. After a failed fsync the operating system may
// say that all is well though the data is gone, so nothing is acknowledged until
// the store is opened anew and has read what the disk really holds.
//
// All of this happens on the committer, between its groups, so no write is ever
// under way during a Resume. It looks once per healthInterval and asks for the
// free space after each healthBytes written too.

const (
	healthInterval = 500 * time.Millisecond
	healthBytes    = 1 << 20
	// maxResumePause is the longest pause between two tries of Resume. Those that
	// fail double it.
	maxResumePause = 4 * time.Second
	// maxResumeTime is what a Resume may take, far more than it needs to write
	// full memtables to a slow disk.
	maxResumeTime = 5 * time.Minute
	// reserveShare is the largest part of a disk that is kept in reserve.
	reserveShare = 20
)

// Health says whether the store takes writes.
type Health struct {
	Writable bool
	// Code is that of the error that writes get: disk_full or storage_failed; empty
	// while Writable.
	Code string
	// FreeBytes is the space that the disk has for the store, as of the last look.
	// Below ReserveBytes writes are refused, below half of it those too that only
	// remove data; they go on at ResumeBytes.
	FreeBytes, ReserveBytes, ResumeBytes uint64
	// Failures counts how often writing stopped, Resumes how often it went on.
	Failures, Resumes uint64
}

// health is the state behind Health. Everything that isn't atomic is the
// committer's own.
type health struct {
	free, reserve, need atomic.Uint64
	failures, resumes   atomic.Uint64
	// seen is how many failures of RocksDB were dealt with.
	seen atomic.Uint64
	// resuming is set during a Resume.
	resuming atomic.Bool
	// broken says that RocksDB itself refuses writes or background work, so that
	// there is need for a Resume.
	broken atomic.Bool

	looked time.Time
	// written counts the bytes since the last look.
	written int
	// nextTry and pause belong to tries of Resume that failed.
	nextTry time.Time
	pause   time.Duration
}

// Health returns the state of the store's writes.
func (s *Store) Health() Health {
	h := Health{
		Writable:     true,
		FreeBytes:    s.health.free.Load(),
		ReserveBytes: s.health.reserve.Load(),
		ResumeBytes:  s.health.need.Load(),
		Failures:     s.health.failures.Load(),
		Resumes:      s.health.resumes.Load(),
	}
	if f := s.failure.Load(); f != nil {
		h.Writable, h.Code = false, f.Code
	}
	return h
}

// reserveOf is how much of a disk of that size stays free: what it takes to put
// full memtables into files and to merge some, but no large part of a small disk.
func (o *Options) reserveOf(diskBytes uint64) uint64 {
	switch {
	case o.ReserveBytes < 0:
		return 0
	case o.ReserveBytes > 0:
		return uint64(o.ReserveBytes)
	}
	return min(2*uint64(o.MemtableSizeMB)<<20, diskBytes/reserveShare)
}

// look does what is due for the store's health, at most once per healthInterval.
func (s *Store) look() {
	h := &s.health
	now := time.Now()
	if now.Sub(h.looked) < healthInterval {
		return
	}
	h.looked = now
	s.lookAtRocks()
	if !s.lookAtDisk() {
		return
	}
	failure := s.failure.Load()
	full := failure != nil && failure.Kind == errs.StorageFull
	if (full || failure == nil && h.broken.Load()) && !now.Before(h.nextTry) {
		s.resume(failure)
	}
}

// lookAtRocks hears of what failed in the background.
func (s *Store) lookAtRocks() {
	h := &s.health
	newest := s.db.Failure()
	if newest.Count == h.seen.Load() {
		return
	}
	h.seen.Store(newest.Count)
	switch {
	case newest.Stopped || !newest.Err.NoSpace():
		_ = s.fail(newest.Err) // it is kept for the next commit
	case !h.broken.Swap(true):
		s.log.Warn("the disk was too full to merge files; that is tried again", "err", newest.Err)
	}
}

// lookAtDisk asks for the free space and stops writing when too little is left.
// It reports whether there is enough to go on after that.
func (s *Store) lookAtDisk() bool {
	h := &s.health
	h.written = 0
	var disk syscall.Statfs_t
	if err := syscall.Statfs(s.opts.Path, &disk); err != nil {
		return true // not for a disk that can't be asked; a write will tell
	}
	free := disk.Bavail * uint64(disk.Bsize)
	reserve := s.opts.reserveOf(disk.Blocks * uint64(disk.Bsize))
	need := reserve + reserve/4
	if h.broken.Load() {
		need += s.db.SumProperty("rocksdb.cur-size-all-mem-tables")
	}
	h.free.Store(free)
	h.reserve.Store(reserve)
	h.need.Store(need)
	if free < reserve {
		s.refuse(errs.New(errs.StorageFull, "disk_full",
			"The disk is full: %s are free and %s are kept in reserve. The write was refused and nothing was changed; reads go on. "+
				"Free some space: writing goes on by itself once %s are free. Deletes are taken down to half the reserve.", mebibytes(free), mebibytes(reserve), mebibytes(need)))
	}
	return free >= need
}

func mebibytes(bytes uint64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// account notes that so many bytes are about to be written, and looks at the
// disk first when many were since the last time.
func (s *Store) account(bytes int) {
	if s.health.written += bytes; s.health.written >= healthBytes {
		s.lookAtDisk()
		s.health.written = bytes
	}
}

// resume ends a failure for want of space, nil if only background work met it.
func (s *Store) resume(failure *errs.Error) {
	h := &s.health
	started := time.Now()
	if h.broken.Load() {
		h.resuming.Store(true)
		tooLong := time.AfterFunc(maxResumeTime, func() {
			s.refuse(lastingFailure(errors.New("the recovery from a full disk doesn't end")))
		})
		err := s.resumeRocks()
		tooLong.Stop()
		h.resuming.Store(false)
		if err != nil {
			s.notResumed(err)
			return
		}
		h.broken.Store(false)
	}
	h.nextTry, h.pause = time.Time{}, 0
	// Unless a sync has failed for good meanwhile.
	if failure == nil || !s.failure.CompareAndSwap(failure, nil) {
		return
	}
	h.resumes.Add(1)
	s.log.Info("there is space on the disk again; writing goes on", "free_bytes", h.free.Load(),
		"took", time.Since(started).Round(time.Millisecond))
}

// maySync says whether the write-ahead log may be synced beside the committer.
// RocksDB can't bear that for a log that a write has failed on; one that is
// about to fail has told the watch already.
func (s *Store) maySync() bool {
	return s.Err() == nil && s.db.Failure().Count == s.health.seen.Load()
}

// syncBeside is syncWAL for the archiver. It goes on while writes are refused for
// the sake of the reserve alone.
func (s *Store) syncBeside() error {
	if s.db.Failure().Count != s.health.seen.Load() {
		return errors.New("RocksDB has just met an error")
	}
	if err := s.Err(); err != nil && s.health.broken.Load() {
		return err
	}
	err := s.syncWAL()
	if errs.KindOf(err) == errs.StorageFull && !s.health.broken.Load() {
		return nil
	}
	return err
}

// notResumed deals with a Resume that failed: a disk that filled up again is
// waited for, everything else is for good.
func (s *Store) notResumed(err error) {
	h := &s.health
	newest := s.db.Failure()
	h.seen.Store(newest.Count)
	if newest.Lasting { // an exceeded quota is one of these
		s.refuse(lastingFailure(err))
		return
	}
	h.pause = min(cmp.Or(2*h.pause, healthInterval), maxResumePause)
	h.nextTry = time.Now().Add(h.pause)
	s.log.Warn("writing can't go on yet", "err", err, "next_try_in", h.pause)
	_ = s.fail(err) // the commits get it
}

// fail stops all later commits after an error of RocksDB, and returns what they
// fail with.
func (s *Store) fail(err error) error {
	s.health.broken.Store(true)
	s.refuse(writeFailure(err))
	return s.Err()
}

// refuse makes all later commits fail with reason. A failure for good takes the
// place of a full disk, never the other way round.
func (s *Store) refuse(reason *errs.Error) {
	for {
		current := s.failure.Load()
		if current != nil && (current.Kind != errs.StorageFull || reason.Kind == errs.StorageFull) {
			return
		}
		if !s.failure.CompareAndSwap(current, reason) {
			continue
		}
		s.health.failures.Add(1)
		if reason.Kind == errs.StorageFull {
			s.log.Error("the disk is full; writes are refused until there is space, reads go on",
				"err", reason, "free_bytes", s.health.free.Load())
		} else {
			s.log.Error("a write failed; the store takes no more writes until it is opened anew", "err", reason)
		}
		return
	}
}

// frees reports whether commits may be written in spite of err: those that trim
// the feed, and as long as half the reserve is there, those that only remove data.
// When RocksDB itself has met the full disk, nothing may.
func (s *Store) frees(err error, commits ...*pendingCommit) bool {
	h := &s.health
	if errs.KindOf(err) != errs.StorageFull || h.broken.Load() {
		return false
	}
	half := h.free.Load() >= h.reserve.Load()/2
	return !slices.ContainsFunc(commits, func(c *pendingCommit) bool {
		trims := !c.feed.set && c.feed.trim != 0 && c.batch.Empty()
		removes := half && c.feed == feedChange{} && c.batch.frees()
		return !trims && !removes
	})
}

// writeFailure is what commits get from a failed write of RocksDB on.
func writeFailure(err error) *errs.Error {
	var native *rocks.Error
	if errors.As(err, &native) && native.NoSpace() {
		return errs.Wrap(err, errs.StorageFull, "disk_full",
			"The disk is full. The write was not acknowledged and writing has stopped; reads go on. Free some space: writing goes on by itself.")
	}
	return lastingFailure(err)
}

// lastingFailure is a failure that only a restart ends.
func lastingFailure(err error) *errs.Error {
	return errs.Wrap(err, errs.Unavailable, "storage_failed",
		"A write to disk failed. The write was not acknowledged and writing has stopped; reads go on. Check the disk and restart the server.")
}
