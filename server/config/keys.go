package config

import (
	"math"
	"strings"
)

// kind is the type of a key's value.
type kind uint8

const (
	boolean kind = iota
	integer
	text
	list
)

// key is one setting.
type key struct {
	path string
	kind kind
	// def is the value without any layer: a bool, int, string, or nil for a list.
	def any
	// min and max bound an integer.
	min, max int
	// oneOf are the values of a text; any if empty.
	oneOf []string
	// required texts can't be empty.
	required bool
	// env are names besides THEMIS_<SECTION>_<KEY>.
	env []string
	// later says what is missing while only def is accepted; such a key has no
	// field in Config.
	later string
	// sets makes the key a shorthand that sets these keys.
	sets []string
}

// envName is the environment variable of a key.
func (k *key) envName() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

const envPrefix = "THEMIS_"

// unbounded is the top of an integer whose only limit is sense.
const unbounded = math.MaxInt32

// keys lists every setting there is.
var keys = []key{
	{path: "storage.rocksdb_path", kind: text, def: "./data", required: true, env: []string{"THEMIS_STORAGE_PATH"}},
	{path: "storage.memtable_size_mb", kind: integer, def: 256, min: 1, max: 1 << 20},
	{path: "storage.block_cache_size_mb", kind: integer, def: 1024, min: 1, max: 1 << 24},
	// -1 keeps every file open.
	{path: "storage.max_open_files", kind: integer, def: 10000, min: -1, max: 1 << 24},
	{path: "storage.enable_statistics", kind: boolean, def: true},
	{path: "storage.compression", kind: text, oneOf: compressions,
		sets: []string{"storage.compression.default", "storage.compression.bottommost"}},
	{path: "storage.compression.default", kind: text, def: "lz4", oneOf: compressions},
	{path: "storage.compression.bottommost", kind: text, def: "zstd", oneOf: compressions},
	{path: "storage.max_write_buffer_number", kind: integer, def: 2, min: 2, max: 64},
	{path: "storage.min_write_buffer_number_to_merge", kind: integer, def: 1, min: 1, max: 63},
	{path: "storage.level0_file_num_compaction_trigger", kind: integer, def: 4, min: 1, max: 1 << 16},
	{path: "storage.level0_slowdown_writes_trigger", kind: integer, def: 20, min: 1, max: 1 << 16},
	{path: "storage.level0_stop_writes_trigger", kind: integer, def: 36, min: 1, max: 1 << 16},
	// 0 leaves the number to the storage.
	{path: "storage.max_background_compactions", kind: integer, def: 0, min: 0, max: 256},
	{path: "storage.enable_bloom_filters", kind: boolean, def: true},
	{path: "storage.bloom_bits_per_key", kind: integer, def: 10, min: 1, max: 64},
	{path: "storage.durability", kind: text, def: "sync", oneOf: []string{"sync", "interval", "none"}},
	{path: "storage.wal_archive_path", kind: text, def: "", later: laterWAL},
	{path: "storage.wal_ttl_seconds", kind: integer, def: 0, min: 0, max: unbounded, later: laterWAL},
	{path: "storage.enable_wal_archival", kind: boolean, def: false, later: laterWAL},
	{path: "storage.snapshot_dirs", kind: list, later: "the snapshot API"},

	// The default of server.host is the loopback address without a file.
	{path: hostKey, kind: text, def: "0.0.0.0", required: true},
	{path: "server.port", kind: integer, def: 8765, min: 0, max: 65535, env: []string{"THEMIS_PORT"}},
	{path: "server.worker_threads", kind: integer, def: 0, min: 0, max: 1024, env: []string{"THEMIS_WORKER_THREADS"}},
	{path: "server.request_timeout_ms", kind: integer, def: 30000, min: 1000, max: 300000},
	{path: "server.max_request_size_mb", kind: integer, def: 10, min: 1, max: 1024},
	{path: "server.enable_auth", kind: boolean, def: false, later: laterAuth},
	{path: "server.api_keys", kind: list, later: laterAuth},
	{path: "server.enable_tls", kind: boolean, def: false, later: laterTLS},
	{path: "server.tls_cert", kind: text, def: "", later: laterTLS},
	{path: "server.tls_key", kind: text, def: "", later: laterTLS},
	{path: "server.tls_ca", kind: text, def: "", later: laterTLS},

	{path: "logging.level", kind: text, def: "info", env: []string{"THEMIS_LOG_LEVEL"},
		oneOf: []string{"trace", "debug", "info", "warn", "error"}},
	{path: "logging.format", kind: text, def: "text", oneOf: []string{"text", "json"}},
	{path: "logging.file", kind: text, def: ""},
	{path: "logging.rotation_size_mb", kind: integer, def: 100, min: 1, max: 1 << 20},
	{path: "logging.max_files", kind: integer, def: 10, min: 1, max: 10000},

	{path: "vector_index.engine", kind: text, def: "hnsw", oneOf: []string{"hnsw", "flat"}},
	{path: "vector_index.hnsw_m", kind: integer, def: 16, min: 2, max: 128},
	{path: "vector_index.hnsw_ef_construction", kind: integer, def: 200, min: 1, max: 10000},
	{path: "vector_index.ef_search", kind: integer, def: 64, min: 1, max: 10000},
	{path: "vector_index.quantization", kind: text, def: "none", oneOf: []string{"none", "int8"}, later: "quantization"},
	{path: "vector_index.use_gpu", kind: boolean, def: false, later: "search on a GPU"},

	{path: "features.semantic_cache", kind: boolean, def: false, later: "the semantic cache"},
	{path: "features.llm_store", kind: boolean, def: false, later: "the LLM store"},
	{path: "features.cdc", kind: boolean, def: false, later: laterCDC},
	{path: "features.timeseries", kind: boolean, def: false, later: "time series"},

	{path: "query.parallel_threshold", kind: integer, def: 100, min: 1, max: unbounded},
	{path: "query.batch_size", kind: integer, def: 50, min: 1, max: 10000},

	{path: "cdc_retention_hours", kind: integer, def: 168, min: 1, max: 8760, later: laterCDC},
}

const (
	hostKey   = "server.host"
	laterAuth = "authentication"
	laterTLS  = "TLS"
	laterWAL  = "WAL archival"
	laterCDC  = "change data capture"
)

var compressions = []string{"none", "snappy", "zlib", "bz2", "lz4", "lz4hc", "zstd"}

// find returns the key at a path, nil if there is none.
func find(path string) *key {
	for i := range keys {
		if keys[i].path == path {
			return &keys[i]
		}
	}
	return nil
}

// isSection reports whether keys lie under the path.
func isSection(path string) bool {
	for i := range keys {
		if strings.HasPrefix(keys[i].path, path+".") {
			return true
		}
	}
	return false
}
