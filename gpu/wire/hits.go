package wire

import (
	"math"
	"slices"
)

// CheckHits says how hits break what was promised for a search with k and allow:
// at most k, finite distances, sorted by (distance, id), no id twice, all allowed.
func CheckHits(hits []Hit, k int, allow []uint64) error {
	if len(hits) > k {
		return violation("%d hits, where %d were asked for", len(hits), k)
	}
	ids := make([]uint32, len(hits))
	for i, h := range hits {
		if d := float64(h.Distance); math.IsNaN(d) || math.IsInf(d, 0) {
			return violation("a distance of %v", h.Distance)
		}
		if allow != nil && (int(h.ID/64) >= len(allow) || allow[h.ID/64]&(1<<(h.ID%64)) == 0) {
			return violation("a hit that the filter excludes")
		}
		if i > 0 {
			switch last := hits[i-1]; {
			case h.Distance < last.Distance:
				return violation("hits that aren't sorted")
			case h.Distance == last.Distance && h.ID <= last.ID:
				return violation("hits of one distance that aren't sorted by id")
			}
		}
		ids[i] = h.ID
	}
	slices.Sort(ids)
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			return violation("an id twice among the hits")
		}
	}
	return nil
}
