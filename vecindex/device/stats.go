package device

import (
	"cmp"
	"sync/atomic"
	"time"
)

// State is how an index stands with the device.
type State string

const (
	// Off: there is no worker and won't be one.
	Off State = "off"
	// Waiting: there is no worker now.
	Waiting State = "waiting"
	// Uploading: the device doesn't have all vectors yet, or wasn't checked yet.
	Uploading State = "uploading"
	// Ready: the device answers.
	Ready State = "ready"
	// TooLarge: the device doesn't have the memory; it is tried again when it has more.
	TooLarge State = "too_large"
	// Distrusted: the device gave wrong answers, and isn't asked before a restart of the
	// server.
	Distrusted State = "distrusted"
)

// reasons is why the CPU answers in a state.
var reasons = map[State]Reason{
	Off: ReasonWaiting, Waiting: ReasonWaiting, Uploading: ReasonUploading, TooLarge: ReasonTooLarge, Distrusted: ReasonDistrusted,
}

// Stats describes the device side of an index.
type Stats struct {
	State State
	// Reason says why the device doesn't answer; empty when it does.
	Reason string
	// Always says that the device answers whenever it can, whatever it costs.
	Always bool
	// Uploaded is how many vectors the device has as they are now, about; Dirty how many
	// ids it may have otherwise.
	Uploaded, Dirty int
	// Bytes is what the copy takes on the device, as the worker last said.
	Bytes int64
	// Recall is the part of the nearest that the last check found, at Checked; zero
	// before the first.
	Recall  float64
	Checked time.Time
	// GPU and CPU count the searches that each answered, by the words of Reasons.
	GPU, CPU map[string]uint64
	// Queued and Device are how long the searches that the device answered waited there,
	// and were worked on together with others of their batch, in all. Batched is the sum
	// of their batches' sizes.
	Queued, Device time.Duration
	Batched        uint64
	// Fills counts the sessions in which all vectors were sent, Errors the requests of the
	// uploads that failed.
	Fills, Errors uint64
	// Curve is what each engine takes, by kind of search.
	Curve []CurvePoint
}

// Searches is how many searches an engine answered, by the map of it.
func Searches(byReason map[string]uint64) (n uint64) {
	for _, c := range byReason {
		n += c
	}
	return n
}

// counts are figures since New.
type counts struct {
	searches                                [sides][numReasons]atomic.Uint64
	queued, device, batched, fills, errored atomic.Uint64
}

func (c *counts) of(s side) map[string]uint64 {
	out := map[string]uint64{}
	for r := range numReasons {
		if n := c.searches[s][r].Load(); n > 0 {
			out[r.String()] = n
		}
	}
	return out
}

// Device describes the device side. It is cheap.
func (x *Index) Device() Stats {
	s := Stats{
		Always: x.always.Load(), Dirty: int(x.overlay.size.Load()),
		GPU: x.counts.of(gpuSide), CPU: x.counts.of(cpuSide),
		Queued: time.Duration(x.counts.queued.Load()), Device: time.Duration(x.counts.device.Load()), Batched: x.counts.batched.Load(),
		Fills: x.counts.fills.Load(), Errors: x.counts.errored.Load(), Curve: x.planner.curve(),
	}
	if s.State, s.Reason = x.standing(); s.State == Waiting {
		s.Reason = cmp.Or(x.o.Worker.Reason(), s.Reason)
	}
	x.mu.Lock()
	s.Bytes, s.Recall, s.Checked = x.mu.bytes, x.mu.recall, x.mu.check
	x.mu.Unlock()
	switch s.State {
	case Uploading, Ready:
		s.Uploaded = max(0, x.Len()-s.Dirty)
	default:
		s.Bytes = 0
	}
	return s
}

// stand changes the state.
func (x *Index) stand(s State, reason string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.state, x.mu.reason = s, reason
}

// standing is the state, and why the device doesn't answer.
func (x *Index) standing() (State, string) {
	x.mu.Lock()
	state, reason := x.mu.state, x.mu.reason
	x.mu.Unlock()
	if state == Ready && x.resting() {
		reason = "the device failed a short time ago; it is tried again soon"
	}
	return state, reason
}
