// Package jobs runs long work: index builds and whatever else outlives a
// request. A Registry owns one goroutine per running job, stops them all in
// Close and waits for them. Finished jobs stay visible until keepFinished newer
// ones have ended.
//
// Locks: Registry.mu guards the map; Job.mu guards one job's status. Neither is
// held while work runs, and Registry.mu is taken first where both are needed.
package jobs

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/vccdb/vccdb/internal/errs"
)

// keepFinished bounds the memory of a long-lived server: the last hundred
// outcomes are what an operator looks back at.
const keepFinished = 100

// State is where a job stands.
type State string

const (
	Running  State = "running"
	Done     State = "done"
	Failed   State = "failed"
	Canceled State = "canceled"
)

// Status is a job as its watchers see it.
type Status struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Subject string `json:"subject"`
	State   State  `json:"state"`
	// Done and Total count the job's own units, which Unit names in the plural:
	// entities, bytes. Total is 0 while it isn't known.
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
	Unit  string `json:"unit,omitempty"`
	// EtaSeconds extrapolates the rate so far; absent when nothing can be said.
	EtaSeconds *float64   `json:"eta_seconds,omitempty"`
	Error      string     `json:"error,omitempty"`
	ErrorCode  string     `json:"error_code,omitempty"`
	Started    time.Time  `json:"started"`
	Finished   *time.Time `json:"finished,omitempty"`
	// Uncancelable work goes on to its end once it has begun.
	Uncancelable bool `json:"uncancelable,omitzero"`
	// Result is what the job has found so far, or in the end, in the form of its
	// kind.
	Result jsontext.Value `json:"result,omitempty"`
}

// Job is one piece of long work.
type Job struct {
	id     string
	cancel context.CancelFunc
	ended  chan struct{}

	mu struct {
		sync.Mutex
		status Status
		err    error
		// changed is closed and replaced at each change, to wake watchers.
		changed chan struct{}
	}
}

// ID names the job.
func (j *Job) ID() string { return j.id }

// Progress is how running work reports.
type Progress struct{ job *Job }

// Set reports done of total units.
func (p Progress) Set(done, total uint64) {
	p.job.update(func(s *Status) { s.Done, s.Total = done, total })
}

// Unit names what Set counts, in the plural.
func (p Progress) Unit(name string) {
	p.job.update(func(s *Status) { s.Unit = name })
}

// Uncancelable tells watchers that the work doesn't look at its context.
func (p Progress) Uncancelable() {
	p.job.update(func(s *Status) { s.Uncancelable = true })
}

// Result publishes what there is of the outcome; result isn't changed afterwards.
func (p Progress) Result(result jsontext.Value) {
	p.job.update(func(s *Status) { s.Result = result })
}

// Status returns the present status.
func (j *Job) Status() Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.mu.status
	if s.State == Running && s.Done > 0 && s.Total > s.Done {
		eta := time.Since(s.Started).Seconds() * float64(s.Total-s.Done) / float64(s.Done)
		s.EtaSeconds = &eta
	}
	return s
}

// Wait blocks until the job has ended and returns its error, or until ctx ends.
func (j *Job) Wait(ctx context.Context) error {
	select {
	case <-j.ended:
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.mu.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Cancel asks the job to stop; it does so at its next step. A no-op on a job
// that has ended.
func (j *Job) Cancel() { j.cancel() }

// Watch calls fn with the present status and after each change until the job
// has ended, fn returns false, or ctx ends. Changes in quick succession may be
// seen as one.
func (j *Job) Watch(ctx context.Context, fn func(Status) bool) {
	for {
		j.mu.Lock()
		changed := j.mu.changed
		j.mu.Unlock()
		s := j.Status()
		if !fn(s) || s.State != Running {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (j *Job) update(f func(*Status)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.mu.status)
	close(j.mu.changed)
	j.mu.changed = make(chan struct{})
}

func (j *Job) finish(err error) {
	now := time.Now()
	j.update(func(s *Status) {
		s.Finished = &now
		switch {
		case err == nil:
			s.State = Done
		case errors.Is(err, context.Canceled):
			s.State = Canceled
			if errs.KindOf(err) != errs.Canceled { // the work knows best what was kept
				err = errs.Wrap(err, errs.Canceled, "job_canceled", "job %s was canceled before its end", s.ID)
			}
			s.Error, s.ErrorCode = "canceled", "job_canceled"
		default:
			s.State = Failed
			s.Error, s.ErrorCode = detailOf(err), errs.CodeOf(err)
		}
		j.mu.err = err
	})
	close(j.ended)
}

// detailOf is the sentence of an error without its cause, which is for the log.
func detailOf(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return err.Error()
}

// Registry starts jobs and keeps track of them.
type Registry struct {
	log  *slog.Logger
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		closed bool
		jobs   map[string]*Job
		// order lists ids by start, oldest first.
		order []string
	}
}

// NewRegistry returns an empty registry.
func NewRegistry(log *slog.Logger) *Registry {
	r := &Registry{log: log}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.mu.jobs = make(map[string]*Job)
	return r
}

// Start runs work in a goroutine of its own. work's context ends when the job
// is canceled or the registry closed. After Close, Start returns an
// Unavailable error.
func (r *Registry) Start(kind, subject string, work func(context.Context, Progress) error) (*Job, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.closed {
		return nil, errs.New(errs.Unavailable, "shutting_down", "the server is shutting down; no job was started")
	}
	ctx, cancel := context.WithCancel(r.ctx)
	id := uuid.NewString()
	job := &Job{id: id, cancel: cancel, ended: make(chan struct{})}
	job.mu.changed = make(chan struct{})
	job.mu.status = Status{ID: id, Kind: kind, Subject: subject, State: Running, Started: time.Now()}
	r.mu.jobs[id] = job
	r.mu.order = append(r.mu.order, id)
	r.forgetOldLocked()
	r.wg.Go(func() {
		defer cancel()
		r.log.Info("job started", "job", id, "kind", kind, "subject", subject)
		err := work(ctx, Progress{job})
		job.finish(err)
		s := job.Status()
		ended := []any{"job", id, "kind", kind, "subject", subject, "state", s.State, "done", s.Done}
		if err != nil {
			ended = append(ended, "error", err)
		}
		r.log.Info("job ended", ended...)
	})
	return job, nil
}

// forgetOldLocked drops the oldest ended jobs beyond keepFinished.
func (r *Registry) forgetOldLocked() {
	excess := len(r.mu.order) - keepFinished
	r.mu.order = slices.DeleteFunc(r.mu.order, func(id string) bool {
		if excess <= 0 || r.mu.jobs[id].Status().State == Running {
			return false
		}
		excess--
		delete(r.mu.jobs, id)
		return true
	})
}

// Get returns the job with that id.
func (r *Registry) Get(id string) (*Job, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j, ok := r.mu.jobs[id]
	return j, ok
}

// List returns the known jobs, newest first.
func (r *Registry) List() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Status, 0, len(r.mu.order))
	for _, id := range slices.Backward(r.mu.order) {
		out = append(out, r.mu.jobs[id].Status())
	}
	return out
}

// Close cancels every running job and waits for them.
func (r *Registry) Close() {
	r.mu.Lock()
	r.mu.closed = true
	r.mu.Unlock()
	r.stop()
	r.wg.Wait()
}
