package history

import (
	"context"
	"math"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vccdb/vccdb/engine"
)

// sampler takes samples; it remembers the counters of the last one.
type sampler struct {
	o      *Options
	before counters
}

// counters are what rates are made of.
type counters struct {
	at      time.Time
	traffic Counts
	cpu     time.Duration
	// NaN is what could not be read.
	writes, gpuSearches, cpuSearches float64
}

func (s *sampler) take(ctx context.Context) Sample {
	now := counters{at: s.o.Now(), traffic: s.o.Traffic(), cpu: cpuTime()}
	sample := Sample{Time: now.at, Resident: resident()}
	sample.GoHeap, sample.Goroutines = goRuntime()
	sample.DiskFree, sample.DiskSize = space(s.o.DataPath)
	sample.GPUPercent, sample.GPUMemory = s.devices(ctx)
	s.database(&sample, &now)

	seconds := now.at.Sub(s.before.at).Seconds()
	traffic := now.traffic.since(&s.before.traffic)
	sample.Requests = float64(traffic.Requests) / seconds
	sample.Errors = float64(traffic.Failures) / seconds
	sample.Writes = max(0, now.writes-s.before.writes) / seconds
	sample.GPUSearches = max(0, now.gpuSearches-s.before.gpuSearches) / seconds
	sample.CPUSearches = max(0, now.cpuSearches-s.before.cpuSearches) / seconds
	sample.CPUPercent = 100 * (now.cpu - s.before.cpu).Seconds() / seconds
	sample.P50, sample.P95, sample.P99 = traffic.percentile(.5), traffic.percentile(.95), traffic.percentile(.99)
	s.before = now
	return sample
}

// database reads the database's part.
func (s *sampler) database(sample *Sample, now *counters) {
	stats, err := s.o.Database.Stats()
	if err != nil {
		nan := math.NaN()
		sample.BlockCache, sample.Memtables, sample.Vectors, sample.FeedLatest, sample.SlowReaders = nan, nan, nan, nan, nan
		now.writes, now.gpuSearches, now.cpuSearches = nan, nan, nan
		return
	}
	sample.BlockCache = float64(stats.Storage.BlockCacheUsageBytes)
	sample.Memtables = float64(stats.Storage.MemtableSizeBytes)
	sample.Vectors = float64(stats.Vectors.Memory())
	sample.FeedLatest = float64(stats.Feed.Latest)
	sample.SlowReaders = float64(stats.Feed.SlowReadersCut)
	now.writes = float64(stats.OplogLast)
	now.gpuSearches, now.cpuSearches = float64(engine.DeviceSearches(stats.Device.GPU)), float64(engine.DeviceSearches(stats.Device.CPU))
}

func (s *sampler) devices(ctx context.Context) (percent, memory float64) {
	percent, memory = math.NaN(), math.NaN()
	if s.o.GPU == nil {
		return percent, memory
	}
	var sum, reporting float64
	for _, d := range s.o.GPU.Status(ctx).Devices {
		if math.IsNaN(memory) {
			memory = 0
		}
		memory += float64(d.MemoryUsedBytes)
		if d.UtilizationPercent != nil {
			sum += *d.UtilizationPercent
			reporting++
		}
	}
	return sum / reporting, memory // 0/0 is NaN
}

// space is that of the file system of a folder, as its user may use it.
func space(path string) (free, size float64) {
	var fs unix.Statfs_t
	if path == "" || unix.Statfs(path, &fs) != nil {
		return math.NaN(), math.NaN()
	}
	block := float64(fs.Bsize)
	return float64(fs.Bavail) * block, float64(fs.Blocks) * block
}

// resident is the memory of the process that is in use, as the kernel counts it.
func resident() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return math.NaN()
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return math.NaN()
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return math.NaN()
	}
	return float64(pages) * float64(os.Getpagesize())
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func goRuntime() (heap, goroutines float64) {
	read := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(read)
	return number(read[0]), number(read[1])
}

func number(s metrics.Sample) float64 {
	if s.Value.Kind() != metrics.KindUint64 {
		return math.NaN()
	}
	return float64(s.Value.Uint64())
}
