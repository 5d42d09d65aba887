// Package projection lays vectors out in the plane for a picture: principal
// component analysis, the plane in which they differ most.
//
// The components are found by subspace iteration, which never forms the
// covariance matrix: the work is MaxPoints times the dimension in each round, also
// for thousands of dimensions. The layout is the same for the same vectors.
//
// The package owns no goroutines and no locks.
package projection

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/vccdb/vccdb/internal/errs"
)

// MaxPoints is the most vectors of one picture.
const MaxPoints = 2000

// Point is the place of a vector; both coordinates are -1 to 1, in one scale.
type Point struct{ X, Y float64 }

// Plane is a picture of vectors.
type Plane struct {
	// Points are in the order of the vectors.
	Points []Point
	// Explained is the share of the variance that each axis shows, X first.
	Explained [2]float64
}

const (
	// width is how many directions are iterated: more than two, because then the
	// first two settle at the pace of the gap to the ninth.
	width = 8
	// rounds bounds the iteration; settled is the relative change of the variances
	// at which it ends, below what a picture shows. Directions that take longer
	// are almost as good as each other.
	rounds  = 50
	settled = 1e-6
)

// PCA projects vectors of one dimension on the two directions in which they vary
// most. With unit they are brought to length 1 first, as for a metric that sees
// only directions.
func PCA(ctx context.Context, vectors [][]float32, unit bool) (Plane, error) {
	if len(vectors) > MaxPoints {
		return Plane{}, errs.New(errs.Invalid, "too_many_points", "%d vectors are too many for a picture; at most %d are projected", len(vectors), MaxPoints)
	}
	plane := Plane{Points: make([]Point, len(vectors))}
	if len(vectors) < 2 || len(vectors[0]) == 0 {
		return plane, nil
	}
	d := newData(vectors, unit)
	total := d.variance()
	if total == 0 {
		return plane, nil
	}
	axes, variances, err := d.components(ctx)
	if err != nil {
		return Plane{}, err
	}
	for i := range min(2, len(axes)) {
		plane.Explained[i] = min(1, max(0, variances[i]/total))
	}
	d.place(axes, plane.Points)
	return plane, nil
}

// data are the vectors, scaled and with their mean taken off as they are read.
type data struct {
	vectors [][]float32
	scale   []float64
	mean    []float64
}

func newData(vectors [][]float32, unit bool) *data {
	d := &data{vectors: vectors, scale: make([]float64, len(vectors)), mean: make([]float64, len(vectors[0]))}
	for i, v := range vectors {
		d.scale[i] = 1
		if unit {
			if norm := math.Sqrt(norm2(v)); norm > 0 {
				d.scale[i] = 1 / norm
			}
		}
		for j, x := range v {
			d.mean[j] += float64(x) * d.scale[i] / float64(len(vectors))
		}
	}
	return d
}

func norm2(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return sum
}

// variance is the sum of the squared distances from the mean, taken off before
// the square so that nothing is lost to cancellation.
func (d *data) variance() float64 {
	sum := 0.0
	for i, v := range d.vectors {
		for j, x := range v {
			off := float64(x)*d.scale[i] - d.mean[j]
			sum += off * off
		}
	}
	return sum
}

// components are the first directions, as many as there are up to width, and the
// variance along each, greatest first.
func (d *data) components(ctx context.Context) ([][]float64, []float64, error) {
	random := rand.New(rand.NewPCG(1, 2))
	axes := make([][]float64, min(width, len(d.mean), len(d.vectors)))
	for i := range axes {
		axes[i] = make([]float64, len(d.mean))
		for j := range axes[i] {
			axes[i][j] = random.NormFloat64()
		}
	}
	orthonormalise(axes)
	var before []float64
	for range rounds {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		images := d.apply(axes)
		small := make([][]float64, len(axes))
		for i := range small {
			small[i] = make([]float64, len(axes))
			for j := range axes {
				small[i][j] = dot(axes[i], images[j])
			}
		}
		variances, turns, ok := eigen(small)
		if !ok {
			return nil, nil, errs.New(errs.Invalid, "not_projectable", "These vectors can't be laid out in the plane; they may hold numbers beyond all measure.")
		}
		if same(before, variances) {
			return turned(axes, turns), variances, nil
		}
		before = variances
		axes = turned(images, turns)
		orthonormalise(axes)
	}
	return axes, before, nil
}

// same says whether the two greatest variances have settled.
func same(before, now []float64) bool {
	if before == nil {
		return false
	}
	for i := range min(2, len(now)) {
		if math.Abs(now[i]-before[i]) > settled*now[0] {
			return false
		}
	}
	return true
}

// apply multiplies the covariance with each axis: X'(X a) for centred rows X.
func (d *data) apply(axes [][]float64) [][]float64 {
	out := make([][]float64, len(axes))
	centred := make([]float64, len(d.mean))
	for i := range out {
		out[i] = make([]float64, len(d.mean))
	}
	for i, v := range d.vectors {
		d.centre(centred, i, v)
		for k, axis := range axes {
			addTo(out[k], dot(centred, axis), centred)
		}
	}
	return out
}

func (d *data) centre(dst []float64, i int, v []float32) {
	scale := d.scale[i]
	for j, x := range v {
		dst[j] = float64(x)*scale - d.mean[j]
	}
}

// turned are the combinations of axes that turns names in its rows.
func turned(axes, turns [][]float64) [][]float64 {
	out := make([][]float64, len(axes))
	for i, turn := range turns {
		out[i] = make([]float64, len(axes[0]))
		for k, weight := range turn {
			addTo(out[i], weight, axes[k])
		}
	}
	return out
}

// orthonormalise is Gram-Schmidt, twice for the sake of rounding. An axis that
// depends on those before becomes zero.
func orthonormalise(axes [][]float64) {
	for i, axis := range axes {
		whole := math.Sqrt(dot(axis, axis))
		for range 2 {
			for _, other := range axes[:i] {
				addTo(axis, -dot(axis, other), other)
			}
		}
		norm := math.Sqrt(dot(axis, axis))
		if norm <= 1e-12*whole || norm == 0 {
			clear(axis)
			continue
		}
		for j := range axis {
			axis[j] /= norm
		}
	}
}

// dot has four sums, so that an addition needn't wait for the one before.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

// addTo adds weight times b to a.
func addTo(a []float64, weight float64, b []float64) {
	b = b[:len(a)]
	for i := range a {
		a[i] += weight * b[i]
	}
}

// place computes the coordinates. An axis points to where its largest weight is
// positive, so that the picture doesn't flip.
func (d *data) place(axes [][]float64, points []Point) {
	centred := make([]float64, len(d.mean))
	far := 0.0
	for i, v := range d.vectors {
		d.centre(centred, i, v)
		points[i].X = dot(centred, axes[0])
		if len(axes) > 1 {
			points[i].Y = dot(centred, axes[1])
		}
		far = max(far, math.Abs(points[i].X), math.Abs(points[i].Y))
	}
	signs := [2]float64{1, 1}
	for k := range min(2, len(axes)) {
		signs[k] = sign(axes[k])
	}
	for i := range points {
		points[i].X *= signs[0] / far
		points[i].Y *= signs[1] / far
	}
}

func sign(axis []float64) float64 {
	most := 0.0
	for _, x := range axis {
		if math.Abs(x) > math.Abs(most)*(1+1e-9) {
			most = x
		}
	}
	return math.Copysign(1, most)
}
