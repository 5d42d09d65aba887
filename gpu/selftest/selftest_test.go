package selftest_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/kernels/hostrun"
	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/selftest"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

// small are options for a device that is no device.
func small() selftest.Options {
	return selftest.Options{
		Cases: 24, Work: 2e6, Rows: []int{300}, Dims: []int{20}, Batches: []int{1, 3}, K: 5,
		For: time.Millisecond, CopyBytes: 1 << 20, Python: "none",
	}
}

// alone skips a test where tests are short, which is under the race detector.
func alone(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("nothing here runs beside anything else")
	}
}

func run(t *testing.T, d serve.Device, o selftest.Options) *selftest.Report {
	t.Helper()
	r, err := selftest.Run(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestExactDevice: a device without fault passes; what it can't measure isn't judged.
func TestExactDevice(t *testing.T) {
	alone(t)
	r := run(t, gputest.NewDevice(), small())
	if !r.OK() || r.Cases < 100 || len(r.Failures) > 0 {
		t.Errorf("%d cases, %v", r.Cases, r.Failures)
	}
	if len(r.Timings) != 4 || r.Timings[0].SearchMicros <= 0 || r.Timings[0].Recall != 1 || r.Timings[0].ScanMicros != 0 {
		t.Errorf("%+v", r.Timings)
	}
	for _, b := range r.Bounds {
		if b.Measured != strings.HasPrefix(b.Name, "recall") {
			t.Errorf("%+v", b)
		}
	}
}

// TestLies: whatever is wrong with hits is noticed.
func TestLies(t *testing.T) {
	alone(t)
	for name, lie := range map[string]func(q *serve.Query){
		"too few":   func(q *serve.Query) { q.Hits = q.Hits[:len(q.Hits)/2] },
		"the worst": func(q *serve.Query) { q.Hits[0] = q.Hits[len(q.Hits)-1] },
		"stranger":  func(q *serve.Query) { q.Hits[len(q.Hits)-1].ID += 1 << 20 },
		"distance":  func(q *serve.Query) { q.Hits[len(q.Hits)/2].Distance *= 1.001 },
		"NaN":       func(q *serve.Query) { q.Hits[0].Distance = float32(math.NaN()) },
		"order":     func(q *serve.Query) { slices.Reverse(q.Hits) },
		"allowed":   func(q *serve.Query) { q.Allow = nil },
	} {
		d := liar{gputest.NewDevice(), lie, name == "allowed"}
		o := small()
		o.Cases, o.Work, o.Rows = 6, 3e5, []int{}
		if r := run(t, d, o); r.OK() {
			t.Errorf("%s isn't noticed in %d cases", name, r.Cases)
		}
	}
}

// liar is a device whose searches are changed, before or after they are made.
type liar struct {
	*gputest.Device
	lie    func(q *serve.Query)
	before bool
}

func (l liar) NewIndex(spec wire.IndexSpec) (serve.Index, error) {
	x, err := l.Device.NewIndex(spec)
	return lyingIndex{x, l}, err
}

type lyingIndex struct {
	serve.Index
	l liar
}

func (x lyingIndex) Search(b *serve.Batch) error {
	asked := serve.Batch{Exact: b.Exact, Queries: slices.Clone(b.Queries)}
	if x.l.before {
		for i := range asked.Queries {
			x.l.lie(&asked.Queries[i])
		}
	}
	if err := x.Index.Search(&asked); err != nil {
		return err
	}
	for i := range b.Queries {
		b.Queries[i].Hits = asked.Queries[i].Hits
		if !x.l.before && len(b.Queries[i].Hits) > 2 {
			x.l.lie(&b.Queries[i])
		}
	}
	return nil
}

// TestErrors: a device that fails is an error, one that is too small isn't.
func TestErrors(t *testing.T) {
	lost := wire.Errorf(wire.Lost, "gone")
	if _, err := selftest.Run(t.Context(), failing{gputest.NewDevice(), lost}, small()); !errors.Is(err, lost) {
		t.Error(err)
	}
	o := small()
	o.Cases, o.Rows = -1, []int{1 << 40}
	if r := run(t, gputest.NewDevice(), o); len(r.Skipped) != 2 || !r.OK() {
		t.Errorf("left out: %v", r.Skipped)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := selftest.Run(ctx, gputest.NewDevice(), small()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// failing is a device that makes no index.
type failing struct {
	*gputest.Device
	err error
}

func (f failing) NewIndex(wire.IndexSpec) (serve.Index, error) { return nil, f.err }

// TestKernels: the whole of it over the kernels, compiled for this CPU.
func TestKernels(t *testing.T) {
	alone(t)
	l, err := hostrun.New(hostrun.Options{})
	if errors.Is(err, hostrun.ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	d := scan.New(l, scan.Options{})
	o := small()
	o.Cases, o.Work = 3, 5e4
	r := run(t, d, o)
	if !r.OK() || r.CopyBytesPerSecond <= 0 {
		t.Errorf("%v, copy %v", r.Failures, r.CopyBytesPerSecond)
	}
	for _, timing := range r.Timings {
		if timing.ScanMicros <= 0 || timing.BytesPerSecond <= 0 || timing.ShareOfCopy <= 0 {
			t.Errorf("%+v", timing)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestPeer: what a Python says is in the report, and what goes wrong with it too.
func TestPeer(t *testing.T) {
	o := small()
	o.Cases, o.Codes = -1, []wire.Codes{wire.Int8}
	for answer, reason := range map[string]string{
		`cat >/dev/null; echo '{"name": "Torch", "version": "9", "int8_operations_per_second": 5e14, "timings": [{"rows": 300, "dim": 20, "batch": 3, "micros": 12}]}'`: "",
		`echo '{"reason": "no library"}'`:    "no library",
		`echo it went wrong >&2; exit 3`:     "python ended with exit status 3: it went wrong",
		`echo hello`:                         "python said what isn't JSON",
		`cat >/dev/null; echo '{"name": 3}'`: "python said what isn't JSON",
	} {
		o.Python = filepath.Join(t.TempDir(), "python3")
		if err := os.WriteFile(o.Python, []byte("#!/bin/sh\n"+answer+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		r := run(t, gputest.NewDevice(), o)
		if (r.Peer != nil) != (reason == "") || !strings.HasPrefix(r.PeerReason, reason) {
			t.Errorf("%s: %+v, %q", answer, r.Peer, r.PeerReason)
		}
		var table strings.Builder
		if err := r.WriteTable(&table); err != nil || reason == "" && !strings.Contains(table.String(), "  12") {
			t.Errorf("%v\n%s", err, table.String())
		}
	}
	o.Python = filepath.Join(t.TempDir(), "absent")
	if r := run(t, gputest.NewDevice(), o); r.Peer != nil || !strings.HasPrefix(r.PeerReason, "there is no ") {
		t.Errorf("%q", r.PeerReason)
	}
}

// TestBounds: a bound that is broken fails the test, by the worst of what was measured.
func TestBounds(t *testing.T) {
	r := run(t, rated{gputest.NewDevice()}, selftest.Options{
		Cases: -1, Rows: []int{500}, Dims: []int{8}, Batches: []int{1, 32}, For: time.Millisecond, Python: "none",
	})
	if r.CopyBytesPerSecond != 1e12 || r.Timings[0].ShareOfCopy != 0.5 || r.Timings[0].BytesPerSecond != 5e11 {
		t.Errorf("copy %v, %+v", r.CopyBytesPerSecond, r.Timings[0])
	}
	var out struct{ Bounds []selftest.Bound }
	var b strings.Builder
	if err := r.WriteJSON(&b); err != nil || json.Unmarshal([]byte(b.String()), &out) != nil || len(out.Bounds) != len(r.Bounds) {
		t.Errorf("%v\n%s", err, b.String())
	}
	if !r.OK() { // the codes are so few that a cache has them
		t.Errorf("%+v", r.Bounds)
	}
	r.Bounds[1].Measured = true
	if r.OK() {
		t.Error("a broken bound is fine")
	}
}

// rated is a device whose memory copies 1 TB in a second, and whose scans read half of
// that.
type rated struct{ *gputest.Device }

func (r rated) MeasureCopy(int64, int) (float64, error) { return 1e12, nil }

func (r rated) NewIndex(spec wire.IndexSpec) (serve.Index, error) {
	x, err := r.Device.NewIndex(spec)
	return ratedIndex{x}, err
}

type ratedIndex struct{ serve.Index }

func (ratedIndex) MeasureScan(int, int, bool) (time.Duration, int64, error) {
	return time.Millisecond, 5e8, nil
}
