package serve

import (
	"math"
	"math/bits"
	"time"
)

const (
	// costsKept is how long a measurement counts: an index grows, and a hiccup of the
	// device mustn't keep batches small for good.
	costsKept = 10 * time.Second
	// costsWeight is the share of the newest measurement in the average.
	costsWeight = 0.25
	// costsFirst is the largest batch before anything was measured.
	costsFirst = 16
)

// costs is what batches of one index and kind took, by their size: class i has the
// sizes from 2^i up to 2^(i+1)-1.
type costs [13]cost

type cost struct {
	// size and took are moving averages, took in nanoseconds; at is the last
	// measurement's time.
	size, took float64
	at         time.Time
}

func (c *cost) fresh(now time.Time) bool { return !c.at.IsZero() && now.Sub(c.at) < costsKept }

// predict is how long a batch of so many queries is expected to take: what its class
// took, or else the next smaller that was measured, in proportion to the size. That is
// rather too much, since a batch shares the reading of the rows; it is no more than what
// a larger batch took. Old measurements count only where there is no other. 0 if there
// is none at all.
func (c *costs) predict(size int, now time.Time) time.Duration {
	class := min(bits.Len(uint(size))-1, len(c)-1)
	larger := time.Duration(math.MaxInt64)
	for _, one := range c[class:] {
		if one.fresh(now) && int(one.size) >= size {
			larger = min(larger, time.Duration(one.took))
		}
	}
	old := time.Duration(0)
	for i := class; i >= 0; i-- {
		if c[i].at.IsZero() {
			continue
		}
		took := time.Duration(c[i].took * max(1, float64(size)/c[i].size))
		if c[i].fresh(now) {
			return min(took, larger)
		}
		if old == 0 {
			old = took
		}
	}
	if larger < math.MaxInt64 {
		return larger
	}
	return old
}

// limit is how many queries a batch may have, up to most: so many that it is expected to
// take no longer than longest, and at least 1. While nothing is known, it is costsFirst.
func (c *costs) limit(most int, longest time.Duration, now time.Time) int {
	low, high := 1, most
	for low < high {
		middle := (low + high + 1) / 2
		switch took := c.predict(middle, now); {
		case took == 0 && middle > costsFirst, took > longest:
			high = middle - 1
		default:
			low = middle
		}
	}
	return low
}

// add notes what a batch took.
func (c *costs) add(size int, took time.Duration, now time.Time) {
	one := &c[min(bits.Len(uint(size))-1, len(c)-1)]
	if !one.fresh(now) {
		*one = cost{size: float64(size), took: float64(took), at: now}
		return
	}
	one.size += costsWeight * (float64(size) - one.size)
	one.took += costsWeight * (float64(took) - one.took)
	one.at = now
}
