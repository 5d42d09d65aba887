package main

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
)

// ordering makes filters: each allows the first so many of the ids. The queries come
// in an order too, and the first ones are asked.
type ordering struct {
	name    string
	ids     []uint32
	queries []int
}

// independentOrder knows nothing of the vectors.
func independentOrder(w *workload) *ordering {
	rng := rand.New(rand.NewPCG(1, 1))
	o := &ordering{name: "independent", queries: rng.Perm(w.queries.Len())}
	for _, id := range rng.Perm(w.base.Len()) {
		o.ids = append(o.ids, uint32(id))
	}
	return o
}

// opposedOrder goes by how far vectors reach in a random direction: the filters allow
// the ones that reach least, and the queries are the ones that reach farthest. So what
// lies near a query is mostly not allowed, as when a German question is asked among
// English texts.
func opposedOrder(w *workload) *ordering {
	rng := rand.New(rand.NewPCG(1, 2))
	direction := make([]float64, w.base.Dim)
	for i := range direction {
		direction[i] = rng.NormFloat64()
	}
	reach := func(v []float32) float64 {
		along, squares := 0.0, 0.0
		for i, x := range v {
			along += float64(x) * direction[i]
			squares += float64(x) * float64(x)
		}
		return along / math.Sqrt(squares)
	}
	o := &ordering{name: "opposed"}
	base, queries := make([]float64, w.base.Len()), make([]float64, w.queries.Len())
	for i := range base {
		base[i] = reach(w.base.Row(i))
		o.ids = append(o.ids, uint32(i))
	}
	for i := range queries {
		queries[i] = reach(w.queries.Row(i))
		o.queries = append(o.queries, i)
	}
	slices.SortFunc(o.ids, func(a, b uint32) int { return cmp.Compare(base[a], base[b]) })
	slices.SortFunc(o.queries, func(a, b int) int { return cmp.Compare(queries[b], queries[a]) })
	return o
}

// farOrders are, for each of the first queries, all ids with the farthest from it
// first: a filter that allows the first so many leaves out a ball around the query.
func farOrders(ctx context.Context, w *workload, queries int) ([][]uint32, error) {
	orders := make([][]uint32, queries)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for query := range orders {
		group.Go(func() error {
			type far struct {
				distance float32
				id       uint32
			}
			all := make([]far, w.base.Len())
			for i := range all {
				all[i] = far{w.metric.Distance(w.queries.Row(query), w.base.Row(i)), uint32(i)}
			}
			slices.SortFunc(all, func(a, b far) int { return cmp.Or(cmp.Compare(b.distance, a.distance), cmp.Compare(b.id, a.id)) })
			orders[query] = make([]uint32, len(all))
			for i, f := range all {
				orders[query][i] = f.id
			}
			return ctx.Err()
		})
	}
	return orders, group.Wait()
}
