package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// The collector's pace
//
// Vectors, graphs and RocksDB are outside of Go's heap, so that is a few MB, and by
// Go's usual rule, to collect when it has doubled, a busy server would collect a
// dozen times a second, each time at the cost of the requests under way. It
// collects when the heap has grown by garbageBytes at least instead.

// garbageBytes is also how much more memory the process may take for it.
const garbageBytes = 32 << 20

const usualPercent = 100

// pace changes the rule until stop is called. A GOGC of the operator stays as it is.
func pace() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	p := &pacer{percent: usualPercent}
	p.adjust()
	p.arm()
	return p.stop
}

// pacer looks at the heap after each collection, in the goroutine that the runtime
// has for clean-ups.
type pacer struct {
	mu      sync.Mutex
	percent int
	stopped bool
}

func (p *pacer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	debug.SetGCPercent(usualPercent)
}

// arm has the next collection find something to clean up.
func (p *pacer) arm() {
	runtime.AddCleanup(&struct{ p *pacer }{p}, func(p *pacer) {
		if p.adjust() {
			p.arm()
		}
	}, p)
}

// adjust sets the percentage. That stops the world, so it is done for a difference
// that matters. It reports whether to go on.
func (p *pacer) adjust() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return false
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	percent := percentFor(live[0].Value.Uint64())
	if percent*8 > p.percent*9 || percent*9 < p.percent*8 {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
	return true
}

// percentFor is the growth at which to collect a heap of so many bytes.
func percentFor(live uint64) int {
	const least = 1 << 20
	return int(max(usualPercent, 100*garbageBytes/max(live, least)))
}
