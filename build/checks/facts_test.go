package checks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/textparse"
)

// promised are the metrics of the deployment guide and their types.
var promised = map[string]model.MetricType{
	"vccdb_requests_total": model.MetricTypeCounter, "vccdb_errors_total": model.MetricTypeCounter, "vccdb_qps": model.MetricTypeGauge,
	"process_uptime_seconds": model.MetricTypeGauge, "vccdb_request_duration_seconds": model.MetricTypeHistogram,
	"rocksdb_block_cache_usage_bytes": model.MetricTypeGauge, "rocksdb_block_cache_capacity_bytes": model.MetricTypeGauge,
	"rocksdb_block_cache_hit": model.MetricTypeCounter, "rocksdb_block_cache_miss": model.MetricTypeCounter,
	"rocksdb_estimate_num_keys": model.MetricTypeGauge, "rocksdb_pending_compaction_bytes": model.MetricTypeGauge,
	"rocksdb_memtable_size_bytes": model.MetricTypeGauge, "rocksdb_files_level": model.MetricTypeGauge,
	"vccdb_index_hits_total": model.MetricTypeCounter, "vccdb_full_scan_fallback_total": model.MetricTypeCounter,
	"themis_index_rebuild_count": model.MetricTypeCounter, "themis_index_rebuild_duration_ms_total": model.MetricTypeCounter,
	"themis_index_rebuild_entities_processed_total": model.MetricTypeCounter,
	"themis_index_cursor_anchor_hits_total":         model.MetricTypeCounter, "themis_index_range_scan_steps_total": model.MetricTypeCounter,
	"vccdb_vector_live": model.MetricTypeGauge, "vccdb_vector_searches_total": model.MetricTypeCounter,
	"vccdb_changefeed_latest_sequence": model.MetricTypeCounter, "vccdb_gpu_devices": model.MetricTypeGauge,
	"go_goroutines": model.MetricTypeGauge, "process_resident_memory_bytes": model.MetricTypeGauge,
}

// TestPromisedMetrics holds that a live server shows every metric that the
// deployment guide names, as what it is, and files of each level.
func TestPromisedMetrics(t *testing.T) {
	s := startServer(t)
	s.want(201, "PUT", "/entities/books:dune", `{"year":1965}`)
	p, err := textparse.New([]byte(s.want(200, "GET", "/metrics", "")), "text/plain", nil, textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	types, helps := map[string]model.MetricType{}, map[string]bool{}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch entry {
		case textparse.EntryType:
			name, kind := p.Type()
			types[string(name)] = kind
		case textparse.EntryHelp:
			name, help := p.Help()
			helps[string(name)] = len(help) > 10
		}
	}
	for name, kind := range promised {
		if types[name] != kind || !helps[name] {
			t.Errorf("%s is a %q, want %q, with help: %t", name, types[name], kind, helps[name])
		}
	}
	body := s.want(200, "GET", "/stats", "")
	var stats struct {
		Storage struct{ RocksDB map[string]any }
	}
	if err := json.Unmarshal([]byte(body), &stats); err != nil {
		t.Fatal(err)
	}
	levels, _ := stats.Storage.RocksDB["files_per_level"].([]any)
	if len(levels) != 7 {
		t.Errorf("levels: %v", levels)
	}
	d := newDatabase()
	d.scrape(t, s.want(200, "GET", "/metrics", ""), zero)
	for level := range 7 {
		if len(d.evaluate(t, fmt.Sprintf(`rocksdb_files_level{level="L%d"}`, level), zero)) != 1 {
			t.Errorf("rocksdb_files_level lacks L%d", level)
		}
	}
	for _, name := range []string{
		"block_cache_usage_bytes", "estimate_num_keys", "memtable_size_bytes", "cur_size_all_mem_tables_bytes",
		"estimate_pending_compaction_bytes", "num_running_compactions", "files_per_level", "cache_hit_rate_percent",
	} {
		if _, ok := stats.Storage.RocksDB[name]; !ok {
			t.Errorf("/stats lacks storage.rocksdb.%s", name)
		}
	}
}
