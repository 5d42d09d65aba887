package main

import (
	"log/slog"
	"strings"
	"time"

	"github.com/vccdb/vccdb/console/tables"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/schedule"
	"github.com/vccdb/vccdb/storage"
)

// How the keys of the configuration reach the packages. Every field of
// config.Config is used here, in gpu.go or in boot.go.

func loggingOptions(c *config.Logging) logging.Options {
	return logging.Options{
		Level: c.Level, Format: c.Format,
		File: c.File, RotationSizeMB: c.RotationSizeMB, MaxFiles: c.MaxFiles,
	}
}

func engineOptions(c *config.Config, logger *slog.Logger) engine.Options {
	return engine.Options{
		Storage: storageOptions(&c.Storage, logger.With(logging.Component, "storage")),
		Vector: engine.VectorOptions{
			Engine: c.VectorIndex.Engine, M: c.VectorIndex.HNSWM,
			EfConstruction: c.VectorIndex.HNSWEfConstruction, Ef: c.VectorIndex.EfSearch, Quantization: c.VectorIndex.Quantization,
			CheckpointInterval:   time.Duration(c.VectorIndex.CheckpointIntervalSeconds) * time.Second,
			CheckpointOperations: c.VectorIndex.CheckpointOperations,
			MemoryLimit:          int64(c.VectorIndex.MemoryLimitMB) << 20,
			RecallProbeInterval:  time.Duration(c.VectorIndex.RecallProbeIntervalMinutes) * time.Minute,
		},
		Query: engine.QueryOptions{
			ParallelThreshold: c.Query.ParallelThreshold, BatchSize: c.Query.BatchSize, SlowThreshold: slowThreshold(c),
			FilterCacheBytes: filterCacheBytes(c),
		},
		Copies: engine.CopyOptions{
			SnapshotDirs: c.Storage.SnapshotDirs, BackupDir: c.Storage.BackupDir, Version: thisBuild().Version,
		},
		Feed:   feedOptions(c),
		GPU:    engine.GPUOptions{Auto: c.VectorIndex.UseGPU, Codes: c.GPU.Codes},
		Logger: logger, // it names its components itself
	}
}

// copyPlan is which copies the server makes by itself.
func copyPlan(c *config.Storage) schedule.Plan {
	rule := func(minutes, keep int) schedule.Rule {
		return schedule.Rule{Every: time.Duration(minutes) * time.Minute, Keep: keep}
	}
	return schedule.Plan{
		Snapshots: rule(c.SnapshotIntervalMinutes, c.SnapshotKeep),
		Backups:   rule(c.BackupIntervalMinutes, c.BackupKeep),
	}
}

// filterCacheBytes is negative where nothing is kept.
func filterCacheBytes(c *config.Config) int64 {
	if c.Query.FilterCacheMB == 0 {
		return -1
	}
	return int64(c.Query.FilterCacheMB) << 20
}

// slowThreshold is negative where none are kept.
func slowThreshold(c *config.Config) time.Duration {
	if c.Query.SlowThresholdMs == 0 {
		return -1
	}
	return time.Duration(c.Query.SlowThresholdMs) * time.Millisecond
}

func feedOptions(c *config.Config) engine.FeedOptions {
	return engine.FeedOptions{Enabled: c.Features.CDC, Retention: time.Duration(c.CDCRetentionHours) * time.Hour}
}

func storageOptions(c *config.Storage, logger *slog.Logger) storage.Options {
	return storage.Options{
		Path: c.RocksDBPath, CreateIfMissing: true,
		MemtableSizeMB: c.MemtableSizeMB, BlockCacheSizeMB: c.BlockCacheSizeMB, MaxOpenFiles: c.MaxOpenFiles,
		DisableStatistics: !c.EnableStatistics,
		Compression:       c.Compression.Default, BottommostCompression: c.Compression.Bottommost,
		DisableBloomFilters: !c.EnableBloomFilters, BloomBitsPerKey: float64(c.BloomBitsPerKey),
		MaxWriteBufferNumber: c.MaxWriteBufferNumber, MinWriteBufferNumberToMerge: c.MinWriteBufferNumberToMerge,
		Level0FileNumCompactionTrigger: c.Level0FileNumCompactionTrigger,
		Level0SlowdownWritesTrigger:    c.Level0SlowdownWritesTrigger,
		Level0StopWritesTrigger:        c.Level0StopWritesTrigger,
		MaxBackgroundCompactions:       c.MaxBackgroundCompactions,
		Durability:                     storage.Durability(c.Durability),
		WALArchivePath:                 archivePath(c),
		WALArchiveTTL:                  time.Duration(c.WALTTLSeconds) * time.Second,
		Logger:                         logger,
	}
}

// archivePath is the folder of the archive of writes, empty if that is off.
func archivePath(c *config.Storage) string {
	if !c.EnableWALArchival {
		return ""
	}
	return c.WALArchivePath
}

// drainDelay lets load balancers see /readyz turn before connections are
// refused.
const drainDelay = 500 * time.Millisecond

// streamRoutes take NDJSON of any length.
var streamRoutes = []string{"POST /entities/batch"}

// uploadRoutes take a form with a file of any length.
var uploadRoutes = []string{"POST " + tables.ImportPath}

// hostNames are the names in server.allowed_hosts as they are compared.
func hostNames(c *config.Server) []string {
	var names []string
	for _, name := range c.AllowedHosts {
		names = append(names, strings.TrimSuffix(strings.ToLower(name), "."))
	}
	return names
}

func serverOptions(c *config.Server, observer server.Observer, logger *slog.Logger) (server.Options, error) {
	keys, err := authKeys(c)
	if err != nil {
		return server.Options{}, err
	}
	proxies, err := trustedProxies(c)
	if err != nil {
		return server.Options{}, err
	}
	return server.Options{
		RequestTimeout:  c.RequestTimeout(),
		MaxRequestBytes: c.MaxRequestBytes(),
		StreamRoutes:    streamRoutes,
		UploadRoutes:    uploadRoutes,
		DrainDelay:      drainDelay,
		Keys:            keys,
		RateLimits:      rateLimits(c),
		TrustedProxies:  proxies,
		Local:           c.Loopback(),
		Hosts:           hostNames(c),
		TLS:             tlsOptions(c),
		Observer:        observer,
		Logger:          logger.With(logging.Component, "server"),
	}, nil
}
