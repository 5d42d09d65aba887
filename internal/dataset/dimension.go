package dataset

import (
	"math"
	"slices"
)

// LocalDimension is the median over the queries of the local intrinsic dimension:
// how fast the number of vectors grows with the distance from a query, which
// decides how hard the nearest ones are to find. It is the maximum likelihood
// estimate of Levina and Bickel (NIPS 2004, equation 8) over the nearest vectors
// of each query, nearest first, that truth names.
//
// With unit, vectors count at length 1, as cosine distance sees them.
func LocalDimension(base, queries Matrix, truth [][]int32, unit bool) float64 {
	var all []float64
	for q, ids := range truth {
		if d := localDimension(base, queries.Row(q), ids, unit); !math.IsNaN(d) {
			all = append(all, d)
		}
	}
	if len(all) == 0 {
		return math.NaN()
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// localDimension is the estimate at one query: the inverse of the mean logarithm
// of the farthest distance over each of the nearer ones. Vectors equal to the
// query say nothing.
func localDimension(base Matrix, query []float32, ids []int32, unit bool) float64 {
	if len(ids) < 2 {
		return math.NaN()
	}
	far := distance(query, base.Row(int(ids[len(ids)-1])), unit)
	sum, n := 0.0, 0
	for _, id := range ids[:len(ids)-1] {
		if near := distance(query, base.Row(int(id)), unit); near > 0 {
			sum += math.Log(far / near)
			n++
		}
	}
	if sum <= 0 {
		return math.NaN()
	}
	return float64(n) / sum
}

func distance(a, b []float32, unit bool) float64 {
	scaleA, scaleB := 1.0, 1.0
	if unit {
		scaleA, scaleB = 1/length(a), 1/length(b)
	}
	sum := 0.0
	for i, x := range a {
		d := float64(x)*scaleA - float64(b[i])*scaleB
		sum += d * d
	}
	return math.Sqrt(sum)
}

func length(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}
