package serve

import (
	"errors"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

// maxUpdates is how many updates may wait; the shared memory has room for two puts.
const maxUpdates = 256

// update is a request that isn't a search.
type update struct {
	id    uint64
	kind  wire.Type
	until time.Time
	spec  wire.IndexSpec
	index uint32
	rows  wire.Rows
}

// takeUpdate decodes an update and queues it.
func (w *worker) takeUpdate(f wire.Frame, arrived time.Time) error {
	u := &update{id: f.ID, kind: f.Type, until: until(f, arrived)}
	var err error
	switch f.Type {
	case wire.TypeCreate:
		var m wire.Create
		m, err = wire.DecodeCreate(f.Payload)
		u.spec = m.Spec
	case wire.TypeDrop:
		var m wire.IndexRef
		m, err = wire.DecodeIndexRef(f.Payload)
		u.index = m.Index
	case wire.TypeStats:
		err = wire.DecodeEmpty(f.Payload)
	default:
		u.rows, err = wire.DecodeRows(f.Payload)
		u.index = u.rows.Index
	}
	if err != nil {
		return err
	}
	if err := w.queue.request(u.id); err != nil {
		return err
	}
	select {
	case w.updates <- u:
	default:
		w.queue.finish(u.id)
		w.fail(u.id, wire.Errorf(wire.Busy, "%d updates wait for the device already", maxUpdates))
	}
	return nil
}

// update carries out one update after the other.
func (w *worker) update() {
	for u := range w.updates {
		t, m, err := wire.TypeDone, wire.Message(nil), w.queue.pass(u)
		if err == nil {
			t, m, err = w.apply(u)
		}
		w.queue.finish(u.id)
		if err != nil {
			w.fail(u.id, err)
			continue
		}
		w.reply(t, u.id, m)
	}
}

// apply carries out one update, and returns its answer.
func (w *worker) apply(u *update) (wire.Type, wire.Message, error) {
	switch u.kind {
	case wire.TypeCreate:
		number, err := w.create(u.spec)
		return wire.TypeCreated, wire.IndexRef{Index: number}, err
	case wire.TypeStats:
		return wire.TypeState, w.state(), nil
	case wire.TypeDrop:
		return wire.TypeDone, nil, w.drop(u.index)
	case wire.TypePut:
		return wire.TypeDone, nil, w.change(u, func(ix *index, ids []uint32) error {
			vectors, ok := wire.View[float32](w.o.Arena, u.rows.Vectors, uint64(len(ids))*uint64(ix.dim))
			if !ok {
				return wire.Errorf(wire.Invalid, "vectors outside of the shared memory")
			}
			return ix.Put(ids, vectors)
		})
	default:
		return wire.TypeDone, nil, w.change(u, func(ix *index, ids []uint32) error { return ix.Delete(ids) })
	}
}

func (w *worker) create(spec wire.IndexSpec) (uint32, error) {
	if err := spec.Validate(); err != nil {
		return 0, err
	}
	if w.queue.full() {
		return 0, wire.Errorf(wire.Unsupported, "the worker has %d indexes, which is as many as it can", wire.MaxIndexes)
	}
	w.queue.updateBegins()
	made, err := w.device.NewIndex(spec)
	w.queue.updateEnds()
	if err != nil {
		return 0, err
	}
	return w.queue.insert(made, spec.Dim), nil
}

// drop frees an index. What waits for it is answered.
func (w *worker) drop(number uint32) error {
	ix := w.queue.lock(number)
	if ix == nil {
		return nil
	}
	for _, q := range w.queue.remove(ix) {
		w.fail(q.id, wire.Errorf(wire.NoIndex, "the index was dropped"))
	}
	w.queue.updateBegins()
	err := ix.Close()
	w.queue.updateEnds()
	return err
}

// change calls do with the index that u is about, and its ids, while nothing else uses
// the index.
func (w *worker) change(u *update, do func(ix *index, ids []uint32) error) error {
	ids, err := w.ids(u.rows)
	if err != nil || len(ids) == 0 {
		return err
	}
	ix := w.queue.lock(u.index)
	if ix == nil {
		return wire.Errorf(wire.NoIndex, "the worker has no index %d", u.index)
	}
	defer w.queue.unlock(ix)
	w.queue.updateBegins()
	defer w.queue.updateEnds()
	return do(ix, ids)
}

// ids copies ids out of the shared memory, so that they stay what they were when they
// were checked.
func (w *worker) ids(r wire.Rows) ([]uint32, error) {
	shared, ok := wire.View[uint32](w.o.Arena, r.IDs, uint64(r.Count))
	if !ok {
		return nil, wire.Errorf(wire.Invalid, "ids outside of the shared memory")
	}
	ids := append([]uint32(nil), shared...)
	for i := 1; i < len(ids); i++ {
		if ids[i] <= ids[i-1] {
			return nil, wire.Errorf(wire.Invalid, "ids that aren't ascending")
		}
	}
	return ids, nil
}

// state describes the device and the indexes. Only updates change them, so nothing
// else does at the same time.
func (w *worker) state() wire.State {
	w.queue.updateBegins()
	defer w.queue.updateEnds()
	s := wire.State{Device: w.device.Info()}
	for _, ix := range w.queue.list() {
		s.Indexes = append(s.Indexes, wire.IndexStats{Index: ix.id, Rows: int64(ix.Len()), Bytes: ix.Bytes()})
	}
	return s
}

var errEnding = errors.New("the worker is ending")

// pass says why an update isn't carried out any more.
func (q *queue) pass(u *update) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch _, cancelled := q.mu.cancelled[u.id]; {
	case q.mu.closed:
		return errEnding
	case cancelled:
		return wire.Errorf(wire.Cancelled, "the request was cancelled")
	case !u.until.IsZero() && !time.Now().Before(u.until):
		return wire.Errorf(wire.Deadline, "the update waited for the device until its time was up")
	}
	return nil
}
