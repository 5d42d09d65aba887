package kernels_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/gpu/kernels"
)

// selectCase is one query for select.
type selectCase struct {
	state kernels.Query
	keys  []uint64
}

// newSelectCase has n keys of the given kind: far apart, near each other, with ids in
// the place of almost all differences, or vanished.
func newSelectCase(rng *rand.Rand, n, keep, k int) selectCase {
	c := selectCase{kernels.Query{Threshold: ^uint64(0), Count: uint32(n), Keep: uint32(keep), K: uint32(k), Scale: 2, FilterWords: 3}, make([]uint64, n)}
	kind := rng.IntN(4)
	ids := rng.Perm(n)
	for i := range c.keys {
		d := float32(rng.NormFloat64() * math.Exp(10*rng.NormFloat64()))
		switch kind {
		case 1:
			d = 1 + float32(rng.IntN(1000))/(1<<23)
		case 2:
			d = float32(rng.IntN(3) - 1)
		}
		c.keys[i] = kernels.Key(d, uint32(ids[i]))
		if kind == 3 && n < 3000 && rng.IntN(3) == 0 {
			c.keys[i] = ^uint64(0)
		}
	}
	if rng.IntN(3) == 0 && n > 0 {
		c.state.Threshold = c.keys[rng.IntN(n)]
	}
	return c
}

// want is what select makes of a case with room for so many keys.
func (c selectCase) want(capacity int, final bool) (kernels.Query, []uint64) {
	state, keep := c.state, int(c.state.Keep)
	if final {
		keep = int(c.state.K)
	}
	if len(c.keys) > capacity {
		state.Flags |= kernels.Overflowed
	}
	keys := slices.Sorted(slices.Values(c.keys[:min(len(c.keys), capacity)]))
	keys = keys[:min(len(keys), keep)]
	if gone := slices.Index(keys, ^uint64(0)); gone >= 0 {
		keys = keys[:gone]
	}
	state.Count = uint32(len(keys))
	if len(keys) == keep {
		state.Threshold = min(state.Threshold, keys[keep-1])
	}
	return state, keys
}

func checkSelect(d *device, cases []selectCase, capacity int, final bool) error {
	const outStride = 100
	candidates, states := make([]uint64, len(cases)*capacity), make([]kernels.Query, len(cases))
	for i, c := range cases {
		copy(candidates[i*capacity:][:capacity], c.keys)
		states[i] = c.state
	}
	args := kernels.SelectArgs{
		Queries: d.put(appendAll(states)), Candidates: d.put(bytesOf(candidates)),
		NumQueries: uint32(len(cases)), Capacity: uint32(capacity),
	}
	if final {
		args.Final, args.OutStride, args.Out = 1, outStride, d.room(len(cases)*outStride*8, 0)
		defer d.free(args.Out)
	}
	launch(d, kernels.LaunchSelect(len(cases)), args)
	after := readQueries(d.get(args.Queries, len(cases)*kernels.QueryBytes))
	candidates = valuesOf[uint64](d.get(args.Candidates, len(candidates)*8), len(candidates))
	d.free(args.Queries, args.Candidates)
	for i, c := range cases {
		state, keys := c.want(capacity, final)
		if after[i] != state {
			return fmt.Errorf("query %d: %+v, want %+v", i, after[i], state)
		}
		if got := candidates[i*capacity:][:len(keys)]; !slices.Equal(got, keys) {
			return fmt.Errorf("query %d: %d candidates are others, such as %x", i, len(got), got[:min(3, len(got))])
		}
		if final {
			n := min(len(keys), outStride)
			if got := valuesOf[uint64](d.get(args.Out+kernels.Ptr(i*outStride*8), n*8), n); !slices.Equal(got, keys[:n]) {
				return fmt.Errorf("query %d: %x in the output", i, got)
			}
		}
	}
	return nil
}

// TestSelect compares select with sorting: few and many keys, any number kept, ties that only
// ids decide, rows that vanished, lost candidates, in several orders of threads.
func TestSelect(t *testing.T) {
	for seed := range *seeds {
		d := newDevice(t, seed)
		rng := rand.New(rand.NewPCG(seed, 3))
		for _, capacity := range []int{2, 130, 4096, 4098, 20000, kernels.MaxCapacity} {
			numbers, finals := []int{0, 1, 2, capacity / 3, capacity - 1, capacity, capacity + 5}, []bool{false, true}
			if capacity > 10000 {
				numbers, finals = []int{capacity - 1, capacity + 5}, []bool{seed%2 == 1}
			}
			var cases []selectCase
			for _, n := range numbers {
				cases = append(cases, newSelectCase(rng, n, 1+rng.IntN(kernels.MaxKeep), 1+rng.IntN(20)))
			}
			cases = append(cases, newSelectCase(rng, capacity, kernels.MaxKeep, kernels.MaxKeep), newSelectCase(rng, capacity, 1, 1))
			for _, final := range finals {
				if err := checkSelect(d, cases, capacity, final); err != nil {
					t.Errorf("seed %d, room for %d, final %v: %v", seed, capacity, final, err)
				}
			}
		}
	}
}

// TestRerank: candidates get the distances of vectors, those whose id has no row the
// largest key.
func TestRerank(t *testing.T) {
	for seed := range *seeds {
		d := newDevice(t, seed)
		rng := rand.New(rand.NewPCG(seed, 4))
		for _, dim := range []int{1, 4, 31, 130, 1000} {
			for _, metric := range []kernels.Metric{kernels.Cosine, kernels.L2, kernels.Dot} {
				if err := checkRerank(d, rng, metric, dim); err != nil {
					t.Errorf("seed %d, metric %d, %d dimensions: %v", seed, metric, dim, err)
				}
			}
		}
	}
}

func checkRerank(d *device, rng *rand.Rand, metric kernels.Metric, dim int) error {
	const capacity, queries = 64, 3
	r := randomRows(rng, kernels.F32, metric, dim, 1+rng.IntN(200))
	segments, all := r.upload(d)
	rowOf := slices.Repeat([]uint32{kernels.None}, 3*len(r.ids)-2)
	for row, id := range r.ids {
		if id != kernels.None && int(id) < len(rowOf) && rng.IntN(9) > 0 {
			rowOf[id] = uint32(row)
		}
	}
	var vectors []byte
	var numbers [queries][]float32
	var states [queries]kernels.Query
	candidates := make([]uint64, queries*capacity)
	for q := range queries {
		numbers[q] = randomNumbers(rng, kernels.F32, dim)
		vectors = append(vectors, encoded(kernels.F32, numbers[q])...)
		states[q].Count = uint32(rng.IntN(capacity + 8))
		for i := range capacity {
			candidates[q*capacity+i] = kernels.Key(0.5, uint32(rng.IntN(4*len(r.ids))))
		}
	}
	args := kernels.RerankArgs{
		Queries: d.put(appendAll(states[:])), Candidates: d.put(bytesOf(candidates)), Vectors: d.put(vectors), Segments: segments,
		RowOf: d.put(bytesOf(rowOf)), IDs: uint32(len(rowOf)), NumQueries: queries, Capacity: capacity,
		Stride: uint32(kernels.VectorStride(dim)), Metric: metric,
	}
	launch(d, kernels.LaunchRerank(queries, capacity), args)
	got := valuesOf[uint64](d.get(args.Candidates, len(candidates)*8), len(candidates))
	d.free(append(all, args.Queries, args.Candidates, args.Vectors, args.RowOf)...)
	for i, key := range candidates {
		q, want := i/capacity, key
		if i%capacity < int(states[q].Count) {
			_, id := kernels.SplitKey(key)
			want = ^uint64(0)
			if int(id) < len(rowOf) && rowOf[id] != kernels.None {
				want, _ = r.key(int(rowOf[id]), numbers[q], 0)
			}
		}
		if got[i] != want {
			return fmt.Errorf("candidate %d of query %d: %x, want %x", i%capacity, q, got[i], want)
		}
	}
	return nil
}
