// Package storagetest writes databases as other programs and earlier versions of
// this one left them, for tests of what becomes of those. It promises their exact
// rows, byte for byte, and nothing about the files that RocksDB makes of them. It
// owns no goroutines and no locks.
package storagetest

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/storage/rocks"
)

// Row is one row of a column family.
type Row struct{ Family, Key, Value string }

// families are those of format 1, in its order; others follow.
var families = []string{"default", "entities", "pks", "terms", "vectors", "oplog", "samples"}

// Write makes a database at path with the column families of the rows, and
// default. Half of the rows, those with even places, go to table files and the
// others stay in the write-ahead log.
func Write(t testing.TB, path string, rows ...Row) {
	t.Helper()
	names := []string{"default"}
	for _, row := range rows {
		if !slices.Contains(names, row.Family) {
			names = append(names, row.Family)
		}
	}
	order := func(name string) int {
		if i := slices.Index(families, name); i >= 0 {
			return i
		}
		return len(families)
	}
	slices.SortStableFunc(names, func(a, b string) int { return order(a) - order(b) })
	o := rocks.Options{Path: path, CreateIfMissing: true, MemtableBytes: 4 << 20, BlockCacheBytes: 1 << 20}
	for _, name := range names {
		o.Families = append(o.Families, rocks.Family{Name: name})
	}
	db, err := rocks.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var files, log rocks.Batch
	for i, row := range rows {
		batch := &files
		if i%2 == 1 {
			batch = &log
		}
		batch.Put(slices.Index(names, row.Family), []byte(row.Key), []byte(row.Value))
	}
	for _, do := range []func() error{
		func() error { return db.Write(&files, false) }, db.Flush,
		func() error { return db.Write(&log, true) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
}

// Legacy are rows in the layout of version 0.9, as key and value in turn.
func Legacy(pairs ...string) (rows []Row) {
	for pair := range slices.Chunk(pairs, 2) {
		rows = append(rows, Row{"default", pair[0], pair[1]})
	}
	return rows
}

// format1 was written by the last version of format 1: five books with a range,
// a unique, a multi-valued and a vector index, and two users.
//
//go:embed format1.txt
var format1 string

// Format1 are the rows of a small database of format 1.
func Format1(t testing.TB) (rows []Row) {
	t.Helper()
	for line := range strings.Lines(format1) {
		var row Row
		var key, value []byte
		fields := append(strings.Fields(line), "")
		row.Family = fields[0]
		for i, field := range []*[]byte{&key, &value} {
			var err error
			if *field, err = hex.DecodeString(fields[1+i]); err != nil {
				t.Fatal(fmt.Errorf("format1.txt: %q: %w", line, err))
			}
		}
		row.Key, row.Value = string(key), string(value)
		rows = append(rows, row)
	}
	return rows
}
