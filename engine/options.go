package engine

import (
	"log/slog"
	"runtime"
	"time"

	"github.com/vccdb/vccdb/storage"
)

// Options configure an Engine. The zero value of each field means its default.
type Options struct {
	Storage storage.Options
	Vector  VectorOptions
	Query   QueryOptions
	Copies  CopyOptions
	GPU     GPUOptions
	Feed    FeedOptions
	// SweepInterval is how often expired entities are looked for; 1 s. They are
	// invisible from the moment they expire, swept or not.
	SweepInterval time.Duration
	Logger        *slog.Logger
	// Now is the clock, for tests.
	Now func() time.Time
}

// VectorOptions are the defaults of vector indexes that don't say otherwise.
type VectorOptions struct {
	// Engine is "hnsw" (default) or "flat", the exact scan.
	Engine string
	// M is the number of links per node, 16; EfConstruction the width of the
	// search that finds them, 200; Ef the width of a query's search, 64.
	M, EfConstruction, Ef int
	// Quantization is what graphs are walked on: "int8" (default), "none" or
	// "fastscan".
	Quantization string
	// Workers is how many goroutines link vectors into the graph of each index; 0
	// is one per core.
	Workers int
	// CheckpointInterval is how long after a change an index is saved, 60 s;
	// CheckpointOperations after how many changes it is at once, 100,000. A negative
	// interval saves it only when asked.
	CheckpointInterval   time.Duration
	CheckpointOperations int
	// MemoryLimit is how many bytes of memory each index may take, files excepted; 0 is no
	// limit.
	MemoryLimit int64
	// RecallProbeInterval is how often the recall of each index is measured; 0 is never.
	RecallProbeInterval time.Duration
}

// QueryOptions govern the fetching of candidates.
type QueryOptions struct {
	// ParallelThreshold is the number of candidates from which they are fetched
	// and checked in parallel; 100.
	ParallelThreshold int
	// BatchSize is how many entities one fetch takes; 50.
	BatchSize int
	// Workers bounds one query's parallelism; 0 is one per core.
	Workers int
	// SlowThreshold is how long a query or search may take before it is kept in
	// SlowQueries; 100 ms. A negative one keeps none.
	SlowThreshold time.Duration
	// FilterCacheBytes bounds the memory of the bitmaps that are kept of the index
	// terms filters ask for; 64 MiB. A negative one keeps none.
	FilterCacheBytes int64
}

// EnsureDefaults returns o with every unset field filled.
func (o Options) EnsureDefaults() Options {
	setDefault(&o.Vector.Engine, "hnsw")
	setDefault(&o.Vector.M, 16)
	setDefault(&o.Vector.EfConstruction, 200)
	setDefault(&o.Vector.Ef, 64)
	setDefault(&o.Vector.Quantization, "int8")
	setDefault(&o.Vector.Workers, runtime.GOMAXPROCS(0))
	setDefault(&o.Vector.CheckpointInterval, time.Minute)
	setDefault(&o.Vector.CheckpointOperations, 100_000)
	setDefault(&o.Query.ParallelThreshold, 100)
	setDefault(&o.Query.BatchSize, 50)
	setDefault(&o.Query.Workers, runtime.GOMAXPROCS(0))
	setDefault(&o.Query.SlowThreshold, 100*time.Millisecond)
	setDefault(&o.Query.FilterCacheBytes, 64<<20)
	setDefault(&o.GPU.Codes, "int8")
	setDefault(&o.SweepInterval, time.Second)
	o.Feed = o.Feed.EnsureDefaults()
	o.Copies = o.Copies.ensureDefaults(o.Storage.Path)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Storage.Logger == nil {
		o.Storage.Logger = o.Logger
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
