package storage

// Internals is how RocksDB holds the data, for whoever wants to know where space
// and time go.
type Internals struct {
	// Levels are those of all column families together, level 0 first. Data comes
	// in at level 0, and compaction moves it down.
	Levels   []Level
	Families []Family
	Work     Work
}

// Level is one level of table files.
type Level struct {
	Files, Bytes, Entries uint64
	// Deletions are the entries that only mark something as deleted; compaction
	// removes them.
	Deletions uint64
}

// Family is one column family: a kind of rows that has files of its own.
type Family struct {
	Name string
	// Keys is RocksDB's estimate.
	Keys, Files, FileBytes uint64
	// MemtableBytes is memory, PendingCompactionBytes what compaction has yet to
	// rewrite.
	MemtableBytes, PendingCompactionBytes uint64
}

// Work counts what was done since the start, in bytes unless said otherwise. All is
// 0 when statistics are off.
type Work struct {
	// WrittenToLog is the write-ahead log's, Syncs counts its syncs; Flushed went
	// from memtables to files.
	WrittenToLog, Syncs, Flushed uint64
	CompactionRead               uint64
	CompactionWritten            uint64
	// StallMicros is how long writes were held up.
	StallMicros uint64
	// BloomUseful counts the lookups that a Bloom filter spared a read.
	BloomUseful uint64
}

// Internals reads the figures. It takes longer the more files there are, about a
// millisecond for a thousand.
func (s *Store) Internals() (Internals, error) {
	in := Internals{Levels: make([]Level, levels)}
	for i, f := range families {
		in.Families = append(in.Families, Family{Name: f.Name})
		family := &in.Families[i]
		for name, field := range map[string]*uint64{
			"rocksdb.estimate-num-keys":                 &family.Keys,
			"rocksdb.size-all-mem-tables":               &family.MemtableBytes,
			"rocksdb.estimate-pending-compaction-bytes": &family.PendingCompactionBytes,
		} {
			value, ok := s.db.IntProperty(i, name)
			if !ok {
				return Internals{}, closedError()
			}
			*field = value
		}
	}
	for _, f := range s.db.Files() {
		level, family := &in.Levels[f.Level], &in.Families[f.Family]
		level.Files++
		level.Bytes += f.Bytes
		level.Entries += f.Entries
		level.Deletions += f.Deletions
		family.Files++
		family.FileBytes += f.Bytes
	}
	tickers := s.db.Tickers()
	in.Work = Work{
		WrittenToLog: tickers["rocksdb.wal.bytes"], Syncs: tickers["rocksdb.wal.synced"], Flushed: tickers["rocksdb.flush.write.bytes"],
		CompactionRead: tickers["rocksdb.compact.read.bytes"], CompactionWritten: tickers["rocksdb.compact.write.bytes"],
		StallMicros: tickers["rocksdb.stall.micros"], BloomUseful: tickers["rocksdb.bloom.filter.useful"],
	}
	return in, nil
}
