package hnsw

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/indextest"
	"github.com/vccdb/vccdb/vecindex/simd"
)

// checkBlocks encodes all neighbours anew, which must change nothing: every code is
// that of the link beside it.
func checkBlocks(t testing.TB, x *Index) {
	t.Helper()
	x.linking.Lock()
	defer x.linking.Unlock()
	n, links := x.graph.neighbours, []uint32(nil)
	checked := 0
	for slot := range x.slots.high.Load() {
		if links = appendLinks(links[:0], x.graph.row(slot, 0)); !x.isLinked(slot) {
			continue
		}
		before := slices.Clone(n.blocks.Slice(int(slot)*n.perNode, n.perNode))
		for i, link := range links {
			n.encode(slot, i, link)
		}
		if !slices.Equal(n.blocks.Slice(int(slot)*n.perNode, n.perNode), before) {
			t.Fatalf("the codes of the neighbours of slot %d are not theirs", slot)
		}
		checked += len(links)
	}
	if checked == 0 {
		t.Fatal("there are no links")
	}
}

// TestNeighbourCodes: after inserts, replacements, deletes and sweeps, with rows that
// are full of one block, or have a part of one or more than one.
func TestNeighbourCodes(t *testing.T) {
	for _, m := range []int{5, 16, 24} {
		const n, dim = 1500 / raceFactor, 20
		c := newClusters(uint64(m), dim, 10)
		x := open(t, Options{Quantization: vecindex.FastScan, Dimension: dim, Metric: vecindex.L2, M: m, EfConstruction: 60, Workers: 2})
		for range 4 {
			for id := range uint32(n) {
				put(t, x, id, c.vector())
				if c.rng.IntN(4) == 0 {
					x.Delete(c.rng.Uint32N(n))
				}
			}
			drain(t, x)
			checkBlocks(t, x)
		}
		if used := int(x.slots.high.Load()); used > 3*n {
			t.Errorf("M %d: %d slots for %d vectors, nothing was swept", m, used, n)
		}
		if err := x.Check(); err != nil {
			t.Error(err)
		}
	}
}

// TestNeighbourCodesOfLoaded: a checkpoint has no codes of neighbours; they are made
// anew, and searches don't wait for them.
func TestNeighbourCodesOfLoaded(t *testing.T) {
	const n, dim = 1000, 16
	c := newClusters(1, dim, 10)
	j := newJournal(t, Options{Dimension: dim, Quantization: vecindex.FastScan, M: 8, EfConstruction: 60})
	x, _ := j.load()
	for id := range uint32(n) {
		j.change(x, id, c.vector())
	}
	drain(t, x)
	j.save(x)
	closeIndex(t, x)
	j.openFolder()
	x, _ = j.load()
	for id := range uint32(n / 4) {
		search(t, x, vecindex.Query{Vector: c.vector(), K: 10, Ef: 20})
		j.change(x, 4*id, c.vector())
	}
	drain(t, x)
	await(t, "the neighbours' codes", x.graph.neighbours.ready.Load)
	checkBlocks(t, x)
	j.check(x)
	closeIndex(t, x)
}

// TestNeighbourCodesMayBeWrong: readers see codes that are half written. Here they see
// worse, any words that there are: what a search returns is there and has its distance,
// whatever it was led by, and what is linked is linked well enough to be found again.
func TestNeighbourCodesMayBeWrong(t *testing.T) {
	const n, dim = 600 / raceFactor, 16
	for _, metric := range indextest.Metrics {
		c := newClusters(7, dim, 10)
		// The detector of races sees what plain Go does.
		x := open(t, Options{Quantization: vecindex.FastScan, Dimension: dim, Metric: metric, M: 8, EfConstruction: 40, Workers: 2, Kernel: simd.Generic})
		vectors := make([][]float32, 2*n)
		for id := range vectors {
			vectors[id] = c.vector()
		}
		for id := range uint32(n) {
			put(t, x, id, vectors[id])
		}
		drain(t, x)
		var ended atomic.Bool
		var scribbling sync.WaitGroup
		scribbling.Go(func() {
			rng := rand.New(rand.NewPCG(8, 8))
			for !ended.Load() {
				slot := rng.Uint32N(n)
				stripe := x.graph.stripe(slot)
				stripe.Lock()
				block := x.graph.neighbours.block(slot, 0)
				for i := range block {
					word := rng.Uint32()
					if i < simd.BlockHead && rng.IntN(2) == 0 {
						word = math.Float32bits(rng.Float32() - 0.5)
					}
					atomic.StoreUint32(&block[i], word)
				}
				stripe.Unlock()
			}
		})
		for id := range uint32(n) { // linked by what is wrong
			put(t, x, n+id, vectors[n+id])
			q := vecindex.Query{Vector: vectors[c.rng.IntN(2*n)], K: 5, Ef: 20}
			hits, _ := search(t, x, q)
			if len(hits) != q.K {
				t.Fatalf("%v: %d hits, want %d", metric, len(hits), q.K)
			}
			for _, h := range hits {
				want := metric.Distance(q.Vector, vectors[h.ID])
				if math.Abs(float64(h.Distance-want)) > 1e-4*max(1, math.Abs(float64(want))) {
					t.Fatalf("%v: id %d at %v, want %v", metric, h.ID, h.Distance, want)
				}
			}
		}
		drain(t, x)
		ended.Store(true)
		scribbling.Wait()
		x.fillNeighbours()
		checkBlocks(t, x)
		if err := x.Check(); err != nil {
			t.Error(err)
		}
		found := 0
		for id, v := range vectors {
			hits, _ := search(t, x, vecindex.Query{Vector: v, K: 10, Ef: 100})
			if slices.ContainsFunc(hits, func(h vecindex.Hit) bool { return int(h.ID) == id }) {
				found++
			}
		}
		if metric != vecindex.Dot && found < len(vectors)*9/10 {
			t.Errorf("%v: %d of %d vectors are found by themselves", metric, found, len(vectors))
		}
	}
}

// TestNeighbourWalkEnds: by its context, and by its budget, after which the search is an
// exact one.
func TestNeighbourWalkEnds(t *testing.T) {
	const n, dim = 3000, 8
	c := newClusters(9, dim, 10)
	x := open(t, Options{Quantization: vecindex.FastScan, Dimension: dim, M: 4, EfConstruction: 20})
	for id := range uint32(n) {
		put(t, x, id, c.vector())
	}
	drain(t, x)
	q := vecindex.Query{Vector: c.vector(), K: 5, Ef: n / 6}
	if _, stats := search(t, x, q); !stats.ExactFallback {
		t.Errorf("a walk of width %d ended by itself: %+v", q.Ef, stats)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := x.Search(ctx, q, nil); err == nil {
		t.Error("a search without time ended well")
	}
}
