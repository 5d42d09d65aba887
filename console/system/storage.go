package system

import (
	"fmt"
	"time"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server/ops"
)

// LevelRow is a level of table files.
type LevelRow struct {
	Name, Files, Size, Entries, Deleted string
	// Share is of the bytes of all levels.
	Share float64
}

func levelRows(in *engine.Internals) []LevelRow {
	var all uint64
	for _, l := range in.Levels {
		all += l.Bytes
	}
	var rows []LevelRow
	for i, l := range in.Levels {
		row := LevelRow{
			Name: fmt.Sprintf("L%d", i), Files: format.Count(l.Files), Size: format.Bytes(l.Bytes), Entries: format.Count(l.Entries), Deleted: "–",
		}
		if all > 0 {
			row.Share = float64(l.Bytes) / float64(all)
		}
		if l.Entries > 0 {
			row.Deleted = format.Percent(float64(l.Deletions) / float64(l.Entries))
		}
		rows = append(rows, row)
	}
	return rows
}

// holds says what the rows of a column family are.
func holds(family string) string {
	switch family {
	case "default":
		return "tables, indexes, counters"
	case "entities":
		return "the entities themselves"
	case "pks":
		return "keys and their ids"
	case "terms":
		return "index entries"
	case "vectors":
		return "vectors"
	case "oplog":
		return "latest changes"
	case "samples":
		return "samples for plans"
	case "feed":
		return "change feed"
	}
	return ""
}

// Fact is a name with its value; the note may be empty.
type Fact struct{ Name, Value, Note string }

func storageFacts(s *ops.Stats, in *engine.Internals) []Fact {
	r, w := &s.Storage.RocksDB, &in.Work
	facts := []Fact{
		{"Data on disk", format.Bytes(r.TotalSSTFilesSizeBytes), "about " + format.Bytes(r.EstimateLiveDataSizeBytes) + " of it live"},
		{"Memtables", format.Bytes(r.CurSizeAllMemTablesBytes), "not yet in files; the log has them too"},
		{"Block cache", format.Bytes(r.BlockCacheUsageBytes), "of " + format.Bytes(r.BlockCacheCapacityBytes) + hitRate(r)},
		{"Flushes now", format.Count(r.NumRunningFlushes), ""},
		{"Compactions now", format.Count(r.NumRunningCompactions), format.Bytes(r.EstimatePendingCompactionBytes) + " to be rewritten"},
		{"Writes", writing(r), ""},
		{"Held up since the start", format.Duration(time.Duration(w.StallMicros) * time.Microsecond), ""},
		{"Written to the log", format.Bytes(w.WrittenToLog), format.Plural(w.Syncs, "sync", "syncs")},
		{"Flushed to files", format.Bytes(w.Flushed), ""},
		{"Compaction", format.Bytes(w.CompactionRead) + " read", format.Bytes(w.CompactionWritten) + " written" + amplification(w.Flushed, w.CompactionWritten)},
		{"Last sequence", format.Count(r.LastSequence), format.Plural(r.NumSnapshots, "snapshot is", "snapshots are") + " held by readers"},
	}
	if r.BackgroundErrors > 0 {
		facts = append(facts, Fact{"Failures of background work", format.Count(r.BackgroundErrors), "the log has their causes"})
	}
	return facts
}

func hitRate(r *ops.RocksDB) string {
	if r.BlockCacheHit+r.BlockCacheMiss == 0 {
		return ""
	}
	return ", " + format.Number(r.CacheHitRatePercent) + " % of reads found theirs in it"
}

func writing(r *ops.RocksDB) string {
	switch {
	case r.IsWriteStopped:
		return "stopped until compaction catches up"
	case r.ActualDelayedWriteRate > 0:
		return "slowed down to " + format.Bytes(r.ActualDelayedWriteRate) + "/s"
	}
	return "at full speed"
}

// amplification is how often a byte was written to files.
func amplification(flushed, compacted uint64) string {
	if flushed == 0 {
		return ""
	}
	return fmt.Sprintf(", each byte %s times", format.Number(1+float64(compacted)/float64(flushed)))
}
