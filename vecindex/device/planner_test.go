package device

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/vecindex"
)

// course drives a planner by a clock that goes on by what searches take.
type course struct {
	p   *planner
	now time.Time
	rng *rand.Rand
	// cost of either side; searches take between half and twice that.
	cost [sides]time.Duration
	// chosen counts the searches on each side, spent the time.
	chosen [sides]int
	spent  [sides]time.Duration
	turns  int
	last   side
}

func newCourse(cpu, gpu time.Duration) *course {
	c := &course{now: time.Unix(1_000_000, 0), rng: rand.New(rand.NewPCG(1, 1)), cost: [sides]time.Duration{cpu, gpu}}
	c.p = newPlanner(func() time.Time { return c.now })
	return c
}

var plain = kind{ef: 7}

func (c *course) run(k kind, searches int, pause time.Duration) {
	c.chosen, c.spent, c.turns = [sides]int{}, [sides]time.Duration{}, 0
	for range searches {
		v := c.p.choose(k)
		took := time.Duration(float64(c.cost[v.side]) * (0.5 + 1.5*c.rng.Float64()*c.rng.Float64()))
		c.now = c.now.Add(took + pause)
		c.p.note(k, v.side, took)
		c.chosen[v.side]++
		c.spent[v.side] += took
		if v.reason == ReasonCheaper && v.side != c.last {
			c.turns++
			c.last = v.side
		}
	}
}

// TestPlannerChoosesTheCheaper: and spends a small part of the time on the other side.
func TestPlannerChoosesTheCheaper(t *testing.T) {
	for _, cost := range [][sides]time.Duration{
		{100 * time.Microsecond, time.Millisecond}, {time.Millisecond, 100 * time.Microsecond},
		{time.Second, time.Millisecond}, {50 * time.Microsecond, 150 * time.Microsecond},
	} {
		c := newCourse(cost[cpuSide], cost[gpuSide])
		c.run(plain, 100, time.Millisecond) // it learns
		c.run(plain, 5000, 40*time.Millisecond)
		cheaper := cpuSide
		if cost[gpuSide] < cost[cpuSide] {
			cheaper = gpuSide
		}
		other := cheaper.other()
		if c.chosen[cheaper] < 4900 || float64(c.spent[other]) > 0.05*float64(c.spent[cheaper]) {
			t.Errorf("costs %v: searches on either side %v, which took %v", cost, c.chosen, c.spent)
		}
		if ratio := cost[other] / cost[cheaper]; ratio < 5 && c.chosen[other] == 0 {
			t.Errorf("costs %v: the other side was never tried again", cost)
		}
		if c.turns > 1 {
			t.Errorf("costs %v: it changed its mind %d times", cost, c.turns)
		}
	}
}

// TestPlannerFollows: what becomes dearer is left at once, what becomes cheaper is found.
func TestPlannerFollows(t *testing.T) {
	c := newCourse(100*time.Microsecond, time.Millisecond)
	c.run(plain, 2000, 10*time.Millisecond)
	c.cost[cpuSide] = 10 * time.Millisecond
	c.run(plain, 100, 10*time.Millisecond)
	if c.chosen[gpuSide] < 80 {
		t.Errorf("the CPU became dearer, but of 100 searches %v went there", c.chosen)
	}
	c.cost[cpuSide] = 100 * time.Microsecond // cheap again, which only tries show
	c.run(plain, 20_000, 100*time.Millisecond)
	if c.chosen[cpuSide] < 10_000 {
		t.Errorf("the CPU became cheaper, but %v searches went there and to the device", c.chosen)
	}
	if c.turns != 1 {
		t.Errorf("it changed its mind %d times", c.turns)
	}
}

// TestPlannerDoesNotFlap: two sides that cost about the same don't take turns.
func TestPlannerDoesNotFlap(t *testing.T) {
	c := newCourse(100*time.Microsecond, 105*time.Microsecond)
	c.run(plain, 20_000, 5*time.Millisecond)
	if c.turns > 4 {
		t.Errorf("it changed its mind %d times in 20,000 searches", c.turns)
	}
}

// TestPlannerLearns: an unknown kind is measured on the CPU first; the device is left out
// if it is dear for kinds like it.
func TestPlannerLearns(t *testing.T) {
	c := newCourse(time.Millisecond, 100*time.Millisecond)
	c.run(plain, 2*knownFrom, 0)
	if c.chosen != [sides]int{2*knownFrom - 1, 1} {
		t.Errorf("of the first searches %v went to the CPU and the device, which is dear", c.chosen)
	}
	rare := kind{ef: 7, band: 3}
	if v := c.p.choose(rare); v.side != cpuSide || v.reason != ReasonUnmeasured || v.predicted[gpuSide] == 0 {
		t.Errorf("an unknown kind: %+v", v)
	}
	c.run(rare, 50, 0)
	if c.chosen[gpuSide] != 0 {
		t.Errorf("the device was asked %d times for what it is dear for", c.chosen[gpuSide])
	}
	if v := c.p.choose(kind{exact: true}); v.predicted != [sides]time.Duration{} {
		t.Errorf("exact searches aren't like others: %+v", v)
	}
	points := c.p.curve()
	if len(points) != 3 || points[0].Choice != "cpu" || points[0].ShareFrom != 1 || points[0].Ef != 128 || points[0].EfFrom != 65 ||
		points[0].CPU.Samples < 3 || points[0].GPU.Samples != 1 || points[1].ShareFrom != 1./64 || points[1].ShareTo != 1./16 || !points[2].Exact {
		t.Errorf("the curve is %+v", points)
	}
}

// TestPlannerTries: while a try is under way there is no second one.
func TestPlannerTries(t *testing.T) {
	c := newCourse(100*time.Microsecond, time.Millisecond)
	c.run(plain, 5000, 10*time.Millisecond)
	c.now = c.now.Add(time.Hour)
	tries := 0
	for range 1000 {
		if v := c.p.choose(plain); v.side == gpuSide {
			tries++
		}
	}
	if tries > 1 {
		t.Errorf("%d searches at once were tries", tries)
	}
}

// TestKinds: the bands of filters are those that the curve names.
func TestKinds(t *testing.T) {
	for _, matching := range []int{0, 1, 3, 62, 63, 250, 999, 1000, 4000, 15999, 16000, 16001, 40000, 64000} {
		allow := bitmap.FromWords(nil, matching)
		k := kindOf(&vecindex.Query{K: 10, Ef: 64, Allow: allow}, 64000)
		share := float64(matching) / 64000
		if from, to := k.shares(); share <= from && from > 0 || share > to {
			t.Errorf("%d of 64,000 are in the band from %v to %v", matching, from, to)
		}
	}
	for _, c := range []struct{ k, ef, from, to int }{{1, 0, 1, 1}, {10, 0, 9, 16}, {10, 64, 33, 64}, {100, 64, 65, 128}, {10, 65, 65, 128}} {
		k := kindOf(&vecindex.Query{K: c.k, Ef: c.ef}, 10)
		if p := pointOf(k, &cell{}); p.EfFrom != c.from || p.Ef != c.to || p.ShareFrom != 1 {
			t.Errorf("k %d and ef %d are of %+v", c.k, c.ef, p)
		}
	}
	if k := kindOf(&vecindex.Query{K: 10, Ef: 64, Exact: true}, 10); k != (kind{exact: true}) {
		t.Errorf("an exact search is of %+v", k)
	}
}
