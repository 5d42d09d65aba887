package quant_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/internal/dataset"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/quant"
	"github.com/vccdb/vccdb/vecindex/simd"
)

var metrics = []vecindex.Metric{vecindex.Cosine, vecindex.L2, vecindex.Dot}

func newInt8(t testing.TB, metric vecindex.Metric, dim, padded int, level simd.Level) *quant.Int8 {
	t.Helper()
	c, err := quant.NewPaddedInt8(metric, dim, padded, 7, level)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func normalise(v []float32) []float32 {
	scale := 1 / math.Sqrt(dot(v, v))
	for i := range v {
		v[i] = float32(float64(v[i]) * scale)
	}
	return v
}

func encode(c *quant.Int8, vectors ...[]float32) []byte {
	rows := make([]byte, len(vectors)*c.Stride())
	for i, v := range vectors {
		c.Encode(rows[i*c.Stride():][:c.Stride()], v)
	}
	return rows
}

// TestInt8Stride: what the dimensions people have cost.
func TestInt8Stride(t *testing.T) {
	for dim, want := range map[int]int{1: 64, 52: 64, 53: 128, 100: 128, 116: 128, 128: 192, 768: 832, 1536: 1600, 4096: 4160} {
		if got := newInt8(t, vecindex.L2, dim, dim, simd.Auto).Stride(); got != want {
			t.Errorf("%d dimensions take %d bytes, want %d", dim, got, want)
		}
	}
}

// TestInt8Error bounds the error of distances by that of rounding: a coordinate is
// off by at most half a step of largest/127, and independently so, whatever the
// vectors look like.
func TestInt8Error(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range shapes {
		for _, metric := range metrics {
			c := newInt8(t, metric, s.dim, s.padded, simd.Auto)
			const n = 24
			vectors := make([][]float32, n)
			for i := range vectors {
				v := random(rng, s.dim)
				switch {
				case i%4 == 1: // one coordinate has nearly everything
					v[rng.IntN(s.dim)] = 1000
				case i%4 == 2: // a neighbour of the one before
					for j := range v {
						v[j] = vectors[i-1][j] + v[j]*0.01
					}
				case i%4 == 3: // all positive, as counts are
					for j := range v {
						v[j] = v[j] * v[j]
					}
				}
				if metric == vecindex.Cosine {
					normalise(v)
				}
				vectors[i] = v
			}
			matrix, rows, out := encode(c, vectors...), make([]uint32, n), make([]float32, n)
			for i := range rows {
				rows[i] = uint32(i)
			}
			for i, q := range vectors {
				c.Distances(matrix[i*c.Stride():][:c.Stride()], matrix, rows, out)
				for j, v := range vectors {
					exact := float64(metric.Distance(q, v))
					size := math.Sqrt(dot(q, q) * dot(v, v))
					// Rounding: two vectors' errors, of which a coordinate has a standard
					// deviation of a 12th root of a step; five deviations are allowed.
					bound := 5 * 2 * 2 * size * 4 / 127 / math.Sqrt(12*float64(s.padded))
					bound += 1e-6 * (dot(q, q) + dot(v, v)) // of float32
					if math.Abs(float64(out[j])-exact) > bound {
						t.Errorf("%d into %d, %v: vectors %d and %d: %v, exact %v, bound %v", s.dim, s.padded, metric, i, j, out[j], exact, bound)
					}
				}
			}
		}
	}
}

// TestInt8OfWords: of real vectors, the true ten nearest are among the twelve that
// codes find, as good as always, and the error is a thousandth.
func TestInt8OfWords(t *testing.T) {
	var vectors [][]float32
	for word, err := range dataset.EnglishWords() {
		if err != nil {
			t.Fatal(err)
		}
		if vectors = append(vectors, normalise(slices.Clone(word.Vector))); len(vectors) == 5000 {
			break
		}
	}
	c := newInt8(t, vecindex.Cosine, len(vectors[0]), len(vectors[0]), simd.Auto)
	matrix := encode(c, vectors...)
	rows, out, exact := make([]uint32, len(vectors)), make([]float32, len(vectors)), make([]float32, len(vectors))
	for i := range rows {
		rows[i] = uint32(i)
	}
	const queries = 50
	found, squares := 0, 0.0
	for query := range queries {
		at := query * len(vectors) / queries
		c.Distances(matrix[at*c.Stride():][:c.Stride()], matrix, rows, out)
		for i, v := range vectors {
			exact[i] = float32(1 - dot(vectors[at], v))
			squares += float64(exact[i]-out[i]) * float64(exact[i]-out[i])
		}
		nearest := slices.SortedFunc(slices.Values(rows), func(a, b uint32) int { return cmp.Compare(exact[a], exact[b]) })
		byCode := slices.SortedFunc(slices.Values(rows), func(a, b uint32) int { return cmp.Compare(out[a], out[b]) })
		for _, id := range nearest[:10] {
			if slices.Contains(byCode[:12], id) {
				found++
			}
		}
	}
	if found < queries*10-3 {
		t.Errorf("%d of %d true neighbours found", found, queries*10)
	}
	if deviation := math.Sqrt(squares / float64(queries*len(vectors))); deviation > 1e-3 {
		t.Errorf("the error has a deviation of %v", deviation)
	}
}

// TestInt8Levels: every level gives the same bits as the plain one.
func TestInt8Levels(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, metric := range metrics {
		for _, dim := range []int{1, 51, 52, 53, 64, 100, 116, 117, 300, 768} {
			const n = 37
			plain := newInt8(t, metric, dim, dim, simd.Generic)
			vectors := make([][]float32, n)
			for i := range vectors {
				vectors[i] = random(rng, dim)
			}
			matrix := encode(plain, vectors...)
			for _, level := range simd.Levels() {
				c := newInt8(t, metric, dim, dim, level)
				for count := range 40 {
					rows, want, got := make([]uint32, count), make([]float32, count), make([]float32, count+1)
					for i := range rows {
						rows[i] = rng.Uint32N(n)
					}
					got[count] = 99
					q := matrix[rng.IntN(n)*c.Stride():][:c.Stride()]
					plain.Distances(q, matrix, rows, want)
					c.Distances(q, matrix, rows, got)
					for i := range rows {
						if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
							t.Fatalf("%v, %v, %d dimensions, row %d of %d: %v, want %v", level, metric, dim, i, count, got[i], want[i])
						}
					}
					if got[count] != 99 {
						t.Fatalf("%v, %d dimensions: wrote behind %d rows", level, dim, count)
					}
				}
			}
		}
	}
}

// TestInt8Decode: a row stands for the rotated vector, within half a step, and its
// product with the vector is the squared length.
func TestInt8Decode(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, s := range shapes {
		c := newInt8(t, vecindex.Dot, s.dim, s.padded, simd.Auto)
		v := random(rng, s.dim)
		rotated, decoded := make([]float32, s.padded), make([]float32, s.padded)
		c.Rotation().Apply(rotated, v)
		c.Decode(decoded, encode(c, v))
		largest := 0.0
		for _, x := range rotated {
			largest = max(largest, math.Abs(float64(x)))
		}
		for i := range rotated {
			if math.Abs(float64(decoded[i]-rotated[i])) > largest/127*0.6 {
				t.Errorf("%d into %d: coordinate %d is %v, decoded %v", s.dim, s.padded, i, rotated[i], decoded[i])
			}
		}
		if want := dot(v, v); math.Abs(dot(decoded, rotated)-want) > 1e-5*want {
			t.Errorf("%d into %d: the product with itself is %v, want %v", s.dim, s.padded, dot(decoded, rotated), want)
		}
	}
}

// TestInt8Extremes: the shortest and the longest vectors have finite distances that
// are right to a part in a hundred of the lengths; what is shorter than
// 1e-36 counts as zero.
func TestInt8Extremes(t *testing.T) {
	longest := math.Sqrt(vecindex.MaxSquaredLength) * (1 - 1e-6)
	for _, metric := range []vecindex.Metric{vecindex.L2, vecindex.Dot} {
		for _, dim := range []int{1, 2, 100, 4096} {
			rng := rand.New(rand.NewPCG(4, 4))
			c := newInt8(t, metric, dim, dim, simd.Auto)
			var vectors [][]float32
			for _, length := range []float64{0, 1e-45, 1e-38, 1e-30, 1e-10, 1, 1e10, longest} {
				for _, sign := range []float64{1, -1} {
					v := normalise(random(rng, dim))
					for i := range v {
						v[i] = float32(float64(v[i]) * length * sign)
					}
					vectors = append(vectors, v)
				}
			}
			matrix, out := encode(c, vectors...), make([]float32, 1)
			for i, a := range vectors {
				for j, b := range vectors {
					c.Distances(matrix[i*c.Stride():][:c.Stride()], matrix, []uint32{uint32(j)}, out)
					want, size := float64(metric.Distance(a, b)), math.Sqrt(dot(a, a)*dot(b, b))
					bound := 0.01*size + 1e-5*math.Abs(want) + 1e-37 + 1e-36*math.Sqrt(dot(a, a)+dot(b, b))
					if d := math.Abs(float64(out[0]) - want); !(d <= bound) {
						t.Errorf("%v, %d dimensions: vectors %d and %d: %v, exact %v", metric, dim, i, j, out[0], want)
					}
				}
			}
		}
	}
}

func TestNewInt8Refuses(t *testing.T) {
	for _, c := range []struct {
		metric      vecindex.Metric
		dim, padded int
		level       simd.Level
		code        string
	}{
		{vecindex.Metric(3), 4, 4, simd.Auto, "unknown_metric"},
		{vecindex.L2, 0, 4, simd.Auto, "invalid_dimension"},
		{vecindex.L2, 5, 4, simd.Auto, "invalid_dimension"},
		{vecindex.L2, 4, vecindex.MaxDimension + 1, simd.Auto, "invalid_dimension"},
		{vecindex.L2, 4, 4, simd.Level(77), "unknown_kernel"},
	} {
		if _, err := quant.NewPaddedInt8(c.metric, c.dim, c.padded, 1, c.level); errs.CodeOf(err) != c.code {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, dim := range []int{100, 128, 768, 1536} {
		b.Run(fmt.Sprint(dim), func(b *testing.B) {
			c := newInt8(b, vecindex.L2, dim, dim, simd.Auto)
			v, row := random(rng, dim), make([]byte, c.Stride())
			for range b.N {
				c.Encode(row, v)
			}
		})
	}
}

// FuzzInt8 codes whatever vectors are allowed: all levels make the same row of it,
// which decodes to the vector within half a step, and distances are numbers.
func FuzzInt8(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!?.,;:"), uint16(3))
	f.Add(make([]byte, 400), uint16(28))
	f.Fuzz(func(t *testing.T, data []byte, padding uint16) {
		v := make([]float32, len(data)/4)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		padded := len(v) + int(padding)
		if norm2 := dot(v, v); len(v) == 0 || padded > vecindex.MaxDimension || !(norm2 <= vecindex.MaxSquaredLength) {
			return
		}
		var first []byte
		for _, level := range simd.Levels() {
			c := newInt8(t, vecindex.L2, len(v), padded, level)
			row, rotated, decoded := encode(c, v), make([]float32, padded), make([]float32, padded)
			if first == nil {
				first = row
			}
			if !slices.Equal(row, first) {
				t.Errorf("%v makes another row", level)
			}
			c.Rotation().Apply(rotated, v)
			c.Decode(decoded, row)
			largest := 0.0
			for _, x := range rotated {
				largest = max(largest, math.Abs(float64(x)))
			}
			for i, x := range rotated {
				if d := math.Abs(float64(decoded[i] - x)); d > 0.51*largest/127+0.01*math.Abs(float64(x))+1e-36 {
					t.Errorf("%v: coordinate %d is %v, decoded %v", level, i, x, decoded[i])
				}
			}
			var out [1]float32
			c.Distances(row, row, []uint32{0}, out[:])
			if d := math.Abs(float64(out[0])); !(d <= 0.01*dot(v, v)+1e-36) {
				t.Errorf("%v: the distance to itself is %v", level, out[0])
			}
		}
	})
}
