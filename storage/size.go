package storage

import (
	"sync"

	"github.com/vccdb/vccdb/storage/rocks"
)

// SizeOf names what ApproximateBytes measures.
type SizeOf uint8

const (
	// SizeOfTable is a table's entities and primary keys.
	SizeOfTable SizeOf = iota
	// SizeOfIndex is an index's entries, samples and vectors.
	SizeOfIndex
)

// ApproximateBytes returns about how many bytes each of the tables or indexes
// takes, in files (compressed) and in memtables. Many in one call cost little
// more than one.
func (s *Store) ApproximateBytes(what SizeOf, ids ...uint32) ([]uint64, error) {
	members := []int{familyEntities, familyPKs}
	if what == SizeOfIndex {
		members = []int{familyTerms, familySamples, familyVectors}
	}
	ranges := make([]rocks.Range, len(ids))
	for i, id := range ids {
		ranges[i].Lower, ranges[i].Upper = scopeRange(id)
	}
	sums := make([]uint64, len(ids))
	for _, family := range members {
		inFiles, err := s.db.ApproximateFiles(family, ranges...)
		if err != nil {
			return nil, readError(err)
		}
		inMemory := s.memtableBytes(family, ids)
		for i := range sums {
			sums[i] += inFiles[i] + inMemory[i]
		}
	}
	return sums, nil
}

// memtableBytes shares the memtable memory of a column family out by what was
// written lately: RocksDB's C interface knows nothing of ranges in memtables.
func (s *Store) memtableBytes(family int, scopes []uint32) []uint64 {
	size, ok := s.db.IntProperty(family, "rocksdb.cur-size-all-mem-tables")
	if !ok {
		size = 0
	}
	bytes := make([]uint64, len(scopes))
	for i, share := range s.written.shares(family, scopes) {
		bytes[i] = uint64(float64(size) * share)
	}
	return bytes
}

// tally is how many bytes a batch writes to one table or index in one column
// family.
type tally struct {
	family int
	scope  uint32
	bytes  int
}

// recentBytes is how much writing to a column family counts as recent: when
// there was more, what came before counts half.
const recentBytes = 64 << 20

// recentWrites remembers which tables and indexes were written to lately.
type recentWrites struct {
	mu struct {
		sync.Mutex
		families map[int]*recentFamily
	}
}

type recentFamily struct {
	total  float64
	scopes map[uint32]float64
}

func (w *recentWrites) add(tallies []tally) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.families == nil {
		w.mu.families = make(map[int]*recentFamily)
	}
	for _, t := range tallies {
		f := w.mu.families[t.family]
		if f == nil {
			f = &recentFamily{scopes: make(map[uint32]float64)}
			w.mu.families[t.family] = f
		}
		f.total += float64(t.bytes)
		f.scopes[t.scope] += float64(t.bytes)
		if f.total > recentBytes {
			f.age()
		}
	}
}

// age halves what was written so far and forgets what is too little to matter.
func (f *recentFamily) age() {
	f.total = 0
	for scope, bytes := range f.scopes {
		if bytes /= 2; bytes < 1 {
			delete(f.scopes, scope)
			continue
		}
		f.scopes[scope] = bytes
		f.total += bytes
	}
}

// shares returns what part of the recent writes to a column family went to each
// of some tables or indexes, from 0 to 1.
func (w *recentWrites) shares(family int, scopes []uint32) []float64 {
	shares := make([]float64, len(scopes))
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.mu.families[family]
	if f == nil || f.total == 0 {
		return shares
	}
	for i, scope := range scopes {
		shares[i] = f.scopes[scope] / f.total
	}
	return shares
}
