package supervisor

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/vccdb/vccdb/gpu/wire"
)

// CreateIndex makes an empty index on the device and returns its number, which is
// never 0 and not used again in this session.
func (x *Session) CreateIndex(ctx context.Context, spec wire.IndexSpec) (uint32, error) {
	if err := spec.Validate(); err != nil {
		return 0, err
	}
	answer, err := x.call(ctx, wire.TypeCreate, wire.TypeCreated, wire.Create{Spec: spec}, nothing)
	if err != nil {
		return 0, x.counted(err)
	}
	index := answer.(wire.IndexRef).Index
	x.mu.Lock()
	_, taken := x.mu.dims[index]
	x.mu.dims[index] = spec.Dim
	x.mu.Unlock()
	if index == 0 || taken {
		return 0, x.counted(x.lied("an index with a number that is taken"))
	}
	return index, nil
}

// lied ends the session, for an answer that can't be true.
func (x *Session) lied(what string) error {
	x.fail(CauseProtocol, "the worker was ended, for its answer was wrong: "+what)
	return x.failure()
}

// DropIndex frees an index. One that isn't there is no error.
func (x *Session) DropIndex(ctx context.Context, index uint32) error {
	_, err := x.call(ctx, wire.TypeDrop, wire.TypeDone, wire.IndexRef{Index: index}, nothing)
	return x.counted(err)
}

// Put stores vectors[i*dim:(i+1)*dim] as id ids[i]'s, replacing what the ids had. The
// ids are distinct, in any order; the values are finite. What Put returned for is
// found by every search that starts afterwards. Any number of rows may be given: they
// go in parts that fit the shared memory, two under way at a time. On an error each
// row may have been stored or not. Both slices are the caller's again on return.
func (x *Session) Put(ctx context.Context, index uint32, ids []uint32, vectors []float32) error {
	dim, err := x.dim(index)
	if err != nil {
		return x.counted(err)
	}
	if len(vectors) != len(ids)*dim {
		return x.counted(wire.Errorf(wire.Invalid, "%d values for %d vectors of %d dimensions", len(vectors), len(ids), dim))
	}
	if !finite(vectors) {
		return x.counted(wire.Errorf(wire.Invalid, "a vector with a value that isn't finite"))
	}
	return x.counted(x.change(ctx, wire.TypePut, index, ids, vectors, dim))
}

// Delete makes ids unfindable; unknown ids are fine. The ids are distinct, in any
// order. What Delete returned for is found by no search that starts afterwards.
func (x *Session) Delete(ctx context.Context, index uint32, ids []uint32) error {
	return x.counted(x.change(ctx, wire.TypeDelete, index, ids, nil, 0))
}

func (x *Session) dim(index uint32) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	dim, known := x.mu.dims[index]
	if !known {
		return 0, wire.Errorf(wire.NoIndex, "this session has no index %d", index)
	}
	return dim, nil
}

// change sends ids, and the vectors they have, in parts.
func (x *Session) change(ctx context.Context, t wire.Type, index uint32, ids []uint32, vectors []float32, dim int) error {
	order, err := ascending(ids)
	if err != nil {
		return err
	}
	var sent []pending
	var failed error
	part := x.arena.RowsPerArea(dim)
	for at := 0; at < len(ids) && failed == nil; at += part {
		n := min(part, len(ids)-at)
		var p pending
		if order == nil {
			p, failed = x.stage(ctx, t, index, ids[at:at+n], vectors[at*dim:(at+n)*dim], dim, nil)
		} else {
			p, failed = x.stage(ctx, t, index, ids, vectors, dim, order[at:at+n])
		}
		if failed != nil {
			break
		}
		if sent = append(sent, p); len(sent) > 1 { // the first of two is done first
			_, failed = x.finish(ctx, sent[0])
			sent = sent[1:]
		}
	}
	for _, p := range sent {
		_, err := x.finish(ctx, p)
		failed = cmp.Or(failed, err)
	}
	if failed == nil {
		x.totals.changed(t, len(ids), dim)
	}
	return failed
}

// stage writes one part to a staging area, once there is one, and sends it.
func (x *Session) stage(ctx context.Context, t wire.Type, index uint32, ids []uint32, vectors []float32, dim int, order []int) (pending, error) {
	var area wire.Area
	select {
	case area = <-x.arena.Staging():
	case <-x.done:
		return pending{}, x.failure()
	case <-ctx.Done():
		return pending{}, contextError(ctx.Err())
	}
	rows := wire.Rows{Index: index, Count: uint32(len(ids))}
	if order != nil {
		rows.Count = uint32(len(order))
	}
	rows.IDs, rows.Vectors = x.arena.StageRows(area, ids, vectors, dim, order)
	return x.begin(ctx, t, wire.TypeDone, rows, func() { x.arena.Unstage(area) })
}

// ascending returns the order in which ids ascend, nil if they do already.
func ascending(ids []uint32) ([]int, error) {
	inOrder := true
	for i := 1; i < len(ids) && inOrder; i++ {
		inOrder = ids[i] > ids[i-1]
	}
	if inOrder {
		return nil, nil
	}
	order := make([]int, len(ids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(ids[a], ids[b]) })
	for i := 1; i < len(order); i++ {
		if ids[order[i]] == ids[order[i-1]] {
			return nil, wire.Errorf(wire.Invalid, "the id %d twice in one call", ids[order[i]])
		}
	}
	return order, nil
}

// finite says whether all values are neither infinite nor not a number.
func finite(values []float32) bool {
	for _, v := range values {
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
			return false
		}
	}
	return true
}

// Search asks one query. When ctx ends, it returns at once, and the worker is told to
// leave the query out if the device doesn't have it yet. Without room for the filter,
// or with too many queries under way, it returns wire.Busy at once. The hits are
// checked: sorted by (distance, id), K at most, finite, without duplicates, and allowed.
func (x *Session) Search(ctx context.Context, index uint32, q wire.Search) (wire.Answer, error) {
	m, release, err := x.query(index, q)
	if err != nil {
		return wire.Answer{}, x.counted(err)
	}
	if q.Allow != nil && !m.Filtered {
		return wire.Answer{}, nil // nothing is allowed
	}
	answer, err := x.call(ctx, wire.TypeQuery, wire.TypeAnswer, m, release)
	if err != nil {
		return wire.Answer{}, x.counted(err)
	}
	a := answer.(wire.Answer)
	if err := wire.CheckHits(a.Hits, q.K, q.Allow); err != nil {
		var broken *wire.ProtocolError
		errors.As(err, &broken)
		return wire.Answer{}, x.counted(x.lied(broken.Text))
	}
	return a, nil
}

// query checks a search and puts its filter into the shared memory.
func (x *Session) query(index uint32, q wire.Search) (m wire.Query, release func(), err error) {
	dim, err := x.dim(index)
	switch {
	case err != nil:
		return m, nil, err
	case len(q.Vector) != dim:
		err = wire.Errorf(wire.Invalid, "a query of %d dimensions, of an index of %d", len(q.Vector), dim)
	case q.K < 1 || q.K > wire.MaxK:
		err = wire.Errorf(wire.Unsupported, "the device finds 1 to %d vectors, not %d", wire.MaxK, q.K)
	case !finite(q.Vector):
		err = wire.Errorf(wire.Invalid, "a query with a value that isn't finite")
	}
	if err != nil {
		return m, nil, err
	}
	m = wire.Query{Index: index, K: q.K, Exact: q.Exact, Background: q.Background, Vector: q.Vector}
	words := q.Allow
	for len(words) > 0 && words[len(words)-1] == 0 {
		words = words[:len(words)-1]
	}
	if len(words) == 0 {
		return m, nothing, nil
	}
	area, ok := x.arena.Filter(words)
	if !ok {
		if err := x.failure(); err != nil {
			return m, nil, err
		}
		return m, nil, wire.Errorf(wire.Busy, "the memory shared with the GPU worker has no room for a filter of %d bytes", 8*len(words))
	}
	x.totals.filtered(8 * len(words))
	m.Filtered, m.AllowOffset, m.AllowWords = true, uint64(area.Offset), uint32(len(words))
	return m, func() { x.arena.Free(area) }, nil
}

// Stats asks the worker about its device and indexes.
func (x *Session) Stats(ctx context.Context) (wire.State, error) {
	answer, err := x.call(ctx, wire.TypeStats, wire.TypeState, nil, nothing)
	if err != nil {
		return wire.State{}, x.counted(err)
	}
	x.note(answer.(wire.State))
	return x.state(), nil
}

// note keeps what the worker reported last.
func (x *Session) note(s wire.State) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.state = s
}
