package rocks

// #include "recovery.h"
import "C"

import (
	"time"

	"github.com/linxGnu/grocksdb"
)

// flushLook is how often a wait for flushes looks for memtables that wait for
// nothing. A flush that is only late loses nothing by being asked for again.
const flushLook = 500 * time.Millisecond

// Flush writes the memtables of every column family to files and waits.
func (db *DB) Flush() error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.gate.leave()
	opts := grocksdb.NewDefaultFlushOptions()
	defer opts.Destroy()
	opts.SetWait(true)
	for _, f := range db.families {
		var err error
		db.awaitFlushes(func() { err = db.db.FlushCF(f, opts) })
		if err != nil {
			return wrap("flush", err)
		}
	}
	return nil
}

// awaitFlushes runs a call that waits until RocksDB has flushed memtables, and
// sees to it that RocksDB does.
//
// A flush that has begun first syncs the older logs, and lets go of the database
// meanwhile. A memtable that is to be flushed from then on isn't part of it, but
// the flush takes back that any of the family was asked for; and where several
// memtables are to be merged (MinWriteBufferNumberToMerge), one alone isn't
// flushed unasked (so in 7.8: DBImpl::FlushMemTableToOutputFile,
// MemTableList::PickMemtablesToFlush, DBImpl::BackgroundFlush). The next full
// memtable of the family would take it along. Where nobody writes none comes,
// and the call would wait for ever.
func (db *DB) awaitFlushes(call func()) {
	ended := make(chan struct{})
	begin := func(call func()) {
		go func() {
			call()
			ended <- struct{}{}
		}()
	}
	begin(call)
	ticks := time.NewTicker(flushLook)
	defer ticks.Stop()
	var before int // the family that was left out at the last look, counted from 1
	for running := 1; running > 0; {
		select {
		case <-ended:
			running--
		case <-ticks.C:
			// Twice in a row: between two flushes there is a moment without one.
			family := db.leftOut()
			if family == 0 || family != before {
				before = family
				continue
			}
			before = 0
			running++
			begin(func() { C.db_flush(db.handles.db, db.handles.families[family-1]) })
		}
	}
}

// leftOut returns a family, counted from 1, that has memtables to flush though no
// flush is running; 0 if there is none.
func (db *DB) leftOut() int {
	if running, ok := db.IntProperty(0, "rocksdb.num-running-flushes"); !ok || running > 0 {
		return 0
	}
	for family := range db.families {
		if full, _ := db.IntProperty(family, "rocksdb.num-immutable-mem-table"); full > 0 {
			return family + 1
		}
	}
	return 0
}
