package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// nudged is a vector that differs from v and from its other turns, by less than
// vectors of a set differ from each other: writing it moves the entity in the graph,
// and leaves the neighbours of the queries what they were.
func nudged(v []float32, turn int) []float32 {
	squares := 0.0
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	moved := slices.Clone(v)
	moved[turn%len(v)] += float32(0.01 * math.Sqrt(squares))
	return moved
}

// rewriting replaces vectors until it is stopped or refused.
type rewriting struct {
	stopped atomic.Bool
	refused atomic.Bool // a writer has ended with an error
	group   *errgroup.Group
	mu      sync.Mutex
	// acknowledged are the entities that were, in this order. It is to be read after
	// stop.
	acknowledged []int
}

// write begins to replace vectors with their nudged ones of a turn, each entity once
// at most.
func (r *restarts) write(ctx context.Context, turn int) *rewriting {
	writing := &rewriting{}
	writing.group, ctx = errgroup.WithContext(ctx)
	n := r.w.base.Len()
	left := n
	for range r.writers {
		writing.group.Go(func() error {
			for !writing.stopped.Load() {
				writing.mu.Lock()
				from := r.next
				to := from + min(r.batch, left, n-from)
				r.next, left = to%n, left-(to-from)
				writing.mu.Unlock()
				if from == to {
					return nil
				}
				err := r.table.client.putBatch(ctx, from, to, func(dst []byte, i int) []byte {
					dst = fmt.Appendf(dst, `{"op":"put","key":"%s:%d","entity":{"turn":%d,"embedding":`, r.table.table, i, turn)
					return append(appendVector(dst, nudged(r.w.base.Row(i), turn)), '}', '}')
				})
				if err != nil {
					writing.refused.Store(true)
					return err
				}
				writing.mu.Lock()
				for i := from; i < to; i++ {
					writing.acknowledged = append(writing.acknowledged, i)
				}
				writing.mu.Unlock()
			}
			return nil
		})
	}
	return writing
}

// stop waits for the requests under way and returns what made a writer end before.
func (w *rewriting) stop() error {
	w.stopped.Store(true)
	return w.group.Wait()
}

// checkAll looks for the entities that were acknowledged last, and for some that lie
// evenly among the ones before.
func (r *restarts) checkAll(ctx context.Context, turn int, acknowledged []int, row *restarted) error {
	for _, id := range spread(acknowledged, r.check) {
		vector := nudged(r.w.base.Row(id), turn)
		found, err := r.finds(ctx, id, vector, false)
		if err != nil {
			return err
		}
		row.Checked++
		if found {
			continue
		}
		if found, err = r.finds(ctx, id, vector, true); err != nil {
			return err
		}
		if found {
			row.Missed++
		} else {
			row.Lost++
		}
	}
	return nil
}

// spread is at most n of list: the last half of n, and the rest evenly from before.
func spread(list []int, n int) []int {
	if len(list) <= n {
		return list
	}
	before, others := list[:len(list)-n/2], n-n/2
	some := slices.Clone(list[len(before):])
	for i := range others {
		some = append(some, before[i*len(before)/others])
	}
	return some
}

// finds says whether an entity is found by the vector that it should have, and has
// that one and not an earlier one. That is told by the distance: it is nothing but
// rounding, far less than that of the vector before it was nudged.
func (r *restarts) finds(ctx context.Context, id int, vector []float32, exact bool) (bool, error) {
	answer, err := call[searchAnswer](ctx, r.table.client, "POST", "/vector/search",
		searchRequest{Table: r.table.table, Column: "embedding", Vector: vector, K: 1, Ef: r.ef, Exact: exact, Return: "keys"})
	if err != nil {
		return false, err
	}
	ids, err := answer.ids()
	if err != nil || len(ids) != 1 || ids[0] != uint32(id) {
		return false, err
	}
	nudge := r.w.metric.Distance(nudged(vector, 0), vector)
	return answer.Results[0].Distance < nudge/4, nil
}
