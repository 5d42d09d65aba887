package engine

import (
	"math"
	"testing"
)

// curveOf is a curve that misses miss/ef of what there is, at a cost of price for each
// unit of ef.
func curveOf(slack float32, miss, price float64) (curve []recallPoint) {
	for ef := 20; ef <= 2000; ef *= 2 {
		curve = append(curve, recallPoint{breadth: breadth{ef, slack}, recall: 1 - miss/float64(ef), cost: price * float64(ef)})
	}
	return curve
}

// TestSettings: the cheapest setting that gets to a target is taken, from between the
// measured ones, and the widest if none gets there.
func TestSettings(t *testing.T) {
	saturated := []recallPoint{{breadth{20, 1.1}, 0.9, 1}, {breadth{40, 1.1}, 0.93, 2}}
	c := calibration{tables: []recallTable{
		{k: 10, curves: [][]recallPoint{curveOf(0, 2, 10), curveOf(1.3, 4, 4), saturated}},
		{k: 100, curves: [][]recallPoint{curveOf(0, 10, 10), curveOf(1.2, 10, 9)}},
	}}
	for _, want := range []struct {
		target float64
		k      int
		plain  bool
		ef     float64
		slack  float32
	}{
		{0.90, 10, false, 26, 1.1}, // where that gets to 0.91, for the margin
		{0.95, 10, false, 4 / 0.045, 1.3},
		{0.95, 10, true, 2 / 0.045, 0},
		{0.95, 3, false, 2 / 0.045, 0},
		{0.999, 10, true, 1280, 0},
		{0.95, 100, false, 10 / 0.045, 1.2},
		{0.95, 300, false, 3 * 10 / 0.045, 1.2},
		{0.95, 55, false, (4/0.045 + 10/0.045) / 2, 1.3},
		{0.95, 55, true, (2/0.045 + 10/0.045) / 2, 0},
	} {
		got := c.setting(want.target, want.k, want.plain)
		if math.Abs(float64(got.ef)/want.ef-1) > 0.2 || got.slack != want.slack {
			t.Errorf("for recall %v of %d, plain %v: %+v, want about ef %.0f and slack %v", want.target, want.k, want.plain, got, want.ef, want.slack)
		}
	}
}

func TestCalibrationGetsOutdated(t *testing.T) {
	c := calibration{queries: 200, real: 100, vectors: 10_000, changes: 500}
	for _, now := range []struct {
		vectors int
		changes uint64
		known   int
		want    bool
	}{
		{10_000, 500, 200, false},
		{11_900, 2400, 200, false},
		{12_000, 2500, 0, true},
		{8000, 2500, 0, true},
		{10_000, 2500, 0, true}, // as many replaced
	} {
		if got := c.outdated(now.vectors, now.changes, now.known); got != now.want {
			t.Errorf("%+v: %v", now, got)
		}
	}
	c.real = 10
	if c.outdated(10_000, 500, 199) || !c.outdated(10_000, 500, 200) {
		t.Error("made without real queries, it is to be renewed as soon as there are enough")
	}
}

func TestQueriesAreKept(t *testing.T) {
	var r queryRing
	for i := range 10 * maxCalibrationQueries {
		r.note([]float32{float32(i % 50), 1})
	}
	if r.len() != 50 {
		t.Errorf("%d of 50 queries are kept", r.len())
	}
	mine := []float32{7, 7}
	for i := range 100 * maxCalibrationQueries {
		r.note([]float32{float32(i), 2})
	}
	r.note(mine)
	if n := len(r.sample(1000)); n != maxCalibrationQueries {
		t.Errorf("%d queries are kept", n)
	}
	for _, q := range r.sample(1000) {
		if q[0] < maxCalibrationQueries {
			t.Errorf("%v is kept, of thousands that came later", q)
		}
	}
	if len(r.sample(10)) != 10 {
		t.Error("a sample has another size")
	}
}
