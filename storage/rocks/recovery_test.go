package rocks

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linxGnu/grocksdb"
)

// TestInterruptedResume opens what a process leaves that is killed in the middle
// of a Resume: the write that failed at the end of the log, half or whole, and one
// column family in a file beyond that log while the other has its rows in the log
// only. Without the mark, RocksDB refuses half a write, and gives a whole one to
// one of the two.
func TestInterruptedResume(t *testing.T) {
	dir := t.TempDir()
	o := Options{Path: dir, CreateIfMissing: true, MemtableBytes: 8 << 20, BlockCacheBytes: 1 << 20,
		Families: []Family{{Name: "default"}, {Name: "other"}}}
	db, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var b Batch
	b.Put(0, []byte("key"), []byte("0"))
	b.Put(1, []byte("key"), []byte("1"))
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal("no log", err)
	}
	log := filepath.Base(slices.Max(logs))
	opts := grocksdb.NewDefaultFlushOptions()
	defer opts.Destroy()
	if err := db.db.FlushCF(db.families[0], opts); err != nil {
		t.Fatal(err)
	}
	last := db.LatestSequence()
	var failed Batch
	failed.Put(0, []byte("failed"), []byte("0"))
	failed.Put(1, []byte("failed"), []byte("1"))
	record := fragmentOf(failed.Wire(last + 1))
	killed := func(failed []byte, mark bool) (families int, err error) {
		copied := o
		copied.Path = t.TempDir()
		if err := os.CopyFS(copied.Path, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(copied.Path, log), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(failed); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if mark {
			for _, begin := range []uint64{last, last + 1} { // it failed, and was tried again
				if noted, err := markResume(copied.Path, begin); noted != last || err != nil {
					t.Fatal(noted, err)
				}
			}
		}
		db, err := Open(copied)
		if err != nil {
			return 0, err
		}
		defer db.Close()
		for family, want := range []string{"0", "1"} {
			value, err := db.Latest().Get(family, []byte("key"))
			if err != nil || string(value) != want {
				t.Errorf("mark %v: family %d has %q, %v", mark, family, value, err)
			}
			if value, err := db.Latest().Get(family, []byte("failed")); err != nil {
				t.Error(err)
			} else if value != nil {
				families++
			}
		}
		if cutOff, err := Interrupted(copied.Path); cutOff || err != nil {
			t.Error("the mark is still there", err)
		}
		return families, nil
	}
	half := record[:len(record)-3]
	var native *Error
	if _, err := killed(half, false); !errors.As(err, &native) || !native.Corruption() {
		t.Errorf("half, without the mark: %v; if RocksDB opens this now, the mark isn't needed any more", err)
	}
	if families, err := killed(record, false); families != 1 || err != nil {
		t.Errorf("whole, without the mark: in %d families, %v; if that isn't 1 now, the mark isn't needed any more", families, err)
	}
	for _, failed := range [][]byte{half, record} {
		if families, err := killed(failed, true); families != 0 || err != nil {
			t.Errorf("with the mark: %d bytes of the failed write are in %d families, %v", len(failed), families, err)
		}
	}
}

// fragmentOf returns data as a record of a log that fits into a block.
func fragmentOf(data []byte) []byte {
	b := append(make([]byte, logHeader), data...)
	binary.LittleEndian.PutUint16(b[4:], uint16(len(data)))
	b[6] = fragmentFull
	s := logScan{table: crc32.MakeTable(crc32.Castagnoli)}
	binary.LittleEndian.PutUint32(b, s.checksum(b[6:]))
	return b
}

// TestResumeCuts recovers while RocksDB may remove no files, as during a backup:
// the log of the write that failed stays, and is no damage to whoever opens what
// is there after a kill.
func TestResumeCuts(t *testing.T) {
	put := func(key string) *Batch {
		var b Batch
		b.Put(0, []byte(key), []byte("value"))
		return &b
	}
	for _, missing := range []int{0, 3} {
		dir := t.TempDir()
		o := Options{Path: dir, CreateIfMissing: true, MemtableBytes: 8 << 20, BlockCacheBytes: 1 << 20, Families: []Family{{Name: "default"}}}
		db, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := errors.Join(db.db.DisableFileDeletions(), db.Write(put("before"), true)); err != nil {
			t.Fatal(err)
		}
		logs, err := logFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(logs[len(logs)-1], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		record := fragmentOf(put("failed").Wire(db.LatestSequence() + 1))
		_, err = f.Write(record[:len(record)-missing])
		if err := errors.Join(err, f.Close(), db.Resume(put("resumed")), db.Write(put("after"), true)); err != nil {
			t.Fatal(err)
		}
		if now, err := logFiles(dir); err != nil || len(now) <= len(logs) {
			t.Errorf("the logs were %v and are %v, %v; the test needs the old one too", logs, now, err)
		}
		killed := o
		killed.Path = t.TempDir()
		if err := os.CopyFS(killed.Path, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if damage, err := CheckLogs(killed.Path); damage != nil || err != nil {
			t.Errorf("missing %d: %v, %v", missing, damage, err)
		}
		again, err := Open(killed)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		for key, want := range map[string]string{"before": "value", "failed": "", "resumed": "value", "after": "value"} {
			if value, err := again.Latest().Get(0, []byte(key)); string(value) != want || err != nil {
				t.Errorf("missing %d: %s is %q, %v", missing, key, value, err)
			}
		}
	}
}

// TestCutLogs cuts logs, also those that were moved away, behind a number.
func TestCutLogs(t *testing.T) {
	batch := func(first uint64) []byte {
		var b Batch
		b.Put(0, []byte("key"), []byte("value"))
		return fragmentOf(b.Wire(first))
	}
	dir := t.TempDir()
	size := len(batch(1))
	files := map[string][][]byte{
		"000001.log":         {batch(1), batch(2)},
		"000003.log":         {batch(3), batch(4), batch(5)},
		"000004.log":         {batch(5), {1, 2, 3}},
		"archive/000002.log": {batch(3), batch(4), batch(5)[:size-1]},
	}
	if err := os.Mkdir(filepath.Join(dir, "archive"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, parts := range files {
		if err := os.WriteFile(filepath.Join(dir, name), slices.Concat(parts...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := cutLogs(dir, 4); err != nil {
		t.Fatal(err)
	}
	for name, records := range map[string]int{"000001.log": 2, "000003.log": 2, "000004.log": 0, "archive/000002.log": 2} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || len(data) != records*size {
			t.Errorf("%s has %d bytes, want %d records of %d; %v", name, len(data), records, size, err)
		}
	}
}
