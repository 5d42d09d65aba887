package rocks

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLogData holds that RocksDB takes batches with bytes for its log, gives
// them back as they were, and recovers from a log that has them.
func TestLogData(t *testing.T) {
	dir := t.TempDir()
	opts := Options{Path: dir, CreateIfMissing: true, Families: []Family{{Name: "default"}, {Name: "two"}}, MemtableBytes: 1 << 20, BlockCacheBytes: 1 << 20}
	db, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	var wires [][]byte
	start := db.LatestSequence()
	for i := range 50 {
		var b Batch
		b.LogData([]byte("before"))
		b.Put(i%2, fmt.Appendf(nil, "k%d", i), []byte("v"))
		b.LogData(fmt.Appendf(nil, "mark %d", i))
		b.DeleteRange(1, []byte("x"), []byte("y"))
		b.LogData(nil)
		if err := db.Write(&b, i%2 == 0); err != nil {
			t.Fatal(err)
		}
		wires = append(wires, bytes.Clone(b.wire()[batchHeader:]))
	}
	if got := db.LatestSequence(); got != start+100 {
		t.Errorf("the sequence rose by %d, want 100: log data must not count", got-start)
	}
	n := 0
	if err := db.Updates(start+1, func(wire []byte) (bool, error) {
		first, rows, err := WireSequence(wire)
		if err != nil || first != start+1+uint64(2*n) || rows != 2 || !bytes.Equal(wire[batchHeader:], wires[n]) {
			t.Errorf("batch %d has sequence %d, %d rows, %v, %x; want %x", n, first, rows, err, wire[batchHeader:], wires[n])
		}
		n++
		return true, nil
	}); err != nil || n != 50 {
		t.Errorf("%d batches came back: %v", n, err)
	}
	// A copy of the files of the open database is what a crash leaves.
	crashed := t.TempDir()
	names, _ := os.ReadDir(dir)
	for _, name := range names {
		data, _ := os.ReadFile(filepath.Join(dir, name.Name()))
		os.WriteFile(filepath.Join(crashed, name.Name()), data, 0o600)
	}
	db.Close()
	opts.Path = crashed
	if db, err = Open(opts); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := db.LatestSequence(); got != start+100 {
		t.Errorf("after recovery the sequence is %d, want %d", got, start+100)
	}
	for i := range 50 {
		if v, err := db.Latest().Get(i%2, fmt.Appendf(nil, "k%d", i)); string(v) != "v" || err != nil {
			t.Fatalf("k%d is %q after recovery: %v", i, v, err)
		}
	}
}

func TestReadWire(t *testing.T) {
	var b Batch
	b.Put(1, []byte("key"), []byte("value"))
	b.LogData([]byte("mark"))
	b.Delete(2, []byte("gone"))
	b.DeleteRange(3, []byte("a"), []byte("b"))
	var seen strings.Builder
	if err := ReadWire(b.wire(), func(r Record) error {
		fmt.Fprintf(&seen, "%q %v %d %q %q %d; ", r.LogData, r.Put, r.Family, r.Key, r.Value, r.Rows)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := `"" true 1 "key" "value" 1; "mark" false 0 "" "" 1; "" false 2 "gone" "" 2; "" false 3 "a" "b" 3; `
	if seen.String() != want {
		t.Errorf("read %s\nwant %s", seen.String(), want)
	}
	for cut := range len(b.wire()) {
		if err := ReadWire(b.wire()[:cut], func(Record) error { return nil }); err == nil {
			t.Errorf("a batch cut at byte %d is read", cut)
		}
	}
}

func FuzzReadWire(f *testing.F) {
	var b Batch
	b.Put(1, []byte("key"), []byte("value"))
	b.LogData([]byte("mark"))
	f.Add(b.wire())
	f.Fuzz(func(t *testing.T, wire []byte) {
		last := 0
		_ = ReadWire(wire, func(r Record) error {
			if r.End <= last || r.End > len(wire) {
				t.Fatalf("a record ends at %d after %d", r.End, last)
			}
			last = r.End
			return nil
		})
	})
}
