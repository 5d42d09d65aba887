package supervisor

import (
	"fmt"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

// stateEvery is how many heartbeats lie between two questions for the device's state.
const stateEvery = 20

// watch asks the worker whether it lives, and ends the session when it doesn't. What
// counts is heartbeats without an answer, not time: after a pause of this process
// itself the worker gets its chance.
func (x *Session) watch() {
	tick := time.NewTicker(x.o.Heartbeat)
	defer tick.Stop()
	for beat := 1; ; beat++ {
		select {
		case <-x.done:
			return
		case <-tick.C:
		}
		if x.missed() > x.o.Misses {
			x.fail(CauseHang, fmt.Sprintf("the worker did not answer for %v and was ended", time.Duration(x.o.Misses)*x.o.Heartbeat))
			return
		}
		x.ask(wire.TypePing, wire.TypePong, &x.mu.pinging, x.pong)
		if beat%stateEvery == 0 {
			x.ask(wire.TypeStats, wire.TypeState, &x.mu.asking, x.reported)
		}
	}
}

// missed counts a heartbeat, and returns how many there were since the last answer.
func (x *Session) missed() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.missed++
	return x.mu.missed
}

// ask sends a question of the supervisor's own, unless the last of its kind is still
// without an answer, or there is no room. awaited is the field of mu that says so.
func (x *Session) ask(t, want wire.Type, awaited *bool, deliver func(any)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if *awaited || x.mu.err != nil {
		return
	}
	id := x.mu.last + 1
	select {
	case x.out <- wire.Append(nil, t, id, 0, nil):
	default:
		return
	}
	x.mu.last = id
	*awaited = true
	x.mu.calls[id] = &call{want: want, release: nothing, deliver: func(answer any, failed *wire.Error) {
		x.mu.Lock()
		*awaited = false
		x.mu.Unlock()
		if failed == nil {
			deliver(answer)
		}
	}}
}

// pong takes a sign of life, and judges how long the device has been busy.
func (x *Session) pong(answer any) {
	p := answer.(wire.Pong)
	x.mu.Lock()
	x.mu.missed = 0
	x.mu.Unlock()
	switch {
	case p.SearchBusy > x.o.SearchStall:
		x.fail(CauseHang, fmt.Sprintf("the worker was ended: a search was on the device for %v without an end", p.SearchBusy.Round(time.Millisecond)))
	case p.UpdateBusy > x.o.UpdateStall:
		x.fail(CauseHang, fmt.Sprintf("the worker was ended: a change was on the device for %v without an end", p.UpdateBusy.Round(time.Millisecond)))
	}
}

func (x *Session) reported(answer any) { x.note(answer.(wire.State)) }
