package serve

import (
	"sync"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

// backgroundTurn is which batch is for background queries, if any wait.
const backgroundTurn = 8

// query is one query from its arrival to its answer.
type query struct {
	id                uint64
	exact, background bool
	arrived, until    time.Time
	// order counts arrivals.
	order uint64
	Query
}

// expired says whether nobody waits for the answer any more.
func (q *query) expired(now time.Time) bool { return !q.until.IsZero() && !now.Before(q.until) }

// line is the queries that may share a batch, in the order in which they came.
type line struct{ waiting []*query }

// kind counts the lines of an index: exact or not, background or not.
const kinds = 4

func kindOf(exact, background bool) int {
	k := 0
	if exact {
		k = 1
	}
	if background {
		k += 2
	}
	return k
}

func isBackground(kind int) bool { return kind >= 2 }
func isExact(kind int) bool      { return kind&1 == 1 }

// index is an index with what waits for it. The queue's lock guards it.
type index struct {
	Index
	id    uint32
	dim   int
	lines [kinds]line
	// costs are by exact or not.
	costs [2]costs
	// searching counts the batches on the device; updating says that an update has the
	// index or waits for it, and no batch may begin.
	searching int
	updating  bool
	// waiting is how many queries all lines have; turn is queue.batches when the last
	// update ended.
	waiting int
	turn    uint64
}

// batch is what a stream carries out.
type batch struct {
	ix      *index
	kind    int
	queries []*query
}

// queue holds what waits and what runs.
type queue struct {
	o  Options
	mu struct {
		sync.Mutex
		indexes map[uint32]*index
		next    uint32
		// requests are those without an answer: of a query that waits its index, nil for
		// all others.
		requests  map[uint64]*index
		cancelled map[uint64]struct{}
		waiting   int
		arrivals  uint64
		// batches counts those begun, of any kind; background are those on the device.
		batches    uint64
		background int
		// began is when each stream's batch, and last the update, went to the device.
		began  []time.Time
		closed bool
	}
	// changed is signalled when a stream or an update may have something to do.
	changed *sync.Cond
}

func newQueue(o Options) *queue {
	q := &queue{o: o}
	q.mu.indexes = map[uint32]*index{}
	q.mu.requests = map[uint64]*index{}
	q.mu.cancelled = map[uint64]struct{}{}
	q.mu.began = make([]time.Time, o.Streams+1)
	q.changed = sync.NewCond(&q.mu)
	return q
}

// close ends the streams, with what they have at present.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.closed = true
	q.changed.Broadcast()
}

// register notes a request. An id that is taken is a breach of the protocol.
func (q *queue) registerLocked(id uint64, ix *index) error {
	if _, taken := q.mu.requests[id]; taken {
		return &wire.ProtocolError{Text: "a request id is used twice"}
	}
	q.mu.requests[id] = ix
	return nil
}

// add queues a query, or says why it is refused.
func (q *queue) add(number uint32, n *query) (refused *wire.Error, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ix := q.mu.indexes[number]
	switch {
	case ix == nil:
		refused = wire.Errorf(wire.NoIndex, "the worker has no index %d", number)
	case len(n.Vector) != ix.dim:
		refused = wire.Errorf(wire.Invalid, "a query of %d dimensions, of an index of %d", len(n.Vector), ix.dim)
	case q.mu.waiting >= q.o.MaxWaiting:
		refused = wire.Errorf(wire.Busy, "%d searches wait for the device already", q.mu.waiting)
	}
	if refused != nil {
		if _, taken := q.mu.requests[n.id]; taken {
			return nil, &wire.ProtocolError{Text: "a request id is used twice"}
		}
		return refused, nil
	}
	if err := q.registerLocked(n.id, ix); err != nil {
		return nil, err
	}
	q.mu.arrivals++
	n.order = q.mu.arrivals
	l := &ix.lines[kindOf(n.exact, n.background)]
	l.waiting = append(l.waiting, n)
	ix.waiting++
	q.mu.waiting++
	q.changed.Broadcast()
	return nil, nil
}

// removedLocked counts n queries out of an index's lines.
func (q *queue) removedLocked(ix *index, n int) {
	ix.waiting -= n
	q.mu.waiting -= n
}

// cancel takes a waiting query out, and reports whether it did. An update that hasn't
// begun is only marked: it answers for itself.
func (q *queue) cancel(id uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	ix, known := q.mu.requests[id]
	if !known {
		return false
	}
	if ix == nil {
		q.mu.cancelled[id] = struct{}{}
		return false
	}
	for k := range ix.lines {
		for i, n := range ix.lines[k].waiting {
			if n.id == id {
				l := &ix.lines[k]
				l.waiting = append(l.waiting[:i:i], l.waiting[i+1:]...)
				q.removedLocked(ix, 1)
				delete(q.mu.requests, id)
				q.changed.Broadcast()
				return true
			}
		}
	}
	return false
}

// finish forgets requests that were answered.
func (q *queue) finish(ids ...uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		delete(q.mu.requests, id)
		delete(q.mu.cancelled, id)
	}
}

// next waits for a batch for a stream, and counts it as begun; nil when the queue is
// closed. Queries that expired while they waited come with it.
func (q *queue) next(stream int) (b *batch, expired []*query) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.mu.closed {
			return nil, nil
		}
		ix, kind := q.chooseLocked()
		if ix == nil {
			q.changed.Wait()
			continue
		}
		now := time.Now()
		b = &batch{ix: ix, kind: kind}
		b.queries, expired = q.takeLocked(ix, kind, now)
		q.changed.Broadcast()
		if len(b.queries) == 0 {
			return b, expired
		}
		ix.searching++
		q.mu.batches++
		if isBackground(kind) {
			q.mu.background++
		}
		q.mu.began[stream] = now
		return b, expired
	}
}

// chooseLocked returns the line whose batch is next: the oldest query's.
func (q *queue) chooseLocked() (*index, int) {
	first := [2]bool{false, true}
	if q.mu.batches%backgroundTurn == backgroundTurn-1 {
		first = [2]bool{true, false}
	}
	for _, background := range first {
		if background && q.o.Streams > 1 && q.mu.background >= q.o.Streams-1 {
			continue
		}
		if ix, kind := q.oldestLocked(background); ix != nil {
			return ix, kind
		}
	}
	return nil, 0
}

func (q *queue) oldestLocked(background bool) (oldest *index, kind int) {
	var order uint64
	for _, ix := range q.mu.indexes {
		if ix.updating || ix.waiting == 0 {
			continue
		}
		for k := range ix.lines {
			l := ix.lines[k].waiting
			if len(l) > 0 && isBackground(k) == background && (oldest == nil || l[0].order < order) {
				oldest, kind, order = ix, k, l[0].order
			}
		}
	}
	return oldest, kind
}

// takeLocked takes from the front of a line what makes a batch, and what expired.
func (q *queue) takeLocked(ix *index, kind int, now time.Time) (taken, expired []*query) {
	l := &ix.lines[kind]
	limit := ix.costs[kind&1].limit(q.o.MaxBatch, q.o.LatencyCap, now)
	n := 0
	for ; n < len(l.waiting) && len(taken) < limit; n++ {
		if one := l.waiting[n]; one.expired(now) {
			expired = append(expired, one)
		} else {
			taken = append(taken, one)
			q.mu.requests[one.id] = nil
		}
	}
	clear(l.waiting[:n])
	if l.waiting = l.waiting[n:]; len(l.waiting) == 0 {
		l.waiting = nil
	}
	q.removedLocked(ix, n)
	return taken, expired
}

// done counts a batch as ended, after so long on the device.
func (q *queue) done(stream int, b *batch, took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.began[stream] = time.Time{}
	b.ix.searching--
	if isBackground(b.kind) {
		q.mu.background--
	}
	if took > 0 {
		b.ix.costs[b.kind&1].add(len(b.queries), took, time.Now())
	}
	for _, one := range b.queries {
		delete(q.mu.requests, one.id)
		delete(q.mu.cancelled, one.id)
	}
	q.changed.Broadcast()
}

// busy is how long the longest batch, and the update, have been on the device.
func (q *queue) busy(now time.Time) (search, update time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, began := range q.mu.began {
		if began.IsZero() {
			continue
		}
		if took := now.Sub(began); i < q.o.Streams {
			search = max(search, took)
		} else {
			update = took
		}
	}
	return search, update
}
