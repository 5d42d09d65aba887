package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
)

// archivedOptions are those of a database with an archive.
func archivedOptions(t testing.TB) Options {
	o := testOptions(t)
	o.Path = filepath.Join(o.Path, "data")
	o.WALArchivePath = filepath.Join(t.TempDir(), "archive")
	return o
}

// commitMany commits so many entities, from several goroutines, and counts them.
func commitMany(t testing.TB, s *Store, from, n int) {
	t.Helper()
	var wg sync.WaitGroup
	const writers = 4
	for w := range writers {
		wg.Go(func() {
			for i := from + w; i < from+n; i += writers {
				var b Batch
				b.PutEntity(1, uint32(i), strconv.Itoa(i), 1, fmt.Appendf(nil, "%0100d", i))
				b.AddCounter("n", 1)
				b.AddCounter(fmt.Sprint("of ", w), 1)
				if _, err := s.Commit(&b, CommitOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// checkpoint copies a store's files.
func checkpoint(t testing.TB, s *Store) string {
	t.Helper()
	base := filepath.Join(t.TempDir(), "base")
	must(t, s.Checkpoint(base))
	return base
}

func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

// replayed rolls a copy of base forward and checks that the counters fit the rows.
func replayed(t *testing.T, base, dir string, until Until) (Restored, error) {
	t.Helper()
	path := copyDir(t, base)
	r, err := Replay(t.Context(), path, dir, until, time.Time{})
	if err != nil {
		return r, err
	}
	s := open(t, Options{Path: path})
	entities, _, _ := idsIn(t, s.Latest())
	sum := int64(0)
	for w := range 4 {
		sum += s.Counter(fmt.Sprint("of ", w))
	}
	if n := int64(len(entities)); n != int64(r.Seq) || s.Counter("n") != n || sum != n || s.LastSeq() != r.Seq {
		t.Errorf("%s: %d entities, counters %d and %d, sequence %d; the replay says %d", until, n, s.Counter("n"), sum, s.LastSeq(), r.Seq)
	}
	return r, nil
}

// TestReplay restores to every sequence of a stretch with group commits, across
// restarts of the database.
func TestReplay(t *testing.T) {
	o := archivedOptions(t)
	s := open(t, o)
	commitMany(t, s, 0, 20)
	base := checkpoint(t, s)
	commitMany(t, s, 20, 40)
	must(t, s.Flush())
	commitMany(t, s, 60, 20)
	must(t, s.Close())
	s = open(t, o)
	commitMany(t, s, 80, 20)
	must(t, s.Close())
	state, err := StateOf(base)
	must(t, err)
	if state.Seq != 20 {
		t.Fatalf("the base is at %d", state.Seq)
	}
	for seq := Seq(20); seq <= 100; seq += 13 {
		if r, err := replayed(t, base, o.WALArchivePath, Until{Seq: seq}); err != nil || r.Seq != seq {
			t.Errorf("until %d: %d, %v", seq, r.Seq, err)
		}
	}
	r, err := replayed(t, base, o.WALArchivePath, Until{Latest: true})
	if err != nil || r.Seq != 100 || r.Commits != 80 {
		t.Errorf("latest: %+v, %v", r, err)
	}
	if r.Timeline == state.Timeline || r.Timeline == (Timeline{}) {
		t.Error("what is restored has no timeline of its own")
	}
	_, err = replayed(t, base, o.WALArchivePath, Until{Seq: 101})
	wantError(t, err, errs.Invalid, "until_after_archive")
	_, err = replayed(t, base, o.WALArchivePath, Until{Seq: 19})
	wantError(t, err, errs.Invalid, "until_before_base")
}

// TestArchiveGaps loses parts of the history in each way there is: none is bridged.
func TestArchiveGaps(t *testing.T) {
	t.Run("off for a while", func(t *testing.T) {
		o := archivedOptions(t)
		s := open(t, o)
		commitMany(t, s, 0, 10)
		base := checkpoint(t, s)
		commitMany(t, s, 10, 10)
		must(t, s.Close())
		off := o
		off.WALArchivePath = ""
		s = open(t, off)
		commitMany(t, s, 20, 10)
		must(t, s.Close())
		s = open(t, o)
		commitMany(t, s, 30, 10)
		newer := checkpoint(t, s)
		commitMany(t, s, 40, 10)
		s.archive.step()
		if stats := s.Archive(); stats.Gaps == 0 || stats.LastSequence != 50 || stats.LagRows != 0 {
			t.Errorf("the figures are %+v", stats)
		}
		must(t, s.Close())
		if r, err := replayed(t, base, o.WALArchivePath, Until{Seq: 15}); err != nil || r.Seq != 15 {
			t.Errorf("before the gap: %+v, %v", r, err)
		}
		_, err := replayed(t, base, o.WALArchivePath, Until{Seq: 45})
		wantError(t, err, errs.Conflict, "archive_gap")
		if r, err := replayed(t, newer, o.WALArchivePath, Until{Latest: true}); err != nil || r.Seq != 50 {
			t.Errorf("from behind the gap: %+v, %v", r, err)
		}
	})
	t.Run("put back by hand", func(t *testing.T) {
		o := archivedOptions(t)
		s := open(t, o)
		commitMany(t, s, 0, 10)
		base := checkpoint(t, s)
		commitMany(t, s, 10, 10)
		must(t, s.Close())
		before, err := StateOf(base)
		must(t, err)
		by := o
		by.Path = copyDir(t, base)
		s = open(t, by)
		commitMany(t, s, 10, 30) // another history with the same sequences
		must(t, s.Close())
		after, err := StateOf(by.Path)
		must(t, err)
		if after.Timeline == before.Timeline {
			t.Error("two histories share a timeline")
		}
		if r, err := replayed(t, base, o.WALArchivePath, Until{Latest: true}); err != nil || r.Seq != 20 {
			t.Errorf("the first history: %+v, %v", r, err)
		}
	})
}

// TestArchiveFails takes the archive's folder away and gives it back: nothing is
// lost, and the figures say what happened.
func TestArchiveFails(t *testing.T) {
	o := archivedOptions(t)
	s := open(t, o)
	base := checkpoint(t, s)
	commitMany(t, s, 0, 10)
	s.archive.step()
	must(t, os.Rename(o.WALArchivePath, o.WALArchivePath+".away"))
	must(t, os.WriteFile(o.WALArchivePath, nil, 0o600))
	s.archive.turn.Lock()
	must(t, s.archive.w.Close()) // so that it has to make a segment
	s.archive.turn.Unlock()
	commitMany(t, s, 10, 10)
	must(t, s.Flush())
	s.archive.step()
	stats := s.Archive()
	if stats.Failures == 0 || stats.LastError == "" || stats.LagRows == 0 || stats.LastSequence != 10 {
		t.Errorf("while it fails the figures are %+v", stats)
	}
	must(t, os.Remove(o.WALArchivePath))
	must(t, os.Rename(o.WALArchivePath+".away", o.WALArchivePath))
	commitMany(t, s, 20, 10)
	s.archive.step()
	stats = s.Archive()
	if stats.LastError != "" || stats.LagRows != 0 || stats.LagSeconds != 0 || stats.LastSequence != 30 || stats.Gaps != 0 {
		t.Errorf("afterwards the figures are %+v", stats)
	}
	if logs := obsoleteLogs(o.Path); len(logs) > 0 {
		t.Errorf("logs stay that nobody needs: %v", logs)
	}
	must(t, s.Close())
	if r, err := replayed(t, base, o.WALArchivePath, Until{Latest: true}); err != nil || r.Seq != 30 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestArchiveRetention removes segments that are older than the ttl.
func TestArchiveRetention(t *testing.T) {
	o := archivedOptions(t)
	o.WALArchiveTTL = time.Hour
	s := open(t, o)
	commitMany(t, s, 0, 10)
	must(t, s.Close())
	segments, _ := filepath.Glob(filepath.Join(o.WALArchivePath, "*", "*"))
	old := time.Now().Add(-2 * time.Hour)
	for _, segment := range segments {
		must(t, os.Chtimes(segment, old, old))
	}
	s = open(t, o)
	commitMany(t, s, 10, 10)
	s.archive.step()
	left, _ := filepath.Glob(filepath.Join(o.WALArchivePath, "*", "*"))
	if len(segments) != 1 || len(left) != 1 || left[0] == segments[0] {
		t.Errorf("of %v there is left %v", segments, left)
	}
}

// TestMark holds the bytes of a mark.
func TestMark(t *testing.T) {
	b := appendMark(nil, 7, 1000, []string{"n"}, map[string]int64{"n": -2})
	if got, want := fmt.Sprintf("%x", b), "c1"+"0700000000000000"+"e803000000000000"+"016e"+"feffffffffffffff"; got != want {
		t.Errorf("the mark is %s, want %s", got, want)
	}
	m, err := parseMark(b)
	if err != nil || m.last != 7 || m.unixMs != 1000 || m.counters["n"] != -2 || len(m.counters) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	for cut := range len(b) {
		if _, err := parseMark(b[:cut]); err == nil && cut != 17 {
			t.Errorf("a mark cut at %d is read", cut)
		}
	}
}

func TestParseUntil(t *testing.T) {
	for text, want := range map[string]string{
		"7": "sequence 7", "latest": "latest", "2026-11-22T10:00:00Z": "2026-11-22T10:00:00Z", "2026-11-22T10:00:00.5+02:00": "2026-11-22T10:00:00.5+02:00",
		"0": "", "-1": "", "now": "", "": "", "2026-11-22": "", "1e3": "",
	} {
		u, err := ParseUntil(text)
		if want == "" && err == nil || want != "" && (err != nil || u.String() != want) {
			t.Errorf("%q is %v, %v; want %q", text, u, err, want)
		}
	}
}

// TestParseBackup reads the list of a backup's files and refuses what isn't one.
func TestParseBackup(t *testing.T) {
	good := "1795405450\n100\n2\nshared_checksum/000011_sJB0_1417.sst crc32 313003364\nprivate/1/CURRENT crc32 2659179228\n"
	b, err := parseBackup(strings.NewReader(good))
	must(t, err)
	if b.Rows != 100 || len(b.Files) != 2 || b.Files[0].Name != "000011.sst" || b.Files[1].Name != "CURRENT" || b.Files[0].CRC32 != 313003364 {
		t.Errorf("%+v", b)
	}
	for _, bad := range []string{"", "x", "1\n2\n", good + "more\n", good + "a crc32 1\n", strings.Replace(good, "private/1/CURRENT", "../CURRENT", 1),
		strings.Replace(good, "private/1/CURRENT", "/etc/passwd", 1), strings.Replace(good, "crc32 2659", "sha1 2659", 1), "schema_version 2.1\n" + good} {
		if _, err := parseBackup(strings.NewReader(bad)); err == nil {
			t.Errorf("%.60q is read", bad)
		}
	}
	if !slices.Equal(b.Files[1:], []BackupFile{{Path: "private/1/CURRENT", Name: "CURRENT", CRC32: 2659179228}}) {
		t.Errorf("%+v", b.Files)
	}
}
