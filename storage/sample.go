package storage

import (
	"context"
	"hash/crc32"
	"math"

	"github.com/vccdb/vccdb/storage/keys"
)

// The planner needs to know how many entries a range of an index has, without
// counting a million of them. So every 64th entry, chosen by a hash of its key,
// stands in the column family samples too, and every 64th of those once more on
// a level above. Counting samples gives an unbiased estimate whose relative error
// is about sqrt(64/n), in well below a millisecond, for data of any age and for
// any snapshot.
//
// Rejected: RocksDB's own estimates. Its C interface has none for memtables, and
// the C++ one, which counts steps in a skip list, was off by a factor of ten and
// more in both directions; file sizes turn into rows only by a density that
// differs between indexes.

const (
	sampleShift  = 6 // a level holds 1/64 of the one below
	sampleLevels = 2
	// sampleEnough is how many samples make an estimate good to about 2 %; beyond
	// it the level above is counted.
	sampleEnough = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sampleLevel returns on how many sample levels the entry with this key in the
// terms family stands. It is part of the format: an entry's deletion has to find
// its samples.
func sampleLevel(termKey []byte) int {
	hash := crc32.Checksum(termKey, castagnoli)
	level := 0
	for level < sampleLevels && hash&(1<<sampleShift-1) == 0 {
		hash >>= sampleShift
		level++
	}
	return level
}

// estimateTerms estimates the entries in a range from its samples.
func (r *Reader) estimateTerms(ctx context.Context, index uint32, t TermRange) (int, error) {
	for level := 1; ; level++ {
		limit := sampleEnough
		if level == sampleLevels {
			limit = math.MaxInt32 // there is no level above
		}
		n, err := r.view.Count(ctx, familySamples, t.bounds(keys.AppendSamples(nil, index, level)), limit)
		if err != nil || n < limit {
			return n << (level * sampleShift), err
		}
	}
}
