package projection

import (
	"cmp"
	"math"
	"slices"
)

// sweeps bounds Jacobi's method, which needs about six for a matrix of width.
const sweeps = 50

// eigen returns the eigenvalues of a small symmetric matrix, greatest first, and
// their eigenvectors as rows, by Jacobi's method. It leaves a changed.
func eigen(a [][]float64) (values []float64, vectors [][]float64) {
	n := len(a)
	v := make([][]float64, n)
	for i := range v {
		v[i] = make([]float64, n)
		v[i][i] = 1
	}
	for range sweeps {
		if !sweep(a, v) {
			break
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(a[j][j], a[i][i]) })
	for _, i := range order {
		values = append(values, a[i][i])
		vectors = append(vectors, v[i])
	}
	return values, vectors
}

// sweep turns each pair of coordinates so that the element between them becomes
// zero, and says whether there was one that mattered.
func sweep(a, v [][]float64) bool {
	changed := false
	for p := range a {
		for q := p + 1; q < len(a); q++ {
			if math.Abs(a[p][q]) <= 1e-15*math.Sqrt(math.Abs(a[p][p]*a[q][q])) {
				continue
			}
			changed = true
			theta := (a[q][q] - a[p][p]) / (2 * a[p][q])
			t := math.Copysign(1, theta) / (math.Abs(theta) + math.Sqrt(theta*theta+1))
			c := 1 / math.Sqrt(t*t+1)
			rotate(a, v, p, q, c, t*c)
		}
	}
	return changed
}

func rotate(a, v [][]float64, p, q int, c, s float64) {
	for k := range a {
		a[k][p], a[k][q] = c*a[k][p]-s*a[k][q], s*a[k][p]+c*a[k][q]
	}
	for k := range a {
		a[p][k], a[q][k] = c*a[p][k]-s*a[q][k], s*a[p][k]+c*a[q][k]
		v[p][k], v[q][k] = c*v[p][k]-s*v[q][k], s*v[p][k]+c*v[q][k]
	}
	a[p][q], a[q][p] = 0, 0
}
