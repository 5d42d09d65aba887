// Package history remembers the last hour of a running server: every five seconds
// it reads how busy the server is and what it uses, and it keeps 720 such samples
// in memory. The console draws its charts from them.
//
// A History owns one goroutine, which reads and waits; Close stops it and waits for
// it. Its lock guards the ring of samples and isn't held while a sample is taken. A
// figure that can't be had is NaN in its sample, and the others are kept.
package history

import (
	"context"
	"sync"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/gpu"
)

// Database is what is read; *engine.Engine is one.
type Database interface {
	Stats() (engine.Stats, error)
}

// GPU tells which devices there are; *gpu.Probe is one.
type GPU interface {
	Status(context.Context) gpu.Status
}

// Options configure a History. The zero value of each optional field means its
// default.
type Options struct {
	Database Database
	// Traffic is what the server answered so far; nil is nothing.
	Traffic func() Counts
	// GPU is asked for its devices; nil is none.
	GPU GPU
	// DataPath is the folder whose file system's space is read; empty is none.
	DataPath string
	// Interval is the time between two samples, 5 s; Keep is for how long they are
	// kept, 1 h.
	Interval, Keep time.Duration
	// Now is the clock, for tests.
	Now func() time.Time
}

func (o Options) ensureDefaults() Options {
	if o.Traffic == nil {
		o.Traffic = func() Counts { return Counts{} }
	}
	if o.Interval == 0 {
		o.Interval = 5 * time.Second
	}
	if o.Keep == 0 {
		o.Keep = time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// firstSample comes sooner than the others, so that whoever looks right after a
// start sees something.
const firstSample = time.Second

// Sample is the state at one time. Rates and percentiles are those of the time
// since the sample before. NaN is what could not be read; percentiles are NaN too
// when nothing was asked.
type Sample struct {
	Time time.Time
	// Requests, Errors (answers from 500 up) and Writes (of entities) per second.
	Requests, Errors, Writes float64
	// P50, P95 and P99 of the time to answer, in milliseconds.
	P50, P95, P99 float64
	// CPUPercent is 100 for one core that is busy all the time.
	CPUPercent float64
	// What memory goes to, in bytes. Resident is the whole process.
	Resident, GoHeap, BlockCache, Memtables, Vectors float64
	Goroutines                                       float64
	// DiskFree and DiskSize are those of the file system of the data.
	DiskFree, DiskSize float64
	// FeedLatest is the change feed's newest sequence, SlowReaders how many of its
	// streams were cut since the start.
	FeedLatest, SlowReaders float64
	// GPUPercent is the mean over the devices, GPUMemory the sum in bytes; NaN
	// without devices.
	GPUPercent, GPUMemory float64
	// GPUSearches and CPUSearches per second are those of vector indexes that use a
	// device, by who answered.
	GPUSearches, CPUSearches float64
}

// History keeps samples. Make one with New.
type History struct {
	o    Options
	stop context.CancelFunc
	done chan struct{}

	mu struct {
		sync.Mutex
		// samples are the newest ones, oldest first.
		samples []Sample
		// more is closed and replaced at each new one.
		more chan struct{}
	}
}

// New starts to take samples.
func New(o Options) *History {
	h := &History{o: o.ensureDefaults(), done: make(chan struct{})}
	h.mu.more = make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	go h.run(ctx)
	return h
}

// Close stops and waits.
func (h *History) Close() {
	h.stop()
	<-h.done
}

func (h *History) run(ctx context.Context) {
	defer close(h.done)
	s := sampler{o: &h.o}
	s.take(ctx) // what the first one is compared with
	timer := time.NewTimer(min(firstSample, h.o.Interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(h.o.Interval)
			h.add(s.take(ctx))
		}
	}
}

func (h *History) add(s Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if keep := int(h.o.Keep / h.o.Interval); len(h.mu.samples) >= keep {
		h.mu.samples = h.mu.samples[len(h.mu.samples)-keep+1:]
	}
	// The slice moves through its array, which append replaces now and then; that
	// copies each sample about once.
	h.mu.samples = append(h.mu.samples, s)
	close(h.mu.more)
	h.mu.more = make(chan struct{})
}

// Samples are the last hour's, oldest first. They aren't changed any more and must
// not be.
func (h *History) Samples() []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.samples[:len(h.mu.samples):len(h.mu.samples)]
}

// Last is the newest sample; false before the first.
func (h *History) Last() (Sample, bool) {
	samples := h.Samples()
	if len(samples) == 0 {
		return Sample{}, false
	}
	return samples[len(samples)-1], true
}

// Next waits for a sample that is newer than after, and returns the newest. The
// error is the context's.
func (h *History) Next(ctx context.Context, after time.Time) (Sample, error) {
	for {
		h.mu.Lock()
		more := h.mu.more
		h.mu.Unlock()
		if s, ok := h.Last(); ok && s.Time.After(after) {
			return s, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Sample{}, ctx.Err()
		}
	}
}
