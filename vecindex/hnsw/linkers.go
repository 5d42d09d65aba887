package hnsw

import (
	"runtime"
	"time"
)

// fullBreath is how long a linker stands back between two slots while there are searches,
// about as long as a slot takes. A linker that only yields is always ready to run, and
// as long as somebody is ready the scheduler doesn't ask the network who else is:
// requests would wait for a tick of ten milliseconds.
const fullBreath = 300 * time.Microsecond

// polite is for how many slots after a search a linker stands back: the next search may
// be waiting already, and isn't seen before it runs.
const polite = 100

// runLinker links pending slots until the index closes.
func (x *Index) runLinker() {
	s := x.newScratch()
	var seen uint64
	breaths := 0
	for {
		slot, ok := x.nextPending()
		if !ok {
			return
		}
		if !x.slots.coded.has(slot) {
			x.encodeRow(s, slot)
		}
		x.linking.RLock()
		x.slots.marks.Mark(slot)
		x.link(s, slot)
		x.settle(slot)
		x.linking.RUnlock()
		if searches := x.searches.Load(); searches != seen {
			seen, breaths = searches, polite
		}
		if breaths > 0 {
			breaths--
			time.Sleep(x.breath())
		} else {
			runtime.Gosched()
		}
	}
}

// breath is how long to stand back. Each search is compared with the whole backlog. Where
// that is longer than writers may make it, as after a start, it costs searches more than
// linkers do, so they stand back the less.
func (x *Index) breath() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.opts.breath * time.Duration(x.opts.MaxPending) / time.Duration(max(x.mu.backlog, x.opts.MaxPending))
}

// encodeRow makes the row of a slot from its vector.
func (x *Index) encodeRow(s *scratch, slot uint32) {
	row := x.rows.of(slot)
	if !x.slots.touch(func() { x.rows.encode(row, x.slots.vector(slot)) }) && x.vectorOf(s.query, slot) {
		x.rows.encode(row, s.query)
	}
}

// nextPending waits for a pending slot. Those that died in the queue go to limbo:
// they stay pending, for the searches that began before they died, until no such
// search is left.
func (x *Index) nextPending() (slot uint32, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		for x.mu.queue.len() == 0 && !x.mu.closed {
			x.mu.work.Wait()
		}
		if x.mu.closed {
			return 0, false
		}
		if slot = x.mu.queue.pop(); !x.slots.dead.has(slot) {
			return slot, true
		}
		x.mu.limbo = append(x.mu.limbo, slot)
		x.shrinkBacklogLocked()
		x.wakeSweeperLocked()
	}
}

// settle turns a pending slot into a linked one.
func (x *Index) settle(slot uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.slots.pending.clearLocked(slot)
	x.linked.Add(1)
	if x.slots.dead.has(slot) {
		x.mu.linkedDead++
		x.wakeSweeperLocked()
	} else {
		x.mu.pending--
	}
	x.shrinkBacklogLocked()
}

// shrinkBacklogLocked counts a slot out of the backlog. It wakes those who wait only
// now and then: a writer that was held up is let go for a good part of MaxPending.
func (x *Index) shrinkBacklogLocked() {
	x.mu.backlog--
	part := x.opts.MaxPending / 4
	switch x.mu.backlog {
	case 0:
		x.wakeSweeperLocked()
		fallthrough
	case x.opts.MaxPending - part, x.mu.allowed - part:
		x.announceLocked()
	}
}

// queue is a first-in, first-out list of slots.
type queue struct {
	slots []uint32
	head  int
}

func (q *queue) len() int { return len(q.slots) - q.head }

func (q *queue) push(slot uint32) { q.slots = append(q.slots, slot) }

// pop takes the oldest slot out of a queue that isn't empty.
func (q *queue) pop() uint32 {
	slot := q.slots[q.head]
	q.head++
	switch {
	case q.head == len(q.slots):
		q.slots, q.head = q.slots[:0], 0
	case q.head >= 1024 && q.head > len(q.slots)/2:
		q.slots = q.slots[:copy(q.slots, q.slots[q.head:])]
		q.head = 0
	}
	return slot
}
