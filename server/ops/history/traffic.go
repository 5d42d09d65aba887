package history

import (
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// bucketsPerOctave makes a bucket 19 % wide, so that a percentile is at most that
// far off; buckets reach from a microsecond to two minutes.
const (
	bucketsPerOctave = 4
	buckets          = 27 * bucketsPerOctave
)

// Traffic counts the requests that the database answers. Its zero value is ready;
// it may be used by many goroutines.
type Traffic struct {
	requests, failures atomic.Uint64
	took               [buckets]atomic.Uint64
}

// Observe counts an answered request. Pages of the console don't count, or looking
// at an idle database would make it seem busy; those who wait for changes count,
// but how long they waited says nothing.
func (t *Traffic) Observe(route string, status int, took time.Duration) {
	if strings.HasPrefix(route, "/console") {
		return
	}
	t.requests.Add(1)
	if status >= http.StatusInternalServerError {
		t.failures.Add(1)
	}
	if route == "/changefeed" || strings.HasSuffix(route, "/stream") {
		return
	}
	t.took[bucketOf(took)].Add(1)
}

func bucketOf(took time.Duration) int {
	if took <= time.Microsecond {
		return 0
	}
	octaves := math.Log2(float64(took) / float64(time.Microsecond))
	return min(int(octaves*bucketsPerOctave), buckets-1)
}

// Counts are what a Traffic has counted so far.
type Counts struct {
	Requests, Failures uint64
	took               [buckets]uint64
}

// Counts reads the counters.
func (t *Traffic) Counts() Counts {
	c := Counts{Requests: t.requests.Load(), Failures: t.failures.Load()}
	for i := range c.took {
		c.took[i] = t.took[i].Load()
	}
	return c
}

// since is what was counted after before.
func (c *Counts) since(before *Counts) Counts {
	d := Counts{Requests: c.Requests - before.Requests, Failures: c.Failures - before.Failures}
	for i := range d.took {
		d.took[i] = c.took[i] - before.took[i]
	}
	return d
}

// percentile is the time in milliseconds within which the share p of the requests
// was answered; NaN without any.
func (c *Counts) percentile(p float64) float64 {
	var all uint64
	for _, n := range c.took {
		all += n
	}
	if all == 0 {
		return math.NaN()
	}
	rank := p * float64(all)
	below := 0.0
	for i, n := range c.took {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		within := (rank - below) / float64(n)
		micros := math.Exp2((float64(i) + within) / bucketsPerOctave)
		return micros / 1000
	}
	return math.NaN()
}
