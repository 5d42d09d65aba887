// Package selftest tells whether a device's searches are right and how fast they
// are. It compares them with a CPU's, over random shapes, filters, ties and deletes;
// times them over batches and sizes of indexes; and holds the times against what the
// device can do at most: the bandwidth of a copy, and the matrix multiplication of
// PyTorch or CuPy, where Python has one of them.
//
// It knows of a device what package serve does, and what it measures besides through
// small interfaces which a device may have (Copier, Scanner), so it is tested
// without one. There are no goroutines and no locks.
package selftest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

// Copier is a Device that can measure a copy within its memory: bytes read and
// written in a second.
type Copier interface {
	MeasureCopy(bytes int64, times int) (perSecond float64, err error)
}

// Scanner is an Index that can measure its scans alone: how long one takes, and how
// many bytes it has to read at least.
type Scanner interface {
	MeasureScan(queries, times int, exact bool) (took time.Duration, bytes int64, err error)
}

// Options say what is done. The zero value of each field means its default.
type Options struct {
	// Cases is how many random cases searches are compared in, 60; none if negative.
	Cases int
	// Work is about how many products a case takes on the CPU, 300 million.
	Work float64
	// Rows and Dims are the shapes that are timed: 100,000, 1,000,000 and 10,000,000 of
	// 128, 768 and 1536. What the device's memory can't hold is left out.
	Rows, Dims []int
	// Batches are the sizes of batches, 1 to 4096; Codes what is scanned, both; K how
	// many hits are asked for, 10.
	Batches []int
	Codes   []wire.Codes
	K       int
	// For is about how long each batch size is measured, 300 ms.
	For time.Duration
	// CopyBytes is how much is copied to measure the bandwidth, 1 GiB.
	CopyBytes int64
	// Python is the program that may have PyTorch or CuPy, python3; "none" for none.
	Python string
	// Seed decides on all that is random.
	Seed uint64
	// Progress gets a line for each step; none if nil.
	Progress io.Writer
}

// EnsureDefaults returns o with every unset field filled.
func (o Options) EnsureDefaults() Options {
	orElse(&o.Cases, 60)
	orElse(&o.Work, 3e8)
	orElse(&o.K, 10)
	orElse(&o.For, 300*time.Millisecond)
	orElse(&o.CopyBytes, 1<<30)
	orElse(&o.Python, "python3")
	if o.Rows == nil {
		o.Rows = []int{100_000, 1_000_000, 10_000_000}
	}
	if o.Dims == nil {
		o.Dims = []int{128, 768, 1536}
	}
	if o.Batches == nil {
		o.Batches = []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096}
	}
	if o.Codes == nil {
		o.Codes = []wire.Codes{wire.Int8, wire.BF16}
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Quick returns o with fewer cases, one shape and three sizes of batches.
func (o Options) Quick() Options {
	o.Cases, o.Rows, o.Dims, o.Codes = 15, []int{1_000_000}, []int{768}, []wire.Codes{wire.Int8}
	o.Batches = []int{1, 32, 1024}
	return o
}

// Report is what was found.
type Report struct {
	Device  wire.DeviceInfo `json:"device"`
	Seconds float64         `json:"seconds"`
	// Cases is how many comparisons were made, Failures what was wrong.
	Cases    int      `json:"cases"`
	Failures []string `json:"failures"`
	// CopyBytesPerSecond is the bandwidth of the device's memory, read and written; 0
	// if it wasn't measured.
	CopyBytesPerSecond float64  `json:"copy_bytes_per_second"`
	Timings            []Timing `json:"timings"`
	// Skipped are the shapes that weren't timed, with the reason.
	Skipped []string `json:"skipped"`
	// Peer is what Python's libraries do on the same device; nil if there are none, and
	// PeerReason says why.
	Peer       *Peer  `json:"peer"`
	PeerReason string `json:"peer_reason,omitempty"`
	// Bounds are what is promised, and whether it holds.
	Bounds []Bound `json:"bounds"`
}

// OK says whether no search was wrong and no promise that was measured is broken.
func (r *Report) OK() bool {
	return len(r.Failures) == 0 && !slices.ContainsFunc(r.Bounds, func(b Bound) bool { return b.Measured && !b.Holds })
}

// Run tests a device, which has no indexes and is the caller's again afterwards. An
// error is the device's or the context's; what was found until then is in the report.
func Run(ctx context.Context, d serve.Device, o Options) (*Report, error) {
	o = o.EnsureDefaults()
	t := &test{d: d, o: o, report: &Report{Device: d.Info()}}
	started := time.Now()
	err := t.compare(ctx)
	if err == nil {
		err = t.copies()
	}
	if err == nil {
		err = t.time(ctx)
	}
	if err == nil {
		t.peers(ctx)
	}
	t.report.Bounds = bounds(t.report)
	t.report.Seconds = time.Since(started).Seconds()
	return t.report, err
}

// test is one Run.
type test struct {
	d      serve.Device
	o      Options
	report *Report
}

// say writes a line of progress.
func (t *test) say(format string, args ...any) {
	fmt.Fprintf(t.o.Progress, format+"\n", args...)
}

// wrong notes a failure; the first hundred are enough.
func (t *test) wrong(format string, args ...any) {
	if len(t.report.Failures) < 100 {
		t.report.Failures = append(t.report.Failures, fmt.Sprintf(format, args...))
	}
	t.say("WRONG: "+format, args...)
}

// copies measures the memory.
func (t *test) copies() error {
	c, ok := t.d.(Copier)
	if !ok {
		return nil
	}
	perSecond, err := c.MeasureCopy(max(1<<20, min(t.o.CopyBytes, t.left()/4)), 20)
	if full(err) {
		t.report.Skipped = append(t.report.Skipped, fmt.Sprintf("the copy: %v", err))
		return nil
	}
	t.report.CopyBytesPerSecond = perSecond
	t.say("copy on the device: %.0f GB/s", perSecond/1e9)
	return err
}

// left is the device's memory that can be had.
func (t *test) left() int64 {
	info := t.d.Info()
	if info.MemoryLimit == 0 {
		return info.MemoryFree
	}
	return info.MemoryLimit - info.MemoryUsed
}

// full says that the device's memory isn't enough.
func full(err error) bool {
	var e *wire.Error
	return errors.As(err, &e) && e.Code == wire.OutOfMemory
}

// WriteJSON writes the report.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
