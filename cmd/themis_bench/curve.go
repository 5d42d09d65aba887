package main

import (
	"cmp"
	"math"
	"slices"
)

// targets are the recalls at which contestants are compared.
func targets() []float64 { return []float64{0.90, 0.95, 0.99} }

// curvePoint is a contestant at one width of the search.
type curvePoint struct {
	Ef     int     `json:"ef"`
	Recall float64 `json:"recall"`
	// QPS is the median of Rounds: searches per second of processor time. WallQPS is
	// the median per second.
	QPS     float64   `json:"qps"`
	WallQPS float64   `json:"wall_qps"`
	Rounds  []float64 `json:"rounds"`
	wall    []float64
}

// curve is a contestant at rising widths.
type curve []curvePoint

// add takes in what one series of searches came to.
func (c *curve) add(s searched) {
	i, there := slices.BinarySearchFunc(*c, s.ef, func(p curvePoint, ef int) int { return cmp.Compare(p.Ef, ef) })
	if !there {
		*c = slices.Insert(*c, i, curvePoint{Ef: s.ef, Recall: s.recall})
	}
	p := &(*c)[i]
	p.Rounds, p.wall = append(p.Rounds, s.qps), append(p.wall, s.wallQPS)
	p.QPS, p.WallQPS = median(p.Rounds), median(p.wall)
}

// forget drops what was measured at the widths given, but for the recall.
func (c curve) forget(efs []int) {
	for i := range c {
		if slices.Contains(efs, c[i].Ef) {
			c[i].Rounds, c[i].wall = nil, nil
		}
	}
}

// around are the places in c of the last width that falls short of a recall and of
// the first one that doesn't, which may be the same at the begin of the curve. It is
// false if none reaches the recall.
func (c curve) around(recall float64) (below, above int, reached bool) {
	above = slices.IndexFunc(c, func(p curvePoint) bool { return p.Recall >= recall })
	return max(above-1, 0), above, above >= 0
}

// bracket lists the widths that decide what the curve is at the recalls.
func (c curve) bracket(recalls []float64) []int {
	var efs []int
	for _, recall := range recalls {
		if below, above, reached := c.around(recall); reached {
			efs = append(efs, c[below].Ef, c[above].Ef)
		}
	}
	slices.Sort(efs)
	return slices.Compact(efs)
}

// at is the speed at a recall, read off the curve with the speeds that of gives.
// Between two widths the logarithm of the speed is taken as linear in the logarithm
// of what is missed. Where the smallest width already finds more than is asked for,
// its speed counts. NaN when the recall isn't reached.
func (c curve) at(recall float64, of func(curvePoint) float64) float64 {
	below, above, reached := c.around(recall)
	if !reached {
		return math.NaN()
	}
	a, b := c[below], c[above]
	if below == above || a.Recall >= recall {
		return of(b)
	}
	miss := func(recall float64) float64 { return math.Log(max(1-recall, 1e-5)) }
	share := (miss(recall) - miss(a.Recall)) / (miss(b.Recall) - miss(a.Recall))
	return math.Exp((1-share)*math.Log(of(a)) + share*math.Log(of(b)))
}

// ratio is how many times as fast as other c is at a recall: the median of what the
// rounds came to, in each of which both were measured one after the other.
func (c curve) ratio(other curve, recall float64) float64 {
	var all []float64
	for round := 0; ; round++ {
		inRound := func(p curvePoint) float64 {
			if round < len(p.Rounds) {
				return p.Rounds[round]
			}
			return math.NaN()
		}
		r := c.at(recall, inRound) / other.at(recall, inRound)
		if math.IsNaN(r) {
			break
		}
		all = append(all, r)
	}
	return median(all)
}

// median of a list, NaN if it is empty.
func median(list []float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
