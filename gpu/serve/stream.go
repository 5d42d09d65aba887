package serve

import (
	"fmt"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

// stream carries out one batch after the other.
func (w *worker) stream(number int) {
	for {
		b, expired := w.queue.next(number)
		if b == nil {
			return
		}
		w.expire(expired)
		if len(b.queries) > 0 {
			w.search(number, b)
		}
	}
}

// expire answers queries whose time was up before the device had them.
func (w *worker) expire(queries []*query) {
	for _, q := range queries {
		w.queue.finish(q.id)
		w.fail(q.id, wire.Errorf(wire.Deadline, "the search waited for the device until its time was up"))
	}
}

// search gives a batch to the device and answers its queries.
func (w *worker) search(stream int, b *batch) {
	call := Batch{Exact: isExact(b.kind), Queries: make([]Query, len(b.queries))}
	for i, q := range b.queries {
		call.Queries[i] = q.Query
	}
	began := time.Now()
	err := b.ix.Search(&call)
	took := call.DeviceTime
	if took <= 0 {
		took = max(1, time.Since(began))
	}
	if err != nil {
		w.queue.done(stream, b, 0)
		for _, q := range b.queries {
			w.fail(q.id, err)
		}
		return
	}
	w.queue.done(stream, b, took)
	for i, q := range b.queries {
		hits := call.Queries[i].Hits
		if len(hits) > wire.MaxK {
			w.fail(q.id, fmt.Errorf("the device found %d vectors, where %d were asked for", len(hits), q.K))
			continue
		}
		w.reply(wire.TypeAnswer, q.id, wire.Answer{
			Hits: hits, BatchSize: len(b.queries), Queued: began.Sub(q.arrived), Device: took, First: i == 0,
		})
	}
}
