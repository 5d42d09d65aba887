package system

import (
	"cmp"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/unix"

	"github.com/vccdb/vccdb/engine"
)

// Process is what the operating system and Go say of the server.
type Process struct {
	PID int
	// OpenFiles of MaxFiles are open; 0 if that isn't known.
	OpenFiles, MaxFiles uint64
	Threads             int
	Go                  GoRuntime
}

// GoRuntime is the state of Go's scheduler and collector.
type GoRuntime struct {
	Goroutines, MaxProcs uint64
	// HeapBytes are objects, HeapGoal is where the next collection begins, Total all
	// that Go took from the system. Limit is GOMEMLIMIT, 0 if there is none.
	HeapBytes, HeapGoal, Total, Limit uint64
	Collections                       uint64
	// PauseP50 and PauseMost of collections since the start, in milliseconds; NaN
	// before the first.
	PauseP50, PauseMost float64
	CgoCalls            uint64
}

func readProcess() Process {
	p := Process{PID: os.Getpid(), Go: readRuntime()}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		p.OpenFiles = uint64(len(files))
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		p.MaxFiles = limit.Cur
	}
	if tasks, err := os.ReadDir("/proc/self/task"); err == nil {
		p.Threads = len(tasks)
	}
	return p
}

// The metrics of Go that are read, in the order of readRuntime.
var runtimeMetrics = []string{
	"/sched/goroutines:goroutines", "/sched/gomaxprocs:threads",
	"/memory/classes/heap/objects:bytes", "/gc/heap/goal:bytes", "/memory/classes/total:bytes", "/gc/gomemlimit:bytes",
	"/gc/cycles/total:gc-cycles", "/cgo/go-to-c-calls:calls", "/sched/pauses/total/gc:seconds",
}

func readRuntime() GoRuntime {
	samples := make([]metrics.Sample, len(runtimeMetrics))
	for i, name := range runtimeMetrics {
		samples[i].Name = name
	}
	metrics.Read(samples)
	number := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return samples[i].Value.Uint64()
	}
	r := GoRuntime{
		Goroutines: number(0), MaxProcs: number(1), HeapBytes: number(2), HeapGoal: number(3), Total: number(4),
		Limit: number(5), Collections: number(6), CgoCalls: number(7), PauseP50: math.NaN(), PauseMost: math.NaN(),
	}
	if r.Limit >= math.MaxInt64 { // none is set
		r.Limit = 0
	}
	if pauses := samples[8].Value; pauses.Kind() == metrics.KindFloat64Histogram {
		r.PauseP50, r.PauseMost = 1000*quantile(pauses.Float64Histogram(), .5), 1000*quantile(pauses.Float64Histogram(), 1)
	}
	return r
}

// quantile is the upper end of the bucket that holds the share p of a histogram's
// values; NaN without any.
func quantile(h *metrics.Float64Histogram, p float64) float64 {
	var all, below uint64
	for _, n := range h.Counts {
		all += n
	}
	for i, n := range h.Counts {
		if below += n; n > 0 && float64(below) >= p*float64(all) {
			if end := h.Buckets[i+1]; !math.IsInf(end, 0) {
				return end
			}
			return h.Buckets[i]
		}
	}
	return math.NaN()
}

// Machine is what the server runs on.
type Machine struct {
	Processor string
	// Cores are those of the machine, as the server may use them.
	Cores int
	// Kernel is the instruction set that distances are computed with; Others are
	// those it could use besides, in words.
	Kernel   string
	Others   []string
	Platform string
	// Features are those of the processor that matter here.
	Features []string
}

func readMachine() Machine {
	kernels := engine.Kernels()
	m := Machine{
		Processor: cmp.Or(strings.TrimSpace(cpuid.CPU.BrandName), "unknown"), Cores: runtime.NumCPU(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Kernel: kernels[0], Others: kernels[1:],
	}
	for _, f := range []cpuid.FeatureID{cpuid.AVX2, cpuid.FMA3, cpuid.AVX512F, cpuid.AVX512VNNI, cpuid.AVX512BF16, cpuid.AMXINT8, cpuid.ASIMD} {
		if cpuid.CPU.Supports(f) {
			m.Features = append(m.Features, f.String())
		}
	}
	return m
}

// Module is a Go module in the program.
type Module struct{ Path, Version string }

// readModules lists what the program was built from, and how.
func readModules() (modules []Module, settings []debug.BuildSetting) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, nil
	}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		modules = append(modules, Module{d.Path, d.Version})
	}
	slices.SortFunc(modules, func(a, b Module) int { return cmp.Compare(a.Path, b.Path) })
	for _, s := range info.Settings {
		if slices.Contains(shownSettings, s.Key) && s.Value != "" {
			settings = append(settings, s)
		}
	}
	return modules, settings
}

// shownSettings are those of a build that say something about how the program
// behaves; the others hold paths of the machine that built it.
var shownSettings = []string{"-buildmode", "-compiler", "-race", "-tags", "-trimpath", "CGO_ENABLED", "GOAMD64", "GOARM64", "vcs.modified"}
