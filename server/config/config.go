// Package config reads the server's configuration and changes it while the server
// runs. Sources lie over each other: defaults, then a file, then THEMIS_*
// environment variables, then the overlay file, which holds what was persisted
// through the API, then flags, then what was changed for this run only.
//
// Every key is one row of the table in keys.go, which knows its type, range,
// default, environment names and whether it can change without a restart. A key
// that isn't in the table is an error that names the nearest one; a value that
// doesn't parse or is out of range is an error that names its source; a key whose
// feature isn't built yet is accepted at its neutral value only. Nothing is
// ignored, and all problems are reported at once.
//
// Live is the configuration of a running server. A change happens as a whole or
// not at all: every part that follows it may refuse before the first one acts,
// and what is persisted is on disk before anything is in force.
//
// The package is a leaf: it touches neither the environment nor the network by
// itself (Load is given both), and owns no goroutines. Live has one lock, which is
// held during a change and while subscribers are called.
package config

import (
	"net"
	"strconv"
	"time"
)

// Config is the configuration in force. Keys of features that don't exist yet
// have no field here: Load refuses them unless they are off.
type Config struct {
	Storage     Storage     `koanf:"storage"`
	Server      Server      `koanf:"server"`
	Logging     Logging     `koanf:"logging"`
	VectorIndex VectorIndex `koanf:"vector_index"`
	GPU         GPU         `koanf:"gpu"`
	Features    Features    `koanf:"features"`
	Query       Query       `koanf:"query"`
	Console     Console     `koanf:"console"`

	CDCRetentionHours int `koanf:"cdc_retention_hours"`

	// Warnings are findings that don't stop a start, one sentence each.
	Warnings []string `koanf:"-"`
}

// Storage configures RocksDB. Sizes are in MB (2^20 bytes).
type Storage struct {
	RocksDBPath                    string      `koanf:"rocksdb_path"`
	MemtableSizeMB                 int         `koanf:"memtable_size_mb"`
	BlockCacheSizeMB               int         `koanf:"block_cache_size_mb"`
	MaxOpenFiles                   int         `koanf:"max_open_files"`
	EnableStatistics               bool        `koanf:"enable_statistics"`
	Compression                    Compression `koanf:"compression"`
	MaxWriteBufferNumber           int         `koanf:"max_write_buffer_number"`
	MinWriteBufferNumberToMerge    int         `koanf:"min_write_buffer_number_to_merge"`
	Level0FileNumCompactionTrigger int         `koanf:"level0_file_num_compaction_trigger"`
	Level0SlowdownWritesTrigger    int         `koanf:"level0_slowdown_writes_trigger"`
	Level0StopWritesTrigger        int         `koanf:"level0_stop_writes_trigger"`
	MaxBackgroundCompactions       int         `koanf:"max_background_compactions"`
	EnableBloomFilters             bool        `koanf:"enable_bloom_filters"`
	BloomBitsPerKey                int         `koanf:"bloom_bits_per_key"`
	Durability                     string      `koanf:"durability"`

	WALArchivePath    string `koanf:"wal_archive_path"`
	EnableWALArchival bool   `koanf:"enable_wal_archival"`
	// WALTTLSeconds 0 keeps the archive for ever.
	WALTTLSeconds int `koanf:"wal_ttl_seconds"`
	// SnapshotDirs has one folder at least, BackupDir is never empty.
	SnapshotDirs []string `koanf:"snapshot_dirs"`
	BackupDir    string   `koanf:"backup_dir"`
	// An interval of 0 is never, a number of 0 to keep is all.
	SnapshotIntervalMinutes int `koanf:"snapshot_interval_minutes"`
	SnapshotKeep            int `koanf:"snapshot_keep"`
	BackupIntervalMinutes   int `koanf:"backup_interval_minutes"`
	BackupKeep              int `koanf:"backup_keep"`
}

// Compression names the algorithm of the upper levels and of the bottommost one.
type Compression struct {
	Default    string `koanf:"default"`
	Bottommost string `koanf:"bottommost"`
}

// Server configures the HTTP server.
type Server struct {
	Host string `koanf:"host"`
	// Port 0 takes a free one.
	Port int `koanf:"port"`
	// WorkerThreads bounds the threads that run Go code; 0 is one per core.
	WorkerThreads    int `koanf:"worker_threads"`
	RequestTimeoutMs int `koanf:"request_timeout_ms"`
	MaxRequestSizeMB int `koanf:"max_request_size_mb"`

	EnableAuth bool     `koanf:"enable_auth"`
	APIKeys    []APIKey `koanf:"api_keys"`
	EnableTLS  bool     `koanf:"enable_tls"`
	// TLSCert, TLSKey and TLSCA are PEM files; with a TLSCA, clients need a
	// certificate.
	TLSCert string `koanf:"tls_cert"`
	TLSKey  string `koanf:"tls_key"`
	TLSCA   string `koanf:"tls_ca"`
	// The rates are requests a second, 0 is no limit; a RateLimitBurst of 0 is two
	// seconds' worth.
	RateLimitPerKey     int `koanf:"rate_limit_per_key"`
	RateLimitPerAddress int `koanf:"rate_limit_per_address"`
	RateLimitBurst      int `koanf:"rate_limit_burst"`
	// TrustedProxies are networks in CIDR form, or single addresses.
	TrustedProxies []string `koanf:"trusted_proxies"`
	// AllowedHosts are names that requests may be for while no key is asked for and
	// only this machine can connect.
	AllowedHosts []string `koanf:"allowed_hosts"`
	// PprofPort 0 is off.
	PprofPort int `koanf:"pprof_port"`
	// ConfigOverlay is the file of persisted changes.
	ConfigOverlay string `koanf:"config_overlay"`
}

// Logging configures the log.
type Logging struct {
	Level  string `koanf:"level"`
	Format string `koanf:"format"`
	// File is empty for standard error.
	File           string `koanf:"file"`
	RotationSizeMB int    `koanf:"rotation_size_mb"`
	MaxFiles       int    `koanf:"max_files"`
	// AuditFile is empty for the log.
	AuditFile string `koanf:"audit_file"`
}

// VectorIndex holds the defaults of vector indexes that don't say otherwise.
type VectorIndex struct {
	Engine             string `koanf:"engine"`
	HNSWM              int    `koanf:"hnsw_m"`
	HNSWEfConstruction int    `koanf:"hnsw_ef_construction"`
	EfSearch           int    `koanf:"ef_search"`
	// Quantization of new indexes: none, int8 or fastscan.
	Quantization string `koanf:"quantization"`
	// A vector index is saved so long after a change, or after so many.
	CheckpointIntervalSeconds int `koanf:"checkpoint_interval_seconds"`
	CheckpointOperations      int `koanf:"checkpoint_operations"`
	// MemoryLimitMB of each index, 0 is none.
	MemoryLimitMB int `koanf:"memory_limit_mb"`
	// RecallProbeIntervalMinutes 0 is never.
	RecallProbeIntervalMinutes int `koanf:"recall_probe_interval_minutes"`
	// UseGPU is of indexes whose engine is auto.
	UseGPU bool `koanf:"use_gpu"`
}

// GPU configures the device that searches use, and the program that runs on it.
type GPU struct {
	// Device counts from 0, in the driver's order.
	Device int `koanf:"device"`
	// MemoryLimitMB 0 is what is free at the start less a reserve.
	MemoryLimitMB int `koanf:"memory_limit_mb"`
	// Codes are int8 or bf16.
	Codes string `koanf:"codes"`
	// MaxBatch searches share a pass, which may take LatencyCapMs.
	MaxBatch     int `koanf:"max_batch"`
	LatencyCapMs int `koanf:"latency_cap_ms"`
	// WorkerPath is empty for themis_gpu beside the server's own program.
	WorkerPath string `koanf:"worker_path"`
}

// Features switches parts of the server.
type Features struct {
	CDC bool `koanf:"cdc"`
}

// Query configures how candidates are fetched.
type Query struct {
	ParallelThreshold int `koanf:"parallel_threshold"`
	BatchSize         int `koanf:"batch_size"`
	// SlowThresholdMs 0 keeps no slow queries.
	SlowThresholdMs int `koanf:"slow_threshold_ms"`
	// FilterCacheMB 0 keeps no ids of index terms in memory.
	FilterCacheMB int `koanf:"filter_cache_mb"`
}

// Console configures the web console and how long a sign-in to it lasts.
type Console struct {
	Enabled            bool `koanf:"enabled"`
	SessionIdleMinutes int  `koanf:"session_idle_minutes"`
	SessionMaxHours    int  `koanf:"session_max_hours"`
}

// Address is host:port to listen on.
func (s Server) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// RequestTimeout is how long one request may work.
func (s Server) RequestTimeout() time.Duration {
	return time.Duration(s.RequestTimeoutMs) * time.Millisecond
}

// MaxRequestBytes bounds a request's body.
func (s Server) MaxRequestBytes() int64 { return int64(s.MaxRequestSizeMB) << 20 }
