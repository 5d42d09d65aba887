package rocks

// #include "recovery.h"
import "C"

import (
	"fmt"
	"runtime"

	"github.com/linxGnu/grocksdb"
)

// Options are the RocksDB settings the database exposes. A zero value of a
// field means RocksDB's default or the one named here.
type Options struct {
	Path            string
	CreateIfMissing bool
	// Families are the column families, default first. Their order is their id.
	Families []Family
	// MemtableBytes bounds the write buffers of all column families together.
	MemtableBytes uint64
	// BlockCacheBytes is the one block cache, shared by all column families.
	BlockCacheBytes uint64
	MaxOpenFiles    int
	Statistics      bool
	// Compression and BottommostCompression are names: none, snappy, zlib, bz2,
	// lz4, lz4hc, zstd.
	Compression           string
	BottommostCompression string
	// MaxWriteBufferNumber and MinWriteBufferNumberToMerge count memtables of
	// one column family.
	MaxWriteBufferNumber        int
	MinWriteBufferNumberToMerge int
	// Level0 triggers count files.
	Level0FileNumCompactionTrigger int
	Level0SlowdownWritesTrigger    int
	Level0StopWritesTrigger        int
	MaxBackgroundCompactions       int
	// KeepLogs keeps write-ahead logs that are no longer needed, in the folder
	// archive inside Path, until they are removed or keptLogs is exceeded.
	KeepLogs bool
	// BloomBitsPerKey of the families that ask for a filter; 0: no filters.
	BloomBitsPerKey float64
}

// Family is one column family.
type Family struct {
	Name string
	// PointReads gives it a whole-key bloom filter and a hash index in its data
	// blocks. A family that is only scanned gains nothing from either.
	PointReads bool
	// BlockBytes is the size of a data block before compression, 0 for 4 KiB.
	BlockBytes int
}

func (o *Options) familyNames() []string {
	names := make([]string, len(o.Families))
	for i, f := range o.Families {
		names[i] = f.Name
	}
	return names
}

// writeBuffersPerMemory is how many memtables of one column family fill the
// whole memtable memory: flushes are then big enough to be sequential, and
// several families can fill at once.
const writeBuffersPerMemory = 4

// minWriteBufferBytes keeps tiny test settings from flushing at every write.
const minWriteBufferBytes = 1 << 20

// Logs kept for a reader that doesn't get on are given up after a week, or when
// there are too many.
const (
	keptLogsSeconds = 7 * 24 * 3600
	keptLogsMB      = 16 << 10
)

var compressions = map[string]grocksdb.CompressionType{
	"none":   grocksdb.NoCompression,
	"snappy": grocksdb.SnappyCompression,
	"zlib":   grocksdb.ZLibCompression,
	"bz2":    grocksdb.Bz2Compression,
	"lz4":    grocksdb.LZ4Compression,
	"lz4hc":  grocksdb.LZ4HCCompression,
	"zstd":   grocksdb.ZSTDCompression,
}

// KnownCompression reports whether name is a compression RocksDB was built with.
func KnownCompression(name string) bool {
	_, ok := compressions[name]
	return ok
}

// native holds the C objects made from Options. They live as long as the DB.
type native struct {
	db       *grocksdb.Options
	families []*grocksdb.Options
	tables   []*grocksdb.BlockBasedTableOptions
	cache    *grocksdb.Cache
	errors   *C.error_watch
}

func newNative(o *Options) (*native, error) {
	for _, name := range []string{o.Compression, o.BottommostCompression} {
		if name != "" && !KnownCompression(name) {
			return nil, fmt.Errorf("rocks: unknown compression %q", name)
		}
	}
	n := &native{cache: grocksdb.NewLRUCache(o.BlockCacheBytes)}
	n.db = n.databaseOptions(o)
	var err error
	if n.errors, err = watchErrors(n.db); err != nil {
		n.destroy()
		return nil, err
	}
	for _, f := range o.Families {
		n.families = append(n.families, n.familyOptions(o, f))
	}
	return n, nil
}

func (n *native) destroy() {
	for i := range n.families {
		n.families[i].Destroy()
		n.tables[i].Destroy()
	}
	n.db.Destroy()
	C.error_watch_free(n.errors)
	n.cache.Destroy()
}

// databaseOptions makes what RocksDB reads once per database.
func (n *native) databaseOptions(o *Options) *grocksdb.Options {
	opts := grocksdb.NewDefaultOptions()
	opts.SetCreateIfMissing(o.CreateIfMissing)
	opts.SetCreateIfMissingColumnFamilies(true)
	opts.SetDbWriteBufferSize(o.MemtableBytes)
	// An idle column family must not pin old logs, since their length is the time that
	// recovery takes: with four times as much, a start after a kill took four seconds.
	opts.SetMaxTotalWalSize(o.MemtableBytes)
	if o.MaxOpenFiles != 0 {
		opts.SetMaxOpenFiles(o.MaxOpenFiles)
	}
	if o.Statistics {
		opts.EnableStatistics()
	}
	compactions := o.MaxBackgroundCompactions
	if compactions == 0 {
		compactions = min(max(runtime.GOMAXPROCS(0)/2, 1), 8)
	}
	// RocksDB 7 runs flushes in a pool of their own, sized apart from compactions.
	//lint:ignore SA1019 max_background_jobs can't express storage.max_background_compactions
	opts.SetMaxBackgroundCompactions(compactions)
	//lint:ignore SA1019 set together with the compactions
	opts.SetMaxBackgroundFlushes(max(compactions/2, 1))
	opts.SetBytesPerSync(1 << 20)
	if o.KeepLogs {
		opts.SetWALTtlSeconds(keptLogsSeconds)
		opts.SetWalSizeLimitMb(keptLogsMB)
	}
	// Debian builds RocksDB with assertions, and one of them ends the process when
	// a line is written to RocksDB's own LOG file after an earlier one failed. On
	// a full disk that would happen within seconds. At this level LOG gets the
	// options at open and nothing after; failures reach us as errors anyway.
	opts.SetInfoLogLevel(grocksdb.FatalInfoLogLevel)
	opts.SetKeepLogFileNum(4)
	return opts
}

// familyOptions makes what RocksDB reads per column family.
func (n *native) familyOptions(o *Options, f Family) *grocksdb.Options {
	opts := grocksdb.NewDefaultOptions()
	opts.SetWriteBufferSize(max(o.MemtableBytes/writeBuffersPerMemory, minWriteBufferBytes))
	opts.SetLevelCompactionDynamicLevelBytes(true)
	setInt(opts.SetMaxWriteBufferNumber, o.MaxWriteBufferNumber)
	setInt(opts.SetMinWriteBufferNumberToMerge, o.MinWriteBufferNumberToMerge)
	setInt(opts.SetLevel0FileNumCompactionTrigger, o.Level0FileNumCompactionTrigger)
	setInt(opts.SetLevel0SlowdownWritesTrigger, o.Level0SlowdownWritesTrigger)
	setInt(opts.SetLevel0StopWritesTrigger, o.Level0StopWritesTrigger)
	if o.Compression != "" {
		opts.SetCompression(compressions[o.Compression])
	}
	if o.BottommostCompression != "" {
		opts.SetBottommostCompression(compressions[o.BottommostCompression])
	}
	opts.SetBlockBasedTableFactory(n.tableOptions(o, f))
	return opts
}

func setInt(set func(int), v int) {
	if v != 0 {
		set(v)
	}
}

func (n *native) tableOptions(o *Options, f Family) *grocksdb.BlockBasedTableOptions {
	opts := grocksdb.NewDefaultBlockBasedTableOptions()
	opts.SetBlockCache(n.cache)
	opts.SetFormatVersion(5)
	// Index and filter blocks count against the block cache, so that its size
	// bounds the memory of reads; those in use are the last to be evicted.
	opts.SetCacheIndexAndFilterBlocks(true)
	opts.SetCacheIndexAndFilterBlocksWithHighPriority(true)
	opts.SetPinL0FilterAndIndexBlocksInCache(true)
	setInt(opts.SetBlockSize, f.BlockBytes)
	if f.PointReads {
		opts.SetDataBlockIndexType(grocksdb.KDataBlockIndexTypeBinarySearchAndHash)
		if o.BloomBitsPerKey > 0 {
			opts.SetFilterPolicy(grocksdb.NewBloomFilterFull(o.BloomBitsPerKey))
		}
	}
	n.tables = append(n.tables, opts)
	return opts
}
