package storage

import (
	"cmp"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Durability says when a commit is acknowledged.
type Durability string

const (
	// DurabilitySync acknowledges after the write-ahead log is on disk. It is
	// what "" means.
	DurabilitySync Durability = "sync"
	// DurabilityInterval acknowledges once the operating system has the write and
	// syncs every Options.SyncInterval: a crash of the machine may lose that much.
	DurabilityInterval Durability = "interval"
	// DurabilityNone acknowledges alike and leaves the syncing to the operating
	// system until Close. A crash of the process alone loses nothing in any mode.
	DurabilityNone Durability = "none"
)

// Valid reports whether d is one of the modes or "".
func (d Durability) Valid() bool {
	switch d {
	case "", DurabilitySync, DurabilityInterval, DurabilityNone:
		return true
	}
	return false
}

// Defaults of Options.
const (
	// DefaultMemtableSizeMB and DefaultBlockCacheSizeMB are promised in the
	// deployment guide.
	DefaultMemtableSizeMB   = 256
	DefaultBlockCacheSizeMB = 1024
	DefaultMaxOpenFiles     = 10000
	// DefaultCompression is fast enough to be free next to the disk;
	// DefaultBottommostCompression squeezes the last level, which holds about nine
	// tenths of the data and is rewritten least often.
	DefaultCompression           = "lz4"
	DefaultBottommostCompression = "zstd"
	// DefaultBloomBitsPerKey gives about one false positive in a hundred.
	DefaultBloomBitsPerKey = 10
	DefaultSyncInterval    = 100 * time.Millisecond
	// DefaultGroupCommitMax is a fraction of what a disk's fsync takes.
	DefaultGroupCommitMax = 2 * time.Millisecond
)

// Options configure a Store. The zero value of every field but Path is usable.
type Options struct {
	// Path is the directory of the database.
	Path            string
	CreateIfMissing bool

	// MemtableSizeMB bounds the memtables of all column families together,
	// BlockCacheSizeMB the block cache they share, both in MiB.
	MemtableSizeMB   int
	BlockCacheSizeMB int
	// MaxOpenFiles is how many table files stay open, -1 for all.
	MaxOpenFiles int
	// DisableStatistics turns RocksDB's counters off (`enable_statistics: false`).
	DisableStatistics bool
	// Compression and BottommostCompression are one of none, snappy, zlib, bz2,
	// lz4, lz4hc, zstd. If only Compression is given it counts for every level.
	Compression           string
	BottommostCompression string
	// DisableBloomFilters leaves the filters of point reads out
	// (`enable_bloom_filters: false`).
	DisableBloomFilters bool
	BloomBitsPerKey     float64
	// The rest is RocksDB's own, by the name it has there; 0 is its default.
	MaxWriteBufferNumber           int
	MinWriteBufferNumberToMerge    int
	Level0FileNumCompactionTrigger int
	Level0SlowdownWritesTrigger    int
	Level0StopWritesTrigger        int
	MaxBackgroundCompactions       int

	Durability Durability
	// SyncInterval is the time between syncs under DurabilityInterval.
	SyncInterval time.Duration
	// GroupCommitMax is the longest a synced commit waits for company. It waits
	// only while others were just committing alongside; negative: never.
	GroupCommitMax time.Duration

	// Feed records every change in the change feed; SetFeed changes it later.
	Feed bool
	// OnFeed, if any, runs on the committer after changes were recorded and are
	// durable, with the newest sequence. It must not block.
	OnFeed func(last Seq)

	// ReserveBytes is how much of the disk is left free: with less, writes are
	// refused as on a full disk. 0 is twice the memtables, but at most a twentieth of
	// the disk; negative: nothing.
	ReserveBytes int64

	// WALArchivePath is the folder of the archive of writes, "" for none. It is
	// best on another disk. WALArchiveTTL is how long the archive is kept, 0 for ever.
	WALArchivePath string
	WALArchiveTTL  time.Duration

	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
}

// EnsureDefaults replaces zero values by the defaults.
func (o *Options) EnsureDefaults() {
	setDefault(&o.MemtableSizeMB, DefaultMemtableSizeMB)
	setDefault(&o.BlockCacheSizeMB, DefaultBlockCacheSizeMB)
	setDefault(&o.MaxOpenFiles, DefaultMaxOpenFiles)
	if o.Compression != "" {
		setDefault(&o.BottommostCompression, o.Compression)
	}
	setDefault(&o.Compression, DefaultCompression)
	setDefault(&o.BottommostCompression, DefaultBottommostCompression)
	setDefault(&o.BloomBitsPerKey, DefaultBloomBitsPerKey)
	setDefault(&o.Durability, DurabilitySync)
	setDefault(&o.SyncInterval, DefaultSyncInterval)
	setDefault(&o.GroupCommitMax, DefaultGroupCommitMax)
	if o.OnFeed == nil {
		o.OnFeed = func(Seq) {}
	}
	setDefault(&o.Logger, slog.New(slog.DiscardHandler))
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate refuses values that RocksDB would refuse, misread or silently mend.
// It expects EnsureDefaults to have run.
func (o *Options) Validate() error {
	if o.Path == "" {
		return invalidOption("the storage path is empty")
	}
	for _, f := range []struct {
		name     string
		value    int
		low, top int
	}{
		{"memtable_size_mb", o.MemtableSizeMB, 1, 1 << 20},
		{"block_cache_size_mb", o.BlockCacheSizeMB, 1, 1 << 24},
		{"max_open_files", o.MaxOpenFiles, -1, 1 << 24},
		{"max_write_buffer_number", o.MaxWriteBufferNumber, 0, 64},
		{"min_write_buffer_number_to_merge", o.MinWriteBufferNumberToMerge, 0, 64},
		{"level0_file_num_compaction_trigger", o.Level0FileNumCompactionTrigger, 0, 1 << 16},
		{"level0_slowdown_writes_trigger", o.Level0SlowdownWritesTrigger, 0, 1 << 16},
		{"level0_stop_writes_trigger", o.Level0StopWritesTrigger, 0, 1 << 16},
		{"max_background_compactions", o.MaxBackgroundCompactions, 0, 256},
	} {
		if f.value < f.low || f.value > f.top {
			return invalidOption("%s is %d; it must lie between %d and %d", f.name, f.value, f.low, f.top)
		}
	}
	for name, value := range map[string]string{"default": o.Compression, "bottommost": o.BottommostCompression} {
		if !rocks.KnownCompression(value) {
			return invalidOption("compression.%s is %q; it must be none, snappy, zlib, bz2, lz4, lz4hc or zstd", name, value)
		}
	}
	if o.BloomBitsPerKey < 1 || o.BloomBitsPerKey > 64 {
		return invalidOption("bloom_bits_per_key is %v; it must lie between 1 and 64", o.BloomBitsPerKey)
	}
	if inside(o.WALArchivePath, o.Path) {
		return invalidOption("wal_archive_path (%s) lies in the database's own folder", o.WALArchivePath)
	}
	if !o.Durability.Valid() {
		return invalidOption("durability is %q; it must be sync, interval or none", o.Durability)
	}
	if o.SyncInterval < 0 {
		return invalidOption("the sync interval is negative")
	}
	return o.validateTriggers()
}

// inside reports whether path, which may be empty, is dir or lies below it.
func inside(path, dir string) bool {
	if path == "" {
		return false
	}
	path, pathErr := filepath.Abs(path)
	dir, dirErr := filepath.Abs(dir)
	below, err := filepath.Rel(dir, path)
	return cmp.Or(pathErr, dirErr, err) == nil && filepath.IsLocal(below)
}

// validateTriggers holds the orders that RocksDB relies on. A zero stands for
// RocksDB's own default.
func (o *Options) validateTriggers() error {
	compact := cmp.Or(o.Level0FileNumCompactionTrigger, 4)
	slow := cmp.Or(o.Level0SlowdownWritesTrigger, 20)
	stop := cmp.Or(o.Level0StopWritesTrigger, 36)
	if compact > slow || slow > stop {
		return invalidOption("the level0 triggers must rise from compaction over slowdown to stop; they are %d, %d, %d", compact, slow, stop)
	}
	if buffers, merge := cmp.Or(o.MaxWriteBufferNumber, 2), cmp.Or(o.MinWriteBufferNumberToMerge, 1); merge > 1 && merge >= buffers {
		return invalidOption("min_write_buffer_number_to_merge (%d) must be below max_write_buffer_number (%d)", merge, buffers)
	}
	return nil
}

func invalidOption(format string, args ...any) error {
	return errs.New(errs.Invalid, "invalid_storage_option", format, args...)
}

// rocksOptions translates to the layer below.
func (o *Options) rocksOptions() rocks.Options {
	r := rocks.Options{
		Path:                           o.Path,
		CreateIfMissing:                o.CreateIfMissing,
		Families:                       families,
		MemtableBytes:                  uint64(o.MemtableSizeMB) << 20,
		BlockCacheBytes:                uint64(o.BlockCacheSizeMB) << 20,
		MaxOpenFiles:                   o.MaxOpenFiles,
		Statistics:                     !o.DisableStatistics,
		Compression:                    o.Compression,
		BottommostCompression:          o.BottommostCompression,
		MaxWriteBufferNumber:           o.MaxWriteBufferNumber,
		MinWriteBufferNumberToMerge:    o.MinWriteBufferNumberToMerge,
		Level0FileNumCompactionTrigger: o.Level0FileNumCompactionTrigger,
		Level0SlowdownWritesTrigger:    o.Level0SlowdownWritesTrigger,
		Level0StopWritesTrigger:        o.Level0StopWritesTrigger,
		MaxBackgroundCompactions:       o.MaxBackgroundCompactions,
		KeepLogs:                       o.WALArchivePath != "",
	}
	if !o.DisableBloomFilters {
		r.BloomBitsPerKey = o.BloomBitsPerKey
	}
	return r
}
