package serve

import (
	"cmp"
	"slices"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

// request notes an update.
func (q *queue) request(id uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.registerLocked(id, nil)
}

func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.mu.indexes) >= wire.MaxIndexes
}

// insert adds an index and returns its number.
func (q *queue) insert(made Index, dim int) uint32 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.next++
	q.mu.indexes[q.mu.next] = &index{Index: made, id: q.mu.next, dim: dim}
	return q.mu.next
}

// lock waits until no search uses an index, and keeps others from beginning; nil if
// there is no such index. If searches have waited since the last update, one batch may
// begin first, so that updates without end can't hold searches off.
func (q *queue) lock(number uint32) *index {
	q.mu.Lock()
	defer q.mu.Unlock()
	ix := q.mu.indexes[number]
	if ix == nil {
		return nil
	}
	for !q.mu.closed && ix.waiting > 0 && ix.turn == q.mu.batches {
		q.changed.Wait()
	}
	ix.updating = true
	for ix.searching > 0 {
		q.changed.Wait()
	}
	return ix
}

// unlock lets searches of the index begin again.
func (q *queue) unlock(ix *index) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ix.updating = false
	ix.turn = q.mu.batches
	q.changed.Broadcast()
}

// remove forgets an index that is locked, and returns the queries that wait for it.
func (q *queue) remove(ix *index) []*query {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.mu.indexes, ix.id)
	var left []*query
	for k := range ix.lines {
		for _, one := range ix.lines[k].waiting {
			delete(q.mu.requests, one.id)
			left = append(left, one)
		}
		ix.lines[k].waiting = nil
	}
	q.removedLocked(ix, len(left))
	q.changed.Broadcast()
	return left
}

// list returns the indexes by their numbers.
func (q *queue) list() []*index {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := make([]*index, 0, len(q.mu.indexes))
	for _, ix := range q.mu.indexes {
		all = append(all, ix)
	}
	slices.SortFunc(all, func(a, b *index) int { return cmp.Compare(a.id, b.id) })
	return all
}

// updateBegins and updateEnds say from when to when the device is busy with an update.
func (q *queue) updateBegins() { q.setUpdate(time.Now()) }
func (q *queue) updateEnds()   { q.setUpdate(time.Time{}) }

func (q *queue) setUpdate(began time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.began[q.o.Streams] = began
}

// closeIndexes frees all indexes, once nothing uses them any more.
func (q *queue) closeIndexes() {
	for _, ix := range q.list() {
		ix.Close()
	}
}
