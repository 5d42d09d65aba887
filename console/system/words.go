package system

import (
	"math"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
)

func goVersion() string { return strings.TrimPrefix(runtime.Version(), "go") }

func processFacts(p *Process, server *ops.ServerStats, samples []history.Sample) []Fact {
	facts := []Fact{
		{"Up", format.Duration(time.Duration(server.UptimeSeconds) * time.Second), "process " + strconv.Itoa(p.PID)},
		{"Requests", format.Count(server.TotalRequests), format.Plural(server.TotalErrors, "error", "errors") + " of the server"},
	}
	if n := len(samples); n > 0 {
		last := samples[n-1]
		facts = append(facts, Fact{"Memory", format.Size(last.Resident), "as the system counts it"}, Fact{"CPU", percent(last.CPUPercent), "100 % is one core"})
	}
	files := Fact{"Open files", format.Count(p.OpenFiles), ""}
	if p.MaxFiles > 0 && p.MaxFiles < math.MaxInt64 {
		files.Note = "of " + format.Count(p.MaxFiles)
	}
	return append(facts, files, Fact{"Threads", format.Count(p.Threads), "those of RocksDB among them"})
}

func runtimeFacts(r *GoRuntime) []Fact {
	facts := []Fact{
		{"Goroutines", format.Count(r.Goroutines), "on " + format.Plural(r.MaxProcs, "thread", "threads") + " at a time"},
		{"Heap", format.Bytes(r.HeapBytes), "the next collection begins at " + format.Bytes(r.HeapGoal)},
		{"Taken from the system", format.Bytes(r.Total), ""},
		{"Collections", format.Count(r.Collections), ""},
	}
	if !math.IsNaN(r.PauseMost) {
		facts[3].Note = "paused " + format.Millis(r.PauseP50) + " at the median, " + format.Millis(r.PauseMost) + " at most"
	}
	if r.Limit > 0 {
		facts[2].Note = "GOMEMLIMIT is " + format.Bytes(r.Limit)
	}
	return facts
}

func percent(p float64) string {
	if math.IsNaN(p) {
		return "–"
	}
	return format.Number(math.Round(p*10)/10) + " %"
}

func memory(d *gpu.Device) string {
	return format.Bytes(d.MemoryUsedBytes) + " of " + format.Bytes(d.MemoryTotalBytes)
}

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
