package rocks

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// TestCheckLogs damages a log at every place of a record and between records.
func TestCheckLogs(t *testing.T) {
	dir := t.TempDir()
	o := Options{Path: dir, CreateIfMissing: true, MemtableBytes: 64 << 20, BlockCacheBytes: 1 << 20, Families: []Family{{Name: "default"}}}
	db, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64 // of the log, after each record
	log := ""
	for i, size := range []int{10, 40_000, 100, 70_000, 5} { // some span blocks
		var b Batch
		b.Put(0, []byte{byte(i)}, bytes.Repeat([]byte{byte(i)}, size))
		if err := db.Write(&b, true); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		log = files[len(files)-1]
		info, err := os.Stat(log)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, info.Size())
	}
	whole, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	check := func(logs ...[]byte) *LogDamage {
		t.Helper()
		dir := t.TempDir()
		for i, raw := range logs {
			if err := os.WriteFile(filepath.Join(dir, string('1'+rune(i))+".log"), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		damage, err := CheckLogs(dir)
		if err != nil {
			t.Fatal(err)
		}
		return damage
	}
	if d := check(whole); d != nil {
		t.Error("a whole log:", d)
	}
	last := ends[len(ends)-2] // where the last record begins
	for at := range int64(len(whole)) {
		if at > 60 && at < last-20 && at%3001 != 0 {
			continue
		}
		if d := check(whole[:at]); d != nil {
			t.Fatalf("torn at %d: %v", at, d)
		}
		raw := bytes.Clone(whole)
		raw[at] ^= 1
		if d := check(raw); (d != nil) != (at < last) || d != nil && d.Offset > at {
			t.Fatalf("flipped at %d of %d, the last record begins at %d: %v", at, len(whole), last, d)
		}
		// The same tear before a later log with a record in it is no tear.
		if inRecord := binary.LittleEndian.Uint16(whole[4:]) > 0 && at > 0 && at < ends[0]; inRecord {
			if d := check(whole[:at], whole); d == nil {
				t.Fatalf("torn at %d, with another log after it: nothing found", at)
			}
		}
	}
	if d := check(append(bytes.Clone(whole), make([]byte, 50_000)...)); d != nil {
		t.Error("zeros at the end:", d)
	}
	for _, unused := range []int{5, 50_000} { // as RocksDB leaves a log that a write failed on
		if d := check(append(bytes.Clone(whole), make([]byte, unused)...), whole); d != nil {
			t.Errorf("%d zeros at the end of the first of two logs: %v", unused, d)
		}
	}
	lost := bytes.Clone(whole)
	clear(lost[ends[1]:ends[2]])
	if d := check(lost); d == nil || d.Offset != ends[1] {
		t.Error("a record of zeros:", d)
	}
	lost = bytes.Clone(whole)
	clear(lost[ends[0]:logBlock])
	if d := check(lost); d == nil || d.Offset != ends[0] {
		t.Error("zeros up to the end of a block:", d)
	}
}
