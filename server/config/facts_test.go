package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// facts is the deployment guide's table of keys. A value follows those whose
// default is promised.
const facts = `
storage: rocksdb_path, memtable_size_mb 256, block_cache_size_mb 1024, max_open_files 10000, enable_statistics true,
 compression, compression.default lz4, compression.bottommost zstd, max_write_buffer_number, min_write_buffer_number_to_merge,
 level0_file_num_compaction_trigger, level0_slowdown_writes_trigger, level0_stop_writes_trigger, max_background_compactions,
 enable_bloom_filters, bloom_bits_per_key 10, wal_archive_path, wal_ttl_seconds, enable_wal_archival, durability, snapshot_dirs
server: host 0.0.0.0, port 8765, worker_threads 0, request_timeout_ms 30000, max_request_size_mb 10, enable_auth, api_keys,
 enable_tls, tls_cert, tls_key, tls_ca
logging: level, format, file, rotation_size_mb 100, max_files 10
vector_index: engine hnsw, hnsw_m 16, hnsw_ef_construction 200, ef_search, quantization, use_gpu false
gpu: device 0, memory_limit_mb 0, codes int8, max_batch 1024, latency_cap_ms 20, worker_path
features: semantic_cache false, llm_store false, cdc false, timeseries false
query: parallel_threshold 100, batch_size 50
: cdc_retention_hours`

// TestKeysOfTheGuide holds that every key of the guide is there, with its
// default.
func TestKeysOfTheGuide(t *testing.T) {
	rows := 0
	for row := range strings.SplitSeq(strings.ReplaceAll(strings.TrimSpace(facts), "\n ", " "), "\n") {
		section, list, _ := strings.Cut(row, ":")
		for item := range strings.SplitSeq(list, ",") {
			name, def, promised := strings.Cut(strings.TrimSpace(item), " ")
			if section != "" {
				name = section + "." + name
			}
			rows++
			k := find(name)
			if k == nil {
				t.Errorf("there is no %s", name)
			} else if promised && fmt.Sprint(k.def) != def {
				t.Errorf("%s is %v without a source, want %s", name, k.def, def)
			}
		}
	}
	if rows < 45 {
		t.Errorf("the table has only %d rows", rows)
	}
}

// another is a value of the key besides its default, as text and typed.
func (k *key) another() (asText string, value any) {
	switch {
	case k.kind == boolean:
		return fmt.Sprint(k.def == false), k.def == false
	case k.kind == integer:
		n := k.def.(int) + 1
		return fmt.Sprint(n), n
	case k.kind == list && strings.HasSuffix(k.path, "proxies"):
		return "10.0.0.0/8, ::1", []string{"10.0.0.0/8", "::1"}
	case k.kind == list && strings.HasSuffix(k.path, "hosts"):
		return "a.example, b", []string{"a.example", "b"}
	case k.kind == list:
		return "/a, /b", []string{"/a", "/b"}
	case k.kind == apiKeys:
		return `[{"key": "0123456789abcdef", "role": "readonly", "name": "n"}]`, []APIKey{{Key: "0123456789abcdef", Role: "readonly", Name: "n"}}
	case len(k.oneOf) > 0:
		other := k.oneOf[(slices.Index(k.oneOf, fmt.Sprint(k.def))+1)%len(k.oneOf)]
		return other, other
	}
	return "other", "other"
}

// needed are the settings without which another one is refused.
func needed(path string) []string {
	switch path {
	case "storage.enable_wal_archival":
		return []string{"storage.wal_archive_path=/w"}
	case "server.enable_auth":
		return []string{`server.api_keys=[{"key": "0123456789abcdef", "role": "readonly", "name": "n"}]`}
	case "server.enable_tls":
		return []string{"server.tls_cert=c", "server.tls_key=k"}
	case "server.tls_ca":
		return []string{"server.enable_tls=true", "server.tls_cert=c", "server.tls_key=k"}
	case "storage.min_write_buffer_number_to_merge":
		return []string{"storage.max_write_buffer_number=9"}
	}
	return nil
}

// TestEnvironmentSetsEveryKey holds that each of a key's variables sets it, that
// the source says so, and that a value that doesn't parse stops the start.
func TestEnvironmentSetsEveryKey(t *testing.T) {
	names := 0
	for i := range keys {
		k := &keys[i]
		for _, name := range append([]string{k.envName()}, k.env...) {
			names++
			given, want := k.another()
			live, err := Open(Source{Environ: []string{name + "=" + given}, Set: needed(k.path)})
			if k.later != "" {
				if err == nil || !strings.Contains(err.Error(), "not available yet") {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			set := k.path
			if k.sets != nil {
				set = k.sets[0]
			}
			if got := live.state.Load().values[set]; !reflect.DeepEqual(got.value, want) || got.from != "env "+name {
				t.Errorf("%s sets %v from %s, want %v", name, got.value, got.from, want)
			}
			if k.kind == text && len(k.oneOf) == 0 && !k.required || k.kind == list {
				continue // any text is a value
			}
			bad := map[kind]string{boolean: "maybe", integer: "many", apiKeys: "s3cret", text: "nothing like it"}[k.kind]
			if k.required {
				bad = ""
			}
			if _, err := Open(Source{Environ: []string{name + "=" + bad}}); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%s: %v", name, bad, err)
			}
		}
	}
	for _, name := range []string{"THEMIS_SERVER_PORT", "THEMIS_PORT", "THEMIS_STORAGE_PATH", "THEMIS_LOG_LEVEL", "THEMIS_WORKER_THREADS"} {
		if !slices.Contains(envNames(), name) {
			t.Errorf("%s isn't known", name)
		}
	}
	if names < len(keys)+4 {
		t.Errorf("only %d names", names)
	}
}

// TestWhatReloads holds the list of what changes without a restart.
func TestWhatReloads(t *testing.T) {
	reload := []string{"logging.level", "logging.format", "server.request_timeout_ms", "cdc_retention_hours", "vector_index.ef_search",
		"storage.snapshot_interval_minutes", "storage.snapshot_keep", "storage.backup_interval_minutes", "storage.backup_keep",
		"console.session_idle_minutes", "console.session_max_hours",
		"server.rate_limit_per_key", "server.rate_limit_per_address", "server.rate_limit_burst",
		"query.slow_threshold_ms",
		"features.semantic_cache", "features.llm_store", "features.cdc", "features.timeseries"}
	for i := range keys {
		k := &keys[i]
		if k.reload != slices.Contains(reload, k.path) || k.signal != (k.path == "server.api_keys") {
			t.Errorf("%s reloads: %t, at a signal: %t", k.path, k.reload, k.signal)
		}
	}
	timeout, hours := find("server.request_timeout_ms"), find("cdc_retention_hours")
	if timeout.min != 1000 || timeout.max != 300000 || hours.min != 1 || hours.max != 8760 {
		t.Error("the ranges are others than the guide's")
	}
}
