package storage

import (
	"context"
	"fmt"
)

// Properties are RocksDB's figures under the names of the REST interface. Sizes
// are in bytes and, unless said otherwise, summed over the column families.
type Properties struct {
	BlockCacheUsageBytes    uint64 `json:"block_cache_usage_bytes"`
	BlockCacheCapacityBytes uint64 `json:"block_cache_capacity_bytes"`
	// BlockCacheHit and BlockCacheMiss count since the start; they stay 0 when
	// statistics are off, and the rate is 0 before the first access.
	BlockCacheHit       uint64  `json:"block_cache_hit"`
	BlockCacheMiss      uint64  `json:"block_cache_miss"`
	CacheHitRatePercent float64 `json:"cache_hit_rate_percent"`

	EstimateNumKeys           uint64 `json:"estimate_num_keys"`
	EstimateLiveDataSizeBytes uint64 `json:"estimate_live_data_size_bytes"`
	// MemtableSizeBytes is all memtable memory, including what readers pin;
	// CurSizeAllMemTablesBytes is the part that isn't flushed yet.
	MemtableSizeBytes        uint64 `json:"memtable_size_bytes"`
	CurSizeAllMemTablesBytes uint64 `json:"cur_size_all_mem_tables_bytes"`
	NumImmutableMemTables    uint64 `json:"num_immutable_mem_tables"`
	TotalSSTFilesSizeBytes   uint64 `json:"total_sst_files_size_bytes"`
	// FilesPerLevel counts table files, level 0 first.
	FilesPerLevel []uint64 `json:"files_per_level"`

	EstimatePendingCompactionBytes uint64 `json:"estimate_pending_compaction_bytes"`
	NumRunningCompactions          uint64 `json:"num_running_compactions"`
	NumRunningFlushes              uint64 `json:"num_running_flushes"`
	// ActualDelayedWriteRate is what writes are slowed down to, in bytes per
	// second, 0 while they aren't; IsWriteStopped says that they wait for
	// compaction altogether.
	ActualDelayedWriteRate uint64 `json:"actual_delayed_write_rate"`
	IsWriteStopped         bool   `json:"is_write_stopped"`
	BackgroundErrors       uint64 `json:"background_errors"`
	NumSnapshots           uint64 `json:"num_snapshots"`

	LastSequence Seq `json:"last_sequence"`
}

// levels is RocksDB's default num_levels.
const levels = 7

// Properties reads the figures. It costs well below a millisecond.
func (s *Store) Properties() (Properties, error) {
	p := Properties{
		EstimateNumKeys:                s.db.SumProperty("rocksdb.estimate-num-keys"),
		EstimateLiveDataSizeBytes:      s.db.SumProperty("rocksdb.estimate-live-data-size"),
		MemtableSizeBytes:              s.db.SumProperty("rocksdb.size-all-mem-tables"),
		CurSizeAllMemTablesBytes:       s.db.SumProperty("rocksdb.cur-size-all-mem-tables"),
		NumImmutableMemTables:          s.db.SumProperty("rocksdb.num-immutable-mem-table"),
		TotalSSTFilesSizeBytes:         s.db.SumProperty("rocksdb.total-sst-files-size"),
		EstimatePendingCompactionBytes: s.db.SumProperty("rocksdb.estimate-pending-compaction-bytes"),
		FilesPerLevel:                  make([]uint64, levels),
		LastSequence:                   s.LastSeq(),
	}
	for level := range p.FilesPerLevel {
		p.FilesPerLevel[level] = s.db.SumProperty(fmt.Sprintf("rocksdb.num-files-at-level%d", level))
	}
	for name, field := range map[string]*uint64{
		"rocksdb.num-running-compactions":   &p.NumRunningCompactions,
		"rocksdb.num-running-flushes":       &p.NumRunningFlushes,
		"rocksdb.actual-delayed-write-rate": &p.ActualDelayedWriteRate,
		"rocksdb.background-errors":         &p.BackgroundErrors,
		"rocksdb.num-snapshots":             &p.NumSnapshots,
	} {
		value, ok := s.db.IntProperty(familyDefault, name)
		if !ok {
			return Properties{}, closedError()
		}
		*field = value
	}
	stopped, _ := s.db.IntProperty(familyDefault, "rocksdb.is-write-stopped")
	p.IsWriteStopped = stopped != 0
	p.BlockCacheUsageBytes, p.BlockCacheCapacityBytes = s.db.CacheUsage()
	p.countCache(s.db.Tickers())
	return p, nil
}

func (p *Properties) countCache(tickers map[string]uint64) {
	p.BlockCacheHit = tickers["rocksdb.block.cache.hit"]
	p.BlockCacheMiss = tickers["rocksdb.block.cache.miss"]
	if all := p.BlockCacheHit + p.BlockCacheMiss; all > 0 {
		p.CacheHitRatePercent = 100 * float64(p.BlockCacheHit) / float64(all)
	}
}

// Compact rewrites all data down to the last level, which frees the space of
// deleted rows. It takes minutes on big data and stops early when ctx ends.
func (s *Store) Compact(ctx context.Context) error { return readError(s.db.Compact(ctx)) }

// VerifyChecksums reads every block of every file from disk, past the caches,
// and fails with Corrupt, "storage_corrupt", if a checksum is wrong. Reads and writes go
// on meanwhile.
func (s *Store) VerifyChecksums() error { return readError(s.db.VerifyChecksums()) }
