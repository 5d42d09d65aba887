package projection

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
)

// TestKnownPlane puts a grid of 9 by 5 points into six dimensions, with a little
// along a third direction, and looks for it in the picture.
func TestKnownPlane(t *testing.T) {
	// An orthonormal frame, the columns of a Hadamard matrix among them.
	u := []float64{.5, .5, .5, .5, 0, 0}
	v := []float64{.5, -.5, .5, -.5, 0, 0}
	w := []float64{0, 0, 0, 0, .6, .8}
	var vectors [][]float32
	var want []Point
	for a := -4; a <= 4; a++ {
		for b := -2; b <= 2; b++ {
			row := make([]float32, len(u))
			for j := range row {
				row[j] = float32(100 + 8*float64(a)*u[j] + 4*float64(b)*v[j] + 0.5*float64((a*b)%2)*w[j])
			}
			vectors = append(vectors, row)
			want = append(want, Point{float64(a) / 4, float64(b) / 4 / 2})
		}
	}
	plane, err := PCA(t.Context(), vectors, false)
	if err != nil {
		t.Fatal(err)
	}
	// An axis may point either way; which way is the first point's.
	sx, sy := math.Copysign(1, want[0].X*plane.Points[0].X), math.Copysign(1, want[0].Y*plane.Points[0].Y)
	for i, p := range plane.Points {
		if math.Abs(sx*p.X-want[i].X) > 1e-4 || math.Abs(sy*p.Y-want[i].Y) > 1e-4 {
			t.Fatalf("point %d is at %v, not %v", i, p, want[i])
		}
	}
	// The sums of squares along the axes: 8²·5·60 and 4²·9·10.
	if x, y := plane.Explained[0], plane.Explained[1]; math.Abs(x/y-64*5*60.0/(16*9*10)) > 0.01 || x+y < 0.999 || x+y > 1 {
		t.Errorf("the axes explain %v", plane.Explained)
	}
}

// TestAgainstWholeCovariance compares with the eigenvalues of the covariance
// matrix as a whole, for vectors without a clear plane.
func TestAgainstWholeCovariance(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, size := range [][2]int{{300, 40}, {30, 100}, {5, 3}, {3, 50}, {50, 1}, {2, 2}} {
		vectors := make([][]float32, size[0])
		for i := range vectors {
			vectors[i] = make([]float32, size[1])
			for j := range vectors[i] {
				vectors[i][j] = float32(random.NormFloat64()/math.Sqrt(float64(j+1)) + 3)
			}
		}
		d := newData(vectors, false)
		whole := make([][]float64, size[1])
		row := make([]float64, size[1])
		for i := range whole {
			whole[i] = make([]float64, size[1])
		}
		for i, v := range vectors {
			d.centre(row, i, v)
			for j := range row {
				for k := range row {
					whole[j][k] += row[j] * row[k]
				}
			}
		}
		values, _, _ := eigen(whole)
		total := 0.0
		for _, x := range values {
			total += x
		}
		plane, err := PCA(t.Context(), vectors, false)
		if err != nil {
			t.Fatal(err)
		}
		for i := range min(2, size[1]) {
			if want := values[i] / total; math.Abs(plane.Explained[i]-want) > 1e-3*want+1e-9 {
				t.Errorf("%v: axis %d explains %g, not %g", size, i, plane.Explained[i], want)
			}
		}
		for _, p := range plane.Points {
			if !(math.Abs(p.X) <= 1 && math.Abs(p.Y) <= 1) {
				t.Fatalf("%v: a point is at %v", size, p)
			}
		}
	}
}

func TestDirectionsOnly(t *testing.T) {
	vectors := [][]float32{{1, 0, 0}, {1000, 0, 0}, {0, 2, 0}, {0, 3, 0}, {0, 0, 0}}
	plane, err := PCA(t.Context(), vectors, true)
	if err != nil {
		t.Fatal(err)
	}
	if distance(plane.Points[0], plane.Points[1]) > 1e-9 || distance(plane.Points[2], plane.Points[3]) > 1e-9 || distance(plane.Points[0], plane.Points[2]) < 0.5 {
		t.Errorf("points %v", plane.Points)
	}
	again, _ := PCA(t.Context(), vectors, true)
	if again.Points[3] != plane.Points[3] {
		t.Error("the same vectors gave another picture")
	}
}

func distance(a, b Point) float64 { return math.Hypot(a.X-b.X, a.Y-b.Y) }

func TestEdges(t *testing.T) {
	for name, vectors := range map[string][][]float32{
		"none": {}, "one": {{1, 2}}, "all the same": {{1, 2}, {1, 2}, {1, 2}}, "no dimensions": {{}, {}},
		"huge": {{math.MaxFloat32, -math.MaxFloat32}, {-math.MaxFloat32, 1}, {0, 0}},
	} {
		plane, err := PCA(t.Context(), vectors, false)
		if err != nil || len(plane.Points) != len(vectors) {
			t.Errorf("%s: %v, %v", name, plane, err)
		}
		for _, p := range plane.Points {
			if math.IsNaN(p.X) || math.IsNaN(p.Y) || math.Abs(p.X) > 1 || math.Abs(p.Y) > 1 {
				t.Errorf("%s: %v", name, plane.Points)
			}
		}
	}
	if _, err := PCA(t.Context(), make([][]float32, MaxPoints+1), false); errs.CodeOf(err) != "too_many_points" {
		t.Errorf("got %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := PCA(gone, [][]float32{{1, 2}, {3, 5}}, false); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkPCA(b *testing.B) {
	random := rand.New(rand.NewPCG(5, 6))
	for name, size := range map[string][2]int{"500x100": {500, 100}, "2000x100": {2000, 100}, "2000x1536": {2000, 1536}} {
		vectors := make([][]float32, size[0])
		for i := range vectors {
			vectors[i] = make([]float32, size[1])
			for j := range vectors[i] {
				vectors[i][j] = float32(random.NormFloat64())
			}
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := PCA(b.Context(), vectors, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
