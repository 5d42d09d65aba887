package engine

import (
	"sync/atomic"
	"time"
)

// clock hands out stamps: microseconds since 1970 that never repeat and never
// go back, even when the wall clock does. Times a client sees and stale-hit
// detection in vector search both rest on that.
type clock struct {
	now  func() time.Time
	last atomic.Uint64
}

// next returns a stamp greater than every earlier one.
func (c *clock) next() uint64 {
	for {
		last := c.last.Load()
		stamp := max(uint64(c.now().UnixMicro()), last+1)
		if c.last.CompareAndSwap(last, stamp) {
			return stamp
		}
	}
}

// startAfter makes every later stamp greater than stamp.
func (c *clock) startAfter(stamp uint64) { c.last.Store(max(c.last.Load(), stamp)) }

func stampTime(stamp uint64) time.Time { return time.UnixMicro(int64(stamp)).UTC() }
