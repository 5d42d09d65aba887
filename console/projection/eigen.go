package projection

import (
	"slices"

	"gonum.org/v1/gonum/mat"
)

// eigen returns the eigenvalues of a small symmetric matrix, greatest first, and
// their eigenvectors as rows. It is false if they can't be found, as for a matrix
// with elements that aren't numbers.
func eigen(a [][]float64) (values []float64, vectors [][]float64, ok bool) {
	if len(a) == 0 {
		return nil, nil, true
	}
	matrix := mat.NewSymDense(len(a), nil)
	for i, row := range a {
		for j := i; j < len(row); j++ {
			matrix.SetSym(i, j, row[j])
		}
	}
	var found mat.EigenSym
	if !found.Factorize(matrix, true) {
		return nil, nil, false
	}
	var columns mat.Dense
	found.VectorsTo(&columns)
	values = found.Values(nil) // least first
	for i := range values {
		vectors = append(vectors, mat.Col(nil, i, &columns))
	}
	slices.Reverse(values)
	slices.Reverse(vectors)
	return values, vectors, true
}
