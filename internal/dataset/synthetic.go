package dataset

import "math/rand/v2"

// Synthetic describes made-up vectors: Gaussian clusters, the shape of real
// embeddings that a graph index finds harder than uniform noise of few
// dimensions and easier than pure noise of many. Its zero value is usable.
type Synthetic struct {
	// Dim is 100 when 0.
	Dim int
	// Clusters is 100 when 0. Their centres are standard normal in each
	// dimension.
	Clusters int
	// Spread is the standard deviation around a centre; 0.5 when 0.
	Spread float64
	Seed   uint64
}

// Make returns n vectors and, from the same clusters but none of them among the
// n, the given number of queries.
func (s Synthetic) Make(n, queries int) (base, query Matrix) {
	if s.Dim == 0 {
		s.Dim = 100
	}
	if s.Clusters == 0 {
		s.Clusters = 100
	}
	if s.Spread == 0 {
		s.Spread = 0.5
	}
	rng := rand.New(rand.NewPCG(s.Seed, 0x7468656d6973)) // "themis"; any fixed stream will do
	centres := normal(rng, s.Clusters, s.Dim)
	around := func(count int) Matrix {
		m := normal(rng, count, s.Dim)
		for i := range count {
			row, centre := m.Row(i), centres.Row(rng.IntN(s.Clusters))
			for j := range row {
				row[j] = centre[j] + float32(s.Spread)*row[j]
			}
		}
		return m
	}
	base = around(n)
	return base, around(queries)
}

func normal(rng *rand.Rand, n, dim int) Matrix {
	m := Matrix{Dim: dim, Data: make([]float32, n*dim)}
	for i := range m.Data {
		m.Data[i] = float32(rng.NormFloat64())
	}
	return m
}
