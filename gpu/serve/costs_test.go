package serve

import (
	"testing"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

// TestCosts: the size of a batch follows what was measured, and a hiccup is forgotten.
func TestCosts(t *testing.T) {
	now := time.Unix(1000, 0)
	const most, longest = 1024, 20 * time.Millisecond
	var c costs
	limit := func() int { return c.limit(most, longest, now) }
	if got := limit(); got != costsFirst {
		t.Errorf("nothing is known: %d", got)
	}
	c.add(1, time.Millisecond, now)
	if got := limit(); got != 20 {
		t.Errorf("1 took 1 ms: %d", got)
	}
	c.add(20, 2*time.Millisecond, now)
	if got := limit(); got != 200 {
		t.Errorf("20 took 2 ms: %d", got)
	}
	c.add(200, 10*time.Millisecond, now)
	if got := limit(); got != 400 {
		t.Errorf("200 took 10 ms: %d", got)
	}
	for range 20 {
		c.add(512, 50*time.Millisecond, now)
	}
	if got := limit(); got != 400 {
		t.Errorf("512 took 50 ms: %d", got)
	}
	if got := c.predict(300, now); got != 15*time.Millisecond {
		t.Errorf("300 are predicted to take %v", got)
	}

	// A hiccup keeps batches at one while it is fresh, and not for good.
	c = costs{}
	c.add(1, time.Second, now)
	if got := limit(); got != 1 {
		t.Errorf("after a hiccup: %d", got)
	}
	for range 30 {
		c.add(1, time.Millisecond, now)
	}
	if got := limit(); got < 15 {
		t.Errorf("a while after a hiccup: %d", got)
	}
	c = costs{}
	c.add(1, time.Second, now)
	now = now.Add(costsKept)
	if got := limit(); got != 1 {
		t.Errorf("an old measurement is better than none: %d", got)
	}
	c.add(1, time.Millisecond, now)
	if got := limit(); got != 20 {
		t.Errorf("an old measurement counts beside a new one: %d", got)
	}
	c.add(wire.MaxBatch, time.Millisecond, now)
	if got := c.limit(wire.MaxBatch, longest, now); got != wire.MaxBatch {
		t.Errorf("the largest batch: %d", got)
	}
}
