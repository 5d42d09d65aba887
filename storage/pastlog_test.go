package storage

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vccdb/vccdb/storage/rocks"
)

// failedWrite puts into the newest log what a write leaves that failed: the
// record of a batch under the numbers that come next, but for so many bytes.
func failedWrite(t *testing.T, s *Store, path string, missing int) {
	t.Helper()
	var b rocks.Batch
	for i := range 5 { // more rows than what follows has
		b.Put(familyDefault, []byte("cat/failed"+strconv.Itoa(i)), []byte("value"))
	}
	b.Put(familyVectors, []byte("failed"), []byte("value")) // a family that has nothing else
	b.LogData(appendMark(nil, s.LastSeq()+1, 1, nil, nil))
	appendRecord(t, newestLog(t, path), b.Wire(s.db.LatestSequence()+1), missing)
}

func newestLog(t *testing.T, path string) string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(path, "*.log"))
	must(t, err)
	return slices.Max(logs)
}

// appendRecord appends a record to a log of RocksDB, which must have room for it
// in its last block.
func appendRecord(t *testing.T, log string, data []byte, missing int) {
	t.Helper()
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	record := append(make([]byte, 7), data...)
	binary.LittleEndian.PutUint16(record[4:], uint16(len(data)))
	record[6] = 1 // a whole record
	sum := crc32.Checksum(record[6:], crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(record, (sum>>15|sum<<17)+0xa282ead8)
	_, err = f.Write(record[:len(record)-missing])
	must(t, errors.Join(err, f.Close()))
}

// recoverRocks has the committer take RocksDB into service again.
func recoverRocks(t *testing.T, s *Store) {
	t.Helper()
	s.health.broken.Store(true)
	for started := time.Now(); s.health.broken.Load(); time.Sleep(time.Millisecond) {
		if time.Since(started) > resumeLimit {
			t.Fatal("no recovery", s.Err())
		}
	}
}

// hold stops the archive, and goes on with it.
func (a *archiver) hold() (release func()) {
	a.turn.Lock()
	defer a.turn.Unlock()
	sync := a.sync
	a.sync = func() error { return errors.New("held") }
	return func() {
		a.turn.Lock()
		defer a.turn.Unlock()
		a.sync = sync
	}
}

// killed copies an open store's files and its archive.
func killed(t *testing.T, o Options, s *Store) Options {
	t.Helper()
	s.archive.turn.Lock() // it removes logs
	defer s.archive.turn.Unlock()
	o.Path, o.WALArchivePath = copyDir(t, o.Path), copyDir(t, o.WALArchivePath)
	return o
}

// TestArchiveFailedWrite has writes fail and recovers, twice in a row, and holds
// that the archive has all that was acknowledged and nothing else: whether it was
// behind or not, and after a restart too.
func TestArchiveFailedWrite(t *testing.T) {
	for _, test := range []struct {
		name            string
		missing         int // of the record
		behind, restart bool
	}{
		{"whole", 0, false, false},
		{"whole, behind", 0, true, false},
		{"whole, behind, restart", 0, true, true},
		{"torn", 3, false, false},
		{"torn, behind", 3, true, false},
		{"torn, behind, restart", 3, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			o := archivedOptions(t)
			s := open(t, o)
			base := checkpoint(t, s)
			commitMany(t, s, 0, 10)
			s.archive.step()
			release := func() {}
			if test.behind {
				release = s.archive.hold()
			}
			commitMany(t, s, 10, 10)
			failedWrite(t, s, o.Path, test.missing)
			recoverRocks(t, s)
			failedWrite(t, s, o.Path, test.missing) // at the beginning of its log
			recoverRocks(t, s)
			commitMany(t, s, 20, 10)
			if test.restart {
				o = killed(t, o, s)
				release()
				must(t, s.Close())
				s = open(t, o)
				commitMany(t, s, 30, 10)
			} else {
				commitMany(t, s, 30, 10)
				release()
			}
			s.archive.step()
			if stats := s.Archive(); stats.Gaps > 0 || stats.LagRows > 0 || stats.LastError != "" {
				t.Errorf("%+v", stats)
			}
			checkNotFailed(t, s)
			must(t, s.Close())
			path := copyDir(t, base)
			r, err := Replay(t.Context(), path, o.WALArchivePath, Until{Latest: true}, time.Time{})
			if err != nil || r.Seq != 40 {
				t.Fatalf("%+v, %v", r, err)
			}
			restored := open(t, Options{Path: path})
			entities, _, _ := idsIn(t, restored.Latest())
			if len(entities) != 40 || restored.Counter("n") != 40 {
				t.Errorf("%d entities, counter %d", len(entities), restored.Counter("n"))
			}
			checkNotFailed(t, restored)
		})
	}
}

// checkNotFailed holds that nothing is there of a failedWrite.
func checkNotFailed(t *testing.T, s *Store) {
	t.Helper()
	for family, key := range map[int]string{familyDefault: "cat/failed0", familyVectors: "failed"} {
		if value, err := s.db.Latest().Get(family, []byte(key)); value != nil || err != nil {
			t.Errorf("%s of a write that failed: %q, %v", key, value, err)
		}
	}
}

// TestArchiveInDoubt opens anew what a process leaves that is killed after a write
// failed and before the recovery: if the write is found then, whole, the archive
// has it too; if it is torn, neither has it.
func TestArchiveInDoubt(t *testing.T) {
	for _, missing := range []int{0, 3} {
		o := archivedOptions(t)
		s := open(t, o)
		base := checkpoint(t, s)
		release := s.archive.hold()
		commitMany(t, s, 0, 10)
		failedWrite(t, s, o.Path, missing)
		o = killed(t, o, s)
		release()
		_ = s.Close() // it knows less than its log, which is no matter here
		s = open(t, o)
		found, err := s.db.Latest().Get(familyDefault, []byte("cat/failed0"))
		if err != nil || (found != nil) != (missing == 0) {
			t.Errorf("missing %d: %q, %v", missing, found, err)
		}
		commitMany(t, s, 10, 10)
		s.archive.step()
		if stats := s.Archive(); stats.Gaps > 0 || stats.LagRows > 0 || stats.LastError != "" {
			t.Errorf("missing %d: %+v", missing, stats)
		}
		must(t, s.Close())
		path := copyDir(t, base)
		r, err := Replay(t.Context(), path, o.WALArchivePath, Until{Latest: true}, time.Time{})
		if err != nil || r.Seq != 20 {
			t.Fatalf("missing %d: %+v, %v", missing, r, err)
		}
		restored := open(t, Options{Path: path})
		if value, err := restored.db.Latest().Get(familyDefault, []byte("cat/failed0")); err != nil || string(value) != string(found) {
			t.Errorf("missing %d: the database has %q, the archive %q: %v", missing, found, value, err)
		}
	}
}
