package rocks

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linxGnu/grocksdb"
)

// TestInterruptedResume opens what a process leaves that is killed in the middle
// of a Resume: half a record at the end of the log, and one column family in a
// file beyond that log while the other has its rows in the log only. RocksDB
// refuses it, unless the mark says how it came about.
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
	killed := func(mark bool) error {
		copied := o
		copied.Path = t.TempDir()
		if err := os.CopyFS(copied.Path, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(copied.Path, log), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte{1, 2, 3, 4, 200, 0, fragmentFull, 'h', 'a', 'l', 'f'}); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if mark {
			if err := writeMark(filepath.Join(copied.Path, resumingFile)); err != nil {
				t.Fatal(err)
			}
		}
		db, err := Open(copied)
		if err != nil {
			return err
		}
		defer db.Close()
		for family, want := range []string{"0", "1"} {
			value, err := db.Latest().Get(family, []byte("key"))
			if err != nil || string(value) != want {
				t.Errorf("mark %v: family %d has %q, %v", mark, family, value, err)
			}
		}
		if cutOff, err := interrupted(copied.Path); cutOff || err != nil {
			t.Error("the mark is still there", err)
		}
		return nil
	}
	var native *Error
	if err := killed(false); !errors.As(err, &native) || !native.Corruption() {
		t.Errorf("without the mark: %v; if RocksDB opens this now, the mark isn't needed any more", err)
	}
	if err := killed(true); err != nil {
		t.Error("with the mark:", err)
	}
}
