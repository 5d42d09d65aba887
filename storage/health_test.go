package storage

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

var fullDiskRounds = flag.Int("fulldisk.rounds", 2, "how often TestKillAroundFullDisk kills the process")

// smallDisk mounts a file system of so many MiB.
func smallDisk(t *testing.T, mebibytes int) string {
	t.Helper()
	path := t.TempDir()
	if err := syscall.Mount("themis-test", path, "tmpfs", 0, fmt.Sprintf("size=%dm", mebibytes)); err != nil {
		t.Skip("mounting a small file system needs root:", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(path, 0)) })
	return path
}

// fillDisk leaves about that much space and returns what frees the rest again.
func fillDisk(t *testing.T, path string, leave int64) (free func()) {
	t.Helper()
	f, err := os.CreateTemp(path, "ballast")
	must(t, err)
	for size := int64(0); ; { // a child may write meanwhile
		var disk syscall.Statfs_t
		must(t, syscall.Statfs(path, &disk))
		more := int64(disk.Bavail)*disk.Bsize - leave
		if more <= 0 {
			break
		}
		if err := syscall.Fallocate(int(f.Fd()), 0, size, more); err == nil {
			size += more
		}
	}
	must(t, f.Close())
	return func() { must(t, os.Remove(f.Name())) }
}

// testRow is entity id of a test of full disks, with an index entry, a vector
// and a counter, so that several column families are written.
func testRow(id int) *Batch {
	var b Batch
	b.PutEntity(1, uint32(id), strconv.Itoa(id), uint64(id)+1, make([]byte, 10_000))
	b.PutTerm(1, []byte{0x10}, uint32(id))
	b.PutVector(1, uint32(id), uint64(id)+1, []float32{1, 2, 3})
	b.AddCounter("n", 1)
	return &b
}

// checkRows holds that exactly the first n rows are there, whole.
func checkRows(t *testing.T, s *Store, n int) {
	t.Helper()
	entities, terms, vectors := idsIn(t, s.Latest())
	if len(entities) != n || len(terms) != n || len(vectors) != n || s.Counter("n") != int64(n) || s.LastSeq() != Seq(n) {
		t.Fatalf("%d entities, %d entries, %d vectors, counter %d, sequence %d; want %d of each",
			len(entities), len(terms), len(vectors), s.Counter("n"), s.LastSeq(), n)
	}
	must(t, checkRecords(s, n))
}

// resumeLimit is how soon writes go on after space has returned.
const resumeLimit = 5 * time.Second

func awaitWritable(t *testing.T, s *Store) {
	t.Helper()
	for freed := time.Now(); s.Err() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(freed) > resumeLimit {
			t.Fatalf("space returned %v ago and writes are still refused: %v", resumeLimit, s.Err())
		}
	}
}

// TestDiskFullAndBack fills a disk and frees it again under an open store, with
// the reserve and without, so that RocksDB itself meets the full disk.
func TestDiskFullAndBack(t *testing.T) {
	for _, test := range []struct {
		name       string
		reserve    int64
		durability Durability
	}{
		{"reserve", 0, DurabilitySync},
		{"no reserve", -1, DurabilitySync},
		{"no reserve, syncs apart", -1, DurabilityInterval},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			path := smallDisk(t, 48)
			o := failureOptions(path)
			o.ReserveBytes, o.Durability, o.SyncInterval = test.reserve, test.durability, time.Millisecond
			n := diskFullCycles(t, o)
			s := open(t, o)
			checkRows(t, s, n)
			commit(t, s, testRow(n))
		})
	}
}

// diskFullCycles returns how many rows were acknowledged.
func diskFullCycles(t *testing.T, o Options) (acked int) {
	s, err := Open(o)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	for cycle := range 2 {
		free := fillDisk(t, o.Path, int64(cycle)<<20) // the first one at once, with empty memtables
		var err error
		for err == nil {
			if _, err = s.Commit(testRow(acked), CommitOptions{}); err == nil {
				acked++
			}
		}
		if errs.KindOf(err) != errs.StorageFull || errs.CodeOf(err) != "disk_full" {
			t.Fatal("a commit on a full disk fails with", err)
		}
		h := s.Health()
		if h.Writable || h.Code != "disk_full" || h.Failures != uint64(cycle+1) || h.Resumes != uint64(cycle) {
			t.Errorf("cycle %d: %+v", cycle, h)
		}
		checkRows(t, s, acked)
		free()
		awaitWritable(t, s)
		if h := s.Health(); !h.Writable || h.Code != "" || h.Resumes != uint64(cycle+1) || h.FreeBytes < h.ReserveBytes {
			t.Errorf("cycle %d: %+v after the resume", cycle, h)
		}
		checkRows(t, s, acked)
		for range 50 {
			commit(t, s, testRow(acked))
			acked++
		}
		checkRows(t, s, acked)
	}
	return acked
}

// awaitFree waits until the store has seen so much free space.
func awaitFree(t *testing.T, s *Store, enough func(free uint64) bool) {
	t.Helper()
	for started := time.Now(); !enough(s.Health().FreeBytes); time.Sleep(time.Millisecond) {
		if time.Since(started) > resumeLimit {
			t.Fatal(s.Health())
		}
	}
}

// TestDeleteOnFullDisk: with a part of the reserve left, data can be removed and
// nothing added; with less than half of it, neither. What is removed gets into the
// archive.
func TestDeleteOnFullDisk(t *testing.T) {
	t.Parallel()
	path := smallDisk(t, 96)
	o := failureOptions(path)
	o.ReserveBytes, o.Feed = 16<<20, true
	o.WALArchivePath = filepath.Join(t.TempDir(), "archive")
	s := open(t, o)
	n := 0
	put := func() (err error) {
		if _, err = s.Commit(testRow(n), CommitOptions{}); err == nil {
			n++
		}
		return err
	}
	for range 1000 {
		must(t, put())
	}
	must(t, s.Compact(t.Context()))
	s.archive.step() // it removes logs
	fillDisk(t, path, 12<<20)
	for put() == nil { // until it has looked at the disk
		continue
	}
	batches := map[string]func(b *Batch){
		"delete": func(b *Batch) {
			n--
			b.DeleteEntity(1, uint32(n), strconv.Itoa(n), uint64(n)+2, nil)
			b.DeleteTerm(1, []byte{0x10}, uint32(n))
			b.DeleteVector(1, uint32(n))
			b.AddCounter("n", -1)
		},
		"drop index": func(b *Batch) { b.DropIndex(7); b.DeleteMeta("index"); b.ResetCounter("index") },
		"drop table": func(b *Batch) { b.DropTable(7, 1, "t"); b.PutMeta("dropped", []byte("t")) },
		"nothing":    func(*Batch) {},
		"catalog":    func(b *Batch) { b.PutMeta("table", nil) },
		"both":       func(b *Batch) { b.DeleteEntity(7, 1, "1", 1, nil); b.PutEntity(7, 2, "2", 1, nil) },
		"index":      func(b *Batch) { b.DropIndex(7); b.PutVector(8, 1, 1, []float32{1}) },
	}
	frees := map[string]bool{"delete": true, "drop index": true, "drop table": true}
	var b Batch
	for name, fill := range batches {
		b.Reset()
		fill(&b)
		_, err := s.Commit(&b, CommitOptions{})
		if frees[name] {
			if err != nil {
				t.Error(name, err)
			}
			continue
		}
		wantError(t, err, errs.StorageFull, "disk_full")
	}
	if entities, terms, vectors := idsIn(t, s.Latest()); len(entities) != n || len(terms) != n || len(vectors) != n || s.Counter("n") != int64(n) {
		t.Errorf("%d entities, %d entries, %d vectors, counter %d; want %d", len(entities), len(terms), len(vectors), s.Counter("n"), n)
	}
	s.archive.step()
	if stats := s.Archive(); stats.LagRows > 0 || stats.LastSequence != s.LastSeq() {
		t.Errorf("the archive: %+v at %d", stats, s.LastSeq())
	}
	must(t, s.TrimFeed(1))
	fillDisk(t, path, 10<<20)
	freeMore := fillDisk(t, path, 4<<20)
	awaitFree(t, s, func(free uint64) bool { return free < 8<<20 })
	b.Reset()
	b.DropIndex(7)
	_, err := s.Commit(&b, CommitOptions{})
	wantError(t, err, errs.StorageFull, "disk_full")
	freeMore()
	awaitFree(t, s, func(free uint64) bool { return free >= 8<<20 })
	wantError(t, put(), errs.StorageFull, "disk_full")
	for n > 0 {
		b.Reset()
		batches["delete"](&b)
		commit(t, s, &b)
	}
	must(t, s.TrimFeed(s.LastSeq()))
	must(t, s.Compact(t.Context()))
	s.archive.step()
	awaitWritable(t, s)
	must(t, put())
}

// commitThroughFullDisks is a child that commits for ever, waits when the disk
// is full, and prints each id that is acknowledged.
func commitThroughFullDisks(path string) {
	o := failureOptions(path)
	o.ReserveBytes = -1
	s, err := Open(o)
	if err != nil {
		fail(err)
	}
	id := int(s.LastSeq())
	fmt.Println("open", id)
	for full := false; ; {
		_, err := s.Commit(testRow(id), CommitOptions{})
		switch {
		case err == nil:
			fmt.Println(id)
			id++
			full = false
		case errs.KindOf(err) != errs.StorageFull:
			fail(err)
		case !full:
			full = true
			fmt.Println("full", id)
		default:
			time.Sleep(time.Millisecond)
		}
	}
}

// TestKillAroundFullDisk kills a process at a moment around its recovery from a
// full disk: before, in the middle, after. Each time what was acknowledged is
// there; what failed is there, whole, or not, and not once writes have gone on.
func TestKillAroundFullDisk(t *testing.T) {
	path := smallDisk(t, 256) // room for what the process writes until it is killed
	rounds := *fullDiskRounds
	for round := range rounds {
		acked := killAroundFullDisk(t, path, round)
		o := failureOptions(path)
		s, err := Open(o)
		if err != nil {
			t.Fatalf("round %d: %v", round, errors.Join(err, errors.Unwrap(err)))
		}
		n := int(s.LastSeq())
		if n < acked || n > acked+1 {
			t.Errorf("round %d: %d rows, %d were acknowledged", round, n, acked)
		}
		checkRows(t, s, n)
		// The space for the next round.
		must(t, s.Close())
		entries, err := os.ReadDir(path)
		must(t, err)
		for _, e := range entries {
			must(t, os.RemoveAll(filepath.Join(path, e.Name())))
		}
	}
}

// killAroundFullDisk returns how many rows were acknowledged.
func killAroundFullDisk(t *testing.T, path string, round int) (acked int) {
	cmd := child(t, "commit through full disks", path)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	read := func(until func(string) bool) {
		for lines.Scan() {
			if id, err := strconv.Atoi(lines.Text()); err == nil {
				acked = id + 1
			}
			if until(lines.Text()) {
				return
			}
		}
	}
	read(func(line string) bool { return strings.HasPrefix(line, "open") })
	free := fillDisk(t, path, 12<<20)
	read(func(line string) bool { return strings.HasPrefix(line, "full") })
	free()
	read2 := make(chan struct{})
	go func() {
		defer close(read2)
		read(func(string) bool { return false })
	}()
	// The recovery begins within healthInterval and takes some milliseconds.
	mark := filepath.Join(path, "RESUMING")
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		if _, err := os.Stat(mark); err == nil {
			break
		}
	}
	time.Sleep(time.Duration(round) * 500 * time.Microsecond)
	must(t, cmd.Process.Kill())
	<-read2
	_ = cmd.Wait()
	return acked
}

// TestRefuse: the first reason stands, but a failure for good takes the place of
// a full disk.
func TestRefuse(t *testing.T) {
	full, failed := writeFailure(&rocks.Error{Op: "write", Text: "IO error: No space left on device"}), lastingFailure(errors.New("broken"))
	if full.Kind != errs.StorageFull || failed.Kind != errs.Unavailable {
		t.Fatal(full.Kind, failed.Kind)
	}
	for _, test := range []struct {
		reasons []*errs.Error
		stands  *errs.Error
		count   uint64
	}{
		{[]*errs.Error{full, writeFailure(full)}, full, 1},
		{[]*errs.Error{full, failed}, failed, 2},
		{[]*errs.Error{failed, full}, failed, 1},
	} {
		s := &Store{log: slog.New(slog.DiscardHandler)}
		for _, reason := range test.reasons {
			s.refuse(reason)
		}
		if s.Err() != test.stands || s.Health().Failures != test.count || s.Health().Writable {
			t.Errorf("%v: %v, %+v", test.reasons, s.Err(), s.Health())
		}
	}
}

func TestReserve(t *testing.T) {
	for _, test := range []struct {
		set        int64
		memtableMB int
		disk, want uint64
	}{
		{0, 256, 1 << 40, 512 << 20},
		{0, 256, 2 << 30, (2 << 30) / 20},
		{1 << 20, 256, 1 << 40, 1 << 20},
		{-1, 256, 1 << 40, 0},
	} {
		o := Options{ReserveBytes: test.set, MemtableSizeMB: test.memtableMB}
		if got := o.reserveOf(test.disk); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}

// TestSyncBesideFailingWrites: a sync of the log that meets a write which runs
// out of space, at whatever moment, fails like it. (RocksDB would abort.)
func TestSyncBesideFailingWrites(t *testing.T) {
	t.Parallel()
	path := smallDisk(t, 32)
	o := failureOptions(path)
	o.ReserveBytes, o.Durability, o.SyncInterval = -1, DurabilityInterval, time.Hour
	s := open(t, o)
	_, err := s.Commit(testRow(0), CommitOptions{})
	must(t, err)
	fillDisk(t, path, 0)
	stop := make(chan struct{})
	var syncs sync.WaitGroup
	for range 2 {
		syncs.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = s.db.SyncWAL() // it need not be over when the disk is full
				}
			}
		})
	}
	for i := 1; err == nil; i++ {
		_, err = s.Commit(testRow(i), CommitOptions{})
	}
	close(stop)
	syncs.Wait()
	var native *rocks.Error
	if synced := s.db.SyncWAL(); !errors.As(synced, &native) || !native.NoSpace() {
		t.Errorf("the commit failed with %v, a sync after it with %v", err, synced)
	}
}
