// Package dataset reads, writes and makes the vectors that benchmarks, the
// demo and recall tests work on: fvecs and ivecs files, seeded synthetic
// clusters, and a slice of real English word vectors that is part of the
// package.
//
// Everything is deterministic: the same file or seed gives the same vectors on
// every machine. The package has no goroutines, no locks and no state.
package dataset

// Matrix is a list of vectors of one dimension in one piece of memory, row
// after row.
type Matrix struct {
	Dim  int
	Data []float32
}

// Len is the number of vectors.
func (m Matrix) Len() int {
	if m.Dim == 0 {
		return 0
	}
	return len(m.Data) / m.Dim
}

// Row is the i-th vector; it aliases Data.
func (m Matrix) Row(i int) []float32 {
	return m.Data[i*m.Dim : (i+1)*m.Dim : (i+1)*m.Dim]
}

// Slice is rows from to to (exclusive); it aliases Data.
func (m Matrix) Slice(from, to int) Matrix {
	return Matrix{Dim: m.Dim, Data: m.Data[from*m.Dim : to*m.Dim]}
}
