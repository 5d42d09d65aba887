package storage

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
)

// The tests here run the test binary again as a child, to kill it or to take its
// disk away. The child finds its part and its directory in these variables.
const (
	childPart = "THEMIS_STORAGE_TEST_CHILD"
	childPath = "THEMIS_STORAGE_TEST_PATH"
)

// runChild does the child's part and exits, if this process is a child.
func runChild() {
	path := os.Getenv(childPath)
	switch os.Getenv(childPart) {
	case "":
		return
	case "commit until killed":
		commitForever(path)
	case "commit through full disks":
		commitThroughFullDisks(path)
	case "log fails":
		limitFileSize(512 << 10)
		failWrites(path, errs.Unavailable, "storage_failed")
	case "flush fails": // a log file ends before the limit, a table of two memtables beyond
		limitFileSize(3 << 19)
		failWrites(path, errs.Unavailable, "storage_failed")
	}
	os.Exit(0)
}

// limitFileSize makes writes beyond the limit fail with EFBIG, as on a broken
// disk, once the signal that would kill the process is ignored.
func limitFileSize(bytes uint64) {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: bytes}); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func child(t *testing.T, part, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childPart+"="+part, childPath+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// commitForever commits an entity, an index entry and a counter per id, and
// prints each id once it is acknowledged.
func commitForever(path string) {
	s, err := Open(Options{Path: path, CreateIfMissing: true, MemtableSizeMB: 1, BlockCacheSizeMB: 8})
	if err != nil {
		fail(err)
	}
	fmt.Println("open")
	var b Batch
	for id := uint32(s.LastSeq()); ; id++ {
		b.Reset()
		b.PutEntity(1, id, strconv.Itoa(int(id)), uint64(id), make([]byte, 2000))
		b.PutTerm(1, []byte{0x10}, id)
		b.AddCounter("n", 1)
		if _, err := s.Commit(&b, CommitOptions{}); err != nil {
			fail(err)
		}
		fmt.Println(id)
	}
}

// TestKill kills a process that commits, again and again on the same data, among
// it while it is opening. Every acknowledged commit is there, whole, and the
// counter and the sequence agree with the rows.
func TestKill(t *testing.T) {
	path := t.TempDir()
	acked := -1
	for round := range 8 {
		cmd := child(t, "commit until killed", path)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		if round%4 != 3 { // or kill it while it opens
			for n := 0; n < 100 && lines.Scan(); n++ {
				if id, err := strconv.Atoi(lines.Text()); err == nil {
					acked = id
				}
			}
		} else {
			time.Sleep(time.Duration(round) * time.Millisecond)
		}
		must(t, cmd.Process.Kill())
		for lines.Scan() { // what it still had in the pipe
			if id, err := strconv.Atoi(lines.Text()); err == nil {
				acked = id
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatal("the child ended by itself:", err)
		}
	}
	checkAfterKill(t, path, acked)
}

func checkAfterKill(t *testing.T, path string, acked int) {
	t.Helper()
	s := open(t, Options{Path: path})
	entities, terms, _ := idsIn(t, s.Latest())
	if len(entities) <= acked || len(entities) != len(terms) {
		t.Errorf("%d entities and %d entries; %d was acknowledged", len(entities), len(terms), acked)
	}
	for i, id := range entities {
		if int(id) != i {
			t.Fatalf("entity %d is missing", i)
		}
	}
	if n := s.Counter("n"); n != int64(len(entities)) || s.LastSeq() != Seq(len(entities)) {
		t.Errorf("%d entities, counter %d, sequence %d", len(entities), n, s.LastSeq())
	}
	must(t, s.VerifyChecksums())
}

// TestFailedWrite lets writes fail in a child whose files may not grow, and
// opens its data again without the limit.
func TestFailedWrite(t *testing.T) {
	for _, part := range []string{"log fails", "flush fails"} {
		t.Run(part, func(t *testing.T) {
			path := t.TempDir()
			out, err := child(t, part, path).Output()
			must(t, err)
			acked, err := strconv.Atoi(strings.TrimSpace(string(out)))
			must(t, err)
			checkAfterFailure(t, path, acked)
		})
	}
}

// TestDiskFull fills a small file system and opens its data again on a larger.
func TestDiskFull(t *testing.T) {
	path := t.TempDir()
	if err := syscall.Mount("themis-test", path, "tmpfs", 0, "size=24m"); err != nil {
		t.Skip("mounting a small file system needs root:", err)
	}
	defer func() { must(t, syscall.Unmount(path, 0)) }()
	acked, err := checkFailingWrites(path, errs.StorageFull, "disk_full")
	must(t, err)
	must(t, syscall.Mount("themis-test", path, "tmpfs", syscall.MS_REMOUNT, "size=64m"))
	t.Run("reopen", func(t *testing.T) { checkAfterFailure(t, path, acked) })
}

func failWrites(path string, kind errs.Kind, code string) {
	acked, err := checkFailingWrites(path, kind, code)
	if err != nil {
		fail(err)
	}
	fmt.Println(acked)
}

func failureOptions(path string) Options {
	return Options{
		Path: path, CreateIfMissing: true, MemtableSizeMB: 4, BlockCacheSizeMB: 8,
		Compression: "none", MaxWriteBufferNumber: 4, MinWriteBufferNumberToMerge: 2,
	}
}

// checkFailingWrites commits until a write fails and checks what then holds:
// nothing more is acknowledged, OnCommit has run for exactly what was, and all
// of that can be read.
func checkFailingWrites(path string, kind errs.Kind, code string) (acked int, err error) {
	s, err := Open(failureOptions(path))
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }()
	called := 0
	commit := func() error {
		var b Batch
		b.PutEntity(1, uint32(acked), strconv.Itoa(acked), 1, make([]byte, 10_000))
		b.AddCounter("n", 1)
		_, err := s.Commit(&b, CommitOptions{OnCommit: func(Seq) { called++ }})
		return err
	}
	for err == nil && acked < 100_000 {
		if err = commit(); err == nil {
			acked++
		}
	}
	for range 3 {
		if err == nil || errs.KindOf(err) != kind || errs.CodeOf(err) != code {
			return 0, fmt.Errorf("a commit fails with %w (%s), want %s", err, errs.CodeOf(err), code)
		}
		err = commit()
	}
	if s.Err() == nil || called != acked || s.Counter("n") != int64(acked) || s.LastSeq() != Seq(acked) {
		return 0, fmt.Errorf("%d acknowledged, %d calls of OnCommit, counter %d, sequence %d", acked, called, s.Counter("n"), s.LastSeq())
	}
	return acked, checkRecords(s, acked)
}

// checkRecords reads the first n entities.
func checkRecords(s *Store, n int) error {
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(i)
	}
	return s.Latest().Entities(1, ids, func(i int, record []byte) error {
		if len(record) != 10_000 {
			return fmt.Errorf("entity %d has %d bytes", i, len(record))
		}
		return nil
	})
}

// checkAfterFailure opens the data anew: what was acknowledged is there, at most
// the write that failed is there too, and writing goes on.
func checkAfterFailure(t *testing.T, path string, acked int) {
	t.Helper()
	s := open(t, failureOptions(path))
	n := int(s.LastSeq())
	if n < acked || n > acked+1 || s.Counter("n") != int64(n) {
		t.Errorf("after a reopen there are %d, counter %d; %d were acknowledged", n, s.Counter("n"), acked)
	}
	must(t, checkRecords(s, n))
	commit(t, s, oneEntity(uint32(n)))
}
