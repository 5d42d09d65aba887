package vecindex_test

import (
	"testing"

	"github.com/vccdb/vccdb/vecindex"
)

func TestMetricNames(t *testing.T) {
	for _, m := range []vecindex.Metric{vecindex.Cosine, vecindex.L2, vecindex.Dot} {
		if got, ok := vecindex.ParseMetric(m.String()); !ok || got != m {
			t.Errorf("%v parses as %v, %v", m, got, ok)
		}
	}
	if m, ok := vecindex.ParseMetric("euclid"); ok {
		t.Errorf("euclid parses as %v", m)
	}
	if got := vecindex.Metric(9).String(); got != "metric(9)" {
		t.Error(got)
	}
}

func TestQuantizationNames(t *testing.T) {
	for _, q := range []vecindex.Quantization{vecindex.Unquantized, vecindex.Int8, vecindex.FastScan} {
		if got, ok := vecindex.ParseQuantization(q.String()); !ok || got != q {
			t.Errorf("%v parses as %v, %v", q, got, ok)
		}
	}
	if q, ok := vecindex.ParseQuantization("pq"); ok {
		t.Errorf("pq parses as %v", q)
	}
	if got := vecindex.Quantization(9).String(); got != "quantization(9)" {
		t.Error(got)
	}
}

// TestScore: nearer is a higher score, under every metric.
func TestScore(t *testing.T) {
	for _, c := range []struct {
		metric          vecindex.Metric
		distance, score float32
	}{
		{vecindex.Cosine, 0, 1},
		{vecindex.Cosine, 2, -1},
		{vecindex.L2, 0, 1},
		{vecindex.L2, 3, 0.25},
		{vecindex.Dot, -5, 5},
		{vecindex.Dot, 2, -2},
	} {
		if got := c.metric.Score(c.distance); got != c.score {
			t.Errorf("%v: distance %v scores %v, want %v", c.metric, c.distance, got, c.score)
		}
	}
}
