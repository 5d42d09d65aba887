package supervisor

import (
	"context"
	"errors"
	"sync"

	"github.com/vccdb/vccdb/gpu/wire"
)

// Supervisor keeps a worker running. Make one with New.
type Supervisor struct {
	o  Options
	mu struct {
		sync.Mutex
		session *Session
		changed chan struct{}
	}
}

// New returns a Supervisor. It does nothing until Want is called.
func New(o Options) *Supervisor {
	s := &Supervisor{o: o.EnsureDefaults()}
	s.mu.changed = make(chan struct{})
	return s
}

// Want asks for a worker to be kept running from now on. It returns at once;
// Changed tells when there is a session. Only the first call does anything.
func (s *Supervisor) Want() {}

// Session returns the present session, nil while there is none.
func (s *Supervisor) Session() *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.session
}

// Changed returns what is closed when Session next returns something else. Take it
// before asking for the session.
func (s *Supervisor) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.changed
}

// Status describes what goes on now and has gone on so far. It is cheap and doesn't
// wait for the worker.
func (s *Supervisor) Status() Status { return Status{State: Off} }

// Restart gives three new tries to a supervisor that gave up, and cuts a wait short.
// While a worker runs it is ended and another one started. It returns at once, with
// an error if no worker was ever wanted or the supervisor is closed.
func (s *Supervisor) Restart() error { return errClosed }

// Close ends the worker and waits until it is gone. Calls under way return an error.
func (s *Supervisor) Close() error { return nil }

// Session is one life of a worker: what was made in it is gone when it ends. Its
// methods are safe for concurrent use. They return a *wire.Error for what the worker
// or the context said about this one request (a deadline or a cancelled context is
// one too, and matches the context's error with errors.Is), and a *SessionError when
// the session is over; then all calls under way return within a moment.
type Session struct {
	done chan struct{}
}

// Done is closed when the session is over.
func (x *Session) Done() <-chan struct{} { return x.done }

// Err returns why the session is over, a *SessionError; nil while it isn't.
func (x *Session) Err() error { return nil }

// Device describes the device as it was last reported, a few seconds ago at most.
func (x *Session) Device() wire.DeviceInfo { return wire.DeviceInfo{} }

// CreateIndex makes an empty index on the device and returns its number, which is
// never 0 and not used again in this session.
func (x *Session) CreateIndex(ctx context.Context, spec wire.IndexSpec) (uint32, error) {
	return 0, errClosed
}

// DropIndex frees an index. One that isn't there is no error.
func (x *Session) DropIndex(ctx context.Context, index uint32) error { return errClosed }

// Put stores vectors[i*dim:(i+1)*dim] as id ids[i]'s, replacing what the ids had. The
// ids are distinct, in any order; the values are finite. What Put returned for is
// found by every search that starts afterwards. Any number of rows may be given: they
// go in parts that fit the shared memory, two under way at a time. On an error each
// row may have been stored or not. Both slices are the caller's again on return.
func (x *Session) Put(ctx context.Context, index uint32, ids []uint32, vectors []float32) error {
	return errClosed
}

// Delete makes ids unfindable; unknown ids are fine. The ids are distinct, in any
// order. What Delete returned for is found by no search that starts afterwards.
func (x *Session) Delete(ctx context.Context, index uint32, ids []uint32) error { return errClosed }

// Search asks one query. When ctx ends, it returns at once, and the worker is told to
// leave the query out if the device doesn't have it yet. Without room for the filter,
// or with too many queries under way, it returns wire.Busy at once. The hits are
// checked: sorted by (distance, id), K at most, finite, without duplicates, and allowed.
func (x *Session) Search(ctx context.Context, index uint32, q wire.Search) (wire.Answer, error) {
	return wire.Answer{}, errClosed
}

// Stats asks the worker about its indexes.
func (x *Session) Stats(ctx context.Context) ([]wire.IndexStats, error) { return nil, errClosed }

var errClosed = errors.New("the supervisor of the GPU worker is closed")
