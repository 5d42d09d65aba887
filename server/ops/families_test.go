package ops

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/storage"
)

// with returns the fixture with other options.
func (f *fixture) with(change func(*Options)) *fixture {
	o := f.o
	change(&o)
	f.Ops, f.app = New(o), fiber.New()
	open := func(auth.Role, problem.Renderer) fiber.Handler { return func(c fiber.Ctx) error { return c.Next() } }
	rest.Register(f.app, f.Routes(), open)
	return f
}

func TestFeed(t *testing.T) {
	f := newFixture()
	f.db.stats.Feed = engine.FeedStats{
		Enabled: true, Oldest: 11, Latest: 12, Events: 13, Bytes: 14, Retention: 3 * time.Hour, Streams: 15, Waiting: 16,
		SlowReadersCut: 17, EventsRead: 18, EventsTrimmed: 19,
	}
	_, body := f.get(t, "/metrics")
	samples := parse(t, body)
	for name, want := range map[string]float64{
		"vccdb_changefeed_enabled": 1, "vccdb_changefeed_oldest_sequence": 11, "vccdb_changefeed_latest_sequence": 12,
		"vccdb_changefeed_events": 13, "vccdb_changefeed_size_bytes": 14, "vccdb_changefeed_retention_seconds": 10800,
		"vccdb_changefeed_streams": 15, "vccdb_changefeed_waiting": 16, "vccdb_changefeed_slow_readers_cut_total": 17,
		"vccdb_changefeed_events_read_total": 18, "vccdb_changefeed_events_trimmed_total": 19,
	} {
		if got, ok := samples[name]; !ok || got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	const want = `"feed":{"enabled":true,"oldest_sequence":11,"latest_sequence":12,"events":13,"bytes":14,"retention_hours":3,` +
		`"streams":15,"waiting":16,"slow_readers_cut":17,"events_read":18,"events_trimmed":19}`
	if _, body := f.get(t, "/stats"); !strings.Contains(body, want) {
		t.Errorf("%s\nlacks %s", body, want)
	}
}

func TestDurability(t *testing.T) {
	f := newFixture()
	f.db.stats.Health = storage.Health{Writable: true, FreeBytes: 30, ReserveBytes: 31, ResumeBytes: 32, Failures: 33, Resumes: 34}
	f.db.stats.Archive = storage.ArchiveStats{Enabled: true, LastSequence: 35, LagRows: 36, LagSeconds: 1.5, Bytes: 37, Failures: 38, Gaps: 39, LastError: "no space"}
	f.db.stats.Copies = engine.CopyStats{LastBackup: time.Unix(1_790_000_000, 5e8)}
	_, body := f.get(t, "/metrics")
	samples := parse(t, body)
	for name, want := range map[string]float64{
		"vccdb_writable": 1, "vccdb_disk_reserve_bytes": 31, "vccdb_write_stops_total": 33, "vccdb_write_resumes_total": 34,
		"vccdb_wal_archive_enabled": 1, "vccdb_wal_archive_last_sequence": 35, "vccdb_wal_archive_lag_rows": 36,
		"vccdb_wal_archive_lag_seconds": 1.5, "vccdb_wal_archive_written_bytes_total": 37, "vccdb_wal_archive_failures_total": 38,
		"vccdb_wal_archive_gaps_total":        39,
		"vccdb_last_backup_timestamp_seconds": 1_790_000_000.5, "vccdb_last_snapshot_timestamp_seconds": 0,
	} {
		if got, ok := samples[name]; !ok || got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	const want = `"health":{"writable":true,"free_bytes":30,"reserve_bytes":31,"resume_bytes":32,"failures":33,"resumes":34},` +
		`"archive":{"enabled":true,"last_sequence":35,"lag_rows":36,"lag_seconds":1.5,"bytes":37,"failures":38,"gaps":39,"last_error":"no space"},` +
		`"copies":{"last_backup":"2026-09-21T14:13:20.5Z"}`
	if _, body := f.get(t, "/stats"); !strings.Contains(body, want) {
		t.Errorf("%s\nlacks %s", body, want)
	}
}

func TestJobsAreCounted(t *testing.T) {
	f := newFixture()
	defer f.db.jobs.Close()
	for _, outcome := range []error{nil, nil, errors.New("broken")} {
		job, err := f.db.jobs.Start("build", "x", func(context.Context, jobs.Progress) error { return outcome })
		if err != nil {
			t.Fatal(err)
		}
		_ = job.Wait(t.Context()) // its outcome is known
	}
	if _, err := f.db.jobs.Start("build", "x", func(ctx context.Context, _ jobs.Progress) error { <-ctx.Done(); return ctx.Err() }); err != nil {
		t.Fatal(err)
	}
	_, body := f.get(t, "/metrics")
	samples := parse(t, body)
	for state, want := range map[string]float64{"running": 1, "done": 2, "failed": 1, "canceled": 0} {
		if got := samples[`vccdb_jobs{state="`+state+`"}`]; got != want {
			t.Errorf("%s: %v, want %v", state, got, want)
		}
	}
}

func TestMachine(t *testing.T) {
	f := newFixture().with(func(o *Options) { o.DataPath = t.TempDir() })
	_, body := f.get(t, "/metrics")
	samples := parse(t, body)
	size, free := samples["vccdb_disk_size_bytes"], samples["vccdb_disk_free_bytes"]
	if size < 1<<20 || free <= 0 || free > size {
		t.Errorf("size %v, free %v", size, free)
	}
	if !strings.Contains(body, `vccdb_build_info{commit="abc1234",go="go1`) {
		t.Errorf("no build: %s", body)
	}
	if samples["vccdb_ready"] != 1 {
		t.Error("it isn't ready")
	}
	f.db.readiness = engine.Readiness{Reason: "loading"}
	f.with(func(o *Options) { o.DataPath += "/gone" })
	_, body = f.get(t, "/metrics")
	samples = parse(t, body)
	if _, ok := samples["vccdb_disk_free_bytes"]; ok || samples["vccdb_ready"] != 0 {
		t.Errorf("without the folder, and loading: %s", body)
	}
}

func TestWarnings(t *testing.T) {
	f := newFixture().with(func(o *Options) {
		o.Warnings = func() []string { return []string{"Anybody on the network may write."} }
	})
	f.expect(t, "/health", 200, `{"status":"ok","version":"1.0.0","database":"ready","uptime_seconds":0,"warnings":["Anybody on the network may write."]}`)
}

// TestBoundedLabels holds that traffic of any kind adds no more series than
// routes, methods and statuses there are.
func TestBoundedLabels(t *testing.T) {
	f := newFixture()
	count := func() int { _, body := f.get(t, "/metrics"); return len(parse(t, body)) }
	f.Observe("GET", "/entities/:key", 200, time.Millisecond)
	before := count()
	for i := range 1000 {
		f.Observe("GET", "/entities/:key", 200, time.Duration(i)*time.Millisecond)
	}
	if after := count(); after != before {
		t.Errorf("%d series became %d", before, after)
	}
}
