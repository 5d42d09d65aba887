// Package supervisor keeps the GPU worker, another process, running and speaks with
// it. The worker may crash, hang, lie or run out of memory: that ends a Session,
// never the server, and whoever asked gets an error that says why, so that the CPU
// can answer instead.
//
// A Supervisor starts the worker when it is wanted and possible, watches its
// heartbeat, ends it when it does wrong, and starts it again after a pause; after
// three lives in a row that weren't worth it, it gives up until Restart. A Session is
// one life of a worker.
//
// Goroutines: one for each Supervisor from the first Want to Close; for each worker
// one that waits for the process (bound to a thread: the process gets SIGKILL when
// that thread ends), one that reads its output, and three for the session (reader,
// writer, heartbeat). Close waits for all of them. Locks: the Supervisor's and a
// Session's guard their fields, are never held while anything is waited for, and are
// never held together.
package supervisor

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

// Options configure a Supervisor. The zero value of each field but Command means its
// default.
type Options struct {
	// Command is the worker's program and first arguments. What follows from the
	// fields below is appended: --device=0, and unless they are zero
	// --memory-limit=BYTES, --max-batch=QUERIES and --latency-cap=20ms.
	Command []string
	// Env is added to the server's environment, which the worker inherits: KEY=value.
	Env []string
	// Device is the number of the device, from 0.
	Device int
	// MemoryLimit is how many bytes of the device the worker may use; 0 leaves it to
	// the worker.
	MemoryLimit int64
	// MaxBatch is how many queries are answered at once at most, LatencyCap how long a
	// batch may be predicted to take; 0 leaves it to the worker.
	MaxBatch   int
	LatencyCap time.Duration
	// ArenaBytes is the size of the memory that both processes share, 64 MiB: half of
	// it for vectors under way, half for the filters of searches under way (each an
	// eighth of a byte for each id, rounded up to a power of two).
	ArenaBytes int64
	// MaxInFlight is how many requests may be under way, 4,096. More are refused.
	MaxInFlight int
	// Logger gets starts, ends and their causes, and at debug what the worker prints.
	// nil discards it.
	Logger *slog.Logger
	// Available says why no worker can be started now (no driver, no such device);
	// empty if one can. It is asked before each start, and every AvailableEvery, 30 s,
	// while the answer is no. nil stands for always.
	Available      func(ctx context.Context) (reason string)
	AvailableEvery time.Duration
	// Handshake is how long a worker may take until it has opened its device, 30 s.
	Handshake time.Duration
	// Heartbeat is how often the worker is asked whether it lives, 100 ms. It is killed
	// when it hasn't answered for Misses heartbeats, 6; when a search has been on the
	// device for SearchStall, 700 ms; or when anything else has for UpdateStall, 20 s.
	Heartbeat                time.Duration
	Misses                   int
	SearchStall, UpdateStall time.Duration
	// Tries is how often in a row a worker is started before the supervisor gives up, 3.
	// The first pause is Backoff, 1 s, and each further one five times as long. A worker
	// that ran for Healthy, 5 minutes, is not counted.
	Tries            int
	Backoff, Healthy time.Duration
	// Grace is how long a worker that was asked to end may take before it is killed, 3 s.
	Grace time.Duration
	// Start replaces the starting of a process. For tests.
	Start func(ctx context.Context, o Options) (Worker, error)
}

// EnsureDefaults returns o with every unset field filled.
func (o Options) EnsureDefaults() Options {
	o.ArenaBytes = cmp.Or(o.ArenaBytes, 64<<20)
	o.MaxInFlight = cmp.Or(o.MaxInFlight, 4096)
	o.AvailableEvery = cmp.Or(o.AvailableEvery, 30*time.Second)
	o.Handshake = cmp.Or(o.Handshake, 30*time.Second)
	o.Heartbeat = cmp.Or(o.Heartbeat, 100*time.Millisecond)
	o.Misses = cmp.Or(o.Misses, 6)
	o.SearchStall = cmp.Or(o.SearchStall, 700*time.Millisecond)
	o.UpdateStall = cmp.Or(o.UpdateStall, 20*time.Second)
	o.Tries = cmp.Or(o.Tries, 3)
	o.Backoff = cmp.Or(o.Backoff, time.Second)
	o.Healthy = cmp.Or(o.Healthy, 5*time.Minute)
	o.Grace = cmp.Or(o.Grace, 3*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Available == nil {
		o.Available = func(context.Context) string { return "" }
	}
	return o
}

// State is what a Supervisor is about.
type State string

const (
	// Off: no worker was wanted, or the supervisor is closed.
	Off State = "off"
	// Unavailable: a worker is wanted but can't be started; Reason says why.
	Unavailable State = "unavailable"
	// Starting: the worker was started and opens its device.
	Starting State = "starting"
	// Running: there is a session.
	Running State = "running"
	// Backoff: the worker failed and is started again after a pause.
	Backoff State = "backoff"
	// GaveUp: the worker failed too often; only Restart starts it again.
	GaveUp State = "failed"
)

// Cause is why a worker's life ended, as a word for metrics.
type Cause string

const (
	// CauseStart: it couldn't be started, or failed to open its device.
	CauseStart Cause = "start"
	// CauseCrash: the process ended or closed its connection.
	CauseCrash Cause = "crash"
	// CauseHang: it didn't answer its heartbeat, or a call to the device took too long.
	CauseHang Cause = "hang"
	// CauseLost: it reported that the device is lost.
	CauseLost Cause = "device_lost"
	// CauseVersion: it is of another version than the server.
	CauseVersion Cause = "version"
	// CauseProtocol: it said what can't be true.
	CauseProtocol Cause = "protocol"
	// CauseRequested: it was ended on purpose, by Restart or Close.
	CauseRequested Cause = "requested"
)

// SessionError says why a session is over.
type SessionError struct {
	Cause Cause
	// Text is a sentence for a person.
	Text string
}

func (e *SessionError) Error() string { return e.Text }

// Status is a Supervisor's state and totals.
type Status struct {
	State State `json:"state"`
	// Reason says why there is no session; empty while Running.
	Reason string `json:"reason,omitempty"`
	// Since is when State began.
	Since time.Time `json:"since"`
	// PID is the worker's, 0 without one.
	PID int `json:"pid,omitempty"`
	// Device is the running worker's, nil without one; Indexes are its indexes. Both
	// are a few seconds old at most.
	Device  *wire.DeviceInfo  `json:"device,omitempty"`
	Indexes []wire.IndexStats `json:"-"`
	// LastCause and LastError say why the last worker ended, also while another one
	// runs; LastEnd is when. Empty if none ended, or all on purpose.
	LastCause Cause     `json:"last_cause,omitempty"`
	LastError string    `json:"last_error,omitempty"`
	LastEnd   time.Time `json:"last_end,omitzero"`
	Totals    Totals    `json:"totals"`
}

// BatchSizes are the upper bounds of the buckets of Totals.BatchSizes; a last bucket
// has what is larger.
var BatchSizes = [...]int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}

// Totals count since the Supervisor was made, over all sessions.
type Totals struct {
	// Starts is how many workers were started, Failures how many of them ended, by
	// cause; those ended on purpose are left out.
	Starts   uint64           `json:"starts"`
	Failures map[Cause]uint64 `json:"failures"`
	// Searches is how many queries were answered, Errors how many requests of any kind
	// weren't, by the code of their error or the cause that ended their session.
	Searches uint64            `json:"searches"`
	Errors   map[string]uint64 `json:"errors"`
	// Batches is in how many goes the device answered them, BatchSizes how many of
	// these had up to BatchSizes[i] queries (each counted once; the last is the rest).
	Batches    uint64                      `json:"batches"`
	BatchSizes [len(BatchSizes) + 1]uint64 `json:"batch_sizes"`
	// Queued is how long queries waited in the worker in all, Device how long batches
	// took on the device.
	Queued time.Duration `json:"queued_ns"`
	Device time.Duration `json:"device_ns"`
	// RowsPut and RowsDeleted were acknowledged by the worker; BytesPut are of their
	// vectors, BytesFilters of the filters that were handed over.
	RowsPut      uint64 `json:"rows_put"`
	RowsDeleted  uint64 `json:"rows_deleted"`
	BytesPut     uint64 `json:"bytes_put"`
	BytesFilters uint64 `json:"bytes_filters"`
}

// Worker is a started worker, as the supervisor needs it. Kill and Terminate may be
// called at any time, also when it has ended.
type Worker interface {
	// Conn is the connection with it; the supervisor closes it.
	Conn() net.Conn
	// Arena is the shared memory; the supervisor closes it.
	Arena() *wire.Arena
	PID() int
	// Terminate asks the worker to end, Kill ends it.
	Terminate()
	Kill()
	// Ended is closed when it has ended; Cause then says how, with its last words.
	Ended() <-chan struct{}
	Cause() string
	// Output is the last of what it printed.
	Output() string
}
