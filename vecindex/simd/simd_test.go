package simd_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/vccdb/vccdb/vecindex/simd"
)

// maxRelativeError bounds how far two levels may be apart, relative to the sum of
// the terms' sizes: rounding errors of a sum of n terms stay below n/2 units in the
// last place, and in practice far below.
const maxRelativeError = 1e-5

// form is one kernel with its term, which the exact answer is made of.
type form struct {
	name string
	pair func(simd.Kernels) func(a, b []float32) float32
	rows func(simd.Kernels) func(q, matrix []float32, stride int, rows []uint32, out []float32)
	term func(a, b float64) float64
}

var forms = []form{
	{
		"dot",
		func(k simd.Kernels) func(a, b []float32) float32 { return k.Dot },
		func(k simd.Kernels) func([]float32, []float32, int, []uint32, []float32) { return k.DotRows },
		func(a, b float64) float64 { return a * b },
	},
	{
		"l2",
		func(k simd.Kernels) func(a, b []float32) float32 { return k.L2 },
		func(k simd.Kernels) func([]float32, []float32, int, []uint32, []float32) { return k.L2Rows },
		func(a, b float64) float64 { return (a - b) * (a - b) },
	},
}

// exact is the sum in float64, and the sum of the terms' sizes.
func (f form) exact(a, b []float32) (sum, size float64) {
	for i := range a {
		t := f.term(float64(a[i]), float64(b[i]))
		sum += t
		size += math.Abs(t)
	}
	return sum, size
}

// each runs a test for every level of this machine and every form.
func each(t *testing.T, test func(t *testing.T, k simd.Kernels, f form)) {
	for _, level := range simd.Levels() {
		k, err := simd.For(level)
		if err != nil {
			t.Fatal(err)
		}
		if k.Level != level {
			t.Fatalf("asked for %v, got %v", level, k.Level)
		}
		for _, f := range forms {
			t.Run(fmt.Sprintf("%v/%s", level, f.name), func(t *testing.T) { test(t, k, f) })
		}
	}
}

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

func TestPairs(t *testing.T) {
	each(t, func(t *testing.T, k simd.Kernels, f form) {
		rng := rand.New(rand.NewPCG(1, 1))
		a, b := random(rng, 1040), random(rng, 1040)
		for n := range 1031 {
			// An odd offset makes every load unaligned.
			at := n % 5
			got := float64(f.pair(k)(a[at:at+n], b[2*at:2*at+n]))
			want, size := f.exact(a[at:at+n], b[2*at:2*at+n])
			if math.Abs(got-want) > maxRelativeError*size {
				t.Fatalf("length %d: got %v, want %v", n, got, want)
			}
		}
	})
}

// TestRows compares the row form with the pair form bit by bit, for lists of every
// small length, with rows repeated, and sees that nothing is written behind out.
func TestRows(t *testing.T) {
	each(t, func(t *testing.T, k simd.Kernels, f form) {
		rng := rand.New(rand.NewPCG(2, 2))
		const numRows, canary = 40, float32(12345)
		for n := 1; n <= 160; n += 1 + n/24 {
			stride := n + n%3
			matrix := random(rng, 1+numRows*stride)[1:]
			q := random(rng, n)
			for count := range 15 {
				rows, out := make([]uint32, count), make([]float32, count+1)
				for i := range rows {
					rows[i] = rng.Uint32N(numRows)
				}
				out[count] = canary
				f.rows(k)(q, matrix, stride, rows, out)
				for i, r := range rows {
					row := matrix[int(r)*stride : int(r)*stride+n]
					if want := f.pair(k)(q, row); out[i] != want {
						t.Fatalf("n %d, list of %d: row %d has %v, its pair %v", n, count, r, out[i], want)
					}
				}
				if out[count] != canary {
					t.Fatalf("n %d, list of %d: wrote behind out", n, count)
				}
			}
		}
	})
}

// TestTailIsNotRead puts NaN right behind every vector: a kernel that counted it in
// would show it.
func TestTailIsNotRead(t *testing.T) {
	each(t, func(t *testing.T, k simd.Kernels, f form) {
		nan := float32(math.NaN())
		for n := 1; n < 70; n++ {
			a, b := make([]float32, n+20), make([]float32, n+20)
			for i := range a {
				a[i], b[i] = nan, nan
				if i < n {
					a[i], b[i] = 1, 3
				}
			}
			want, _ := f.exact(a[:n], b[:n])
			if got := f.pair(k)(a[:n], b[:n]); float64(got) != want {
				t.Fatalf("length %d: got %v, want %v", n, got, want)
			}
		}
	})
}

func TestEmpty(t *testing.T) {
	each(t, func(t *testing.T, k simd.Kernels, f form) {
		if got := f.pair(k)(nil, nil); got != 0 {
			t.Errorf("two empty vectors: %v", got)
		}
		f.rows(k)([]float32{1}, nil, 1, nil, nil)
	})
}

func TestLevels(t *testing.T) {
	k, err := simd.For(simd.Auto)
	if err != nil || k.Level != simd.Levels()[0] {
		t.Errorf("auto is %v (%v), want %v", k.Level, err, simd.Levels()[0])
	}
	if _, err := simd.For(simd.Level(200)); err == nil {
		t.Error("level 200 exists")
	}
	for l := simd.Auto; l <= simd.NEON; l++ {
		if got, ok := simd.ParseLevel(l.String()); !ok || got != l {
			t.Errorf("%v parses as %v, %v", l, got, ok)
		}
	}
	if _, ok := simd.ParseLevel("mmx"); ok {
		t.Error("mmx is a level")
	}
}

func FuzzPair(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!?.,;:-+*/()"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := len(data) / 2
		a, b := make([]float32, n), make([]float32, n)
		for i := range n {
			a[i], b[i] = float32(int8(data[i]))/8, float32(int8(data[n+i]))/8
		}
		for _, level := range simd.Levels() {
			k, err := simd.For(level)
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range forms {
				want, size := form.exact(a, b)
				if got := float64(form.pair(k)(a, b)); math.Abs(got-want) > maxRelativeError*size {
					t.Errorf("%v %s: got %v, want %v", level, form.name, got, want)
				}
			}
		}
	})
}

func BenchmarkRows(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, dim := range []int{112, 768} {
		for _, n := range []int{1000, 200_000} {
			matrix, q := make([]float32, n*dim), random(rng, dim)
			for i := range matrix {
				matrix[i] = float32(i & 15)
			}
			rows, out := make([]uint32, 32), make([]float32, 32)
			for _, level := range simd.Levels() {
				k, _ := simd.For(level)
				b.Run(fmt.Sprintf("%v/dim=%d/rows=%d", level, dim, n), func(b *testing.B) {
					for range b.N {
						for i := range rows {
							rows[i] = rng.Uint32N(uint32(n))
						}
						k.DotRows(q, matrix, dim, rows, out)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
				})
			}
		}
	}
}

// TestPrefetchIsHarmless: what is asked for needn't be there.
func TestPrefetchIsHarmless(t *testing.T) {
	var some [4]float32
	base := unsafe.Pointer(&some[0])
	simd.Prefetch(base)
	simd.PrefetchRows(base, 1<<20, []uint32{0, 1, 1 << 30, math.MaxUint32}, 3)
	simd.PrefetchRows(base, 64, nil, 1)
	simd.PrefetchRows(base, 64, []uint32{1}, 0)
	simd.PrefetchRows(nil, 64, []uint32{1, 2}, 1)
}
