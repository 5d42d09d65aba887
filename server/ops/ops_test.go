package ops

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/storage"
)

// fakeDatabase answers with fixed figures.
type fakeDatabase struct {
	readiness engine.Readiness
	stats     engine.Stats
	err       error
	jobs      *jobs.Registry
}

func (f *fakeDatabase) Readiness() engine.Readiness  { return f.readiness }
func (f *fakeDatabase) Stats() (engine.Stats, error) { return f.stats, f.err }
func (f *fakeDatabase) Jobs() *jobs.Registry         { return f.jobs }

// fixture is an Ops over a fake database and a clock that stands still.
type fixture struct {
	*Ops
	db       fakeDatabase
	now      time.Time
	draining bool
	app      *fiber.App
}

func newFixture() *fixture {
	f := &fixture{now: time.Unix(1_000_000, 0), app: fiber.New()}
	f.db.readiness = engine.Readiness{Ready: true}
	f.db.jobs = jobs.NewRegistry(slog.New(slog.DiscardHandler))
	f.db.stats = engine.Stats{
		Storage: storage.Properties{EstimateNumKeys: 12, BlockCacheHit: 3, BlockCacheMiss: 1, BlockCacheUsageBytes: 5,
			BlockCacheCapacityBytes: 6, EstimatePendingCompactionBytes: 7, MemtableSizeBytes: 8, FilesPerLevel: []uint64{4, 0, 0, 0, 0, 0, 9}},
		QueryModes:    map[string]uint64{"index_optimized": 1, "index_parallel": 2, "range_aware": 4, "full_scan_fallback": 8, "empty": 16},
		SearchModes:   map[string]uint64{"graph": 5},
		IndexRebuilds: 21, IndexRebuildMs: 22, IndexRebuildEntities: 23, CursorAnchorHits: 24, RangeScanSteps: 25, SlowQueries: 26,
		Checkpoints:   engine.CheckpointStats{Made: 41, Failures: 42, Damaged: 43, Bytes: 44, Ms: 45, Behind: 46},
		Recall:        []engine.RecallProbe{{Table: "t", Column: "v", Recall: 0.75}},
		VectorIndexes: 3, TermSets: engine.TermSetStats{Hits: 27, Misses: 28, Bytes: 29},
	}
	v := &f.db.stats.Vectors
	v.Live, v.Pending, v.Tombstones, v.Bytes, v.Cold = 30, 1, 2, 312, 200
	f.Ops = New(Options{
		Build:    Build{Version: "1.0.0", Date: "2026-11-22", Commit: "abc1234"},
		Database: &f.db, Now: func() time.Time { return f.now }, Draining: func() bool { return f.draining },
	})
	open := func(auth.Role, problem.Renderer) fiber.Handler { return func(c fiber.Ctx) error { return c.Next() } }
	rest.Register(f.app, f.Routes(), open)
	return f
}

func (f *fixture) get(t *testing.T, path string) (int, string) {
	t.Helper()
	res, err := f.app.Test(httptest.NewRequest("GET", path, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func (f *fixture) expect(t *testing.T, path string, status int, body string) {
	t.Helper()
	if gotStatus, got := f.get(t, path); gotStatus != status || got != body {
		t.Errorf("%s = %d %s\nwant %d %s", path, gotStatus, got, status, body)
	}
}

func TestBuild(t *testing.T) {
	if got := newFixture().o.Build.String(); got != "THEMIS v1.0.0 (build: 2026-11-22, commit: abc1234)" {
		t.Error(got)
	}
}

func TestProbes(t *testing.T) {
	f := newFixture()
	f.now = f.now.Add(90 * time.Second)
	f.expect(t, "/livez", 200, `{"status":"ok"}`)
	f.expect(t, "/readyz", 200, `{"status":"ready"}`)
	f.expect(t, "/health", 200, `{"status":"ok","version":"1.0.0","database":"ready","uptime_seconds":90,"warnings":[]}`)

	f.db.readiness = engine.Readiness{Reason: "loading 100 %", Done: 3, Total: 8}
	f.expect(t, "/livez", 200, `{"status":"ok"}`)
	f.expect(t, "/readyz", 503, `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"loading 100 %","code":"not_ready","done":3,"total":8}`)
	f.expect(t, "/health", 200, `{"status":"degraded","version":"1.0.0","database":"loading 100 %","uptime_seconds":90,"warnings":[]}`)

	f.db.readiness.Ready, f.draining = true, true
	if status, body := f.get(t, "/readyz"); status != 503 || !strings.Contains(body, "shutting down") {
		t.Errorf("draining: %d %s", status, body)
	}
}

func TestVersion(t *testing.T) {
	if status, body := newFixture().get(t, "/version"); status != 200 ||
		!strings.HasPrefix(body, `{"name":"THEMIS","version":"1.0.0","build":"2026-11-22","commit":"abc1234","go":"go1`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestStats(t *testing.T) {
	f := newFixture()
	for range 30 {
		f.Observe("GET", "/x", 200, time.Millisecond)
	}
	f.Observe("GET", "/x", 404, time.Millisecond)
	f.Observe("GET", "/x", 503, time.Millisecond)
	f.now = f.now.Add(5 * time.Second)
	_, body := f.get(t, "/stats")
	var got Stats
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	got.Server.Threads = 0
	if want := (ServerStats{UptimeSeconds: 5, TotalRequests: 32, TotalErrors: 1, QueriesPerSecond: 3.2}); got.Server != want {
		t.Errorf("server: %+v, want %+v", got.Server, want)
	}
	if v := got.Vector; v.Indexes != 3 || v.Live != 30 || v.Pending != 1 || v.Tombstones != 2 || v.MemoryBytes != 112 || v.SearchModes["graph"] != 5 {
		t.Errorf("vector: %+v", v)
	}
	// The path that the deployment guide reads with jq.
	var tree map[string]map[string]map[string]any
	_ = json.Unmarshal([]byte(body), &tree) // other branches have other shapes
	if tree["storage"]["rocksdb"]["estimate_num_keys"] != float64(12) {
		t.Errorf("storage.rocksdb.estimate_num_keys = %v", tree["storage"]["rocksdb"]["estimate_num_keys"])
	}

	f.db.err = errs.New(errs.Unavailable, "storage_closed", "Closed.")
	if status, body := f.get(t, "/stats"); status != 503 || !strings.Contains(body, "storage_closed") {
		t.Errorf("a failing database: %d %s", status, body)
	}
}

func TestMetrics(t *testing.T) {
	f := newFixture()
	f.Observe("GET", "/entities/:key", 200, 2*time.Millisecond)
	f.Observe("GET", "/entities/:key", 404, 2*time.Millisecond)
	f.Observe("POST", "/query", 504, 40*time.Second)
	f.now = f.now.Add(4 * time.Second)
	status, body := f.get(t, "/metrics")
	if status != 200 {
		t.Fatal(status, body)
	}
	samples := parse(t, body)
	want := map[string]float64{
		"vccdb_requests_total": 3, "vccdb_errors_total": 1, "vccdb_qps": .3, "process_uptime_seconds": 4,
		`vccdb_request_duration_seconds_bucket{method="GET",route="/entities/:key",le="0.001"}`:  0,
		`vccdb_request_duration_seconds_bucket{method="GET",route="/entities/:key",le="0.0025"}`: 2,
		`vccdb_request_duration_seconds_bucket{method="POST",route="/query",le="10"}`:            0,
		`vccdb_request_duration_seconds_count{method="POST",route="/query"}`:                     1,
		`vccdb_responses_total{status="200"}`:                                                    1, `vccdb_responses_total{status="404"}`: 1, `vccdb_responses_total{status="504"}`: 1,
		`vccdb_responses_total{status="401"}`: 0, `vccdb_responses_total{status="403"}`: 0, `vccdb_responses_total{status="429"}`: 0,
		"rocksdb_block_cache_usage_bytes": 5, "rocksdb_block_cache_capacity_bytes": 6, "rocksdb_block_cache_hit": 3,
		"rocksdb_block_cache_miss": 1, "rocksdb_estimate_num_keys": 12, "rocksdb_pending_compaction_bytes": 7,
		"rocksdb_memtable_size_bytes": 8, `rocksdb_files_level{level="L0"}`: 4, `rocksdb_files_level{level="L6"}`: 9,
		"vccdb_index_hits_total": 7, "vccdb_full_scan_fallback_total": 8, `vccdb_query_plans_total{mode="empty"}`: 16,
		`vccdb_vector_searches_total{mode="graph"}`: 5,
		"themis_index_rebuild_count":                21, "themis_index_rebuild_duration_ms_total": 22,
		"themis_index_rebuild_entities_processed_total": 23, "themis_index_cursor_anchor_hits_total": 24,
		"themis_index_range_scan_steps_total": 25, "vccdb_slow_queries_total": 26,
		"vccdb_filter_terms_hit_total": 27, "vccdb_filter_terms_miss_total": 28, "vccdb_filter_terms_bytes": 29,
		"vccdb_vector_checkpoints_total": 41, "vccdb_vector_checkpoint_failures_total": 42, "vccdb_vector_checkpoints_damaged_total": 43,
		"vccdb_vector_checkpoint_bytes_total": 44, "vccdb_vector_checkpoint_duration_ms_total": 45, "vccdb_vector_checkpoint_behind": 46,
		`vccdb_vector_recall{column="v",table="t"}`: 0.75,
		"vccdb_vector_indexes":                      3, "vccdb_vector_live": 30, "vccdb_vector_pending": 1, "vccdb_vector_tombstones": 2, "vccdb_vector_memory_bytes": 112, "vccdb_vector_file_bytes": 200,
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, ok := samples[name]; !ok || got != want[name] {
			t.Errorf("%s = %v (present: %t), want %v", name, got, ok, want[name])
		}
	}

	f.db.err = errors.New("broken")
	status, body = f.get(t, "/metrics")
	if _, ok := parse(t, body)["vccdb_requests_total"]; status != 200 || !ok {
		t.Errorf("with a failing database: %d %s", status, body)
	}
}

// parse reads the samples of the text format.
func parse(t *testing.T, body string) map[string]float64 {
	t.Helper()
	samples := map[string]float64{}
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		number, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			t.Fatalf("not a sample: %q", line)
		}
		samples[name] = number
	}
	return samples
}

// TestRocksDBIsComplete holds that /stats shows every figure the storage has.
func TestRocksDBIsComplete(t *testing.T) {
	p := storage.Properties{FilesPerLevel: []uint64{1}}
	fields := reflect.ValueOf(&p).Elem()
	for i := range fields.NumField() {
		switch field := fields.Field(i); field.Kind() {
		case reflect.Uint64:
			field.SetUint(uint64(i) + 1)
		case reflect.Float64:
			field.SetFloat(float64(i) + 1)
		case reflect.Bool:
			field.SetBool(true)
		}
	}
	want, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(rocksDB(&engine.Stats{Storage: p}))
	if err != nil || string(got) != string(want) {
		t.Errorf("got  %s\nwant %s (%v)", got, want, err)
	}
}

func TestOperationsAreTheRoutes(t *testing.T) {
	f := newFixture()
	var described, routed []string
	for _, o := range f.Operations() {
		described = append(described, o.Method+" "+o.Path)
		if status, _ := f.get(t, o.Path); status != 200 {
			t.Errorf("%s: %d", o.Path, status)
		}
	}
	for _, r := range f.app.GetRoutes(true) {
		if r.Method != "HEAD" {
			routed = append(routed, r.Method+" "+r.Path)
		}
	}
	slices.Sort(described)
	slices.Sort(routed)
	if !slices.Equal(described, routed) {
		t.Errorf("described %v, routed %v", described, routed)
	}
}

func TestRate(t *testing.T) {
	now := time.Unix(500, 0)
	r := rate{now: func() time.Time { return now }}
	var got []string
	for second := range 25 {
		if second < 12 {
			r.add()
			r.add()
		}
		now = now.Add(time.Second)
		got = append(got, fmt.Sprint(r.perSecond()))
	}
	want := "0.2 0.4 0.6 0.8 1 1.2 1.4 1.6 1.8 2 2 2 1.8 1.6 1.4 1.2 1 0.8 0.6 0.4 0.2 0 0 0 0"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}
