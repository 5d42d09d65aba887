package device

import (
	"slices"
	"sync"
	"sync/atomic"
)

// overlay is the set of ids whose vectors on the device may not be those of the CPU
// index: queued, to be sent, or in flight, sent but not acknowledged. A search looks at
// them itself. It is off while nothing is mirrored, and then empty.
//
// An id is marked after the CPU index was changed, and taken before its vector is read:
// so what is sent is what the mark was for, or something newer.
type overlay struct {
	// size is how many there are, an id in both counted twice. It is written with mu
	// held.
	size atomic.Int64
	// wake has one token when there is something to send.
	wake chan struct{}

	mu     sync.Mutex
	on     bool
	queue  []uint32 // first come, first sent
	member []uint64 // a bit for each id in queue
	flight []uint32
}

// markAtOnce is how many ids are marked with the lock held once.
const markAtOnce = 1 << 16

func newOverlay() *overlay { return &overlay{wake: make(chan struct{}, 1)} }

// begin turns the overlay on, empty.
func (o *overlay) begin() { o.set(true) }

// end turns it off.
func (o *overlay) end() { o.set(false) }

func (o *overlay) set(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.on = on
	o.queue, o.member, o.flight = nil, nil, nil
	o.size.Store(0)
}

// mark notes ids that were changed.
func (o *overlay) mark(ids ...uint32) {
	for part := range slices.Chunk(ids, markAtOnce) {
		o.markPart(part)
	}
}

func (o *overlay) markPart(ids []uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.markLocked(ids)
}

func (o *overlay) markLocked(ids []uint32) {
	if !o.on {
		return
	}
	for _, id := range ids {
		word, bit := int(id/64), uint64(1)<<(id%64)
		if word >= len(o.member) {
			o.member = append(o.member, make([]uint64, word+1-len(o.member))...)
		}
		if o.member[word]&bit == 0 {
			o.member[word] |= bit
			o.queue = append(o.queue, id)
		}
	}
	o.settleLocked()
}

// settleLocked makes size what it is, and wakes whoever sends.
func (o *overlay) settleLocked() {
	o.size.Store(int64(len(o.queue) + len(o.flight)))
	if len(o.queue) > 0 {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// take moves up to n ids from the queue to those in flight, of which there are none, and
// returns them. They aren't modified until landed or returned.
func (o *overlay) take(n int) []uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = min(n, len(o.queue))
	o.flight = slices.Clone(o.queue[:n])
	for _, id := range o.flight {
		o.member[id/64] &^= 1 << (id % 64)
	}
	if o.queue = o.queue[n:]; len(o.queue) == 0 {
		o.queue = nil // the array of a first fill is large
	}
	o.settleLocked()
	return o.flight
}

// landed is called when the device has what was in flight.
func (o *overlay) landed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flight = nil
	o.settleLocked()
}

// returned is called when the device may not have it. The lock is held all the while: a
// search sees each id here or there.
func (o *overlay) returned() {
	o.mu.Lock()
	defer o.mu.Unlock()
	flight := o.flight
	o.flight = nil
	o.markLocked(flight)
}

// queued is how many ids wait to be sent.
func (o *overlay) queued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue)
}

// appendTo appends the ids, some twice; false if there are more than limit.
func (o *overlay) appendTo(dst []uint32, limit int) ([]uint32, bool) {
	if o.size.Load() == 0 {
		return dst, true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue)+len(o.flight) > limit {
		return dst, false
	}
	return append(append(dst, o.queue...), o.flight...), true
}
