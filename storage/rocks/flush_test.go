package rocks

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

// TestFlushIsNotLeftOut waits for the flush of a memtable that RocksDB by itself
// doesn't flush: it is full, but alone, where two are to be merged, and nobody
// writes. So it leaves one now and then that a call waits for.
func TestFlushIsNotLeftOut(t *testing.T) {
	o := testOptions(t)
	o.MaxWriteBufferNumber, o.MinWriteBufferNumberToMerge = 4, 2
	db := open(t, o)
	full := func() uint64 {
		n, ok := db.IntProperty(0, "rocksdb.num-immutable-mem-table")
		if !ok {
			t.Fatal("no count of full memtables")
		}
		return n
	}
	for n := 0; full() == 0; n++ { // until a write has found the memtable full
		fill(t, db, n)
	}
	deadline := time.Now().Add(time.Minute)
	db.awaitFlushes(func() {
		for full() > 0 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
	})
	if full() > 0 {
		t.Fatal("a full memtable waits for its flush after a minute")
	}
}

// fill writes 64 KiB to the first family, other bytes for each n.
func fill(t *testing.T, db *DB, n int) {
	t.Helper()
	value := make([]byte, 64<<10)
	for i := 0; i+8 <= len(value); i += 8 {
		binary.LittleEndian.PutUint64(value[i:], uint64(n+i)*0x9e3779b97f4a7c15)
	}
	var b Batch
	b.Put(0, fmt.Appendf(nil, "%d", n), value)
	write(t, db, &b)
}
