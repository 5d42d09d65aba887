package rocks

import (
	"strconv"
	"strings"

	"github.com/linxGnu/grocksdb"
)

// IntProperty returns a numeric property of one column family, such as
// "rocksdb.estimate-num-keys"; properties of the whole database are the same in
// each. ok is false if there is no such property or the database is closed.
func (db *DB) IntProperty(family int, name string) (value uint64, ok bool) {
	if !db.gate.enter() {
		return 0, false
	}
	defer db.gate.leave()
	value, err := strconv.ParseUint(db.db.GetPropertyCF(name, db.families[family]), 10, 64)
	return value, err == nil
}

// SumProperty adds a numeric property up over the column families.
func (db *DB) SumProperty(name string) (sum uint64) {
	for family := range db.families {
		value, _ := db.IntProperty(family, name)
		sum += value
	}
	return sum
}

// CacheUsage returns the bytes in the block cache and how many fit.
func (db *DB) CacheUsage() (usage, capacity uint64) {
	if !db.gate.enter() {
		return 0, 0
	}
	defer db.gate.leave()
	return db.native.cache.GetUsage(), db.native.cache.GetCapacity()
}

// Tickers returns the counters of RocksDB's statistics by name, such as
// "rocksdb.block.cache.hit"; it is empty if statistics are off. The C interface
// offers the statistics as text only, one "name COUNT : value" a line.
func (db *DB) Tickers() map[string]uint64 {
	tickers := make(map[string]uint64)
	if !db.options.Statistics || !db.gate.enter() {
		return tickers
	}
	defer db.gate.leave()
	for line := range strings.Lines(db.native.db.GetStatisticsString()) {
		name, text, ok := strings.Cut(strings.TrimSpace(line), " COUNT : ")
		if !ok {
			continue
		}
		if value, err := strconv.ParseUint(text, 10, 64); err == nil {
			tickers[name] = value
		}
	}
	return tickers
}

// ApproximateFiles returns about how many bytes the files hold of each of some
// ranges of one column family, after compression.
func (db *DB) ApproximateFiles(family int, ranges ...Range) (bytes []uint64, err error) {
	if !db.gate.enter() {
		return nil, ErrClosed
	}
	defer db.gate.leave()
	wanted := make([]grocksdb.Range, len(ranges))
	for i, r := range ranges {
		wanted[i] = grocksdb.Range{Start: r.Lower, Limit: r.Upper}
	}
	sizes, err := db.db.GetApproximateSizesCF(db.families[family], wanted)
	if err != nil {
		return nil, wrap("read", err)
	}
	return sizes, nil
}

// DropFiles removes the table files of one column family whose keys all lie in
// [first, last]. Files of level 0 stay, and so do rows in files that reach
// beyond the range. Unlike a write it isn't in the write-ahead log: whoever
// needs to know of it after a crash has made a note before.
func (db *DB) DropFiles(family int, first, last []byte) error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.gate.leave()
	return wrap("drop files", db.db.DeleteFileInRangeCF(db.families[family], grocksdb.Range{Start: first, Limit: last}))
}
