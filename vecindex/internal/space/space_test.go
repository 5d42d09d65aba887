package space_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/space"
	"github.com/vccdb/vccdb/vecindex/simd"
)

func newSpace(t *testing.T, metric vecindex.Metric, dim int) space.Space {
	t.Helper()
	s, err := space.New(metric, dim, simd.Auto)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPrepareNormalises(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for dim := 1; dim < 200; dim += 7 {
		s := newSpace(t, vecindex.Cosine, dim)
		if s.Stride%16 != 0 || s.Stride < dim || s.Stride >= dim+16 {
			t.Fatalf("stride %d for dimension %d", s.Stride, dim)
		}
		v, dst := make([]float32, dim), make([]float32, s.Stride)
		for i := range v {
			v[i] = float32(rng.NormFloat64() * math.Pow(10, float64(rng.IntN(60)-30)))
		}
		for i := range dst {
			dst[i] = 99 // what was there before must not shine through
		}
		if err := s.Prepare(dst, v); err != nil {
			t.Fatal(err)
		}
		norm2 := 0.0
		for _, d := range dst {
			norm2 += float64(d) * float64(d)
		}
		if math.Abs(norm2-1) > 1e-6 {
			t.Errorf("dimension %d: squared length %v", dim, norm2)
		}
	}
}

func TestPrepareKeepsLength(t *testing.T) {
	for _, metric := range []vecindex.Metric{vecindex.L2, vecindex.Dot} {
		s := newSpace(t, metric, 3)
		dst := make([]float32, s.Stride)
		dst[3], dst[15] = 5, 5
		if err := s.Prepare(dst, []float32{1, -2, 0}); err != nil {
			t.Fatal(err)
		}
		for i, want := range []float32{1, -2, 0, 0} {
			if dst[i] != want {
				t.Errorf("%v: element %d is %v", metric, i, dst[i])
			}
		}
		if dst[15] != 0 {
			t.Errorf("%v: the padding is %v", metric, dst[15])
		}
		if err := s.Prepare(dst, []float32{0, 0, 0}); err != nil {
			t.Errorf("%v: a zero vector: %v", metric, err)
		}
	}
}

// TestDistances: a cosine distance is in [0, 2] and 0 or nearly so for parallels.
func TestDistances(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	s := newSpace(t, vecindex.Cosine, 37)
	const n = 50
	matrix := make([]float32, 2*n*s.Stride)
	for i := range n {
		v := make([]float32, s.Dim)
		opposite := make([]float32, s.Dim)
		for j := range v {
			v[j] = float32(rng.NormFloat64())
			opposite[j] = -3 * v[j]
		}
		for k, v := range [][]float32{v, opposite} {
			if err := s.Prepare(matrix[(2*i+k)*s.Stride:][:s.Stride], v); err != nil {
				t.Fatal(err)
			}
		}
	}
	var out [2]float32
	for i := range uint32(n) {
		s.Distances(matrix[int(2*i)*s.Stride:][:s.Stride], matrix, []uint32{2 * i, 2*i + 1}, out[:])
		if out[0] < 0 || out[0] > 1e-6 {
			t.Errorf("distance to itself is %v", out[0])
		}
		if out[1] > 2 || out[1] < 2-1e-6 {
			t.Errorf("distance to its opposite is %v", out[1])
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		metric vecindex.Metric
		dim    int
		level  simd.Level
		code   string
	}{
		{vecindex.Metric(3), 4, simd.Auto, "unknown_metric"},
		{vecindex.L2, 0, simd.Auto, "invalid_dimension"},
		{vecindex.L2, vecindex.MaxDimension + 1, simd.Auto, "invalid_dimension"},
		{vecindex.L2, 4, simd.Level(77), "unknown_kernel"},
	} {
		if _, err := space.New(c.metric, c.dim, c.level); errs.CodeOf(err) != c.code || errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if s := newSpace(t, vecindex.L2, vecindex.MaxDimension); s.Kernel() != simd.Levels()[0] {
		t.Errorf("kernel %v", s.Kernel())
	}
}
