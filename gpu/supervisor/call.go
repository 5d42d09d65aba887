package supervisor

import (
	"context"
	"errors"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

// outcome is what came of a call.
type outcome struct {
	answer any
	err    *wire.Error
}

// pending is a call that was sent.
type pending struct {
	id     uint64
	result chan outcome
}

func nothing() {}

// register makes room for a call; nil with too many under way. release is called when
// the worker has answered, and not if the session ends before.
func (x *Session) register(want wire.Type, release func(), deliver func(any, *wire.Error)) (uint64, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.mu.err != nil:
		return 0, x.mu.err
	case len(x.mu.calls) >= x.o.MaxInFlight && want != wire.TypePong:
		return 0, wire.Errorf(wire.Busy, "%d requests to the GPU worker are under way already", len(x.mu.calls))
	}
	x.mu.last++
	x.mu.calls[x.mu.last] = &call{want: want, deliver: deliver, release: release}
	return x.mu.last, nil
}

// begin sends a request. On an error release was called, or the session is over.
func (x *Session) begin(ctx context.Context, t, want wire.Type, m wire.Message, release func()) (pending, error) {
	if err := ctx.Err(); err != nil {
		release()
		return pending{}, contextError(err)
	}
	p := pending{result: make(chan outcome, 1)}
	id, err := x.register(want, release, func(answer any, err *wire.Error) { p.result <- outcome{answer, err} })
	if err != nil {
		release()
		return pending{}, err
	}
	p.id = id
	var deadline time.Duration
	if at, ok := ctx.Deadline(); ok {
		deadline = max(1, time.Until(at))
	}
	select {
	case x.out <- wire.Append(nil, t, id, deadline, m):
		return p, nil
	case <-x.done:
		return pending{}, x.failure()
	case <-ctx.Done():
		x.mu.Lock()
		delete(x.mu.calls, id)
		x.mu.Unlock()
		release()
		return pending{}, contextError(ctx.Err())
	}
}

// wait returns a call's answer. When ctx ends before, the worker is told that it isn't
// needed any more, and what the call has of the shared memory stays taken until the
// worker says that it is done with it.
func (x *Session) finish(ctx context.Context, p pending) (any, error) {
	select {
	case r := <-p.result:
		return r.value()
	default:
	}
	select {
	case r := <-p.result:
		return r.value()
	case <-x.done:
		select {
		case r := <-p.result:
			return r.value()
		default:
			return nil, x.failure()
		}
	case <-ctx.Done():
		select {
		case x.out <- wire.Append(nil, wire.TypeCancel, p.id, 0, nil):
		default: // the worker is behind; it will find out by the deadline, or do it for nothing
		}
		return nil, contextError(ctx.Err())
	}
}

func (r outcome) value() (any, error) {
	if r.err != nil {
		return nil, r.err
	}
	return r.answer, nil
}

// call sends a request and waits for its answer.
func (x *Session) call(ctx context.Context, t, want wire.Type, m wire.Message, release func()) (any, error) {
	p, err := x.begin(ctx, t, want, m, release)
	if err != nil {
		return nil, err
	}
	return x.finish(ctx, p)
}

// contextError gives a context's error the form of all others.
func contextError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return wire.Errorf(wire.Deadline, "the time for the request to the GPU worker was up")
	}
	return wire.Errorf(wire.Cancelled, "the request to the GPU worker was given up")
}

// counted notes a call's error in the totals.
func (x *Session) counted(err error) error {
	if err != nil {
		x.totals.failed(err)
	}
	return err
}
