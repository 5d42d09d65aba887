package hnsw

import (
	"maps"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/indextest"
)

// The gates are for recall@10 with an ef of 40, which finds most and not all, so that a
// loss is seen. Their vectors lie in clusters of 16 dimensions that are turned into 48, as
// embeddings fill a part of their space only.
const (
	gateVectors, gateQueries = 6000, 100
	gateDim, gateInner       = 48, 16
	gateK, gateEf            = 10, 40
	// gateSeed is one of the two of eight for which recall is lowest.
	gateSeed = 57
)

// gateBands are filters, by the share that they let through and where that lies; see
// filterKinds. The first ones are walked, the others scanned, or given up for a scan.
var gateBands = []struct {
	name, kind string
	share      float64
}{
	{name: "all"},
	{"50 %", "independent", 0.5},
	{"30 %", "independent", 0.3},
	{"10 %", "independent", 0.1},
	{"1 %", "independent", 0.01},
	{"0.1 %", "independent", 0.001},
	{"opposed 50 %", "far", 0.5},
	{"opposed 10 %", "far", 0.1},
}

// gates are the recalls that the walked bands have to have, before and after a third of
// the vectors is deleted or replaced. They lie 0.01 and some rounding below the worst of
// eight seeds: with one linker a seed gives the same graph and the same recall each time,
// but for sweeps, which come when they come, and sums that kernels round in other ways.
var gates = map[vecindex.Quantization]map[vecindex.Metric][3]float64{
	vecindex.Unquantized: {
		vecindex.Cosine: {0.955, 0.955, 0.97},
		vecindex.L2:     {0.95, 0.95, 0.97},
		vecindex.Dot:    {0.94, 0.925, 0.94},
	},
	vecindex.Int8: {
		vecindex.Cosine: {0.95, 0.95, 0.965},
		vecindex.L2:     {0.95, 0.95, 0.97},
		vecindex.Dot:    {0.94, 0.92, 0.935},
	},
	vecindex.FastScan: {
		vecindex.Cosine: {0.97, 0.955, 0.97},
		vecindex.L2:     {0.97, 0.955, 0.97},
		vecindex.Dot:    {0.95, 0.92, 0.935},
	},
}

// scanGate is for the other bands: what is scanned is missed only where codes are wrong.
const scanGate = 0.99

// TestGates holds the recall of every quantization, metric and kind of filter against
// the exact answer, in a new index and after churn.
func TestGates(t *testing.T) {
	if raceFactor > 1 {
		t.Skip("TestConcurrent is for the race detector")
	}
	plans := map[vecindex.Plan]int{}
	for _, metric := range indextest.Metrics {
		c, turned := newClusters(gateSeed, gateInner, 60), [][]float32{}
		for range gateDim {
			turned = append(turned, c.gaussian(make([]float32, gateInner), 1))
		}
		before := gated{vectors: map[uint32][]float32{}}
		for id := range uint32(gateVectors) {
			before.vectors[id] = c.turned(turned)
		}
		for range gateQueries {
			before.queries = append(before.queries, c.turned(turned))
		}
		after := gated{vectors: maps.Clone(before.vectors), queries: before.queries}
		for id := uint32(0); id < gateVectors; id += 3 {
			if id%2 == 0 {
				delete(after.vectors, id)
			} else {
				after.vectors[id] = c.turned(turned)
			}
		}
		before.rank(t, metric)
		after.rank(t, metric)
		for _, quantization := range quantizations {
			t.Run(quantization.String()+" "+metric.String(), func(t *testing.T) {
				x := open(t, Options{Quantization: quantization, Dimension: gateDim, Metric: metric, M: 8, EfConstruction: 60, Workers: 1})
				for id := range uint32(gateVectors) {
					put(t, x, id, before.vectors[id])
				}
				before.check(t, x, plans)
				for id := uint32(0); id < gateVectors; id += 3 {
					if v, ok := after.vectors[id]; ok {
						put(t, x, id, v)
					} else {
						x.Delete(id)
					}
				}
				after.check(t, x, plans)
			})
		}
	}
	if len(plans) < 4 {
		t.Errorf("the test has lost its force: plans %v", plans)
	}
}

// turned draws a vector and turns it into the space that the rows span, with some noise.
func (c *clusters) turned(rows [][]float32) []float32 {
	inner, v := c.vector(), make([]float32, len(rows))
	for i, row := range rows {
		for j := range row {
			v[i] += row[j] * inner[j]
		}
	}
	return c.gaussian(v, 1)
}

// gated is what an index has to find: vectors, and for each query all ids from the nearest
// to the farthest.
type gated struct {
	vectors map[uint32][]float32
	queries [][]float32
	ranked  [][]uint32
}

// rank orders the ids by an exact scan.
func (g *gated) rank(t *testing.T, metric vecindex.Metric) {
	t.Helper()
	oracle := newFlat(t, metric, gateDim)
	for id, v := range g.vectors {
		put(t, oracle, id, v)
	}
	for _, q := range g.queries {
		hits, _ := search(t, oracle, vecindex.Query{Vector: q, K: len(g.vectors), Exact: true})
		ids := make([]uint32, len(hits))
		for i, h := range hits {
			ids[i] = h.ID
		}
		g.ranked = append(g.ranked, ids)
	}
}

// check holds an index against all gates, once it doesn't change by itself any more, and
// counts the plans.
func (g *gated) check(t *testing.T, x *Index, plans map[vecindex.Plan]int) {
	t.Helper()
	drain(t, x)
	await(t, "the sweep", func() bool { return x.Stats().Tombstones < sweepMinimum })
	x.rejoinStranded() // as when it is left alone for a while
	for i, b := range gateBands {
		gate := scanGate
		if walked := gates[x.opts.Quantization][x.opts.Metric]; i < len(walked) {
			gate = walked[i]
		}
		c := newClusters(51, 1, 1)
		found, wanted := 0, 0
		for i, v := range g.queries {
			q, want := vecindex.Query{Vector: v, K: gateK, Ef: gateEf}, g.ranked[i]
			if b.kind != "" {
				q.Allow = filterKinds[b.kind](c, b.share, want)
				want = slices.DeleteFunc(slices.Clone(want), func(id uint32) bool { return !q.Allow.Contains(id) })
			}
			want = want[:min(gateK, len(want))]
			hits, stats := search(t, x, q)
			if plans[stats.Plan]++; len(hits) != len(want) {
				t.Fatalf("%s: %d hits, want %d", b.name, len(hits), len(want))
			}
			for _, h := range hits {
				if slices.Contains(want, h.ID) {
					found++
				}
			}
			wanted += len(want)
		}
		if got := float64(found) / float64(wanted); got < gate {
			t.Errorf("%s, %d vectors: recall@%d is %.3f, want at least %v", b.name, len(g.vectors), gateK, got, gate)
		} else {
			t.Logf("%s, %d vectors: recall@%d %.3f", b.name, len(g.vectors), gateK, got)
		}
	}
}
