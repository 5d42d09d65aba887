package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

// Session is one life of a worker: what was made in it is gone when it ends. Its
// methods are safe for concurrent use. They return a *wire.Error for what the worker
// or the context said about this one request (a deadline or a cancelled context is
// one too, and matches the context's error with errors.Is), and a *SessionError when
// the session is over; then all calls under way return within a moment.
type Session struct {
	o      Options
	worker Worker
	arena  *wire.Arena
	totals *totals
	// out has frames to send.
	out  chan []byte
	done chan struct{}
	// goroutines are reader, writer and heartbeat.
	goroutines sync.WaitGroup
	mu         struct {
		sync.Mutex
		calls map[uint64]*call
		last  uint64
		err   *SessionError
		// state is the device and its indexes as last reported; dims are of the indexes
		// made here.
		state wire.State
		dims  map[uint32]int
		// missed counts heartbeats since the last pong; pinging says that one is awaited,
		// asking that a state is.
		missed          int
		pinging, asking bool
	}
}

// call is a request without an answer.
type call struct {
	// want is the type of the answer.
	want wire.Type
	// deliver takes the answer or a *wire.Error; it is called once at most, by the
	// reader, and doesn't block.
	deliver func(answer any, err *wire.Error)
	// release gives back what the request has of the shared memory.
	release func()
}

// newSession shakes hands with a worker and starts to watch it. On an error the connection
// is closed, and the worker still there.
func newSession(ctx context.Context, o Options, w Worker, t *totals) (*Session, *SessionError) {
	x := &Session{o: o, worker: w, arena: w.Arena(), totals: t, out: make(chan []byte, 256), done: make(chan struct{})}
	x.mu.calls, x.mu.dims = map[uint64]*call{}, map[uint32]int{}
	stop := context.AfterFunc(ctx, func() { w.Conn().Close() })
	defer stop()
	frames := wire.NewReader(w.Conn())
	if err := x.handshake(frames); err != nil {
		defer w.Conn().Close()
		return nil, x.startError(ctx, err)
	}
	x.goroutines.Go(func() { x.read(frames) })
	x.goroutines.Go(x.write)
	x.goroutines.Go(x.watch)
	return x, nil
}

// handshake says hello and waits for the worker's welcome.
func (x *Session) handshake(frames *wire.Reader) error {
	conn := x.worker.Conn()
	conn.SetDeadline(time.Now().Add(x.o.Handshake))
	hello := wire.Hello{Version: wire.Version, ArenaBytes: uint64(x.arena.Size())}
	if _, err := conn.Write(wire.Append(nil, wire.TypeHello, 0, 0, hello)); err != nil {
		return err
	}
	f, err := frames.Next()
	if err != nil {
		return err
	}
	switch f.Type {
	case wire.TypeWelcome:
		m, err := wire.DecodeWelcome(f.Payload)
		if err != nil {
			return err
		}
		x.mu.state.Device = m.Device
		return conn.SetDeadline(time.Time{})
	case wire.TypeFailed:
		m, err := wire.DecodeError(f.Payload)
		if err != nil {
			return err
		}
		return m
	}
	return &wire.ProtocolError{Text: "the worker began with " + f.Type.String()}
}

// startError says why there is no session.
func (x *Session) startError(ctx context.Context, err error) *SessionError {
	var version *wire.VersionError
	var protocol *wire.ProtocolError
	var known *wire.Error
	var timeout interface{ Timeout() bool }
	switch {
	case ctx.Err() != nil:
		return &SessionError{CauseRequested, "the worker was ended while it started"}
	case errors.As(err, &version):
		return &SessionError{CauseVersion, err.Error()}
	case errors.As(err, &protocol):
		return &SessionError{CauseProtocol, err.Error()}
	case errors.As(err, &known):
		return &SessionError{CauseStart, "the worker can't use the device: " + known.Text}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &SessionError{CauseStart, fmt.Sprintf("the worker did not open its device within %v", x.o.Handshake)}
	}
	return &SessionError{CauseStart, "the worker did not start: " + x.lastWords(err)}
}

// lastWords is how the process ended, or what the connection said if it is still there.
func (x *Session) lastWords(err error) string {
	wait := time.NewTimer(lastWordsWait)
	defer wait.Stop()
	select {
	case <-x.worker.Ended():
		return x.worker.Cause()
	case <-wait.C:
	}
	if errors.Is(err, io.EOF) {
		return "it closed its connection"
	}
	return err.Error()
}

// lastWordsWait is how long the calls of a worker that closed its connection wait to
// hear how its process ended.
const lastWordsWait = 100 * time.Millisecond

// Done is closed when the session is over.
func (x *Session) Done() <-chan struct{} { return x.done }

// Err returns why the session is over, a *SessionError; nil while it isn't.
func (x *Session) Err() error {
	if err := x.failure(); err != nil {
		return err
	}
	return nil
}

func (x *Session) failure() *SessionError {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.err
}

// Device describes the device as it was last reported, a few seconds ago at most.
func (x *Session) Device() wire.DeviceInfo {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.state.Device
}

func (x *Session) state() wire.State {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.state
}

// fail ends the session; the first cause stays.
func (x *Session) fail(cause Cause, text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.err == nil {
		x.mu.err = &SessionError{cause, text}
		close(x.done)
		x.worker.Conn().Close()
	}
}

// wait waits until the session's goroutines have ended, which they do after fail.
func (x *Session) wait() { x.goroutines.Wait() }

// write sends what is in out, several frames at a time if there are.
func (x *Session) write() {
	var pending []byte
	for {
		select {
		case <-x.done:
			return
		case b := <-x.out:
			pending = append(pending[:0], b...)
		}
		for more := true; more && len(pending) < 64<<10; {
			select {
			case b := <-x.out:
				pending = append(pending, b...)
			default:
				more = false
			}
		}
		if _, err := x.worker.Conn().Write(pending); err != nil {
			return // the reader finds out why
		}
	}
}

// read takes what the worker sends, until the session is over.
func (x *Session) read(frames *wire.Reader) {
	for {
		f, err := frames.Next()
		if err == nil {
			err = x.take(f)
		}
		if err == nil {
			continue
		}
		var protocol *wire.ProtocolError
		switch {
		case errors.As(err, &protocol):
			x.fail(CauseProtocol, "the worker was ended, for "+err.Error())
		case x.failure() == nil:
			x.fail(CauseCrash, "the worker ended: "+x.lastWords(err))
		}
		return
	}
}

// take handles one frame of the worker. Its errors end the session.
func (x *Session) take(f wire.Frame) error {
	x.mu.Lock()
	c := x.mu.calls[f.ID]
	delete(x.mu.calls, f.ID)
	x.mu.Unlock()
	if c == nil {
		return &wire.ProtocolError{Text: "the worker answered what nobody asked (" + f.Type.String() + ")"}
	}
	if f.Type != c.want && f.Type != wire.TypeFailed {
		return &wire.ProtocolError{Text: fmt.Sprintf("the worker answered with %v instead of %v", f.Type, c.want)}
	}
	answer, failed, err := decode(f)
	if err != nil {
		return err
	}
	if a, ok := answer.(wire.Answer); ok {
		x.totals.answered(a)
	}
	c.release()
	c.deliver(answer, failed)
	if failed != nil && failed.Code == wire.Lost {
		x.fail(CauseLost, "the worker lost its device: "+failed.Text)
	}
	return nil
}

// decode decodes an answer.
func decode(f wire.Frame) (answer any, failed *wire.Error, err error) {
	switch f.Type {
	case wire.TypeFailed:
		failed, err = wire.DecodeError(f.Payload)
	case wire.TypeAnswer:
		answer, err = wire.DecodeAnswer(f.Payload)
	case wire.TypePong:
		answer, err = wire.DecodePong(f.Payload)
	case wire.TypeState:
		answer, err = wire.DecodeState(f.Payload)
	case wire.TypeCreated:
		answer, err = wire.DecodeIndexRef(f.Payload)
	default:
		err = wire.DecodeEmpty(f.Payload)
	}
	return answer, failed, err
}
