package gputest

import (
	"context"
	"net"
	"sync"

	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/gpu/wire"
)

// Local starts fake workers in the test's own process, connected by net.Pipe, so that
// they live in a synctest bubble too. Its method Start is for supervisor.Options.Start.
type Local struct {
	// Device, if it isn't nil, is called with the device of each new worker before it is
	// used: to set Before or Limit.
	Device func(*Device)
	// Serve configures the workers: batches, streams. Conn, Arena and Open are set by
	// Start; MaxBatch and LatencyCap are the supervisor's if it has any.
	Serve serve.Options
	mu    struct {
		sync.Mutex
		faults Faults
		starts int
	}
}

// Set changes the faults of workers that run and of those to come.
func (l *Local) Set(f Faults) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.faults = f
}

func (l *Local) faults() Faults {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.faults
}

// Starts is how many workers were started.
func (l *Local) Starts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.starts
}

// Start starts a worker.
func (l *Local) Start(_ context.Context, o supervisor.Options) (supervisor.Worker, error) {
	l.mu.Lock()
	l.mu.starts++
	l.mu.Unlock()
	ours, theirs := net.Pipe()
	w := &local{conn: ours, arena: wire.NewLocalArena(o.ArenaBytes), ended: make(chan struct{})}
	broken := newConn(theirs, l.faults)
	w.stop = sync.OnceFunc(func() { broken.Close() })
	w.device = newDevice(l.faults, func(Fault) {
		w.end("signal 9 (SIGKILL)")
		<-w.device.killed
	})
	if l.Device != nil {
		l.Device(w.device)
	}
	options := l.Serve
	options.Conn, options.Arena = broken, w.arena.Memory()
	if o.MaxBatch > 0 {
		options.MaxBatch = o.MaxBatch
	}
	if o.LatencyCap > 0 {
		options.LatencyCap = o.LatencyCap
	}
	options.Open = func() (serve.Device, error) {
		return w.device, w.device.begin(Call{Op: "open"}, func(f Faults) Fault { return f.Open })
	}
	go func() {
		defer close(w.ended)
		err := serve.Run(options)
		w.say(err)
	}()
	return w, nil
}

// local is a worker in this process.
type local struct {
	conn   net.Conn
	arena  *wire.Arena
	device *Device
	ended  chan struct{}
	stop   func()
	mu     struct {
		sync.Mutex
		killed bool
		cause  string
	}
}

func (w *local) Conn() net.Conn         { return w.conn }
func (w *local) Arena() *wire.Arena     { return w.arena }
func (w *local) PID() int               { return 1 }
func (w *local) Ended() <-chan struct{} { return w.ended }
func (w *local) Terminate()             { w.end("signal 15 (SIGTERM)") }
func (w *local) Kill()                  { w.end("signal 9 (SIGKILL)") }
func (w *local) Output() string         { return "" }

// end ends the worker as a signal would.
func (w *local) end(cause string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.cause == "" {
		w.mu.cause = cause
	}
	if !w.mu.killed {
		w.mu.killed = true
		close(w.device.killed)
	}
	w.stop()
}

// say notes how Run ended.
func (w *local) say(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.mu.cause != "":
	case err != nil:
		w.mu.cause = err.Error()
	default:
		w.mu.cause = "exit status 0"
	}
}

// Cause says how it ended.
func (w *local) Cause() string {
	<-w.ended
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.cause
}
