package selftest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

// dims are the dimensions of cases: around powers of two and multiples of what kernels
// read at once, those of common models, and the ends of the range.
var dims = []int{
	1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257,
	300, 384, 511, 513, 768, 1000, 1023, 1024, 1536, 2048, 3072, 4095, 4096,
}

// sizes are the numbers of rows: around tiles of 128, and over several.
var sizes = []int{1, 2, 127, 128, 129, 1000, 4096, 5000, 17000, 40000}

// batches are the sizes of batches: each kernel's, and what leaves some of it empty.
var batches = []int{1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 100, 128, 129, 200}

// comparison is one comparison: an index, and what is in it.
type comparison struct {
	number  int
	rng     *rand.Rand
	spec    wire.IndexSpec
	rows    int
	x       serve.Index
	vectors map[uint32][]float32
	norms   map[uint32]float64
	ids     []uint32 // of vectors
	name    string
}

// compare compares searches with a look at everything, in many cases.
func (t *test) compare(ctx context.Context) error {
	for i := range max(0, t.o.Cases) {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := t.newCase(i)
		if err := c.fill(t); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		err := t.searches(c)
		if e := c.x.Close(); err == nil {
			err = e
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	t.say("%d searches compared with the CPU's, %d failures", t.report.Cases, len(t.report.Failures))
	return nil
}

// newCase draws the shape of a case: all dimensions come in turn.
func (t *test) newCase(i int) *comparison {
	c := &comparison{number: i, rng: rand.New(rand.NewPCG(t.o.Seed, uint64(i))), vectors: map[uint32][]float32{}, norms: map[uint32]float64{}}
	c.spec = wire.IndexSpec{
		Dim: dims[i*11%len(dims)], Metric: wire.Metric(i % 3), Codes: wire.Codes(i / 3 % 2), Seed: c.rng.Uint64(),
	}
	c.rows = sizes[c.rng.IntN(len(sizes))]
	for float64(c.rows*c.spec.Dim)*60 > t.o.Work && c.rows > 200 {
		c.rows /= 2
	}
	c.name = fmt.Sprintf("case %d (%d x %d, %v, %v)", i, c.rows, c.spec.Dim, c.spec.Metric, c.spec.Codes)
	return c
}

// fill puts vectors, some of them equal, replaces some and deletes some.
func (c *comparison) fill(t *test) error {
	x, err := t.d.NewIndex(c.spec)
	if err != nil {
		return err
	}
	c.x = x
	distinct := max(1, c.rows*9/10) // the others are like one of these
	put := func(ids []uint32) error {
		flat := make([]float32, 0, len(ids)*c.spec.Dim)
		for _, id := range ids {
			if len(c.vectors) >= distinct {
				flat = append(flat, c.vectors[c.some()]...)
			} else {
				flat = append(flat, normal(c.rng, c.spec.Dim)...)
			}
			if _, there := c.vectors[id]; !there {
				c.ids = append(c.ids, id)
			}
			v := flat[len(flat)-c.spec.Dim:]
			c.vectors[id], c.norms[id] = slices.Clone(v), math.Sqrt(dot(v, v))
		}
		return x.Put(ids, flat)
	}
	all := ascending(c.rng, c.rows, c.rows+c.rows/3+1)
	for len(all) > 0 {
		n := min(len(all), 1+c.rng.IntN(8000))
		if err := put(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	if c.rows < 10 {
		return nil
	}
	gone := c.sample(c.rows / 5)
	for _, id := range gone {
		delete(c.vectors, id)
	}
	c.ids = slices.DeleteFunc(c.ids, func(id uint32) bool { return c.vectors[id] == nil })
	if err := x.Delete(gone); err != nil {
		return err
	}
	return put(c.sample(c.rows / 10)) // replaces
}

// some is one of the ids there are.
func (c *comparison) some() uint32 { return c.ids[c.rng.IntN(len(c.ids))] }

// sample is some of the ids there are, ascending.
func (c *comparison) sample(n int) []uint32 {
	ids := make([]uint32, 0, n)
	for _, i := range ascending(c.rng, n, len(c.ids)) {
		ids = append(ids, c.ids[i])
	}
	slices.Sort(ids)
	return ids
}

// searches makes batches of several sizes, over codes and exact.
func (t *test) searches(c *comparison) error {
	if c.x.Len() != len(c.vectors) {
		t.wrong("%s: %d vectors, not %d", c.name, c.x.Len(), len(c.vectors))
	}
	found, wanted := 0, 0
	for i := range 4 {
		// Each size comes in turn, over codes and exact.
		size := batches[(2*c.number+i/2)%len(batches)]
		b := serve.Batch{Exact: i%2 == 1, Queries: make([]serve.Query, size)}
		for j := range b.Queries {
			b.Queries[j] = c.query()
		}
		again := serve.Batch{Exact: b.Exact, Queries: slices.Clone(b.Queries)}
		if err := c.x.Search(&b); err != nil {
			return err
		}
		if err := c.x.Search(&again); err != nil {
			return err
		}
		// The CPU has time for some of a large batch.
		each := max(1, int(float64(size*c.rows*c.spec.Dim)/(t.o.Work/4)))
		for j, q := range b.Queries {
			if !slices.Equal(q.Hits, again.Queries[j].Hits) {
				t.wrong("%s: query %d of %d has other hits the second time", c.name, j, size)
			}
			if j%each != 0 && j != size-1 {
				continue
			}
			t.report.Cases++
			f, w, err := c.judge(q, b.Exact)
			if err != nil {
				t.wrong("%s, exact %t, query %d of %d, k %d: %v", c.name, b.Exact, j, size, q.K, err)
			}
			if !b.Exact {
				found, wanted = found+f, wanted+w
			}
		}
	}
	// One in a thousand may be missing, and one in any case.
	if wanted-found > 1+wanted/1000 {
		t.wrong("%s: recall %.4f (%d of %d)", c.name, float64(found)/float64(wanted), found, wanted)
	}
	return nil
}

// query draws one: some are vectors of the index, half are filtered.
func (c *comparison) query() serve.Query {
	q := serve.Query{Vector: normal(c.rng, c.spec.Dim), K: 1 + c.rng.IntN(20)}
	if c.rng.IntN(10) == 0 {
		q.K = 1 + c.rng.IntN(1024)
	}
	if c.rng.IntN(4) == 0 && len(c.vectors) > 0 {
		q.Vector = c.vectors[c.some()]
	}
	words := (c.rows+c.rows/3+1)/64 + 1
	switch c.rng.IntN(4) {
	case 0:
		q.Allow = allowing(c.rng, words, c.rng.Float64())
	case 1:
		q.Allow = allowing(c.rng, 1+c.rng.IntN(words), 0.02)
	}
	return q
}

// candidate is a vector as the CPU sees it.
type candidate struct {
	id       uint32
	distance float64
}

// judge compares a query's hits with all that is allowed. found of wanted hits are
// among the nearest.
func (c *comparison) judge(q serve.Query, exact bool) (found, wanted int, err error) {
	var all []candidate
	largest := 0.0
	norm := math.Sqrt(dot(q.Vector, q.Vector))
	distances := make(map[uint32]float64, len(c.vectors))
	for id, v := range c.vectors {
		if q.Allow != nil && (int(id/64) >= len(q.Allow) || q.Allow[id/64]>>(id%64)&1 == 0) {
			continue
		}
		d := c.distance(q.Vector, v, norm, c.norms[id])
		all = append(all, candidate{id, d})
		distances[id] = d
		largest = max(largest, math.Abs(d), norm*c.norms[id])
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.id, b.id))
	})
	wanted = min(q.K, len(all))
	if len(q.Hits) != wanted {
		return 0, wanted, fmt.Errorf("%d hits, not %d", len(q.Hits), wanted)
	}
	// float32 has 24 bits; sums of many products lose a few of them.
	slack := 4e-6 * (1 + largest)
	for i, h := range q.Hits {
		d, ok := distances[h.ID]
		switch {
		case !ok:
			return found, wanted, fmt.Errorf("hit %d is %d, which isn't there or isn't allowed", i, h.ID)
		case !(math.Abs(d-float64(h.Distance)) <= slack):
			return found, wanted, fmt.Errorf("hit %d is %d at %v, which is at %v", i, h.ID, h.Distance, d)
		case i > 0 && cmp.Or(cmp.Compare(q.Hits[i-1].Distance, h.Distance), cmp.Compare(q.Hits[i-1].ID, h.ID)) >= 0:
			return found, wanted, fmt.Errorf("hit %d, %+v, comes after %+v", i, h, q.Hits[i-1])
		case exact && math.Abs(d-all[i].distance) > slack:
			return found, wanted, fmt.Errorf("hit %d is at %v, the nearest but %d at %v", i, d, i, all[i].distance)
		}
		if d <= all[wanted-1].distance+slack {
			found++
		}
	}
	return found, wanted, nil
}

func (c *comparison) distance(q, v []float32, qNorm, vNorm float64) float64 {
	switch c.spec.Metric {
	case wire.Cosine:
		return 1 - dot(q, v)/(qNorm*vNorm)
	case wire.Dot:
		return -dot(q, v)
	}
	sum := 0.0
	for i, f := range q {
		d := float64(f) - float64(v[i])
		sum += d * d
	}
	return sum
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i, f := range a {
		sum += float64(f) * float64(b[i])
	}
	return sum
}

func normal(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// ascending are n of the numbers below most.
func ascending(rng *rand.Rand, n, most int) []uint32 {
	ids := make([]uint32, 0, n)
	for i := range most {
		if rng.IntN(most-i) < n-len(ids) {
			ids = append(ids, uint32(i))
		}
	}
	return ids
}

// allowing is a bitset in which a share of the bits is set.
func allowing(rng *rand.Rand, words int, share float64) []uint64 {
	allow := make([]uint64, words)
	for i := range allow {
		for bit := range 64 {
			if rng.Float64() < share {
				allow[i] |= 1 << bit
			}
		}
	}
	return allow
}
