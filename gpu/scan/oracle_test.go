package scan_test

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

// oracle is an index as a map, searched by looking at everything in float64.
type oracle struct {
	metric  wire.Metric
	vectors map[uint32][]float32
}

func (o *oracle) put(ids []uint32, vectors []float32) {
	dim := len(vectors) / len(ids)
	for i, id := range ids {
		o.vectors[id] = slices.Clone(vectors[i*dim:][:dim])
	}
}

func (o *oracle) delete(ids []uint32) {
	for _, id := range ids {
		delete(o.vectors, id)
	}
}

func (o *oracle) distance(q, v []float32) float64 {
	switch o.metric {
	case wire.Cosine:
		return 1 - dot(q, v)/math.Sqrt(dot(q, q)*dot(v, v))
	case wire.Dot:
		return -dot(q, v)
	}
	sum := 0.0
	for i := range q {
		d := float64(q[i]) - float64(v[i])
		sum += d * d
	}
	return sum
}

type near struct {
	id       uint32
	distance float64
}

// search returns everything that is allowed, the nearest first.
func (o *oracle) search(q serve.Query) []near {
	var all []near
	for id, v := range o.vectors {
		if q.Allow == nil || int(id/64) < len(q.Allow) && q.Allow[id/64]>>(id%64)&1 == 1 {
			all = append(all, near{id, o.distance(q.Vector, v)})
		}
	}
	slices.SortFunc(all, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.id, b.id))
	})
	return all
}

// check holds that hits are sorted, live and allowed, as many as asked for, and have
// their distances; that they are the nearest as far as float32 can tell. recall is the
// share of the nearest that are among them.
func (o *oracle) check(t *testing.T, q serve.Query, exact bool) (recall float64) {
	t.Helper()
	all := o.search(q)
	want := min(q.K, len(all))
	if len(q.Hits) != want {
		t.Fatalf("%d hits of %d wanted, with %d allowed and live", len(q.Hits), q.K, len(all))
	}
	if want == 0 {
		return 1
	}
	slack := 1e-5 * (1 + math.Abs(all[0].distance) + math.Abs(all[len(all)-1].distance))
	distances := map[uint32]float64{}
	for _, n := range all {
		distances[n.id] = n.distance
	}
	found := 0
	for i, h := range q.Hits {
		d, ok := distances[h.ID]
		if !ok || math.Abs(d-float64(h.Distance)) > slack {
			t.Fatalf("hit %d, %+v, is at %v (%t)", i, h, d, ok)
		}
		if i > 0 && (h.Distance < q.Hits[i-1].Distance || h.Distance == q.Hits[i-1].Distance && h.ID <= q.Hits[i-1].ID) {
			t.Fatalf("hits %+v and %+v are out of order", q.Hits[i-1], h)
		}
		if exact && math.Abs(d-all[i].distance) > slack {
			t.Fatalf("hit %d is %+v, the oracle has %+v", i, h, all[i])
		}
		if d <= all[want-1].distance+slack {
			found++
		}
	}
	return float64(found) / float64(want)
}

func (o *oracle) ids() []uint32 { return slices.Sorted(maps.Keys(o.vectors)) }

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// ascending are n distinct ids below most.
func ascending(rng *rand.Rand, n, most int) []uint32 {
	ids := make([]uint32, 0, n)
	for _, id := range rng.Perm(most)[:n] {
		ids = append(ids, uint32(id))
	}
	slices.Sort(ids)
	return ids
}

// allowing is a bitset of words words in which each bit is set with a share.
func allowing(rng *rand.Rand, words int, share float64) []uint64 {
	allow := make([]uint64, words)
	for i := range 64 * words {
		if rng.Float64() < share {
			allow[i/64] |= 1 << (i % 64)
		}
	}
	return allow
}

// index makes one of a device, with its oracle.
func index(t *testing.T, d *scan.Device, spec wire.IndexSpec) (serve.Index, *oracle) {
	t.Helper()
	x, err := d.NewIndex(spec)
	if err != nil {
		t.Fatal(err)
	}
	return x, &oracle{spec.Metric, map[uint32][]float32{}}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
