package quant_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/internal/dataset"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/quant"
	"github.com/vccdb/vccdb/vecindex/simd"
)

func newFastScan(t testing.TB, metric vecindex.Metric, dim int, seed uint64, level simd.Level) (*quant.Int8, *quant.FastScan) {
	t.Helper()
	c, err := quant.NewPaddedInt8(metric, dim, quant.FastScanPadding(dim), seed, level)
	if err != nil {
		t.Fatal(err)
	}
	f, err := quant.NewFastScan(c, level)
	if err != nil {
		t.Fatal(err)
	}
	return c, f
}

// estimates are what a block of node says of the distances of q to vectors; exact are
// those of the code rows.
func estimates(t testing.TB, metric vecindex.Metric, seed uint64, q, node []float32, vectors [][]float32) (estimated, exact []float32) {
	c, f := newFastScan(t, metric, len(q), seed, simd.Auto)
	rows := encode(c, append([][]float32{q, node}, vectors...)...)
	row := func(i int) []byte { return rows[i*c.Stride():][:c.Stride()] }
	block := make([]uint32, f.BlockWords())
	numbers := make([]uint32, len(vectors)+1)
	for i := range vectors {
		f.Encode(block, i, row(1), row(2+i))
		numbers[i+1] = uint32(i + 1)
	}
	exact = make([]float32, len(numbers))
	c.Distances(row(0), rows[c.Stride():], numbers, exact)
	p := f.NewProbe()
	f.Set(p, row(0))
	below := f.Below(p, block, block, exact[0], math.MaxFloat32)
	if used := uint32(1<<len(vectors) - 1); below&used != used {
		t.Fatalf("estimates %v are below %b", p.Estimates, below)
	}
	return slices.Clone(p.Estimates[:len(vectors)]), exact[1:]
}

func near(rng *rand.Rand, v []float32, far float32) []float32 {
	out := random(rng, len(v))
	for i := range out {
		out[i] = v[i] + far*out[i]
	}
	return out
}

func difference(a, b []float32, scale float64) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - scale*float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum)
}

// spread is what the errors of estimates are in proportion to, by equation 1.
func spread(metric vecindex.Metric, q, node, v []float32) float64 {
	s := difference(v, node, 1) * difference(q, node, 1)
	switch metric {
	case vecindex.L2:
		s *= 2
	case vecindex.Dot:
		s = difference(v, node, 1) * difference(q, node, dot(q, node)/dot(node, node))
	}
	return s / math.Sqrt(float64(quant.FastScanPadding(len(q))))
}

// deviation is the standard deviation of errors, in spreads.
func deviation(dim int) float64 {
	if dim <= 256 {
		return 0.37
	}
	return 0.75
}

// TestFastScanUnbiased: over random rotations, the mean of the estimates is the
// distance, and their spread that of the theory.
func TestFastScanUnbiased(t *testing.T) {
	const rounds = 300
	for _, metric := range metrics {
		for _, dim := range []int{40, 100, 300} {
			rng := rand.New(rand.NewPCG(31, uint64(dim)))
			node := random(rng, dim)
			q, vectors := near(rng, node, 1), [][]float32{near(rng, node, 1), near(rng, node, 0.5), make([]float32, dim)}
			vectors[2][3] = 5 // what the rotation has to spread
			for _, v := range append(vectors, q, node) {
				if metric == vecindex.Cosine {
					normalise(v)
				}
			}
			var sum, squares [3]float64
			for seed := range uint64(rounds) {
				estimated, exact := estimates(t, metric, seed, q, node, vectors)
				for i, v := range vectors {
					e := float64(estimated[i]-exact[i]) / spread(metric, q, node, v)
					sum[i] += e
					squares[i] += e * e
				}
			}
			for i := range vectors {
				mean, sd := sum[i]/rounds, math.Sqrt(squares[i]/rounds)
				want := deviation(dim)
				if math.Abs(mean) > 4*want/math.Sqrt(rounds) || sd < 0.75*want || sd > 1.25*want {
					t.Errorf("%v, %d dimensions, vector %d: mean error %.4f, deviation %.3f, want 0 and %.2f", metric, dim, i, mean, sd, want)
				}
			}
		}
	}
}

// TestFastScanError bounds the errors on vectors as they come, around nodes near and
// far: word vectors, random ones and short ones.
func TestFastScanError(t *testing.T) {
	var words [][]float32
	for w, err := range dataset.EnglishWords() {
		if err != nil {
			t.Fatal(err)
		}
		if words = append(words, slices.Clone(w.Vector)); len(words) == 400 {
			break
		}
	}
	for _, metric := range metrics {
		for _, dim := range []int{0, 1, 3, 16, 17, 256, 257, 768, 4096} { // 0: words
			rng := rand.New(rand.NewPCG(32, uint64(dim)))
			worst := 0.0
			for range 20 {
				some := make([][]float32, 34)
				for i := range some {
					if dim == 0 {
						some[i] = slices.Clone(words[rng.IntN(len(words))])
					} else {
						some[i] = random(rng, dim)
					}
					if metric == vecindex.Cosine {
						normalise(some[i])
					}
				}
				q, node, vectors := some[0], some[1], some[2:]
				estimated, exact := estimates(t, metric, 5, q, node, vectors)
				for i, v := range vectors {
					rounding := 0.01 * (math.Sqrt(dot(q, q)) + math.Sqrt(dot(node, node))) * (math.Sqrt(dot(v, v)) + math.Sqrt(dot(node, node)))
					bound := 5.5*deviation(len(q))*spread(metric, q, node, v) + rounding
					if e := math.Abs(float64(estimated[i] - exact[i])); e > bound || e != e {
						t.Errorf("%v, %d dimensions: estimated %v, exact %v, error bound %v", metric, len(q), estimated[i], exact[i], bound)
					}
					worst = max(worst, math.Abs(float64(estimated[i]-exact[i]))/bound)
				}
			}
			if dim == 0 && worst < 0.2 {
				t.Errorf("%v: the bound is %v times the worst error, and says nothing", metric, 1/worst)
			}
		}
	}
}

// TestFastScanDegenerate: nodes, neighbours and queries that are the same, or nothing,
// or of very different lengths have estimates that are numbers.
func TestFastScanDegenerate(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 0))
	v := random(rng, 24)
	scaled := func(by float32) []float32 {
		out := slices.Clone(v)
		for i := range out {
			out[i] *= by
		}
		return out
	}
	all := [][]float32{make([]float32, 24), v, scaled(1e-15), scaled(-1), scaled(1e-4), scaled(1e6)}
	for _, metric := range metrics[1:] {
		for _, node := range all {
			for _, q := range all {
				estimated, exact := estimates(t, metric, 1, q, node, all)
				for i, e := range estimated {
					if e != e || math.IsInf(float64(e), 0) {
						t.Errorf("%v: %v from %v to %v by %v, exact %v", metric, e, q[0], all[i][0], node[0], exact[i])
					}
				}
			}
		}
	}
}

// TestFastScanLevels: every level writes the same blocks, whatever was in them, and
// nothing but the slot that is meant.
func TestFastScanLevels(t *testing.T) {
	rng := rand.New(rand.NewPCG(34, 0))
	for _, metric := range metrics {
		for _, dim := range []int{16, 100, 400} {
			c, plain := newFastScan(t, metric, dim, 3, simd.Generic)
			rows := encode(c, random(rng, dim), random(rng, dim), random(rng, dim))
			row := func(i int) []byte { return rows[i*c.Stride():][:c.Stride()] }
			for _, level := range simd.Levels() {
				_, f := newFastScan(t, metric, dim, 3, level)
				want, got := make([]uint32, f.BlockWords()), make([]uint32, f.BlockWords())
				for _, slot := range append(rng.Perm(simd.BlockSlots), 5, 21) {
					plain.Encode(want, slot, row(0), row(1+slot%2))
				}
				for i := range got {
					got[i] = rng.Uint32()
				}
				for slot := range simd.BlockSlots {
					before := slices.Clone(got)
					f.Encode(got, slot, row(0), row(1+slot%2))
					for i := range got {
						mine := i%16 == slot%16
						if i < simd.BlockHead {
							mine = i%simd.BlockSlots == slot
						}
						if !mine && got[i] != before[i] {
							t.Fatalf("slot %d is in word %d", slot, i)
						}
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%v, %v, %d dimensions: another block", metric, level, dim)
				}
			}
		}
	}
}

func TestFastScanNeedsChunks(t *testing.T) {
	c := newInt8(t, vecindex.L2, 100, 100, simd.Auto)
	if _, err := quant.NewFastScan(c, simd.Auto); err == nil {
		t.Error("codes of 100 coordinates have blocks")
	}
	if _, err := quant.NewFastScan(newInt8(t, vecindex.L2, 16, 16, simd.Auto), simd.Level(99)); err == nil {
		t.Error("there are kernels of level 99")
	}
}

// FuzzFastScan: whatever a code row holds, its block is written and read.
func FuzzFastScan(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint8(0), uint8(1), uint8(31))
	f.Fuzz(func(t *testing.T, data []byte, metric, chunks, slot uint8) {
		dim := int(chunks%20+1) * simd.ChunkCodes
		c, fast := newFastScan(t, metrics[int(metric)%len(metrics)], dim, 1, simd.Auto)
		rows := make([]byte, 2*c.Stride())
		for i := range rows {
			if len(data) > 0 {
				rows[i] = data[i%len(data)]
			}
		}
		block := make([]uint32, fast.BlockWords())
		fast.Encode(block, int(slot)%simd.BlockSlots, rows[:c.Stride()], rows[c.Stride():])
		for _, word := range block[:simd.BlockHead] {
			if v := math.Float32frombits(word); v-v != 0 {
				t.Fatalf("%v in a block", v)
			}
		}
		p := fast.NewProbe()
		fast.Set(p, rows)
		if below := fast.Below(p, block, block, float32(math.NaN()), 1); below != 0 {
			t.Fatalf("what isn't a number is below 1: %b", below)
		}
	})
}

func BenchmarkFastScan(b *testing.B) {
	rng := rand.New(rand.NewPCG(35, 0))
	for _, dim := range []int{100, 768} {
		for _, level := range simd.Levels() {
			c, f := newFastScan(b, vecindex.Cosine, dim, 1, level)
			rows := encode(c, normalise(random(rng, dim)), normalise(random(rng, dim)))
			block, p := make([]uint32, f.BlockWords()), f.NewProbe()
			name := fmt.Sprintf("%d/%v/", dim, level)
			b.Run(name+"encode", func(b *testing.B) {
				for b.Loop() {
					f.Encode(block, 7, rows[:c.Stride()], rows[c.Stride():])
				}
			})
			b.Run(name+"set", func(b *testing.B) {
				for b.Loop() {
					f.Set(p, rows)
				}
			})
			b.Run(name+"below", func(b *testing.B) {
				for b.Loop() {
					f.Below(p, block, block, 0.5, 1)
				}
			})
		}
	}
}
