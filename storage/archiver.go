package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/archive"
	"github.com/vccdb/vccdb/storage/rocks"
)

// The archive of writes
//
// RocksDB keeps its logs for a while (rocks.Options.KeepLogs). One goroutine
// follows them and appends each write, as it is, to the archive; then it removes
// the logs that RocksDB is done with. It archives only what is synced in the log,
// so the archive is never ahead of what the database has after a crash.
//
// A write of a group commit holds many commits. Behind the rows of each the
// committer puts a mark into the batch: RocksDB's log data, which is in the log
// and nowhere else. It says what the sequence, the time and the counters were at
// that point, so that a replay can end between two commits of a group.

const (
	// archiveInterval is how much of what was acknowledged a disk that is lost
	// takes with it, if the archive is elsewhere.
	archiveInterval = 250 * time.Millisecond
	// Segments are small enough to be copied elsewhere often.
	archiveSegmentBytes = 64 << 20
	archiveSegmentAge   = 10 * time.Minute
	// archiveRetention is how often old segments are looked for.
	archiveRetention = time.Minute
)

// ArchiveStats are the figures of the archive since the store was opened.
type ArchiveStats struct {
	Enabled bool
	// LastSequence is the newest oplog sequence that is archived, safely on disk.
	LastSequence Seq
	// LagRows is how many rows, and LagSeconds for how long something, wasn't
	// archived when it was last looked.
	LagRows    uint64
	LagSeconds float64
	// Bytes is what was appended. Failures counts tries that failed; they are
	// repeated. Gaps counts parts of the history that were lost for the archive:
	// restoring to a point behind one needs a snapshot that is newer than it.
	Bytes, Failures, Gaps uint64
	// LastError is what the last try failed with, "" if it didn't.
	LastError string
}

// archiver is the archive of an open store.
type archiver struct {
	db    *rocks.DB
	log   *slog.Logger
	path  string // the database's
	ttl   time.Duration
	sync  func() error
	last  func() Seq
	w     *archive.Writer
	next  uint64 // the row to archive next
	marks bool   // a batch with marks was seen
	swept time.Time

	turn sync.Mutex // held during a step

	mu struct {
		sync.Mutex
		stats  ArchiveStats
		behind time.Time // since when something wasn't archived
	}
}

// openArchiver finds where the archive ends. A database that is older than its
// archive was put back by hand, so it starts a timeline of its own.
func (s *Store) openArchiver() error {
	timeline, err := s.Timeline()
	if err != nil {
		return err
	}
	w, err := archive.Open(s.opts.WALArchivePath, timeline, archiveSegmentBytes, archiveSegmentAge)
	if err != nil {
		return backupError(err, s.opts.WALArchivePath)
	}
	if w.Next() > s.db.LatestSequence()+1 {
		s.log.Warn("the database is older than its archive, so it was restored by hand; it starts a new timeline. Take a snapshot to be able to restore to a point in time",
			"timeline", timeline, "archived", w.Next()-1, "have", s.db.LatestSequence())
		if timeline, err = startTimeline(s.db); err != nil {
			return err
		}
		if w, err = archive.Open(s.opts.WALArchivePath, timeline, archiveSegmentBytes, archiveSegmentAge); err != nil {
			return backupError(err, s.opts.WALArchivePath)
		}
	}
	a := &archiver{
		db: s.db, log: s.log, path: s.opts.Path, ttl: s.opts.WALArchiveTTL,
		sync: s.syncBeside, last: s.LastSeq, w: w, next: w.Next(),
	}
	if a.next == 0 {
		a.next = s.db.LatestSequence() + 1
		if err := w.Begin(a.next, time.Now()); err != nil {
			return backupError(err, s.opts.WALArchivePath)
		}
	}
	a.mu.stats.Enabled = true
	s.archive = a
	s.log.Info("archiving writes", "path", s.opts.WALArchivePath, "timeline", timeline, "from", a.next)
	return nil
}

// runArchiver is the archiver goroutine. Close archives the rest.
func (s *Store) runArchiver() {
	tick := time.NewTicker(archiveInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.archive.step()
		}
	}
}

// Archive returns the figures of the archive.
func (s *Store) Archive() ArchiveStats {
	if s.archive == nil {
		return ArchiveStats{}
	}
	return s.archive.stats()
}

func (a *archiver) stats() ArchiveStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	stats := a.mu.stats
	if !a.mu.behind.IsZero() {
		stats.LagSeconds = time.Since(a.mu.behind).Seconds()
	}
	return stats
}

// step archives what is there and removes what is no longer needed.
func (a *archiver) step() {
	a.turn.Lock()
	defer a.turn.Unlock()
	obsolete := obsoleteLogs(a.path) // before target: all their rows are below it
	last := a.last()
	target := a.db.LatestSequence()
	err := a.catchUp(target)
	if err == nil {
		for _, file := range obsolete {
			err = errors.Join(err, os.Remove(file))
		}
		err = errors.Join(err, a.retain())
	}
	a.note(err, last, target)
}

// note updates the figures after a step and logs the first of a row of failures.
func (a *archiver) note(err error, last Seq, target uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	stats := &a.mu.stats
	stats.LagRows = target + 1 - min(a.next, target+1)
	switch {
	case stats.LagRows == 0:
		stats.LastSequence, a.mu.behind = last, time.Time{}
	case a.mu.behind.IsZero():
		a.mu.behind = time.Now()
	}
	if err == nil {
		stats.LastError = ""
		return
	}
	stats.Failures++
	if stats.LastError == "" {
		a.log.Error("writes could not be archived; it is tried again", "error", err, "rows", stats.LagRows)
	}
	stats.LastError = err.Error()
}

// catchUp archives up to and including row target: what the log has, and between
// that the rows that stand in no log.
func (a *archiver) catchUp(target uint64) error {
	if a.next > target {
		return nil
	}
	if err := a.sync(); err != nil {
		return err
	}
	past, err := readPastLog(a.db.Latest())
	if err != nil {
		return err
	}
	for i, row := range past {
		if row < a.next || row > target {
			continue
		}
		if err := a.follow(row - 1); err != nil {
			return err
		}
		if err := a.add(pastLogBatch(past[:i+1]).Wire(row)); err != nil {
			return err
		}
	}
	return a.follow(target)
}

// add archives one batch.
func (a *archiver) add(wire []byte) error {
	first, rows, err := rocks.WireSequence(wire)
	if err == nil {
		err = a.w.Append(wire, time.Now())
	}
	if err == nil {
		err = a.w.Sync()
	}
	if err != nil {
		a.abandon()
		return fmt.Errorf("archive: %w", err)
	}
	a.next = first + uint64(rows)
	return nil
}

func (a *archiver) abandon() {
	a.w.Abandon()
	a.next = a.w.Next()
}

// follow archives what the log has, up to and including row target. It reads no
// further: what stands behind may be a write that failed.
func (a *archiver) follow(target uint64) error {
	if a.next > target {
		return nil
	}
	bytes := uint64(0)
	var written error
	read := a.db.Updates(a.next, func(wire []byte) (bool, error) {
		first, rows, err := rocks.WireSequence(wire)
		if err != nil {
			return false, err
		}
		if first > target {
			return false, nil
		}
		if first+uint64(rows) <= a.next {
			return true, nil
		}
		if first != a.next {
			a.gap(a.next, first, "the write-ahead log was removed before it was archived, or is damaged")
		}
		if written = a.append(wire); written != nil {
			return false, written
		}
		a.next = first + uint64(rows)
		bytes += uint64(len(wire))
		return a.next <= target, nil
	})
	if written == nil {
		// Also after an error of the log: RocksDB doesn't read past damage in the
		// middle, but will begin behind it the next time.
		written = a.w.Sync()
	}
	if written != nil {
		a.abandon()
		return fmt.Errorf("archive: %w", written)
	}
	a.mu.Lock()
	a.mu.stats.Bytes += bytes
	a.mu.Unlock()
	if read != nil {
		return fmt.Errorf("archive: %w", read)
	}
	if a.next <= target {
		return fmt.Errorf("archive: the write-ahead log ends at row %d, the database is at %d", a.next-1, target)
	}
	return nil
}

// append archives a batch. One that was written while archiving was off has no
// marks: where its commits end isn't known, so it is left out.
func (a *archiver) append(wire []byte) error {
	if !a.marks {
		b, err := parseMarked(wire)
		if err != nil {
			return err
		}
		if a.marks = len(b.marks) > 0; b.unmarked {
			first, rows, _ := rocks.WireSequence(wire)
			a.gap(first, first+uint64(rows), "it was written while archiving was off")
			return nil
		}
	}
	return a.w.Append(wire, time.Now())
}

func (a *archiver) gap(from, to uint64, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.stats.Gaps++
	a.log.Error("a part of the history is not in the archive: "+why+". Take a snapshot now: older ones can't be rolled forward past it",
		"from_row", from, "to_row", to-1)
}

// retain removes segments that are older than the ttl.
func (a *archiver) retain() error {
	if a.ttl == 0 || time.Since(a.swept) < archiveRetention {
		return nil
	}
	a.swept = time.Now()
	return a.w.Remove(a.swept.Add(-a.ttl))
}

// finish archives the last writes.
func (a *archiver) finish() error {
	a.step()
	if err := a.w.Close(); err != nil {
		return err
	}
	if text := a.stats().LastError; text != "" {
		return errors.New(text)
	}
	return nil
}

// obsoleteLogs are the logs that RocksDB keeps for readers only.
func obsoleteLogs(path string) []string {
	files, _ := filepath.Glob(filepath.Join(path, "archive", "*.log")) // the pattern is sound
	return files
}

// removeObsoleteLogs removes what is kept from a time when archiving was on:
// RocksDB doesn't when it is off.
func removeObsoleteLogs(path string) error {
	var err error
	for _, file := range obsoleteLogs(path) {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// mark is what a commit leaves in the log.
type mark struct {
	// last is the newest oplog sequence after the commit.
	last Seq
	// unixMs is a time between the call of Commit and its return. It never falls
	// while a store is open.
	unixMs int64
	// counters are the values of those that the commit changed.
	counters map[string]int64
	// record is where the mark stands in its batch.
	record rocks.Record
}

// markKind is the first byte of a mark: commit, first layout.
const markKind = 0xC1

func appendMark(b []byte, last Seq, unixMs int64, names []string, values map[string]int64) []byte {
	b = append(b, markKind)
	b = binary.LittleEndian.AppendUint64(b, uint64(last))
	b = binary.LittleEndian.AppendUint64(b, uint64(unixMs))
	for _, name := range names {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
		b = binary.LittleEndian.AppendUint64(b, uint64(values[name]))
	}
	return b
}

var errMark = errors.New("storage: not the mark of a commit")

func parseMark(b []byte) (m mark, err error) {
	if len(b) < 17 || b[0] != markKind {
		return m, errMark
	}
	m.last, m.unixMs = Seq(binary.LittleEndian.Uint64(b[1:])), int64(binary.LittleEndian.Uint64(b[9:]))
	m.counters = map[string]int64{}
	for b = b[17:]; len(b) > 0; {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)) || len(b) < size+int(n)+8 {
			return m, errMark
		}
		b = b[size:]
		m.counters[string(b[:n])] = int64(binary.LittleEndian.Uint64(b[n:]))
		b = b[n+8:]
	}
	return m, nil
}

// markCommit puts the mark of a member behind its rows.
func (g *groupState) markCommit(c *pendingCommit, last Seq) {
	names := make(map[string]bool, len(c.batch.counters))
	for _, op := range c.batch.counters {
		names[op.key] = true
	}
	g.markMs = max(g.markMs, time.Now().UnixMilli())
	g.mark = appendMark(g.mark[:0], last, g.markMs, slices.Sorted(maps.Keys(names)), g.changed)
	g.rows.LogData(g.mark)
}

// marked is a batch as the log has it, with its marks.
type marked struct {
	wire  []byte
	marks []mark
	// unmarked says that the committer wrote it without marks.
	unmarked bool
}

func parseMarked(wire []byte) (marked, error) {
	b := marked{wire: wire}
	moves := false
	err := rocks.ReadWire(wire, func(r rocks.Record) error {
		switch {
		case r.LogData != nil:
			m, err := parseMark(r.LogData)
			if err != nil {
				return err
			}
			m.record = r
			b.marks = append(b.marks, m)
		case r.Put && r.Family == familyDefault && string(r.Key) == metaLastSeq:
			moves = true
		}
		return nil
	})
	b.unmarked = moves && len(b.marks) == 0
	return b, err
}

// upTo returns the part of the batch up to and including its n-th mark, with the
// rows that the committer adds at the end of a group.
func (b *marked) upTo(n int) rocks.Batch {
	rows := rocks.CutWire(b.wire, b.marks[n].record)
	counters := map[string]int64{}
	for _, m := range b.marks[:n+1] {
		maps.Copy(counters, m.counters)
	}
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		putCounter(&rows, name, counters[name])
	}
	rows.Put(familyDefault, []byte(metaLastSeq), binary.LittleEndian.AppendUint64(nil, uint64(b.marks[n].last)))
	return rows
}

// startArchive opens the archive that the options ask for, before the first
// commit, and starts the goroutine that fills it.
func (s *Store) startArchive() error {
	if s.opts.WALArchivePath == "" {
		if err := removeObsoleteLogs(s.opts.Path); err != nil {
			return openError(s.opts.Path, err)
		}
		return nil
	}
	if err := s.openArchiver(); err != nil {
		return err
	}
	s.workers.Go(s.runArchiver)
	return nil
}

// closeArchive archives the last writes. The goroutines have ended.
func (s *Store) closeArchive() error {
	if s.archive == nil {
		return nil
	}
	if err := s.archive.finish(); err != nil {
		return errs.Wrap(err, errs.Internal, "archive_behind",
			"The last writes are not in the archive of writes; the next start adds them. The database itself is complete.")
	}
	return nil
}
