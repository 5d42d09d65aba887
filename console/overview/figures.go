package overview

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/vccdb/vccdb/console/components"
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
	list := []Figure{
		{Label: "Requests", Value: format.Number(s.Requests) + " /s", Note: fmt.Sprintf("%s errors /s · %s writes /s", format.Number(s.Errors), format.Number(s.Writes))},
		latency,
		{Label: "Memory", Value: format.Size(s.Resident), Note: fmt.Sprintf("vectors %s · Go %s", format.Bytes(v.MemoryBytes), format.Size(s.GoHeap)), Path: "system"},
		{Label: "CPU", Value: number(s.CPUPercent, "%.0f %%"), Note: format.Plural(runtime.GOMAXPROCS(0), "core", "cores") + ", 100 % each", Path: "system"},
		disk(f, s),
		{Label: "Vectors", Value: format.Count(v.Live), Note: vectorNote(v), Path: "indexes"},
		{Label: "Change feed", Value: "Off", Note: "changes aren't recorded", Path: "feed"},
		gpuFigure(f, s),
	}
	if feed := &f.Stats.Feed; feed.Enabled {
		list[6].Value = "#" + format.Count(feed.LatestSequence)
		list[6].Note = fmt.Sprintf("%s kept · %s", format.Plural(feed.Events, "event", "events"), format.Plural(feed.Streams, "stream", "streams"))
	}
	return list
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
		return Figure{Label: "GPU", Value: "None", Note: "searches use the CPU", Path: "system"}
	}
	note := format.Plural(len(devices), "device", "devices") + " · " + format.Size(s.GPUMemory) + " used"
	return Figure{Label: "GPU", Value: number(s.GPUPercent, "%.0f %%"), Note: note, Path: "system"}
}

func number(x float64, as string) string {
	if math.IsNaN(x) {
		return "–"
	}
	return fmt.Sprintf(as, x)
}

// line is a series of a chart.
type line struct {
	name string
	of   func(*history.Sample) float64
}

// chart is a chart of the page. It is shown if it has an only that says so, or none.
type chart struct {
	id, title, unit string
	lines           []line
	only            func(*ops.Stats) bool
}

// chartsOf lists the charts.
func chartsOf(stats *ops.Stats) []chart {
	all := []chart{
		{id: "traffic", title: "Traffic, per second", unit: "count", lines: []line{
			{"requests", func(s *history.Sample) float64 { return s.Requests }},
			{"writes", func(s *history.Sample) float64 { return s.Writes }},
		}},
		{id: "latency", title: "Latency", unit: "ms", lines: []line{
			{"p50", func(s *history.Sample) float64 { return s.P50 }},
			{"p95", func(s *history.Sample) float64 { return s.P95 }},
			{"p99", func(s *history.Sample) float64 { return s.P99 }},
		}},
		{id: "errors", title: "Errors of the server, per second", unit: "count", lines: []line{
			{"answers from 500 up", func(s *history.Sample) float64 { return s.Errors }},
		}},
		{id: "cpu", title: "CPU, 100 % is one core", unit: "percent", lines: []line{
			{"process", func(s *history.Sample) float64 { return s.CPUPercent }},
		}},
		{id: "memory", title: "Memory", unit: "bytes", lines: []line{
			{"process", func(s *history.Sample) float64 { return s.Resident }},
			{"Go heap", func(s *history.Sample) float64 { return s.GoHeap }},
			{"vectors", func(s *history.Sample) float64 { return s.Vectors }},
			{"block cache", func(s *history.Sample) float64 { return s.BlockCache }},
			{"memtables", func(s *history.Sample) float64 { return s.Memtables }},
		}},
		{id: "disk", title: "Disk", unit: "bytes", lines: []line{
			{"free", func(s *history.Sample) float64 { return s.DiskFree }},
			{"used", func(s *history.Sample) float64 { return s.DiskSize - s.DiskFree }},
		}},
		{id: "gpu", title: "GPU", unit: "percent", only: func(s *ops.Stats) bool { return len(s.GPU.Devices) > 0 }, lines: []line{
			{"busy", func(s *history.Sample) float64 { return s.GPUPercent }},
		}},
	}
	return slices.DeleteFunc(all, func(c chart) bool { return c.only != nil && !c.only(stats) })
}

// maxPoints bounds what a page carries of each series; an hour has three times as
// many samples.
const maxPoints = 240

// charts are the page's, filled.
func charts(f *Facts) []components.Chart {
	var list []components.Chart
	for _, c := range chartsOf(&f.Stats) {
		filled := components.Chart{ID: "chart-" + c.id, Title: c.title, Unit: c.unit, Event: c.id}
		group := (len(f.Samples) + maxPoints - 1) / maxPoints
		for chunk := range slices.Chunk(f.Samples, max(group, 1)) {
			filled.Times = append(filled.Times, chunk[len(chunk)-1].Time.Unix())
		}
		for _, l := range c.lines {
			s := components.Series{Name: l.name}
			for chunk := range slices.Chunk(f.Samples, max(group, 1)) {
				s.Values = append(s.Values, mean(chunk, l.of))
			}
			filled.Series = append(filled.Series, s)
		}
		list = append(list, filled)
	}
	return list
}

// mean leaves out what isn't a number; it is none itself if nothing is left.
func mean(samples []history.Sample, of func(*history.Sample) float64) float64 {
	var sum, n float64
	for i := range samples {
		if v := of(&samples[i]); !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	return sum / n
}

// point is a chart's next one.
func (c *chart) point(s *history.Sample) components.Point {
	p := components.Point{Time: s.Time.Unix()}
	for _, l := range c.lines {
		p.Values = append(p.Values, l.of(s))
	}
	return p
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
