package overview

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/vccdb/vccdb/console/charts"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
)

// Facts are what the page is made from.
type Facts struct {
	Now     time.Time
	Health  ops.Health
	Ready   engine.Readiness
	Stats   ops.Stats
	Samples []history.Sample
	Tables  []engine.TableInfo
	Jobs    []jobs.Status
	// Restart names the settings that a restart would change, RestartError says why
	// it would fail.
	Restart      []string
	RestartError string
	// SlowQueries counts those of the last hour that are remembered.
	SlowQueries int
}

func (f *Facts) first() (history.Sample, bool) {
	if len(f.Samples) == 0 {
		return history.Sample{}, false
	}
	return f.Samples[0], true
}

func (f *Facts) last() (history.Sample, bool) {
	if len(f.Samples) == 0 {
		return history.Sample{}, false
	}
	return f.Samples[len(f.Samples)-1], true
}

// since are the samples of the last while.
func (f *Facts) since(d time.Duration) []history.Sample {
	from := f.Now.Add(-d)
	i := slices.IndexFunc(f.Samples, func(s history.Sample) bool { return s.Time.After(from) })
	if i < 0 {
		return nil
	}
	return f.Samples[i:]
}

// Figure is one number at the top.
type Figure struct {
	Label, Value, Note string
	// Path leads to more about it; empty leads nowhere.
	Path string
}

// figures are those at the top, the most watched first.
func figures(f *Facts) []Figure {
	s, ok := f.last()
	if !ok {
		nan := math.NaN()
		s = history.Sample{Requests: nan, Errors: nan, Writes: nan, P50: nan, P95: nan, P99: nan, CPUPercent: nan, Resident: nan,
			GoHeap: nan, DiskFree: nan, DiskSize: nan, GPUPercent: nan, GPUMemory: nan}
	}
	v := &f.Stats.Vector
	latency := Figure{Label: "p95 latency", Value: format.Millis(s.P95), Note: fmt.Sprintf("p50 %s · p99 %s", format.Millis(s.P50), format.Millis(s.P99)), Path: "slow"}
	if math.IsNaN(s.P95) {
		latency.Value, latency.Note = "–", "no requests in the last 5 s"
	}
	return []Figure{
		{Label: "Requests", Value: format.Number(s.Requests) + " /s", Note: fmt.Sprintf("%s errors /s · %s writes /s", format.Number(s.Errors), format.Number(s.Writes))},
		latency,
		{Label: "Memory", Value: format.Size(s.Resident), Note: fmt.Sprintf("vectors %s · Go %s", format.Bytes(v.MemoryBytes), format.Size(s.GoHeap)), Path: "system"},
		{Label: "CPU", Value: percent(s.CPUPercent), Note: format.Plural(runtime.GOMAXPROCS(0), "core", "cores") + ", 100 % each", Path: "system"},
		disk(f, s),
		{Label: "Vectors", Value: format.Count(v.Live), Note: vectorNote(v), Path: "indexes"},
		feedFigure(f),
		gpuFigure(f, s),
	}
}

func feedFigure(f *Facts) Figure {
	feed := &f.Stats.Feed
	if !feed.Enabled {
		return Figure{Label: "Change feed", Value: "Off", Note: "changes aren't recorded", Path: "feed"}
	}
	note := fmt.Sprintf("%s kept · %s", format.Plural(feed.Events, "event", "events"), format.Plural(feed.Streams, "stream", "streams"))
	return Figure{Label: "Change feed", Value: "#" + format.Count(feed.LatestSequence), Note: note, Path: "feed"}
}

func disk(f *Facts, s history.Sample) Figure {
	d := Figure{Label: "Disk free", Value: format.Size(s.DiskFree), Path: "tables"}
	r := &f.Stats.Storage.RocksDB
	d.Note = "data take " + format.Bytes(r.TotalSSTFilesSizeBytes+r.CurSizeAllMemTablesBytes)
	if s.DiskSize > 0 {
		d.Note = fmt.Sprintf("of %s · ", format.Size(s.DiskSize)) + d.Note
	}
	return d
}

func vectorNote(v *ops.VectorStats) string {
	note := "in " + format.Plural(v.Indexes, "index", "indexes")
	if v.Pending > 0 {
		note += " · " + format.Count(v.Pending) + " pending"
	}
	return note
}

func gpuFigure(f *Facts, s history.Sample) Figure {
	devices := f.Stats.GPU.Devices
	if len(devices) == 0 {
		return Figure{Label: "GPU", Value: "None", Note: "searches use the CPU", Path: "gpu"}
	}
	note := format.Plural(len(devices), "device", "devices") + " · " + format.Size(s.GPUMemory) + " used"
	return Figure{Label: "GPU", Value: percent(s.GPUPercent), Note: note, Path: "gpu"}
}

func percent(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", x)
}

// chartsOf lists the charts.
func chartsOf(stats *ops.Stats) []charts.Chart {
	list := []charts.Chart{
		{ID: "traffic", Title: "Traffic, per second", Unit: "count", Lines: []charts.Line{
			{Name: "requests", Of: func(s *history.Sample) float64 { return s.Requests }},
			{Name: "writes", Of: func(s *history.Sample) float64 { return s.Writes }},
		}},
		{ID: "latency", Title: "Latency", Unit: "ms", Lines: []charts.Line{
			{Name: "p50", Of: func(s *history.Sample) float64 { return s.P50 }},
			{Name: "p95", Of: func(s *history.Sample) float64 { return s.P95 }},
			{Name: "p99", Of: func(s *history.Sample) float64 { return s.P99 }},
		}},
		{ID: "errors", Title: "Errors of the server, per second", Unit: "count", Lines: []charts.Line{
			{Name: "answers from 500 up", Of: func(s *history.Sample) float64 { return s.Errors }},
		}},
		{ID: "cpu", Title: "CPU, 100 % is one core", Unit: "percent", Lines: []charts.Line{
			{Name: "process", Of: func(s *history.Sample) float64 { return s.CPUPercent }},
		}},
		{ID: "memory", Title: "Memory", Unit: "bytes", Lines: []charts.Line{
			{Name: "process", Of: func(s *history.Sample) float64 { return s.Resident }},
			{Name: "Go heap", Of: func(s *history.Sample) float64 { return s.GoHeap }},
			{Name: "vectors", Of: func(s *history.Sample) float64 { return s.Vectors }},
			{Name: "block cache", Of: func(s *history.Sample) float64 { return s.BlockCache }},
			{Name: "memtables", Of: func(s *history.Sample) float64 { return s.Memtables }},
		}},
		{ID: "disk", Title: "Disk", Unit: "bytes", Lines: []charts.Line{
			{Name: "free", Of: func(s *history.Sample) float64 { return s.DiskFree }},
			{Name: "used", Of: func(s *history.Sample) float64 { return s.DiskSize - s.DiskFree }},
		}},
	}
	if len(stats.GPU.Devices) > 0 {
		list = append(list, charts.Chart{ID: "gpu", Title: "GPU", Unit: "percent", Lines: []charts.Line{
			{Name: "busy", Of: func(s *history.Sample) float64 { return s.GPUPercent }},
		}})
	}
	return list
}

// TableRow is a table in the list of the largest.
type TableRow struct {
	Name            string
	Entities, Bytes uint64
	Indexes         int
}

// listed is how many tables and jobs the page shows.
const listed = 6

func largest(tables []engine.TableInfo) []TableRow {
	var rows []TableRow
	for _, t := range tables {
		rows = append(rows, TableRow{t.Name, t.Entities, t.SizeBytes, len(t.Indexes)})
	}
	slices.SortFunc(rows, func(a, b TableRow) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Entities, a.Entities), cmp.Compare(a.Name, b.Name))
	})
	return rows[:min(len(rows), listed)]
}
