package device

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/vecindex"
)

// newSupervisor is of workers that start again soon.
func newSupervisor(t *testing.T, local *gputest.Local) *supervisor.Supervisor {
	s := supervisor.New(supervisor.Options{Start: local.Start, Backoff: time.Millisecond, Tries: 1000, ArenaBytes: 1 << 20})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestSupervised: with a worker behind the whole protocol, whatever it does wrong, answers
// are those of the CPU index.
func TestSupervised(t *testing.T) {
	wrongs := []gputest.Faults{
		{Search: gputest.Crash}, {Search: gputest.Fail}, {Search: gputest.OutOfMemory}, {Search: gputest.Lost}, {Put: gputest.Crash}, {Put: gputest.Fail},
		{Delete: gputest.Lost}, {NewIndex: gputest.Fail}, {Break: gputest.Garbage}, {Break: gputest.WrongType}, {Slow: time.Millisecond},
		{Lie: gputest.TooMany}, {Lie: gputest.NaN}, {Lie: gputest.Unsorted}, {Lie: gputest.Twice}, {Lie: gputest.NotAllowed},
	}
	local := &gputest.Local{}
	h := newSupervisedStory(t, local)
	for step := range 1500 {
		switch p := h.rng.IntN(100); {
		case p < 40:
			h.change()
		case p < 97 || step < 500:
			h.search()
		case p < 98:
			local.Set(wrongs[h.rng.IntN(len(wrongs))])
		default:
			local.Set(gputest.Faults{})
			if h.rng.IntN(2) == 0 {
				until(t, "the device has caught up", func() bool { d := h.x.Device(); return d.State == Ready && d.Dirty == 0 || d.State == TooLarge })
			}
		}
	}
	local.Set(gputest.Faults{})
	d := h.x.Device()
	t.Logf("%v by the device, %v by the CPU; %d workers", d.GPU, d.CPU, local.Starts())
	if Searches(d.GPU) == 0 || local.Starts() < 2 {
		t.Error("the device answered nothing, or had no faults")
	}
}

func newSupervisedStory(t *testing.T, local *gputest.Local) *story {
	s := newSupervisor(t, local)
	h := &story{t: t, rng: rand.New(rand.NewPCG(21, 7)), dim: 9, stamp: 1}
	h.x = newIndex(t, Supervised(s), vecindex.Cosine, h.dim, nil)
	h.oracle = h.x.Unwrap()
	t.Cleanup(func() {
		if err := h.x.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// TestUndetectedLies: what the protocol can't see is seen by who knows the data.
func TestUndetectedLies(t *testing.T) {
	for _, lie := range []gputest.Lie{gputest.TooFew, gputest.Strangers, gputest.Farthest, gputest.WrongDistances} {
		t.Run(string(lie), func(t *testing.T) {
			local := &gputest.Local{}
			h := newSupervisedStory(t, local)
			for range 400 {
				h.change()
			}
			until(t, "the device has everything", func() bool { d := h.x.Device(); return d.State == Ready && d.Dirty == 0 })
			local.Set(gputest.Faults{Lie: lie})
			for range 50 {
				h.ask(vecindex.Query{Vector: h.vector(), K: 5, Exact: h.rng.IntN(2) == 0})
			}
			until(t, "the device is distrusted", h.x.is(Distrusted))
		})
	}
}

// TestReasons: the words of a supervisor's state reach whoever asks.
func TestReasons(t *testing.T) {
	s := supervisor.New(supervisor.Options{Command: []string{"/nonexistent/worker"}, Tries: 1, Backoff: time.Millisecond})
	defer s.Close()
	x := newIndex(t, Supervised(s), vecindex.L2, 2, nil)
	defer x.Close()
	until(t, "it has failed", func() bool { return s.Status().State == supervisor.GaveUp })
	until(t, "the reason is told", func() bool { return x.Device().Reason == s.Status().Reason })
	if w := Supervised(s); w.Session() != nil || w.Reason() == "" {
		t.Errorf("a worker that isn't there has a session, or no reason: %q", w.Reason())
	}
	if r := Reasons(); slices.Contains(r, "") || len(r) != int(numReasons) {
		t.Errorf("reasons without a word: %q", r)
	}
}
