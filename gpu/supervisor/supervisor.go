package supervisor

import (
	"context"
	"sync"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
)

// Supervisor keeps a worker running. Make one with New.
type Supervisor struct {
	o      Options
	totals *totals
	// ctx ends with Close; restart has a word of Restart that wasn't heard yet.
	ctx     context.Context
	cancel  context.CancelFunc
	restart chan struct{}
	mu      struct {
		sync.Mutex
		status  Status
		session *Session
		changed chan struct{}
		wanted  bool
		closed  bool
		// ended is closed when the goroutine is; nil without one.
		ended chan struct{}
		// left is the error of a worker that didn't end.
		left error
	}
}

// New returns a Supervisor. It does nothing until Want is called.
func New(o Options) *Supervisor {
	s := &Supervisor{o: o.EnsureDefaults(), totals: newTotals(), restart: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.changed = make(chan struct{})
	s.mu.status = Status{State: Off, Reason: "no index uses the GPU", Since: time.Now()}
	return s
}

// Want asks for a worker to be kept running from now on. It returns at once;
// Changed tells when there is a session. Only the first call does anything.
func (s *Supervisor) Want() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.wanted || s.mu.closed {
		return
	}
	s.mu.wanted = true
	s.mu.ended = make(chan struct{})
	go s.run(s.mu.ended)
}

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
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	status, session := s.mu.status, s.mu.session
	s.mu.Unlock()
	status.Totals = s.totals.snapshot()
	if session != nil {
		state := session.state()
		status.Device, status.Indexes = &state.Device, state.Indexes
	}
	return status
}

// Restart gives three new tries to a supervisor that gave up, and cuts a wait short.
// While a worker runs it is ended and another one started. It returns at once, with
// an error if no worker was ever wanted or the supervisor is closed.
func (s *Supervisor) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.closed:
		return errs.New(errs.Unavailable, "shutting_down", "The GPU worker is not restarted: the server is shutting down.")
	case !s.mu.wanted:
		return errs.New(errs.Conflict, "gpu_not_wanted",
			"There is no GPU worker to restart, because no index uses the GPU. Switch it on for an index first.")
	}
	select {
	case s.restart <- struct{}{}:
	default: // the last word wasn't heard yet
	}
	return nil
}

// Close ends the worker and waits until it is gone. Calls under way return an error.
// A worker that even SIGKILL doesn't end (its driver hangs) is left behind, with an
// error.
func (s *Supervisor) Close() error {
	s.cancel()
	s.mu.Lock()
	s.mu.closed = true
	ended := s.mu.ended
	s.mu.Unlock()
	if ended != nil {
		<-ended
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.status.State, s.mu.status.Reason, s.mu.status.PID = Off, "the server is shutting down", 0
	return s.mu.left
}

// set changes the state.
func (s *Supervisor) set(state State, reason string, pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.status.State != state || s.mu.status.Reason != reason {
		s.mu.status.Since = time.Now()
	}
	s.mu.status.State, s.mu.status.Reason, s.mu.status.PID = state, reason, pid
}

// publish changes the session; nil for none.
func (s *Supervisor) publish(x *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.session = x
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}

// run keeps a worker running until Close.
func (s *Supervisor) run(ended chan<- struct{}) {
	defer close(ended)
	failures := 0
	for s.ctx.Err() == nil {
		if !s.available() {
			s.pause(s.o.AvailableEvery)
			continue
		}
		began := time.Now()
		err := s.live()
		if s.ctx.Err() != nil {
			return
		}
		switch {
		case err.Cause == CauseRequested:
			failures = 0
			continue
		case time.Since(began) >= s.o.Healthy:
			failures = 0
		default:
			failures++
		}
		if failures < s.o.Tries && err.Cause != CauseVersion {
			if s.backoff(err, failures) {
				failures = 0
			}
			continue
		}
		s.set(GaveUp, err.Text, 0)
		s.o.Logger.Error("the GPU worker is not started again; searches stay on the CPU until it is restarted by hand", "tries", failures)
		failures = 0
		s.pause(-1)
	}
}

// available asks whether a worker can be started, and logs what is new about it.
func (s *Supervisor) available() bool {
	reason := s.o.Available(s.ctx)
	if s.ctx.Err() != nil {
		return false
	}
	s.mu.Lock()
	before := s.mu.status
	s.mu.Unlock()
	switch {
	case reason == "" && before.State == Unavailable:
		s.o.Logger.Info("the GPU can be used now")
	case reason != "" && (before.State != Unavailable || before.Reason != reason):
		s.o.Logger.Warn("the GPU can't be used; the CPU answers all searches", "reason", reason)
	}
	if reason != "" {
		s.set(Unavailable, reason, 0)
	}
	return reason == ""
}

// backoff pauses before the next start, and reports whether Restart ended the pause.
func (s *Supervisor) backoff(err *SessionError, failures int) (restart bool) {
	wait := s.o.Backoff
	for range failures - 1 {
		wait *= 5
	}
	s.set(Backoff, err.Text, 0)
	s.o.Logger.Warn("the GPU worker is started again after a pause", "pause", wait, "failures", failures, "tries", s.o.Tries)
	return s.pause(wait)
}

// pause waits, for good if d is negative, and reports whether Restart ended it.
func (s *Supervisor) pause(d time.Duration) (restart bool) {
	var over <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-s.restart:
		return true
	case <-over:
	case <-s.ctx.Done():
	}
	return false
}

// live is one life of a worker, from start to end. It returns why it ended.
func (s *Supervisor) live() *SessionError {
	s.set(Starting, "the GPU worker is starting", 0)
	s.totals.started()
	began := time.Now()
	w, err := s.start()
	if err != nil {
		return s.over(&SessionError{CauseStart, "the GPU worker can't be started: " + err.Error()}, "")
	}
	s.set(Starting, "the GPU worker opens its device", w.PID())
	x, failed := newSession(s.ctx, s.o, w, s.totals)
	if failed == nil {
		device := x.Device()
		s.o.Logger.Info("the GPU worker runs", "pid", w.PID(), "device", device.Name, "driver", device.Driver,
			"memory_limit_bytes", device.MemoryLimit, "took", time.Since(began).Round(time.Millisecond))
		select {
		case <-s.restart: // it is for the worker that has just been started
		default:
		}
		s.set(Running, "", w.PID())
		s.publish(x)
		failed = s.attend(x)
		s.set(Backoff, failed.Text, w.PID())
		s.publish(nil)
	}
	s.bury(w, failed)
	if x != nil {
		x.wait()
	}
	w.Arena().Close()
	return s.over(failed, w.Output())
}

func (s *Supervisor) start() (Worker, error) {
	if s.o.Start != nil {
		return s.o.Start(s.ctx, s.o)
	}
	return startProcess(s.o)
}

// attend waits until the session is over, or ends it when it is asked to.
func (s *Supervisor) attend(x *Session) *SessionError {
	select {
	case <-x.done:
	case <-x.worker.Ended():
		// The reader takes what the worker still said, and then finds the end, unless
		// another process holds the connection.
		wait := time.NewTimer(lastWordsWait)
		defer wait.Stop()
		select {
		case <-x.done:
		case <-wait.C:
			x.fail(CauseCrash, "the worker ended: "+x.worker.Cause())
		}
	case <-s.restart:
		x.fail(CauseRequested, "the GPU worker was restarted")
	case <-s.ctx.Done():
		x.fail(CauseRequested, "the server is shutting down")
	}
	return x.failure()
}

// bury ends a worker's process and waits until it is gone: gently on purpose, at once
// when it did wrong.
func (s *Supervisor) bury(w Worker, why *SessionError) {
	if why.Cause == CauseRequested {
		w.Terminate()
		if s.gone(w) {
			return
		}
	}
	w.Kill()
	if s.gone(w) {
		return
	}
	left := errs.New(errs.Internal, "gpu_worker_left", "The GPU worker (process %d) doesn't end though it was killed; its driver hangs.", w.PID())
	s.o.Logger.Error(left.Detail)
	s.set(Backoff, left.Detail, w.PID())
	select {
	case <-w.Ended():
	case <-s.ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.left = left
	}
}

// gone waits up to Grace for the process to end.
func (s *Supervisor) gone(w Worker) bool {
	grace := time.NewTimer(s.o.Grace)
	defer grace.Stop()
	select {
	case <-w.Ended():
		return true
	case <-grace.C:
		return false
	}
}

// over notes and logs why a worker's life ended.
func (s *Supervisor) over(err *SessionError, output string) *SessionError {
	if err.Cause == CauseRequested {
		return err
	}
	s.totals.ended(err.Cause)
	s.mu.Lock()
	s.mu.status.LastCause, s.mu.status.LastError, s.mu.status.LastEnd = err.Cause, err.Text, time.Now()
	s.mu.Unlock()
	s.o.Logger.Warn("the GPU worker failed; the CPU answers all searches", "cause", err.Cause, "error", err.Text, "output", output)
	return err
}
