package ops

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/query"
)

// engineCollector reads the engine's figures when Prometheus asks: one call for
// all of them.
type engineCollector struct {
	db      Database
	figures []figure
	// A figure with a label has one sample for each value.
	filesLevel, plans, searches, jobs, recall, fallbacks *prometheus.Desc
}

// figure is one number of the engine.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*engine.Stats, *VectorStats) float64
}

func newEngineCollector(db Database) *engineCollector {
	c := &engineCollector{
		db:         db,
		filesLevel: describe("rocksdb_files_level", "Table files, by level.", "level"),
		plans:      describe("vccdb_query_plans_total", "Queries, by plan mode.", "mode"),
		searches:   describe("vccdb_vector_searches_total", "Vector searches, by plan mode.", "mode"),
		jobs:       describe("vccdb_jobs", "Jobs that /jobs lists, by state.", "state"),
		recall:     describe("vccdb_vector_recall", "Recall of a vector index as it was last measured in the background.", "table", "column"),
	}
	c.fallbacks = describe("vccdb_gpu_fallbacks_total", "Searches that the CPU answered in indexes that use a GPU, by why.", "reason")
	c.gauge("vccdb_ready", "1 if requests are answered from complete data, as /readyz says.",
		func(*engine.Stats, *VectorStats) float64 { return truth(db.Readiness().Ready) })
	c.storageFigures()
	c.indexFigures()
	c.vectorFigures()
	c.feedFigures()
	c.durabilityFigures()
	c.gpuFigures()
	return c
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func (c *engineCollector) gauge(name, help string, read func(*engine.Stats, *VectorStats) float64) {
	c.figures = append(c.figures, figure{describe(name, help), prometheus.GaugeValue, read})
}

func (c *engineCollector) counter(name, help string, read func(*engine.Stats, *VectorStats) float64) {
	c.figures = append(c.figures, figure{describe(name, help), prometheus.CounterValue, read})
}

func (c *engineCollector) storageFigures() {
	c.gauge("rocksdb_block_cache_usage_bytes", "Memory the block cache takes.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.BlockCacheUsageBytes) })
	c.gauge("rocksdb_block_cache_capacity_bytes", "Memory the block cache may take.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.BlockCacheCapacityBytes) })
	c.counter("rocksdb_block_cache_hit", "Blocks found in the cache.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.BlockCacheHit) })
	c.counter("rocksdb_block_cache_miss", "Blocks read from disk.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.BlockCacheMiss) })
	c.gauge("rocksdb_estimate_num_keys", "Keys stored, as RocksDB estimates.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.EstimateNumKeys) })
	c.gauge("rocksdb_pending_compaction_bytes", "Bytes that compaction has yet to rewrite.",
		func(s *engine.Stats, _ *VectorStats) float64 {
			return float64(s.Storage.EstimatePendingCompactionBytes)
		})
	c.gauge("rocksdb_memtable_size_bytes", "Memory of all memtables.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.MemtableSizeBytes) })
	c.gauge("rocksdb_total_sst_files_size_bytes", "Bytes of all table files.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.TotalSSTFilesSizeBytes) })
	c.counter("rocksdb_background_errors", "Failures of flushes and compactions.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.BackgroundErrors) })
	c.gauge("rocksdb_num_running_compactions", "Compactions under way.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.NumRunningCompactions) })
	c.gauge("rocksdb_num_running_flushes", "Flushes under way.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.NumRunningFlushes) })
	c.gauge("rocksdb_actual_delayed_write_rate_bytes", "Bytes per second that writes are slowed down to; 0 while they aren't.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.ActualDelayedWriteRate) })
	c.gauge("rocksdb_is_write_stopped", "1 while writes wait for compaction.",
		func(s *engine.Stats, _ *VectorStats) float64 { return truth(s.Storage.IsWriteStopped) })
	c.counter("rocksdb_last_sequence", "Sequence number of the last write.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Storage.LastSequence) })
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (c *engineCollector) indexFigures() {
	c.counter("vccdb_index_hits_total", "Queries that an index served.",
		func(s *engine.Stats, _ *VectorStats) float64 {
			m := s.QueryModes
			return float64(m[string(query.ModeIndex)] + m[string(query.ModeIndexParallel)] + m[string(query.ModeRangeAware)])
		})
	c.counter("vccdb_full_scan_fallback_total", "Queries that read a whole table.",
		func(s *engine.Stats, _ *VectorStats) float64 {
			return float64(s.QueryModes[string(query.ModeFullScan)])
		})
	c.counter("vccdb_slow_queries_total", "Queries and searches that took longer than query.slow_threshold_ms.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.SlowQueries) })
	c.counter("themis_index_rebuild_count", "Index builds and rebuilds done.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.IndexRebuilds) })
	c.counter("themis_index_rebuild_duration_ms_total", "Time index builds took.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.IndexRebuildMs) })
	c.counter("themis_index_rebuild_entities_processed_total", "Entities that index builds went over.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.IndexRebuildEntities) })
	c.counter("themis_index_cursor_anchor_hits_total", "Pages that a cursor resumed inside an index.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.CursorAnchorHits) })
	c.counter("themis_index_range_scan_steps_total", "Index entries that range scans went over.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.RangeScanSteps) })
	c.counter("vccdb_filter_terms_hit_total", "Ranges of index terms whose ids filters found in memory.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.TermSets.Hits) })
	c.counter("vccdb_filter_terms_miss_total", "Ranges of index terms whose ids filters had to read.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.TermSets.Misses) })
	c.gauge("vccdb_filter_terms_bytes", "Memory of the ids of index terms that are kept for filters.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.TermSets.Bytes) })
	c.counter("vccdb_expired_entities_total", "Entities removed because their time was up.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.ExpiredEntitiesSwept) })
}

func (c *engineCollector) vectorFigures() {
	c.gauge("vccdb_vector_indexes", "Vector indexes.",
		func(_ *engine.Stats, v *VectorStats) float64 { return float64(v.Indexes) })
	c.gauge("vccdb_vector_live", "Vectors that can be found.",
		func(_ *engine.Stats, v *VectorStats) float64 { return float64(v.Live) })
	c.counter("vccdb_vector_checkpoints_total", "Checkpoints of vector indexes that were made.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Checkpoints.Made) })
	c.counter("vccdb_vector_checkpoint_failures_total", "Checkpoints of vector indexes that could not be made.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Checkpoints.Failures) })
	c.counter("vccdb_vector_checkpoints_damaged_total", "Vector indexes whose checkpoint a start could not use as it was.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Checkpoints.Damaged) })
	c.counter("vccdb_vector_checkpoint_bytes_total", "Bytes written to checkpoints of vector indexes.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Checkpoints.Bytes) })
	c.counter("vccdb_vector_checkpoint_duration_ms_total", "Time that checkpoints of vector indexes took.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Checkpoints.Ms) })
	c.gauge("vccdb_vector_checkpoint_behind", "Changes since the last checkpoint of the vector index that lacks most.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(s.Checkpoints.Behind) })
	c.gauge("vccdb_vector_pending", "Vectors that aren't in a graph yet.",
		func(_ *engine.Stats, v *VectorStats) float64 { return float64(v.Pending) })
	c.gauge("vccdb_vector_tombstones", "Dead slots that still take memory.",
		func(_ *engine.Stats, v *VectorStats) float64 { return float64(v.Tombstones) })
	c.gauge("vccdb_vector_memory_bytes", "Memory of all vector indexes.",
		func(_ *engine.Stats, v *VectorStats) float64 { return float64(v.MemoryBytes) })
	c.gauge("vccdb_vector_file_bytes", "Files with vectors of vector indexes, of which the system keeps in memory what there is room for.",
		func(_ *engine.Stats, v *VectorStats) float64 { return float64(v.FileBytes) })
}

// Describe implements prometheus.Collector.
func (c *engineCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c.figures {
		ch <- f.desc
	}
	ch <- c.filesLevel
	ch <- c.plans
	ch <- c.searches
	ch <- c.jobs
	ch <- c.recall
	ch <- c.fallbacks
}

// Collect implements prometheus.Collector.
func (c *engineCollector) Collect(ch chan<- prometheus.Metric) {
	s, err := c.db.Stats()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.filesLevel, err)
		return
	}
	v := vectorStats(&s)
	for _, f := range c.figures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.read(&s, &v))
	}
	for level, files := range s.Storage.FilesPerLevel {
		ch <- prometheus.MustNewConstMetric(c.filesLevel, prometheus.GaugeValue, float64(files), "L"+strconv.Itoa(level))
	}
	tally(ch, c.plans, s.QueryModes, queryModes)
	tally(ch, c.searches, s.SearchModes, searchModes)
	tally(ch, c.fallbacks, s.Device.CPU, engine.DeviceReasons())
	c.countJobs(ch)
	for i := range s.Recall {
		p := &s.Recall[i]
		ch <- prometheus.MustNewConstMetric(c.recall, prometheus.GaugeValue, p.Recall, p.Table, p.Column)
	}
}

// The modes are shown from the start, at 0, so that rates over them begin with
// the first query.
var (
	queryModes = []string{
		string(query.ModeEmpty), string(query.ModeFullScan), string(query.ModeRangeAware), string(query.ModeIndex), string(query.ModeIndexParallel),
	}
	searchModes = []string{"empty", "exact", "scan", "graph", "filtered_graph", "gpu_scan"}
)

func tally(ch chan<- prometheus.Metric, desc *prometheus.Desc, counts map[string]uint64, modes []string) {
	for _, mode := range modes {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(counts[mode]), mode)
	}
	for mode, count := range counts {
		if !slices.Contains(modes, mode) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(count), mode)
		}
	}
}

func (c *engineCollector) countJobs(ch chan<- prometheus.Metric) {
	counts := map[jobs.State]int{}
	for _, job := range c.db.Jobs().List() {
		counts[job.State]++
	}
	for _, state := range []jobs.State{jobs.Running, jobs.Done, jobs.Failed, jobs.Canceled} {
		ch <- prometheus.MustNewConstMetric(c.jobs, prometheus.GaugeValue, float64(counts[state]), string(state))
	}
}
