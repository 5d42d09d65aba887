package device

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/gpu/wire"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/flat"
	"github.com/vccdb/vccdb/vecindex/internal/indextest"
)

// TestRounding: what two ways to compute a distance differ by is within the bound, on
// vectors where much cancels out and lengths differ by far.
func TestRounding(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, metric := range indextest.Metrics {
		closest := math.Inf(1)
		for range 500 {
			dim := 1 + rng.IntN(300)
			vectors := [2][]float32{}
			for i := range vectors {
				vectors[i] = make([]float32, dim)
				scale := math.Pow(10, float64(rng.IntN(7)-3))
				for j := range vectors[i] {
					vectors[i][j] = float32(scale * (rng.NormFloat64() + 3))
				}
			}
			q, v := vectors[0], vectors[1]
			if rng.IntN(2) == 0 { // near each other
				for i := range v {
					v[i] = q[i] * (1 + 1e-6*float32(rng.NormFloat64()))
				}
			}
			cpu, err := flat.New(metric, dim, flat.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := cpu.Put(1, 1, v); err != nil {
				t.Fatal(err)
			}
			hits, _, err := cpu.Search(context.Background(), vecindex.Query{Vector: q, K: 1}, nil)
			if err != nil {
				t.Fatal(err)
			}
			there := fakeIndex{spec: wire.IndexSpec{Dim: dim, Metric: wire.Metric(metric)}, vectors: map[uint32][]float32{}}
			there.vectors[1] = there.prepared(v)
			device := there.search(wire.Search{Vector: q, K: 1})
			off := math.Abs(float64(hits[0].Distance) - float64(device[0].Distance))
			bound := rounding(metric, dim, length(q), length(v), float64(hits[0].Distance))
			if off > bound {
				t.Errorf("%v of %d dimensions: %v and %v are more than %v apart", metric, dim, hits[0].Distance, device[0].Distance, bound)
			}
			closest = min(closest, bound/off)
		}
		t.Logf("%v: the bound is at least %.0f times the difference", metric, closest)
	}
}

// TestUnproven: where more vectors are about equally far than candidates are asked for,
// the CPU index answers an exact search; where not, the device does.
func TestUnproven(t *testing.T) {
	for _, metric := range indextest.Metrics {
		x := newIndex(t, newFakeWorker(), metric, 8, nil)
		rng := rand.New(rand.NewPCG(6, 6))
		near := []float32{1, 2, 3, 4, 5, 6, 7, 8}
		for id := range uint32(1000) {
			v := slices.Clone(near)
			for i := range v {
				if id < 300 {
					v[i] *= 1 + 1e-7*float32(rng.IntN(3))
				} else {
					v[i] += float32(rng.NormFloat64())
				}
			}
			if err := x.Put(id, 1, v); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "the device has everything", func() bool { d := x.Device(); return d.State == Ready && d.Dirty == 0 })
		far := []float32{-1, 9, 0, 1, -4, 2, 2, 2}
		for _, query := range [][]float32{near, far} {
			q := vecindex.Query{Vector: query, K: 10, Exact: true}
			got, stats, err := x.Search(context.Background(), q, nil)
			want, _, _ := x.Unwrap().Search(context.Background(), q, nil)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%v: %v, want %v (%v)", metric, got, want, err)
			}
			engine := vecindex.EngineGPU
			if &query[0] == &near[0] && metric != vecindex.Dot {
				engine = vecindex.EngineCPU
			}
			if stats.Placement.Engine != engine {
				t.Errorf("%v: %+v, want it from the %s", metric, stats.Placement, engine)
			}
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}
