package device

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/vecindex"
)

// The canary
//
// What a search returns is true whatever the device says, but not that it is the
// nearest: a device that leaves out rows, or reads memory that has gone bad, isn't seen
// by it. So stored vectors are searched on both sides. The device scans everything, so it
// is to find what the graph finds, and the vector that was asked for.
const (
	// canaries is how many vectors are searched, canaryK for how many neighbours each.
	canaries = 8
	canaryK  = 10
	// leastRecall is what a device that works is never below: a scan of bytes finds 0.98
	// or more on hard data.
	leastRecall = 0.8
)

// liarError ends the use of a device for an index.
type liarError struct{ text string }

func (e *liarError) Error() string { return "the device gave wrong answers: " + e.text }

// comparison is what searches on both sides came to.
type comparison struct {
	// found is how many of the wanted neighbours the device has as near.
	found, wanted int
	// changed says that the index was being changed meanwhile, so that one side may have
	// seen what the other hasn't.
	changed bool
}

// canary searches some stored vectors on both sides, and then, in an index that has grown,
// lets the planner see what either takes.
func (u *uploader) canary(ctx context.Context, grown bool) error {
	x := u.x
	ids := x.sample(canaries)
	var all comparison
	for _, id := range ids {
		vector := make([]float32, x.o.Dimension)
		if !x.Vector(vector, id) || !x.measurable(vector) {
			continue
		}
		c, err := u.sing(ctx, id, vector)
		if err != nil {
			return err
		}
		all.found, all.wanted, all.changed = all.found+c.found, all.wanted+c.wanted, all.changed || c.changed
	}
	if all.wanted > 0 {
		recall := float64(all.found) / float64(all.wanted)
		x.mu.Lock()
		x.mu.recall, x.mu.check = recall, x.o.Now()
		x.mu.Unlock()
		switch {
		case recall >= leastRecall:
		case all.changed:
			return fmt.Errorf("%w: too much changed during it", errUnanswered)
		default:
			return &liarError{text: fmt.Sprintf("of the nearest to %d stored vectors it found %.0f %%", len(ids), 100*recall)}
		}
	}
	if !grown {
		return nil
	}
	return u.measureSides(ctx, ids)
}

// sample draws ids, the same one twice perhaps.
func (x *Index) sample(n int) (ids []uint32) {
	seen := 0
	for id := range x.IDs() { // one pass: ids may be anywhere
		if seen++; len(ids) < n {
			ids = append(ids, id)
		} else if at := rand.IntN(seen); at < n {
			ids[at] = id
		}
	}
	return ids
}

// sing searches one stored vector on both sides, a few times if it is being changed
// meanwhile.
func (u *uploader) sing(ctx context.Context, id uint32, vector []float32) (c comparison, err error) {
	for range singTimes {
		if c, err = u.singOnce(ctx, id, vector); err != nil || !c.changed {
			break
		}
	}
	return c, err
}

// singTimes is how often a search is compared until nothing changes meanwhile.
const singTimes = 4

func (u *uploader) singOnce(ctx context.Context, id uint32, vector []float32) (comparison, error) {
	x := u.x
	a := asking{x: x, m: u.m, q: vecindex.Query{Vector: vector, K: canaryK}, background: true}
	a.quiet, a.begun = x.stillness()
	why, err := a.candidates(ctx)
	if err != nil {
		return comparison{}, err
	}
	if why != numReasons {
		return comparison{}, u.noAnswer(why)
	}
	got, _, err := a.measure(ctx, nil)
	if err != nil {
		return comparison{}, err
	}
	want, _, err := x.Source.Search(ctx, a.q, nil)
	if err != nil || len(want) == 0 {
		return comparison{}, err
	}
	c := comparison{wanted: len(want), changed: !a.quiet || !x.quietSince(a.begun)}
	for _, h := range got {
		if c.found < c.wanted && h.Distance <= want[len(want)-1].Distance {
			c.found++
		}
	}
	if c.changed {
		return c, nil
	}
	if lie := a.lie(got); lie != "" {
		return c, &liarError{text: lie}
	}
	if x.o.Metric != vecindex.Dot && !a.has(id, got) {
		return c, &liarError{text: "it didn't find a vector that it was given"}
	}
	return c, nil
}

// has says whether a vector was found by itself, or as many as near.
func (a *asking) has(id uint32, hits []vecindex.Hit) bool {
	if slices.ContainsFunc(hits, func(h vecindex.Hit) bool { return h.ID == id }) {
		return true
	}
	self, _, err := a.x.SearchAmong(context.Background(), vecindex.Query{Vector: a.q.Vector, K: 1}, []uint32{id}, nil)
	if err != nil || len(self) == 0 || len(hits) == 0 {
		return err != nil || len(self) == 0 // it is gone
	}
	longest := math.Float64frombits(a.m.longest.Load())
	last := float64(hits[len(hits)-1].Distance)
	return last <= float64(self[0].Distance)+rounding(a.x.o.Metric, a.x.o.Dimension, a.query, longest, last)
}

// errUnanswered says that a check came to nothing, and is to be made again.
var errUnanswered = errors.New("the device did not answer a check")

// noAnswer is what the failure of a check comes to.
func (u *uploader) noAnswer(why Reason) error {
	if isOver(u.m.session) {
		return u.m.session.Err()
	}
	return fmt.Errorf("%w: %v", errUnanswered, why)
}

const (
	// probes is how many searches of a kind are timed at the start.
	probes = knownFrom
	// probeFrom is the number of vectors from which it matters who is cheaper, probeExact
	// the most numbers of which an exact search on the CPU is timed without being asked.
	probeFrom, probeExact = 1000, 1 << 26
)

// probeBands are the bands of filters that are timed.
var probeBands = []int{0, 1, 2, 3, 4}

// measureSides times searches of some kinds on both sides, so that those who wait don't
// have to find it out.
func (u *uploader) measureSides(ctx context.Context, ids []uint32) error {
	x := u.x
	if x.always.Load() || x.Len() < probeFrom || len(ids) == 0 {
		return nil
	}
	for _, band := range probeBands {
		q := vecindex.Query{K: canaryK, Ef: probeEf}
		if q.Allow = u.filter(band); q.Allow != nil && q.Allow.Len() <= canaryK {
			continue
		}
		if err := u.probe(ctx, q, ids); err != nil {
			return err
		}
	}
	if x.Len()*x.o.Dimension > probeExact {
		return nil
	}
	return u.probe(ctx, vecindex.Query{K: canaryK, Exact: true}, ids)
}

// probeEf is the width of searches that are timed: the one that is used where none is
// given.
const probeEf = 64

// filter lets a share of all ids through that lies in a band; nil lets all.
func (u *uploader) filter(band int) *bitmap.Set {
	if band == 0 {
		return nil
	}
	allow := &bitmap.Set{}
	for id := range u.x.IDs() {
		if rand.Uint32()&(1<<(2*band-1)-1) == 0 {
			allow.Add(id)
		}
	}
	return allow
}

// probe times a search on both sides.
func (u *uploader) probe(ctx context.Context, q vecindex.Query, ids []uint32) error {
	x := u.x
	k := kindOf(&q, x.Len())
	for i := range probes {
		vector := make([]float32, x.o.Dimension)
		if !x.Vector(vector, ids[i%len(ids)]) || !x.measurable(vector) {
			continue
		}
		q.Vector = vector
		began := x.o.Now()
		_, _, why, err := x.ask(ctx, u.m, q, true, nil)
		if err != nil {
			return err
		}
		switch why {
		case numReasons:
			x.planner.note(k, gpuSide, x.o.Now().Sub(began))
		case ReasonLost, ReasonTimeout, ReasonFailed:
			return u.noAnswer(why)
		}
		began = x.o.Now()
		if _, _, err := x.Source.Search(ctx, q, nil); err != nil {
			return err
		}
		x.planner.note(k, cpuSide, x.o.Now().Sub(began))
	}
	return nil
}
