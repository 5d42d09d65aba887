package rocks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linxGnu/grocksdb"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testOptions(t testing.TB) Options {
	return Options{
		Path: t.TempDir(), CreateIfMissing: true,
		Families:      []Family{{Name: "default", PointReads: true}, {Name: "other"}},
		MemtableBytes: 8 << 20, BlockCacheBytes: 8 << 20, BloomBitsPerKey: 10,
	}
}

func open(t testing.TB, o Options) *DB {
	t.Helper()
	db, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func write(t testing.TB, db *DB, b *Batch) {
	t.Helper()
	if err := db.Write(b, false); err != nil {
		t.Fatal(err)
	}
}

// TestBatchWireFormat builds random batches here and with RocksDB's own builder
// and compares the bytes.
func TestBatchWireFormat(t *testing.T) {
	db := open(t, testOptions(t))
	rng := rand.New(rand.NewPCG(3, 4))
	randomBytes := func(limit int) []byte {
		b := make([]byte, rng.IntN(limit))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	for range 200 {
		var ours, part Batch
		theirs := grocksdb.NewWriteBatch()
		for range rng.IntN(20) + 1 {
			family := rng.IntN(2)
			handle := db.families[family]
			key, value := randomBytes(300), randomBytes(2000)
			// RocksDB writes the default family without its id; both forms are read.
			if family == 0 {
				family, handle = 1, db.families[1]
			}
			switch rng.IntN(3) {
			case 0:
				part.Put(family, key, value)
				theirs.PutCF(handle, key, value)
			case 1:
				part.Delete(family, key)
				theirs.DeleteCF(handle, key)
			default:
				part.DeleteRange(family, key, value)
				theirs.DeleteRangeCF(handle, key, value)
			}
			if rng.IntN(4) == 0 {
				ours.Append(&part)
				part.Reset()
			}
		}
		ours.Append(&part)
		if !bytes.Equal(ours.wire(), theirs.Data()) {
			t.Fatalf("%x\nwant\n%x", ours.wire(), theirs.Data())
		}
		if ours.Len() != theirs.Count() {
			t.Fatalf("%d records, want %d", ours.Len(), theirs.Count())
		}
		theirs.Destroy()
	}
}

// TestSetKeyAfterAppend patches a key through the offsets that Put and Append
// return, in the default family too.
func TestSetKeyAfterAppend(t *testing.T) {
	db := open(t, testOptions(t))
	var group, first, second Batch
	first.Put(0, []byte("a"), []byte("1"))
	second.Put(0, []byte("b"), []byte("2"))
	at := second.Put(0, []byte("????"), []byte("3"))
	group.Append(&first)
	shift := group.Append(&second)
	group.SetKey(at+shift, []byte("left"))
	write(t, db, &group)
	for key, want := range map[string]string{"a": "1", "b": "2", "left": "3"} {
		if got, err := db.Latest().Get(0, []byte(key)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", key, got, err, want)
		}
	}
}

func TestEmptyBatch(t *testing.T) {
	db := open(t, testOptions(t))
	var b, other Batch
	b.Append(&other)
	if b.Len() != 0 || b.SizeBytes() != 0 {
		t.Error(b.Len(), b.SizeBytes())
	}
	write(t, db, &b)
}

func TestMultiGet(t *testing.T) {
	db := open(t, testOptions(t))
	const rows = 500
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, i%7*1000) } // every seventh is empty
	var b Batch
	for i := range rows {
		b.Put(0, fmt.Appendf(nil, "key-%05d", 2*i), value(i))
	}
	write(t, db, &b)
	check := func() {
		t.Helper()
		for _, n := range []int{0, 1, 2, 3, 4, 5, 127, 128, 129, 300, 1000} {
			var keys Keys
			picks := make([]int, n)
			for i := range picks {
				picks[i] = rand.IntN(2 * rows)
				keys.Buf = fmt.Appendf(keys.Buf, "key-%05d", picks[i])
				keys.Next()
			}
			next := 0
			err := db.Latest().MultiGet(0, &keys, func(i int, got []byte) error {
				if i != next {
					t.Fatalf("place %d, want %d", i, next)
				}
				next++
				if absent := picks[i]%2 == 1; absent != (got == nil) || !absent && !bytes.Equal(got, value(picks[i]/2)) {
					t.Fatalf("key %d has %d bytes, nil %v", picks[i], len(got), got == nil)
				}
				return nil
			})
			if err != nil || next != n {
				t.Fatal(next, err)
			}
		}
	}
	check()
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	check()
	var keys Keys
	keys.Next() // the empty key
	stop := errors.New("stop")
	if err := db.Latest().MultiGet(0, &keys, func(int, []byte) error { return stop }); err != stop {
		t.Error("the callback's error is lost:", err)
	}
}

// TestScanRows scans rows of all sizes, among them some larger than the row
// buffer, in both directions and with every kind of bound.
func TestScanRows(t *testing.T) {
	db := open(t, testOptions(t))
	const rows = 3000
	key := func(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }
	value := func(i int) []byte {
		if i%1000 == 999 {
			return bytes.Repeat([]byte{byte(i)}, 3*rowBufferBytes)
		}
		return bytes.Repeat([]byte{byte(i)}, i%50)
	}
	var b Batch
	for i := range rows {
		b.Put(1, key(i), value(i))
	}
	write(t, db, &b)
	for _, c := range []struct{ lower, upper, limit int }{
		{0, rows, rows}, {0, rows, 1}, {0, rows, 17}, {10, 11, rows}, {10, 10, rows}, {998, 1001, rows}, {500, 2500, rows},
	} {
		for _, reverse := range []bool{false, true} {
			r := Range{Lower: key(c.lower), Upper: key(c.upper), Reverse: reverse, Bulk: c.limit > 1000}
			n := 0
			err := db.Latest().Scan(1, r, func(k, v []byte) (bool, error) {
				want := c.lower + n
				if reverse {
					want = c.upper - 1 - n
				}
				if !bytes.Equal(k, key(want)) || !bytes.Equal(v, value(want)) {
					t.Fatalf("%+v: row %d is %x with %d bytes", c, n, k, len(v))
				}
				n++
				return n < c.limit, nil
			})
			if want := min(c.upper-c.lower, c.limit); err != nil || n != want {
				t.Errorf("%+v, reverse %v: %d rows, %v; want %d", c, reverse, n, err, want)
			}
			count, err := db.Latest().Count(t.Context(), 1, r, c.limit)
			if want := min(c.upper-c.lower, c.limit); err != nil || count != want {
				t.Errorf("%+v, reverse %v: counted %d, %v; want %d", c, reverse, count, err, want)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Latest().Count(ctx, 1, Range{}, rows); !errors.Is(err, context.Canceled) {
		t.Error("a count under a canceled context returns", err)
	}
}

// TestViewPinsState: a pinned view shows all families as they were.
func TestViewPinsState(t *testing.T) {
	db := open(t, testOptions(t))
	var b Batch
	b.Put(0, []byte("k"), []byte("old"))
	b.Put(1, []byte("k"), []byte("old"))
	write(t, db, &b)
	pinned := db.Pin()
	b.Reset()
	b.Put(0, []byte("k"), []byte("new"))
	b.Delete(1, []byte("k"))
	write(t, db, &b)
	for family := range 2 {
		if got, err := pinned.Get(family, []byte("k")); err != nil || string(got) != "old" {
			t.Errorf("family %d: %q, %v", family, got, err)
		}
	}
	if got, err := db.Latest().Get(1, []byte("k")); err != nil || got != nil {
		t.Errorf("latest: %q, %v", got, err)
	}
	pinned.Release()
	pinned.Release()
	if _, err := pinned.Get(0, []byte("k")); !errors.Is(err, ErrClosed) {
		t.Error("a released view returns", err)
	}
}

// TestCloseWaitsAndRefuses closes the database and releases views under running
// scans: each scan ends cleanly, and nothing touches freed memory (which the
// race detector can't see, but the C library would not survive for long).
func TestCloseWaitsAndRefuses(t *testing.T) {
	for range 8 {
		db, err := Open(testOptions(t))
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		for i := range 2000 {
			b.Put(1, binary.BigEndian.AppendUint32(nil, uint32(i)), make([]byte, 100))
		}
		write(t, db, &b)
		pinned, leaked := db.Pin(), db.Pin()
		var readers sync.WaitGroup
		for _, view := range []*View{db.Latest(), pinned, db.Latest(), pinned} {
			readers.Go(func() {
				for {
					n := 0
					err := view.Scan(1, Range{}, func(k, v []byte) (bool, error) {
						n++
						return true, nil
					})
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil || n != 2000 {
						t.Error(n, err)
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		pinned.Release()
		db.Close()
		db.Close()
		readers.Wait()
		leaked.Release()
		if err := db.Write(&b, true); !errors.Is(err, ErrClosed) {
			t.Error("a write after Close returns", err)
		}
		if view := db.Pin(); !errors.Is(view.Scan(0, Range{}, nil), ErrClosed) {
			t.Error("a view pinned after Close works")
		}
	}
}

// TestReleaseFromInside: Release inside a scan on the same view does not block.
func TestReleaseFromInside(t *testing.T) {
	db := open(t, testOptions(t))
	var b Batch
	b.Put(0, []byte("a"), nil)
	b.Put(0, []byte("b"), nil)
	write(t, db, &b)
	view, n := db.Pin(), 0
	err := view.Scan(0, Range{}, func(_, _ []byte) (bool, error) {
		view.Release()
		n++
		return true, nil
	})
	if n != 2 || err != nil {
		t.Error(n, err)
	}
}

func TestOpenChecksFamilyIDs(t *testing.T) {
	o := testOptions(t)
	db, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	o.Families = []Family{{Name: "default"}, {Name: "new"}, {Name: "other"}}
	if db, err := Open(o); err == nil {
		db.Close()
		t.Error("families with other ids than their places open")
	}
	names, err := FamilyNames(o.Path)
	if err != nil || len(names) != 3 || !Exists(o.Path) || Exists(t.TempDir()) {
		t.Error(names, err)
	}
}

func TestUnknownCompression(t *testing.T) {
	o := testOptions(t)
	o.Compression = "brotli"
	if db, err := Open(o); err == nil {
		db.Close()
		t.Error("an unknown compression is accepted")
	}
}

func TestErrorKinds(t *testing.T) {
	for text, want := range map[string]string{
		"IO error: No space left on device: While appending to file: x":        "space",
		"Corruption: block checksum mismatch":                                  "corruption",
		"IO error: While lock file: /x/LOCK: Resource temporarily unavailable": "locked",
		"IO error: lock hold by current process, acquire time 1":               "locked",
		"IO error: File too large":                                             "",
	} {
		err := &Error{Op: "write", Text: text}
		for kind, is := range map[string]bool{"space": err.NoSpace(), "corruption": err.Corruption(), "locked": err.Locked()} {
			if is != (kind == want) {
				t.Errorf("%q is %s: %v", text, kind, is)
			}
		}
	}
}

// TestBloomBits: the filters have the size that was asked for, in the families
// that asked.
func TestBloomBits(t *testing.T) {
	const rows = 10_000
	filterBytes := func(bits float64) (sizes [2]int) {
		o := testOptions(t)
		o.BloomBitsPerKey = bits
		db := open(t, o)
		var b Batch
		for i := range rows {
			b.Put(0, fmt.Append(nil, i), nil)
			b.Put(1, fmt.Append(nil, i), nil)
		}
		write(t, db, &b)
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
		for family := range sizes {
			properties := db.db.GetPropertyCF("rocksdb.aggregated-table-properties", db.families[family])
			_, text, _ := strings.Cut(properties, "filter block size=")
			if _, err := fmt.Sscan(strings.ReplaceAll(text, ";", " "), &sizes[family]); err != nil {
				t.Fatal(properties, err)
			}
		}
		return sizes
	}
	for _, bits := range []float64{0, 5, 20} {
		want := int(bits) * rows / 8
		if got := filterBytes(bits); got[0] < want || got[0] > want*12/10 || got[1] != 0 {
			t.Errorf("filters of %v bits take %v bytes, want %d and 0", bits, got, want)
		}
	}
}
