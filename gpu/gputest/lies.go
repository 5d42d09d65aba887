package gputest

import (
	"math"
	"slices"

	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

// lie cuts all that a query allows, nearest first, to its hits, or to something else.
func lie(l Lie, q *serve.Query, all []wire.Hit) []wire.Hit {
	hits := all[:min(q.K, len(all))]
	if len(hits) == 0 {
		return hits
	}
	last := &hits[len(hits)-1]
	switch l {
	case TooMany:
		for len(hits) <= q.K {
			hits = append(slices.Clip(hits), wire.Hit{ID: hits[len(hits)-1].ID + 1, Distance: hits[len(hits)-1].Distance})
		}
	case NaN:
		last.Distance = float32(math.NaN())
	case Infinite:
		last.Distance = float32(math.Inf(1))
	case Unsorted:
		slices.Reverse(hits)
	case UnsortedTies:
		for i := range hits {
			hits[i].Distance = 0
		}
		slices.SortFunc(hits, func(a, b wire.Hit) int { return int(int64(b.ID) - int64(a.ID)) })
	case Twice:
		*last = wire.Hit{ID: hits[0].ID, Distance: last.Distance}
	case NotAllowed:
		if q.Allow != nil {
			*last = wire.Hit{ID: uint32(64 * len(q.Allow)), Distance: last.Distance}
		}
	case TooFew:
		hits = hits[(len(hits)+1)/2:]
	case Strangers:
		for i := range hits {
			hits[i].ID += 1 << 30
		}
	case Farthest:
		nearest := slices.Clone(hits)
		hits = slices.Clone(all[len(all)-len(hits):])
		slices.SortFunc(hits, func(a, b wire.Hit) int { return int(int64(a.ID) - int64(b.ID)) })
		for i := range hits {
			hits[i].Distance = nearest[i].Distance
		}
	case WrongDistances:
		for i := range hits {
			hits[i].Distance = float32(i)
		}
	}
	return hits
}
