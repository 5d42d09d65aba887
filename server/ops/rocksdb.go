package ops

import "github.com/vccdb/vccdb/engine"

// RocksDB are the figures of the storage, under the names of the deployment
// guide; storage.Properties explains them.
type RocksDB struct {
	BlockCacheUsageBytes           uint64   `json:"block_cache_usage_bytes"`
	BlockCacheCapacityBytes        uint64   `json:"block_cache_capacity_bytes"`
	BlockCacheHit                  uint64   `json:"block_cache_hit"`
	BlockCacheMiss                 uint64   `json:"block_cache_miss"`
	CacheHitRatePercent            float64  `json:"cache_hit_rate_percent"`
	EstimateNumKeys                uint64   `json:"estimate_num_keys"`
	EstimateLiveDataSizeBytes      uint64   `json:"estimate_live_data_size_bytes"`
	MemtableSizeBytes              uint64   `json:"memtable_size_bytes"`
	CurSizeAllMemTablesBytes       uint64   `json:"cur_size_all_mem_tables_bytes"`
	NumImmutableMemTables          uint64   `json:"num_immutable_mem_tables"`
	TotalSSTFilesSizeBytes         uint64   `json:"total_sst_files_size_bytes"`
	FilesPerLevel                  []uint64 `json:"files_per_level"`
	EstimatePendingCompactionBytes uint64   `json:"estimate_pending_compaction_bytes"`
	NumRunningCompactions          uint64   `json:"num_running_compactions"`
	NumRunningFlushes              uint64   `json:"num_running_flushes"`
	ActualDelayedWriteRate         uint64   `json:"actual_delayed_write_rate"`
	IsWriteStopped                 bool     `json:"is_write_stopped"`
	BackgroundErrors               uint64   `json:"background_errors"`
	NumSnapshots                   uint64   `json:"num_snapshots"`
	LastSequence                   uint64   `json:"last_sequence"`
}

func rocksDB(s *engine.Stats) RocksDB {
	p := &s.Storage
	return RocksDB{
		BlockCacheUsageBytes:           p.BlockCacheUsageBytes,
		BlockCacheCapacityBytes:        p.BlockCacheCapacityBytes,
		BlockCacheHit:                  p.BlockCacheHit,
		BlockCacheMiss:                 p.BlockCacheMiss,
		CacheHitRatePercent:            p.CacheHitRatePercent,
		EstimateNumKeys:                p.EstimateNumKeys,
		EstimateLiveDataSizeBytes:      p.EstimateLiveDataSizeBytes,
		MemtableSizeBytes:              p.MemtableSizeBytes,
		CurSizeAllMemTablesBytes:       p.CurSizeAllMemTablesBytes,
		NumImmutableMemTables:          p.NumImmutableMemTables,
		TotalSSTFilesSizeBytes:         p.TotalSSTFilesSizeBytes,
		FilesPerLevel:                  p.FilesPerLevel,
		EstimatePendingCompactionBytes: p.EstimatePendingCompactionBytes,
		NumRunningCompactions:          p.NumRunningCompactions,
		NumRunningFlushes:              p.NumRunningFlushes,
		ActualDelayedWriteRate:         p.ActualDelayedWriteRate,
		IsWriteStopped:                 p.IsWriteStopped,
		BackgroundErrors:               p.BackgroundErrors,
		NumSnapshots:                   p.NumSnapshots,
		LastSequence:                   uint64(p.LastSequence),
	}
}
