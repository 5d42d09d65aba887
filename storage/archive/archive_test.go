package archive

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var line = Timeline{0: 0xAB, 15: 0xCD}

func batch(first uint64, rows uint32, body string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, first)
	b = binary.LittleEndian.AppendUint32(b, rows)
	return append(b, body...)
}

func write(t *testing.T, dir string, maxBytes int64, batches ...[]byte) {
	t.Helper()
	w, err := Open(dir, line, maxBytes, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if err := w.Append(b, time.UnixMilli(1_000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// rows reads the first sequence numbers of all batches from a row on.
func rows(dir string, from uint64) (firsts []uint64, err error) {
	err = Read(dir, line, from, func(b []byte) (bool, error) {
		first, _ := rowsOf(b)
		firsts = append(firsts, first)
		return true, nil
	})
	return firsts, err
}

// TestBytes holds a segment against the bytes that ARCHIVE.md draws.
func TestBytes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 1<<20, batch(7, 2, "rows"))
	data, err := os.ReadFile(filepath.Join(dir, "ab0000000000000000000000000000cd", "00000000000000000007.wal"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "5448454d49535741" + "01000000" + "ab0000000000000000000000000000cd" + "0700000000000000" + "e803000000000000"
	if got := hex.EncodeToString(data[:44]); got != want {
		t.Errorf("the header is %s, want %s", got, want)
	}
	if sum := binary.LittleEndian.Uint32(data[44:]); sum != checksum(data[:44]) {
		t.Errorf("the header's checksum is %x", sum)
	}
	record := "10000000" + hex.EncodeToString(binary.LittleEndian.AppendUint32(nil, checksum(batch(7, 2, "rows")))) + "070000000000000002000000" + hex.EncodeToString([]byte("rows"))
	if got := hex.EncodeToString(data[48:]); got != record {
		t.Errorf("the record is %s, want %s", got, record)
	}
	if checksum([]byte("123456789")) != 0xe3069283 {
		t.Error("the checksum isn't CRC-32C")
	}
}

// TestCut ends an archive at every byte: what is whole is read, and writing goes
// on behind it without a gap.
func TestCut(t *testing.T) {
	whole := t.TempDir()
	write(t, whole, 1<<20, batch(1, 1, "a"), batch(2, 2, "bb"), batch(4, 1, ""))
	name := filepath.Join("ab0000000000000000000000000000cd", "00000000000000000001.wal")
	data, _ := os.ReadFile(filepath.Join(whole, name))
	for cut := range len(data) + 1 {
		dir := t.TempDir()
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700)
		os.WriteFile(filepath.Join(dir, name), data[:cut], 0o600)
		w, err := Open(dir, line, 1<<20, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for next := max(w.Next(), 1); next < 6; next++ {
			if err := w.Append(batch(next, 1, "again"), time.UnixMilli(5)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		firsts, err := rows(dir, 1)
		if err != nil || len(firsts) == 0 || firsts[len(firsts)-1] != 5 {
			t.Fatalf("cut at %d of %d: %v, %v", cut, len(data), firsts, err)
		}
	}
}

// TestFlip changes each bit: nothing wrong is ever read, and what can't be read
// any more is a gap that names the file.
func TestFlip(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 1, batch(1, 1, "a"), batch(2, 1, "b"), batch(3, 1, "c"))
	name := filepath.Join(dir, "ab0000000000000000000000000000cd", "00000000000000000002.wal")
	data, _ := os.ReadFile(name)
	for bit := range 8 * len(data) {
		data[bit/8] ^= 1 << (bit % 8)
		os.WriteFile(name, data, 0o600)
		firsts, err := rows(dir, 1)
		var gap *GapError
		if !errors.As(err, &gap) || gap.From != 2 || gap.To != 3 || gap.File != name || len(firsts) != 1 {
			t.Fatalf("bit %d: %v, %v", bit, firsts, err)
		}
		data[bit/8] ^= 1 << (bit % 8)
	}
	os.Remove(name)
	if _, err := rows(dir, 1); err == nil {
		t.Error("a segment that is missing goes unnoticed")
	}
	if firsts, err := rows(dir, 3); err != nil || len(firsts) != 1 {
		t.Errorf("from behind the gap: %v, %v", firsts, err)
	}
}

func TestGapAndRemove(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 1<<20, batch(1, 1, ""), batch(2, 1, ""), batch(9, 1, ""))
	if firsts, err := rows(dir, 1); err == nil || len(firsts) != 2 {
		t.Errorf("%v, %v: the gap is bridged", firsts, err)
	}
	w, err := Open(dir, line, 1<<20, time.Hour)
	if err != nil || w.Next() != 10 {
		t.Fatalf("it goes on at %d: %v", w.Next(), err)
	}
	if err := w.Append(batch(10, 1, ""), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if list, _ := segments(dir, line); len(list) != 1 || list[0].first != 10 {
		t.Errorf("left are %v, want the one in use", list)
	}
	w.Close()
	other := Timeline{1: 1}
	if err := Read(dir, other, 1, func([]byte) (bool, error) { t.Error("a foreign batch"); return true, nil }); err != nil {
		t.Error(err)
	}
}
