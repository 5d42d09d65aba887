// Package schedule makes snapshots and backups at intervals, and removes those
// that are too many.
//
// The next copy is due when the newest one is as old as the interval, so a time
// that was missed while the server was down is made up for at its start, and a
// plan that is new makes its first copy at once. A snapshot that someone took by
// hand doesn't count and is never removed: the schedule's have names of their own.
// Backups have no names, so every backup counts, and the newest are kept whoever
// made them. A copy that failed is tried again soon; one that an operator canceled
// only when the next is due.
//
// Goroutines: one for each kind of copy, from New to Close. The copies themselves
// are jobs of the database, which Close leaves to it. Each line's lock guards its
// plan and its status and isn't held while copies are made or listed.
package schedule

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
)

// Database is what is copied; *engine.Engine is one.
type Database interface {
	Snapshots() ([]engine.Snapshot, error)
	CreateSnapshot(engine.SnapshotRef) (*engine.Work[engine.Snapshot], error)
	DeleteSnapshot(name string) error
	Backups() ([]engine.Backup, error)
	CreateBackup() (*engine.Work[engine.Backup], error)
	PurgeBackups(keep int) error
}

// Plan says which copies are made.
type Plan struct{ Snapshots, Backups Rule }

// Rule says how often one kind of copy is made.
type Rule struct {
	// Every is the interval; 0 makes none.
	Every time.Duration
	// Keep is how many of the newest stay; 0 keeps all.
	Keep int
}

// Status is the state of one kind of copy.
type Status struct {
	Rule
	// Next is when the next one is due, which may have passed while one is made;
	// the zero time while none is planned.
	Next time.Time
	// Job is the id of the job that makes one now, empty if there is none.
	Job string
	// Last is how the last try of this run of the server ended, nil before it.
	Last *Outcome
	// Made counts the copies since the server started, Failed the tries that made
	// none or couldn't remove old ones.
	Made, Failed uint64
}

// Failing reports whether the last try failed.
func (s *Status) Failing() bool { return s.Last != nil && s.Last.Err != nil }

// Outcome is how a try ended.
type Outcome struct {
	// Time is when it ended.
	Time time.Time
	// Name is what was made, empty if nothing was.
	Name string
	// Removed are the old copies that went.
	Removed []string
	// Err is why nothing was made, or why old copies are still there.
	Err error
}

// Options configure a Schedule.
type Options struct {
	Database Database
	Plan     Plan
	// Logger is told of what was made and what failed; nil discards it.
	Logger *slog.Logger
}

// Schedule makes copies until it is closed.
type Schedule struct {
	snapshots, backups *line
	stop               context.CancelFunc
	wg                 sync.WaitGroup
}

// New starts a schedule.
func New(o Options) *Schedule {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Schedule{
		snapshots: newLine(&snapshots{o.Database}, o.Plan.Snapshots, o.Logger.With("kind", "snapshot")),
		backups:   newLine(&backups{o.Database}, o.Plan.Backups, o.Logger.With("kind", "backup")),
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.wg.Go(func() { s.snapshots.run(ctx) })
	s.wg.Go(func() { s.backups.run(ctx) })
	return s
}

// Set replaces the plan; a copy that is being made goes on.
func (s *Schedule) Set(p Plan) {
	s.snapshots.set(p.Snapshots)
	s.backups.set(p.Backups)
}

// Snapshots is the state of the snapshots.
func (s *Schedule) Snapshots() Status { return s.snapshots.status() }

// Backups is the state of the backups.
func (s *Schedule) Backups() Status { return s.backups.status() }

// Close ends the schedule. It doesn't wait for a copy that is being made, which
// is a job of the database.
func (s *Schedule) Close() {
	s.stop()
	s.wg.Wait()
}

const (
	// retryAfter is how long a failure is left alone: long enough for a log that
	// can be read, short enough for a copy that isn't missed.
	retryAfter = 5 * time.Minute
	// lookAgain bounds the time between two looks at the newest copy, which others
	// may have made or removed, and at the clock, which may have been set.
	lookAgain = 10 * time.Minute
)

// line makes one kind of copy.
type line struct {
	copies copies
	log    *slog.Logger
	// changed has a signal after each new rule.
	changed chan struct{}

	mu struct {
		sync.Mutex
		status Status
		// notBefore holds the next try back after one that ended.
		notBefore time.Time
	}
}

// copies are the copies of one kind.
type copies interface {
	// last is when the newest one was made that isn't of the future, the zero time
	// if there is none.
	last(now time.Time) (time.Time, error)
	// create makes one and returns its name; started is told the job's id. It
	// returns early if ctx ends.
	create(ctx context.Context, started func(job string)) (name string, err error)
	// prune removes all but the newest and returns the names of those.
	prune(keep int) (removed []string, err error)
}

func newLine(c copies, rule Rule, log *slog.Logger) *line {
	l := &line{copies: c, log: log, changed: make(chan struct{}, 1)}
	l.mu.status.Rule = rule
	return l
}

func (l *line) set(rule Rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.status.Rule == rule {
		return
	}
	if l.mu.status.Every != rule.Every {
		l.mu.notBefore = time.Time{}
	}
	l.mu.status.Rule = rule
	select {
	case l.changed <- struct{}{}:
	default: // it will look at the newest rule anyway
	}
}

func (l *line) status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.status
}

func (l *line) run(ctx context.Context) {
	for ctx.Err() == nil {
		next := l.plan(time.Now())
		if !next.IsZero() && !time.Now().Before(next) {
			l.try(ctx)
			continue
		}
		wait := lookAgain
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.changed:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// plan finds out when the next copy is due. What can't be listed counts as not
// there: one copy too many is better than none.
func (l *line) plan(now time.Time) time.Time {
	every := l.status().Every
	var last time.Time
	if every > 0 {
		var err error
		if last, err = l.copies.last(now); err != nil {
			l.log.Warn("the copies there are could not be listed", "error", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.mu.status.Every <= 0 || every <= 0:
		l.mu.status.Next = time.Time{}
	case last.IsZero():
		l.mu.status.Next = later(now, l.mu.notBefore)
	default:
		l.mu.status.Next = later(last.Add(l.mu.status.Every), l.mu.notBefore)
	}
	return l.mu.status.Next
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// try makes a copy and removes old ones.
func (l *line) try(ctx context.Context) {
	started := time.Now()
	name, err := l.copies.create(ctx, func(job string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.mu.status.Job = job
	})
	if ctx.Err() != nil {
		return // the job is the database's, which is about to close
	}
	o := &Outcome{Name: name, Err: err}
	rule := l.status().Rule
	if err == nil && rule.Keep > 0 {
		o.Removed, o.Err = l.copies.prune(rule.Keep)
	}
	o.Time = time.Now()
	if o.Err != nil {
		l.log.Error("the schedule failed", "made", name, "error", o.Err)
	} else {
		l.log.Info("a copy was made by schedule", "name", name, "removed", len(o.Removed), "seconds", o.Time.Sub(started).Seconds())
	}
	l.note(o, started)
}

// note keeps an outcome and says how long the next try has to wait at least. A
// copy was made at the latest when the try began, so that the interval is kept
// even where copies can't be listed.
func (l *line) note(o *Outcome, started time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.mu.status
	s.Last, s.Job = o, ""
	if o.Name != "" {
		s.Made++
	}
	if o.Err != nil {
		s.Failed++
	}
	wait := s.Every
	if o.Name == "" && errs.KindOf(o.Err) != errs.Canceled {
		started, wait = o.Time, min(wait, retryAfter)
	}
	l.mu.notBefore = started.Add(wait)
}
