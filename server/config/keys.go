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
	apiKeys
)

// key is one setting.
type key struct {
	path string
	kind kind
	// def is the value without any layer: a bool, int or string. The default of a
	// list is empty.
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
	// reload says that the key can change while the server runs; signal says that
	// it does so at a hangup signal only, since it holds secrets.
	reload, signal bool
	// about is one sentence for operators.
	about string
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
	{path: pathKey, kind: text, def: "./data", required: true, env: []string{"THEMIS_STORAGE_PATH"},
		about: "The folder of the data."},
	{path: "storage.memtable_size_mb", kind: integer, def: 256, min: 1, max: 1 << 20,
		about: "Memory that collects writes before they become a file."},
	{path: "storage.block_cache_size_mb", kind: integer, def: 1024, min: 1, max: 1 << 24,
		about: "Memory that keeps blocks of files for reads."},
	{path: "storage.max_open_files", kind: integer, def: 10000, min: -1, max: 1 << 24,
		about: "How many files stay open; -1 is all."},
	{path: "storage.enable_statistics", kind: boolean, def: true,
		about: "Whether the storage counts what /stats and /metrics show of it."},
	{path: "storage.compression", kind: text, oneOf: compressions,
		sets:  []string{"storage.compression.default", "storage.compression.bottommost"},
		about: "Compression of all levels at once."},
	{path: "storage.compression.default", kind: text, def: "lz4", oneOf: compressions,
		about: "Compression of all levels but the bottommost."},
	{path: "storage.compression.bottommost", kind: text, def: "zstd", oneOf: compressions,
		about: "Compression of the bottommost level, which holds most of the data."},
	{path: "storage.max_write_buffer_number", kind: integer, def: 2, min: 2, max: 64,
		about: "How many memtables there may be before writes wait."},
	{path: "storage.min_write_buffer_number_to_merge", kind: integer, def: 1, min: 1, max: 63,
		about: "How many memtables are merged into one file."},
	{path: "storage.level0_file_num_compaction_trigger", kind: integer, def: 4, min: 1, max: 1 << 16,
		about: "Files of level 0 at which compaction begins."},
	{path: "storage.level0_slowdown_writes_trigger", kind: integer, def: 20, min: 1, max: 1 << 16,
		about: "Files of level 0 at which writes are slowed down."},
	{path: "storage.level0_stop_writes_trigger", kind: integer, def: 36, min: 1, max: 1 << 16,
		about: "Files of level 0 at which writes wait for compaction."},
	{path: "storage.max_background_compactions", kind: integer, def: 0, min: 0, max: 256,
		about: "Background compactions at the same time; 0 leaves the number to the storage."},
	{path: "storage.enable_bloom_filters", kind: boolean, def: true,
		about: "Whether files carry Bloom filters, which spare reads of absent keys."},
	{path: "storage.bloom_bits_per_key", kind: integer, def: 10, min: 1, max: 64,
		about: "Size of the Bloom filters."},
	{path: "storage.durability", kind: text, def: "sync", oneOf: []string{"sync", "interval", "none"},
		about: "When a write is on disk: before it is acknowledged, soon after it, or when the system likes."},
	{path: "storage.wal_archive_path", kind: text, def: "",
		about: "The folder of archived write-ahead logs."},
	{path: "storage.wal_ttl_seconds", kind: integer, def: 0, min: 0, max: unbounded,
		about: "Age at which archived logs are deleted; 0 keeps them for ever."},
	{path: "storage.enable_wal_archival", kind: boolean, def: false,
		about: "Whether write-ahead logs are archived, for recovery to a point in time."},
	{path: snapshotsKey, kind: list,
		about: "The folders that snapshots may be made in; without any, the folder snapshots beside the data."},
	{path: backupKey, kind: text, def: "",
		about: "The folder of backups; empty is the folder backups beside the data."},
	{path: "storage.snapshot_interval_minutes", kind: integer, def: 0, min: 0, max: maxInterval, reload: true,
		about: "How often the server takes a snapshot by itself; 0 is never."},
	{path: "storage.snapshot_keep", kind: integer, def: 7, min: 0, max: maxKeep, reload: true,
		about: "How many of the snapshots that the server took by itself stay; 0 is all. Others are never removed."},
	{path: "storage.backup_interval_minutes", kind: integer, def: 0, min: 0, max: maxInterval, reload: true,
		about: "How often the server makes a backup by itself; 0 is never."},
	{path: "storage.backup_keep", kind: integer, def: 7, min: 0, max: maxKeep, reload: true,
		about: "How many backups stay when the server has made one by itself, whoever made the others; 0 is all."},

	// The default of server.host is the loopback address without a file.
	{path: hostKey, kind: text, def: "0.0.0.0", required: true,
		about: "The address to listen on."},
	{path: "server.port", kind: integer, def: 8765, min: 0, max: 65535, env: []string{"THEMIS_PORT"},
		about: "The port to listen on; 0 takes a free one."},
	{path: "server.worker_threads", kind: integer, def: 0, min: 0, max: 1024, env: []string{"THEMIS_WORKER_THREADS"},
		about: "Threads that run at the same time; 0 is one per core."},
	{path: "server.request_timeout_ms", kind: integer, def: 30000, min: 1000, max: 300000, reload: true,
		about: "How long one request may work."},
	{path: "server.max_request_size_mb", kind: integer, def: 10, min: 1, max: 1024,
		about: "The biggest body of a request."},
	{path: "server.enable_auth", kind: boolean, def: false,
		about: "Whether requests need an API key."},
	{path: "server.api_keys", kind: apiKeys, signal: true,
		about: "The API keys: key or key_hash, role and name of each; a change in the file takes effect at SIGHUP."},
	{path: "server.enable_tls", kind: boolean, def: false,
		about: "Whether the server speaks HTTPS."},
	{path: "server.tls_cert", kind: text, def: "",
		about: "The file of the certificate chain, PEM; it is read again when it changes."},
	{path: "server.tls_key", kind: text, def: "",
		about: "The file of the certificate's private key, PEM."},
	{path: "server.tls_ca", kind: text, def: "",
		about: "The file of the authorities that must have signed clients' certificates, PEM; empty asks for none."},
	{path: "server.rate_limit_per_key", kind: integer, def: 0, min: 0, max: maxRate, reload: true,
		about: "Requests a second for each API key; 0 is no limit."},
	{path: "server.rate_limit_per_address", kind: integer, def: 0, min: 0, max: maxRate, reload: true,
		about: "Requests a second for each client address; 0 is no limit."},
	{path: "server.rate_limit_burst", kind: integer, def: 0, min: 0, max: 10 * maxRate, reload: true,
		about: "Requests that may come at once before a rate limit holds; 0 is two seconds' worth."},
	{path: "server.trusted_proxies", kind: list,
		about: "Networks (CIDR) of proxies whose X-Forwarded-For counts."},
	{path: "server.allowed_hosts", kind: list,
		about: "Names, besides localhost, that a server without keys answers to while it listens on this machine only."},
	{path: "server.pprof_port", kind: integer, def: 0, min: 0, max: 65535,
		about: "The port of Go's profiles, on 127.0.0.1 only; 0 is off."},
	{path: overlayKey, kind: text, def: "",
		about: "The file of persisted changes; empty is config-overlay.json among the data."},

	{path: "logging.level", kind: text, def: "info", env: []string{"THEMIS_LOG_LEVEL"}, reload: true,
		oneOf: []string{"trace", "debug", "info", "warn", "error"},
		about: "The least severe entries that are logged."},
	{path: "logging.format", kind: text, def: "text", oneOf: []string{"text", "json"}, reload: true,
		about: "How entries are written."},
	{path: "logging.file", kind: text, def: "",
		about: "The log's file; empty is standard error."},
	{path: "logging.rotation_size_mb", kind: integer, def: 100, min: 1, max: 1 << 20,
		about: "Size at which a log file is put aside."},
	{path: "logging.max_files", kind: integer, def: 10, min: 1, max: 10000,
		about: "How many log files that were put aside are kept."},
	{path: "logging.audit_file", kind: text, def: "",
		about: "The file of the audit log; empty puts it into the log."},

	{path: "vector_index.engine", kind: text, def: "hnsw", oneOf: []string{"hnsw", "flat"},
		about: "The kind of new vector indexes."},
	{path: "vector_index.hnsw_m", kind: integer, def: 16, min: 2, max: 128,
		about: "Links of each vector in new indexes."},
	{path: "vector_index.hnsw_ef_construction", kind: integer, def: 200, min: 1, max: 10000,
		about: "Candidates that are looked at when a vector is linked in new indexes."},
	{path: "vector_index.ef_search", kind: integer, def: 64, min: 1, max: 10000, reload: true,
		about: "Candidates that a search looks at where neither it nor the index says."},
	{path: "vector_index.checkpoint_interval_seconds", kind: integer, def: 60, min: 1, max: 86400,
		about: "How long after a change a vector index is saved, so that a start needn't build it anew."},
	{path: "vector_index.checkpoint_operations", kind: integer, def: 100000, min: 1000, max: unbounded,
		about: "Changes of a vector index after which it is saved at once."},
	{path: "vector_index.memory_limit_mb", kind: integer, def: 0, min: 0, max: 1 << 24,
		about: "Memory that each vector index may take, files excepted; vectors that don't fit are refused. 0 is no limit."},
	{path: "vector_index.recall_probe_interval_minutes", kind: integer, def: 0, min: 0, max: maxInterval,
		about: "How often the recall of each vector index is measured, in the background; 0 is never."},
	{path: "vector_index.quantization", kind: text, def: "int8", oneOf: []string{"none", "int8", "fastscan"},
		about: "What the graphs of new vector indexes are walked on: the vectors (none), codes of a byte for each dimension (int8), or those and bits of each one's neighbours (fastscan)."},
	{path: "vector_index.use_gpu", kind: boolean, def: false,
		about: "Whether searches use a GPU, where there is one and it is quicker, in the indexes that don't say otherwise."},

	{path: "gpu.device", kind: integer, def: 0, min: 0, max: maxDevice,
		about: "The device that searches use, by the number that nvidia-smi shows."},
	{path: "gpu.memory_limit_mb", kind: integer, def: 0, min: 0, max: 1 << 24,
		about: "Memory of the device that vectors may take; indexes that don't fit are searched by the CPU. 0 is what is free at the start less a reserve."},
	{path: "gpu.codes", kind: text, def: "int8", oneOf: []string{"int8", "bf16"},
		about: "What the device scans: a byte (int8) or two (bf16) for each dimension; distances are exact with both."},
	{path: "gpu.max_batch", kind: integer, def: 1024, min: 1, max: 4096,
		about: "How many searches one pass over the vectors answers at most."},
	{path: "gpu.latency_cap_ms", kind: integer, def: 20, min: 1, max: 10000,
		about: "How long a batch of searches may take on the device, going by those before; larger ones are answered in parts."},
	{path: "gpu.worker_path", kind: text, def: "",
		about: "The program that runs on the device; empty is themis_gpu beside the server's own."},

	{path: "features.semantic_cache", kind: boolean, def: false, later: "the semantic cache", reload: true,
		about: "Whether answers are cached by meaning."},
	{path: "features.llm_store", kind: boolean, def: false, later: "the LLM store", reload: true,
		about: "Whether conversations can be stored."},
	{path: "features.cdc", kind: boolean, def: false, reload: true,
		about: "Whether changes are written to the change feed."},
	{path: "features.timeseries", kind: boolean, def: false, later: "time series", reload: true,
		about: "Whether time series can be stored."},

	{path: "query.parallel_threshold", kind: integer, def: 100, min: 1, max: unbounded,
		about: "Candidates from which they are fetched in parallel."},
	{path: "query.batch_size", kind: integer, def: 50, min: 1, max: 10000,
		about: "Candidates of one parallel fetch."},
	{path: "query.slow_threshold_ms", kind: integer, def: 100, min: 0, max: 3_600_000, reload: true,
		about: "How long a query or search takes that is kept in the list of slow ones; 0 keeps none."},
	{path: "query.filter_cache_mb", kind: integer, def: 64, min: 0, max: 1 << 20,
		about: "Memory for the ids of index terms that filters ask for; 0 keeps none, and every filter reads them anew."},

	{path: "console.enabled", kind: boolean, def: true,
		about: "Whether the console is served, at /console/."},
	{path: "console.session_idle_minutes", kind: integer, def: 30, min: 1, max: 7 * 24 * 60, reload: true,
		about: "How long somebody stays signed in to the console without using it."},
	{path: "console.session_max_hours", kind: integer, def: 12, min: 1, max: 30 * 24, reload: true,
		about: "How long somebody stays signed in to the console at most."},

	{path: "cdc_retention_hours", kind: integer, def: 168, min: 1, max: 8760, reload: true,
		about: "How long the change feed keeps changes."},
}

const (
	pathKey      = "storage.rocksdb_path"
	snapshotsKey = "storage.snapshot_dirs"
	backupKey    = "storage.backup_dir"
	hostKey      = "server.host"
	overlayKey   = "server.config_overlay"
)

// Copies are made once a year at least, and as many are kept as anybody lists.
const (
	maxInterval = 366 * 24 * 60
	maxKeep     = 10_000
)

// maxDevice is more than a machine has devices.
const maxDevice = 255

// maxRate bounds rates of requests a second; no server of this kind gets there.
const maxRate = 1_000_000

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
