package history

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/gpu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fakeDatabase struct {
	stats engine.Stats
	err   error
}

func (d *fakeDatabase) Stats() (engine.Stats, error) { return d.stats, d.err }

type fakeGPU []gpu.Device

func (g fakeGPU) Status(context.Context) gpu.Status { return gpu.Status{Devices: g} }

func TestPercentiles(t *testing.T) {
	var traffic Traffic
	for i := 1; i <= 1000; i++ {
		traffic.Observe("/query", 200, time.Duration(i)*100*time.Microsecond) // 0.1 to 100 ms, evenly
	}
	counts := traffic.Counts()
	for p, want := range map[float64]float64{.5: 50, .95: 95, .99: 99} {
		if got := counts.percentile(p); math.Abs(got/want-1) > .1 {
			t.Errorf("p%v = %v ms, want about %v", 100*p, got, want)
		}
	}
	later := traffic.Counts()
	since := later.since(&counts)
	if got := since.percentile(.5); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestExtremeTimesHaveABucket(t *testing.T) {
	var traffic Traffic
	for _, took := range []time.Duration{-time.Second, 0, time.Nanosecond, time.Microsecond, time.Hour, math.MaxInt64} {
		traffic.Observe("/query", 200, took)
	}
	if counts := traffic.Counts(); counts.took[0] != 4 || counts.took[buckets-1] != 2 {
		t.Errorf("%v", counts.took)
	}
}

func TestWhatCounts(t *testing.T) {
	var traffic Traffic
	for _, route := range []string{"/console/", "/console/tables/:table", "/changefeed", "/changefeed/stream", "/query"} {
		traffic.Observe(route, 500, time.Second)
	}
	counts := traffic.Counts()
	var timed uint64
	for _, n := range counts.took {
		timed += n
	}
	if counts.Requests != 3 || counts.Failures != 3 || timed != 1 {
		t.Errorf("%d requests, %d failures, %d timed; want 3, 3, 1", counts.Requests, counts.Failures, timed)
	}
}

func TestRates(t *testing.T) {
	var traffic Traffic
	db := &fakeDatabase{}
	now := time.Unix(1_000_000, 0)
	half := 50.0
	s := sampler{o: &Options{
		Database: db, Traffic: traffic.Counts, Now: func() time.Time { return now }, DataPath: t.TempDir(),
		GPU: fakeGPU{{MemoryUsedBytes: 3}, {MemoryUsedBytes: 4, UtilizationPercent: &half}},
	}}
	db.stats.OplogLast = 100
	s.take(t.Context())

	now = now.Add(5 * time.Second)
	for range 20 {
		traffic.Observe("/query", 200, 10*time.Millisecond)
	}
	traffic.Observe("/query", 503, 10*time.Millisecond)
	db.stats.OplogLast, db.stats.Feed.Latest, db.stats.Vectors.Bytes = 150, 7, 4096
	db.stats.Device = engine.DeviceTotals{GPU: map[string]uint64{"cheaper": 40, "recheck": 10}, CPU: map[string]uint64{"few": 5}}
	got := s.take(t.Context())
	if got.Requests != 4.2 || got.Errors != .2 || got.Writes != 10 || math.Abs(got.P50/10-1) > .1 {
		t.Errorf("%+v", got)
	}
	if got.GPUSearches != 10 || got.CPUSearches != 1 {
		t.Errorf("%+v", got)
	}
	if got.FeedLatest != 7 || got.Vectors != 4096 || got.GPUMemory != 7 || got.GPUPercent != 50 {
		t.Errorf("%+v", got)
	}
	if got.Resident <= 0 || got.GoHeap <= 0 || got.Goroutines <= 0 || got.DiskFree <= 0 || got.DiskSize < got.DiskFree {
		t.Errorf("%+v", got)
	}

	now = now.Add(5 * time.Second)
	db.err = errors.New("closed")
	got = s.take(t.Context())
	if !math.IsNaN(got.Writes) || !math.IsNaN(got.GPUSearches) || !math.IsNaN(got.Vectors) || got.Requests != 0 || got.Resident <= 0 {
		t.Errorf("without a database: %+v", got)
	}
}

func TestNoDevices(t *testing.T) {
	s := sampler{o: &Options{Database: &fakeDatabase{}, Traffic: func() Counts { return Counts{} }, Now: time.Now, GPU: fakeGPU{}}}
	if got := s.take(t.Context()); !math.IsNaN(got.GPUMemory) || !math.IsNaN(got.GPUPercent) || !math.IsNaN(got.DiskFree) {
		t.Errorf("%+v", got)
	}
}

func TestAnHourIsKept(t *testing.T) {
	h := &History{o: Options{Interval: time.Second, Keep: 3 * time.Second}.ensureDefaults()}
	h.mu.more = make(chan struct{})
	for i := range int64(10) {
		h.add(Sample{Time: time.Unix(i, 0)})
	}
	samples := h.Samples()
	if len(samples) != 3 || samples[0].Time.Unix() != 7 || samples[2].Time.Unix() != 9 {
		t.Errorf("%v", samples)
	}
}

func TestNextWaitsForASample(t *testing.T) {
	h := New(Options{Database: &fakeDatabase{}, Interval: time.Millisecond})
	defer h.Close()
	first, err := h.Next(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.Next(t.Context(), first.Time)
	if err != nil || !second.Time.After(first.Time) {
		t.Fatalf("%v after %v: %v", second.Time, first.Time, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Next(ctx, time.Now().Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
