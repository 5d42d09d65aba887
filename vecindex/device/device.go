// Package device lets a GPU answer searches of an index that lives on the CPU. An Index
// wraps the CPU index, which stays complete and is asked by whoever the device fails; the
// copy on the device is a cache of it, which may be gone at any time, lag behind or be
// wrong without anybody getting a wrong answer.
//
// # Consistency
//
// A change goes to the CPU index, then its id is marked in the overlay, then the caller
// returns. One goroutine sends what is marked, as the CPU index has it by then, and an id
// stays in the overlay until the worker acknowledged it. A search takes the overlay
// first, asks the device for more candidates than it needs, and has the CPU index
// measure candidates and overlay: so it finds what was acknowledged before it began, its
// distances and the order of ties are those of the CPU, and nothing is returned that was
// deleted or isn't allowed, whatever the device says. If that leaves fewer hits than
// there must be, the CPU index answers.
//
// An exact search has the device scan the vectors themselves. It stands if what the
// device left out can't be as near as the last hit, by the bound on what rounding does
// (see proof.go); else the CPU index answers. So an exact search has the same hits on
// both.
//
// No search fails, or waits for longer than Options.Patience, because of the device.
//
// # Trust
//
// Before the device is used, and from time to time, stored vectors are searched on it and
// on the CPU. A device that misses much, or says of a hit what isn't true while nothing
// changes, isn't asked any more by this index.
//
// # Goroutines and locks
//
// One goroutine for each Index from New to Close or Detach, which stop it and wait. The
// locks of the overlay, of the planner and of what Stats tells are never held together,
// nor while the CPU index or the worker is called.
package device

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
	"github.com/vccdb/vccdb/vecindex"
)

// Worker is where sessions come from; see Supervised.
type Worker interface {
	// Want asks for sessions from now on.
	Want()
	// Session is the present one, nil without one.
	Session() Session
	// Changed is closed when Session next returns another one. Take it first.
	Changed() <-chan struct{}
	// Reason says why there is no session.
	Reason() string
}

// Session is one life of a worker, with what supervisor.Session says of it.
type Session interface {
	CreateIndex(ctx context.Context, spec wire.IndexSpec) (uint32, error)
	DropIndex(ctx context.Context, index uint32) error
	Put(ctx context.Context, index uint32, ids []uint32, vectors []float32) error
	Delete(ctx context.Context, index uint32, ids []uint32) error
	Search(ctx context.Context, index uint32, q wire.Search) (wire.Answer, error)
	Stats(ctx context.Context) (wire.State, error)
	Device() wire.DeviceInfo
	Done() <-chan struct{}
	Err() error
}

// Options configure an Index. Dimension, Metric and CPU have no defaults; every other
// zero value stands for its default.
type Options struct {
	// CPU is the index to be copied. It belongs to the Index from New on.
	CPU       vecindex.Source
	Dimension int
	Metric    vecindex.Metric
	// Worker is nil where there can't be one; Unavailable then says why.
	Worker      Worker
	Unavailable string
	// Always has the device answer whenever it can; else whoever is cheaper answers. See
	// SetAlways.
	Always bool
	// Codes are what the device scans: "int8" (default) or "bf16". Seed decides on them.
	Codes string
	Seed  uint64
	// Subject names the index in the log; Logger is none.
	Subject string
	Logger  *slog.Logger
	// Patience is how long a search waits for the device, 400 ms. The worker of a device
	// that hangs is ended after about that long.
	Patience time.Duration
	// MaxOverlay is how many ids a search looks at itself because the device may not
	// have them yet, 4096.
	MaxOverlay int
	// BatchBytes is how many bytes of vectors are sent at a time, 8 MiB, and Linger how
	// long single changes wait for others to be sent with them, 5 ms.
	BatchBytes int
	Linger     time.Duration
	// CanaryEvery is how often the device is checked, 5 minutes.
	CanaryEvery time.Duration
	// Retry is how long after an error the device is tried again, at first, 250 ms; each
	// time that fails it is twice as long, up to a hundred times.
	Retry time.Duration
	// RoomEvery is how often it is looked whether the device has room for an index that
	// didn't fit, 10 s.
	RoomEvery time.Duration
	// Now is the clock that searches are timed by, for tests.
	Now func() time.Time
}

func (o Options) ensureDefaults() Options {
	o.Patience = cmp.Or(o.Patience, 400*time.Millisecond)
	o.MaxOverlay = cmp.Or(o.MaxOverlay, 4096)
	o.BatchBytes = cmp.Or(o.BatchBytes, 8<<20)
	o.Linger = cmp.Or(o.Linger, 5*time.Millisecond)
	o.CanaryEvery = cmp.Or(o.CanaryEvery, 5*time.Minute)
	o.Retry = cmp.Or(o.Retry, 250*time.Millisecond)
	o.RoomEvery = cmp.Or(o.RoomEvery, 10*time.Second)
	o.Unavailable = cmp.Or(o.Unavailable, "this server has no GPU worker")
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// maxPauses is how many times Options.Retry the longest pause is.
const maxPauses = 100

// Index is a vecindex.Index whose searches a device may answer. What isn't mentioned
// here is the CPU index's, its stats too.
type Index struct {
	vecindex.Source
	o       Options
	codes   wire.Codes
	log     *slog.Logger
	overlay *overlay
	planner *planner
	// mirror is the copy that searches ask, nil while there is none.
	mirror atomic.Pointer[mirror]
	always atomic.Bool
	counts counts

	// begun and done count changes: while they are the same, nobody is changing anything.
	begun, done atomic.Uint64

	// rest is until when the device isn't asked because it failed, by Options.Now, in
	// nanoseconds; rests is how often in a row it did.
	rest, rests atomic.Int64

	// doubts has a sentence when the device was caught.
	doubts chan string

	stop    context.CancelFunc
	running sync.WaitGroup

	mu struct {
		sync.Mutex
		state  State
		reason string
		bytes  int64
		recall float64
		check  time.Time
	}
}

var _ vecindex.Index = (*Index)(nil)

// mirror is the copy of an index in one session.
type mirror struct {
	session Session
	index   uint32
	// ready says that the device has all vectors and gave right answers.
	ready atomic.Bool
	// longest is the largest length of a vector that was sent: bits of a float64.
	longest atomic.Uint64
}

// New wraps a CPU index and starts copying it. Without a worker, the CPU index
// answers all searches.
func New(o Options) *Index {
	o = o.ensureDefaults()
	ctx, stop := context.WithCancel(context.Background())
	x := &Index{
		Source: o.CPU, o: o, log: o.Logger.With("component", "gpu", "index", o.Subject),
		overlay: newOverlay(), planner: newPlanner(o.Now), doubts: make(chan string, 1), stop: stop,
	}
	x.always.Store(o.Always)
	codes, known := wire.ParseCodes(cmp.Or(o.Codes, wire.Int8.String()))
	switch {
	case o.Worker == nil:
		x.stand(Off, o.Unavailable)
		return x
	case !known:
		x.stand(Off, fmt.Sprintf("the device can't scan %q; it scans int8 or bf16", o.Codes))
		return x
	}
	x.codes = codes
	x.stand(Waiting, "the GPU worker is being started")
	o.Worker.Want()
	x.running.Go(func() { x.run(ctx) })
	return x
}

// Unwrap returns the CPU index.
func (x *Index) Unwrap() vecindex.Source { return x.Source }

// SetAlways says whether the device answers whenever it can, from the next search on.
func (x *Index) SetAlways(always bool) { x.always.Store(always) }

// Ready says whether the device may be asked.
func (x *Index) Ready() bool {
	m := x.mirror.Load()
	return m != nil && m.ready.Load()
}

// Put makes vec searchable under id.
func (x *Index) Put(id uint32, stamp uint64, vec []float32) error {
	x.begun.Add(1)
	defer x.done.Add(1)
	err := x.Source.Put(id, stamp, vec)
	if err == nil {
		x.overlay.mark(id)
	}
	return err
}

// Delete makes id unfindable.
func (x *Index) Delete(id uint32) {
	x.begun.Add(1)
	defer x.done.Add(1)
	x.Source.Delete(id)
	x.overlay.mark(id)
}

// Detach ends the use of the device and frees what is there. The CPU index goes on, also
// behind the Index, which then is no more than that.
func (x *Index) Detach() {
	x.stop()
	x.running.Wait()
	x.stand(Off, "the index doesn't use the device any more")
}

// Close detaches the device and closes the CPU index.
func (x *Index) Close() error {
	x.Detach()
	return x.Source.Close()
}

// stillness says whether nothing is being changed, and how many changes there were. A
// change that goes on has begun and isn't done.
func (x *Index) stillness() (quiet bool, begun uint64) {
	done := x.done.Load()
	begun = x.begun.Load()
	return done == begun, begun
}

// quietSince says whether no change has begun since.
func (x *Index) quietSince(begun uint64) bool { return x.begun.Load() == begun }
