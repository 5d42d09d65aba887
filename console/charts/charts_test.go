package charts

import (
	"math"
	"testing"
	"time"

	"github.com/vccdb/vccdb/server/ops/history"
)

// TestFewPoints: a page carries a few points of each series, the last of which is the
// newest sample's.
func TestFewPoints(t *testing.T) {
	list := []Chart{{ID: "go", Lines: []Line{
		{"goroutines", func(s *history.Sample) float64 { return s.Goroutines }}, {"heap", func(s *history.Sample) float64 { return s.GoHeap }},
	}}}
	for _, n := range []int{0, 1, 5, 239, 240, 241, 720, 721} {
		var samples []history.Sample
		for i := range n {
			samples = append(samples, history.Sample{Time: time.Unix(int64(i), 0), Goroutines: float64(i)})
		}
		c := Fill(list, samples, "x/stream")[0]
		if len(c.Times) > maxPoints || n > 0 && c.Times[len(c.Times)-1] != int64(n-1) || c.ID != "chart-go" || c.Event != "go" || c.Stream != "x/stream" {
			t.Errorf("%d samples give %+v", n, c)
		}
		for _, s := range c.Series {
			if len(s.Values) != len(c.Times) {
				t.Errorf("%d values of %s at %d times", len(s.Values), s.Name, len(c.Times))
			}
		}
	}
}

func TestMean(t *testing.T) {
	samples := []history.Sample{{P50: 1}, {P50: math.NaN()}, {P50: 3}}
	p50 := func(s *history.Sample) float64 { return s.P50 }
	if got := mean(samples, p50); got != 2 {
		t.Errorf("the mean is %v", got)
	}
	if got := mean(samples[1:2], p50); !math.IsNaN(got) {
		t.Errorf("the mean of a gap is %v", got)
	}
}
