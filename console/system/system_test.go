package system

import (
	"math"
	"net/http"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/web"
)

// find returns the value and the note of a fact.
func find(t *testing.T, facts []Fact, name string) string {
	t.Helper()
	for _, f := range facts {
		if f.Name == name {
			return strings.TrimSpace(f.Value + " " + f.Note)
		}
	}
	t.Errorf("there is no %s in %v", name, facts)
	return ""
}

func TestStorage(t *testing.T) {
	var in engine.Internals
	in.Work.Flushed, in.Work.CompactionWritten, in.Work.StallMicros = 1000, 2000, 1_500_000
	stats := &ops.Stats{}
	r := &stats.Storage.RocksDB
	r.BlockCacheHit, r.BlockCacheMiss, r.CacheHitRatePercent = 1, 1, 50
	r.BlockCacheUsageBytes, r.BlockCacheCapacityBytes, r.NumSnapshots = 1024, 2048, 1
	facts := storageFacts(stats, &in)
	for name, want := range map[string]string{
		"Block cache": "1 KiB of 2 KiB, 50 % of reads found theirs in it",
		"Compaction":  "0 B read 1.95 KiB written, each byte 3 times",
		"Writes":      "at full speed", "Held up since the start": "1.5 s",
		"Last sequence": "0 1 snapshot is held by readers",
	} {
		if got := find(t, facts, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	r.ActualDelayedWriteRate, r.BackgroundErrors = 2048, 3
	facts = storageFacts(stats, &in)
	if got := find(t, facts, "Writes"); got != "slowed down to 2 KiB/s" {
		t.Error(got)
	}
	find(t, facts, "Failures of background work")
	r.IsWriteStopped = true
	if got := find(t, storageFacts(stats, &in), "Writes"); !strings.HasPrefix(got, "stopped") {
		t.Error(got)
	}
}

func TestLevels(t *testing.T) {
	var in engine.Internals
	in.Levels = make([]storage.Level, 2)
	in.Levels[0].Bytes, in.Levels[1].Bytes, in.Levels[1].Files = 1024, 3*1024, 2
	in.Levels[1].Entries, in.Levels[1].Deletions = 8, 2
	rows := levelRows(&in)
	if rows[0].Deleted != "–" || rows[1] != (LevelRow{"L1", "2", "3 KiB", "8", "25 %", .75}) {
		t.Errorf("%+v", rows)
	}
}

func TestEveryFamilyIsExplained(t *testing.T) {
	db, err := engine.Open(t.Context(), engine.Options{Storage: storage.Options{Path: t.TempDir(), CreateIfMissing: true, MemtableSizeMB: 8, BlockCacheSizeMB: 8}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	in, err := db.Internals()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families(&in) {
		if f.Holds == "" {
			t.Errorf("nothing says what the column family %s holds", f.Name)
		}
	}
}

func TestProcess(t *testing.T) {
	p := readProcess()
	if p.OpenFiles == 0 || p.MaxFiles == 0 || p.Threads == 0 || p.Go.Goroutines == 0 || p.Go.HeapBytes == 0 || p.Go.Total < p.Go.HeapBytes || p.Go.MaxProcs == 0 {
		t.Errorf("%+v", p)
	}
	samples := []history.Sample{{Resident: 1 << 20, CPUPercent: 12.34}}
	facts := processFacts(&Process{PID: 7, OpenFiles: 3, MaxFiles: 1024, Threads: 9}, &ops.ServerStats{UptimeSeconds: 90, TotalErrors: 1}, samples)
	for name, want := range map[string]string{
		"Up": "1 min 30 s process 7", "Requests": "0 1 error of the server", "Memory": "1 MiB as the system counts it", "CPU": "12.3 % 100 % is one core",
		"Open files": "3 of 1,024",
	} {
		if got := find(t, facts, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := find(t, runtimeFacts(&GoRuntime{Collections: 3, PauseP50: .1, PauseMost: 2, Limit: 1 << 30}), "Collections"); got != "3 paused 0.1 ms at the median, 2 ms at most" {
		t.Error(got)
	}
}

func TestQuantile(t *testing.T) {
	h := &metrics.Float64Histogram{Counts: []uint64{1, 2, 1}, Buckets: []float64{0, 1, 2, math.Inf(1)}}
	if p50, most := quantile(h, .5), quantile(h, 1); p50 != 2 || most != 2 {
		t.Errorf("%v, %v", p50, most)
	}
	if got := quantile(&metrics.Float64Histogram{Counts: []uint64{0}, Buckets: []float64{0, 1}}, .5); !math.IsNaN(got) {
		t.Errorf("of nothing: %v", got)
	}
}

func TestModules(t *testing.T) {
	m := readMachine()
	if m.Kernel == "" || m.Cores == 0 || m.Processor == "" {
		t.Errorf("%+v", m)
	}
	modules, _ := readModules()
	for _, m := range modules {
		if m.Path == "" || m.Version == "" {
			t.Errorf("%+v", m)
		}
	}
}

// TestRoles: who may not flush sees why, and what devices and licences say is text.
func TestRolesAndText(t *testing.T) {
	hostile := `"><script>alert(1)</script>`
	half := 50.0
	v := View{
		GPU:      ops.GPUStats{Devices: []gpu.Device{{Name: hostile, MemoryTotalBytes: 10, UtilizationPercent: &half}}},
		Compacts: []jobs.Status{{ID: "1", Kind: "compact", Subject: hostile, State: jobs.Running}},
		Machine:  Machine{Processor: hostile}, Build: ops.Build{Version: hostile},
	}
	render := func(role auth.Role) string {
		var out strings.Builder
		ctx := view.With(t.Context(), &view.View{Root: "./", Principal: auth.Principal{Role: role}})
		if err := content(v).Render(ctx, &out); err != nil {
			t.Fatal(err)
		}
		if err := licencePage([]web.Licence{{Name: hostile, Text: hostile}}, []Module{{hostile, hostile}}, "1").Render(ctx, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	reader, admin := render(auth.ReadOnly), render(auth.Admin)
	if strings.Contains(admin, "<script>") {
		t.Error("a script got through")
	}
	if strings.Count(reader, "needs the role admin") < 2 || strings.Contains(admin, "needs the role admin") {
		t.Error("the buttons don't know roles")
	}
	if !strings.Contains(admin, "50 %") {
		t.Error("the device's figures are missing")
	}
}

func TestFlushAndCompact(t *testing.T) {
	db, err := engine.Open(t.Context(), engine.Options{Storage: storage.Options{Path: t.TempDir(), CreateIfMissing: true, MemtableSizeMB: 8, BlockCacheSizeMB: 8}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	past := history.New(history.Options{Database: db})
	defer past.Close()
	site := consoletest.Serve(t, func(f *page.Frame) console.Group {
		return New(f, Options{Database: db, Ops: ops.New(ops.Options{Database: db}), History: past, Licences: []web.Licence{{Name: "left-pad", Licence: "WTFPL"}}})
	})
	if _, err := db.Apply(t.Context(), []engine.Op{{Kind: engine.OpPut, Key: engine.Key{Table: "t", PK: "1"}, Doc: []byte(`{}`)}}, true); err != nil {
		t.Fatal(err)
	}
	site.Holds(site.Get("system"), http.StatusOK, "Column families", "entities", "There are no devices", "Goroutines")
	site.Holds(site.Follow(site.Post("system/flush")), http.StatusOK, "Storage")
	in, err := db.Internals()
	if err != nil || in.Levels[0].Files == 0 {
		t.Errorf("nothing was flushed: %+v, %v", in.Levels, err)
	}
	answer := site.Post("system/compact")
	list := db.Jobs().List()
	if len(list) != 1 || list[0].Kind != "compact" || answer.Status != http.StatusSeeOther || answer.Location != "jobs/"+list[0].ID {
		t.Errorf("%+v %+v", answer, list)
	}
	site.Holds(site.Get("system/licences"), http.StatusOK, "left-pad", "WTFPL", "Go modules")
}
