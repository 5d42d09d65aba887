package overview

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
)

var now = time.Unix(1_000_000, 0)

// healthy are facts with which nothing is wrong.
func healthy() *Facts {
	f := &Facts{Now: now, Health: ops.Health{Status: "ok", Version: "1.0.0"}, Ready: engine.Readiness{Ready: true}}
	f.Stats.Storage.Health = ops.HealthStats{Writable: true, FreeBytes: 50 << 30, ReserveBytes: 1 << 30, ResumeBytes: 2 << 30}
	f.Stats.Storage.Copies.LastBackup = now.Add(-time.Hour)
	f.Stats.Query.Tables = 1
	for i := range 720 {
		f.Samples = append(f.Samples, history.Sample{
			Time: now.Add(time.Duration(i-719) * 5 * time.Second), P50: 1, P95: 2, P99: 3, DiskFree: 50, DiskSize: 100, GPUPercent: math.NaN(),
		})
	}
	return f
}

func TestNothingNeedsAttention(t *testing.T) {
	if items := attention(healthy()); len(items) != 0 {
		t.Errorf("%+v", items)
	}
	if items := attention(&Facts{Now: now, Ready: engine.Readiness{Ready: true}, Stats: ops.Stats{Storage: ops.StorageStats{Health: ops.HealthStats{Writable: true}}}}); len(items) != 0 {
		t.Errorf("a new database: %+v", items)
	}
}

// TestAttention: each thing that is wrong is told once, and leads to where it is
// mended.
func TestAttention(t *testing.T) {
	last := func(f *Facts) *history.Sample { return &f.Samples[len(f.Samples)-1] }
	ended := func(ago time.Duration) *time.Time { at := now.Add(-ago); return &at }
	for name, c := range map[string]struct {
		spoil       func(*Facts)
		kind, title string
		path        string
	}{
		"loading": {func(f *Facts) { f.Ready = engine.Readiness{Reason: "vectors are being loaded", Done: 1, Total: 3} },
			"warn", "isn't ready yet", "indexes"},
		"failed": {func(f *Facts) { f.Ready = engine.Readiness{Reason: "the vectors could not be loaded", Failed: true} },
			"danger", "isn't ready", "logs"},
		"disk full": {func(f *Facts) {
			f.Stats.Storage.Health.Writable, f.Stats.Storage.Health.Code = false, "disk_full"
			f.Ready = engine.Readiness{Reason: "the disk is full"}
		}, "danger", "disk is full", "tables"},
		"storage failed": {func(f *Facts) {
			f.Stats.Storage.Health.Writable, f.Stats.Storage.Health.Code = false, "storage_failed"
			f.Ready = engine.Readiness{Reason: "a write failed", Failed: true}
		}, "danger", "storage failed", "logs"},
		"disk low": {func(f *Facts) { last(f).DiskFree = 9 }, "warn", "getting full", "tables"},
		"no gpu": {func(f *Facts) {
			f.Stats.GPU = ops.GPUStats{Wanted: true, Reason: "no driver", Worker: ops.WorkerStats{State: "unavailable"}}
		}, "warn", "The GPU isn't used", "gpu"},
		"slowed":     {func(f *Facts) { f.Stats.Storage.RocksDB.ActualDelayedWriteRate = 1 }, "warn", "wait for compaction", "system"},
		"background": {func(f *Facts) { f.Stats.Storage.RocksDB.BackgroundErrors = 2 }, "danger", "2 flushes or compactions have failed", "logs"},
		"exposed":    {func(f *Facts) { f.Health.Warnings = []string{"THE SERVER IS OPEN"} }, "danger", "Anybody", "settings"},
		"archive": {func(f *Facts) {
			f.Stats.Storage.Archive = ops.ArchiveStats{Enabled: true, LastError: "no space", LagSeconds: 400}
		}, "danger", "Archiving writes fails", "copies"},
		"archive behind": {func(f *Facts) { f.Stats.Storage.Archive = ops.ArchiveStats{Enabled: true, LagSeconds: 400} }, "warn", "behind", "copies"},
		"archive gap":    {func(f *Facts) { f.Stats.Storage.Archive = ops.ArchiveStats{Enabled: true, Gaps: 1} }, "warn", "gap", "copies"},
		"errors":         {func(f *Facts) { last(f).Errors = 2 }, "warn", "10 requests have failed", "logs"},
		"slow": {func(f *Facts) {
			for i := range f.Samples {
				f.Samples[i].P99 = 1500
			}
			f.SlowQueries = 3
		}, "warn", "Requests are slow", "slow"},
		"slow queries": {func(f *Facts) { f.SlowQueries = 3 }, "info", "3 slow queries", "slow"},
		"running":      {func(f *Facts) { f.Jobs = []jobs.Status{{State: jobs.Running, Kind: "index_build", Done: 1, Total: 2}} }, "info", "1 job is running", "jobs"},
		"job failed":   {func(f *Facts) { f.Jobs = []jobs.Status{{State: jobs.Failed, Finished: ended(time.Hour)}} }, "warn", "1 job has failed", "jobs"},
		"no copy":      {func(f *Facts) { f.Stats.Storage.Copies = ops.CopyStats{} }, "warn", "no copy", "copies"},
		"old copy": {func(f *Facts) {
			f.Stats.Storage.Copies = ops.CopyStats{LastSnapshot: now.Add(-25 * time.Hour), LastBackup: now.Add(-50 * time.Hour)}
		}, "warn", "older than a day", "copies"},
		"restart":      {func(f *Facts) { f.Restart = []string{"server.port"} }, "info", "would change 1 setting", "settings"},
		"no restart":   {func(f *Facts) { f.RestartError = "the config file can't be read" }, "danger", "restart would fail", "settings"},
		"slow readers": {func(f *Facts) { f.Stats.Feed.SlowReadersCut = 2 }, "warn", "don't keep up", "feed"},
		"pending":      {func(f *Facts) { f.Stats.Vector.Pending = 200_000 }, "info", "200,000 vectors wait", "indexes"},
		"tombstones":   {func(f *Facts) { f.Stats.Vector.Live, f.Stats.Vector.Tombstones = 2000, 1500 }, "info", "Deleted vectors", "indexes"},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			c.spoil(f)
			items := attention(f)
			if len(items) != 1 || items[0].Kind != c.kind || !strings.Contains(items[0].Title, c.title) || items[0].Path != c.path || items[0].Detail == "" || items[0].Action == "" {
				t.Errorf("%+v", items)
			}
		})
	}
}

func TestOldTroubleIsForgotten(t *testing.T) {
	f := healthy()
	f.Samples[100].Errors = 5
	yesterday := now.Add(-25 * time.Hour)
	f.Jobs = []jobs.Status{{State: jobs.Failed, Finished: &yesterday}, {State: jobs.Done, Finished: &now}}
	if items := attention(f); len(items) != 0 {
		t.Errorf("%+v", items)
	}
}

func TestTheWorstComesFirst(t *testing.T) {
	f := healthy()
	f.SlowQueries = 1
	f.Stats.Storage.Copies = ops.CopyStats{}
	f.RestartError = "broken"
	items := attention(f)
	var kinds []string
	for _, i := range items {
		kinds = append(kinds, i.Kind)
	}
	if strings.Join(kinds, " ") != "danger warn info" {
		t.Errorf("%v", kinds)
	}
	if fingerprint(items) == fingerprint(items[1:]) || fingerprint(items) != fingerprint(attention(f)) {
		t.Error("the fingerprint doesn't tell lists apart")
	}
}

func TestChartOfDevices(t *testing.T) {
	f := healthy()
	if list := build(f).Charts; len(list) != 6 {
		t.Errorf("%d charts", len(list))
	}
	f.Stats.GPU.Devices = []gpu.Device{{}}
	if list := build(f).Charts; len(list) != 7 || list[6].Event != "gpu" {
		t.Errorf("with a device there are %d charts", len(list))
	}
}

func TestFiguresBeforeTheFirstSample(t *testing.T) {
	f := healthy()
	f.Samples = nil
	for _, figure := range figures(f) {
		if strings.Contains(figure.Value+figure.Note, "NaN") {
			t.Errorf("%+v", figure)
		}
	}
	if len(build(f).Charts) == 0 {
		t.Error("no charts")
	}
}

func TestLargestTables(t *testing.T) {
	var tables []engine.TableInfo
	for i := range 20 {
		tables = append(tables, engine.TableInfo{Name: string(rune('a' + i)), SizeBytes: uint64(i / 2), Entities: uint64(i % 2)})
	}
	rows := largest(tables)
	if len(rows) != listed || rows[0].Name != "t" || rows[1].Name != "s" || rows[5].Name != "o" {
		t.Errorf("%v", rows)
	}
}

// TestHostileText: names and errors of others are text in the page.
func TestHostileText(t *testing.T) {
	hostile := `"><script>alert(1)</script>` + "\u202e" + strings.Repeat("x", 10_000)
	f := healthy()
	f.Tables = []engine.TableInfo{{Name: hostile}}
	f.Jobs = []jobs.Status{{ID: hostile, Kind: hostile, Subject: hostile, State: jobs.Failed, Error: hostile, Finished: &now}}
	f.Restart, f.Health.Version = []string{hostile}, hostile
	var out strings.Builder
	ctx := view.With(t.Context(), &view.View{Root: "./", Principal: auth.Principal{Role: auth.ReadOnly}})
	if err := content(build(f)).Render(ctx, &out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "<script>alert") {
		t.Error("a script got through")
	}
}
