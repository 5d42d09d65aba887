package config

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
)

// Live is the configuration of a running server. Reading it takes no lock;
// changes come one after the other, and each happens as a whole or not at all.
type Live struct {
	source Source
	now    func() time.Time
	state  atomic.Pointer[state]

	mu struct {
		sync.Mutex
		in          *layers
		logger      *slog.Logger
		subscribers []Subscriber
	}
}

// Subscriber is a part of the server that follows the configuration. Subscribers
// are called in the order of subscription, one change at a time.
type Subscriber struct {
	// Check may refuse a change before anything happens; nil accepts all.
	Check func(before, after *Config) error
	// Apply puts after in force. If it fails, nothing of the change may be in force
	// in this part, and the change is taken back in the others: Apply is called
	// with the two the other way round.
	Apply func(before, after *Config) error
}

// Open loads the configuration as Load does. The error is a Problems.
func Open(source Source) (*Live, error) {
	in, err := read(source)
	if err != nil {
		return nil, err
	}
	s, err := in.resolve()
	if err != nil {
		return nil, err
	}
	l := &Live{source: source, now: time.Now}
	l.mu.in, l.mu.logger = in, slog.New(slog.DiscardHandler)
	l.state.Store(s)
	return l, nil
}

// Config is the configuration in force; it must not be changed.
func (l *Live) Config() *Config { return l.state.Load().config }

// SetLogger says where changes are logged.
func (l *Live) SetLogger(logger *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.logger = logger
}

// Subscribe adds a part of the server that follows changes.
func (l *Live) Subscribe(s Subscriber) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.subscribers = append(l.mu.subscribers, s)
}

// Outcome is what a change did, or would do.
type Outcome struct {
	// Changes are the settings whose value in force is another now.
	Changes []Change `json:"changes"`
	// Persisted is set if the overlay file holds the values now.
	Persisted bool `json:"persisted"`
	DryRun    bool `json:"dry_run"`
	// Notes are what the caller should know besides.
	Notes []string `json:"notes,omitempty"`
}

// Edit changes settings, as a JSON document says: settings nested or dotted,
// and beside them "persist" and "dry_run". Who is the caller's name.
//
// A setting that is unknown or has a bad value is an error of kind Invalid, one
// that needs a restart is a Conflict; nothing was changed then.
func (l *Live) Edit(who string, document []byte) (*Outcome, error) {
	e, err := parseEdit(document)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.mu.in.with(e)
	s, err := next.resolve()
	if err != nil {
		return nil, refused(err)
	}
	entry := Entry{Time: l.now().UTC(), Who: who, Persisted: e.persist, Changes: diff(l.state.Load(), s)}
	out := &Outcome{Changes: entry.Changes, Persisted: e.persist && !e.dryRun, DryRun: e.dryRun, Notes: next.outranked(e)}
	if err := l.checkLocked(s); err != nil {
		return nil, err
	}
	if e.dryRun || len(entry.Changes) == 0 && !e.persist {
		return out, nil
	}
	if err := next.stage(entry); err != nil {
		if e.persist {
			return nil, next.notWritten(err)
		}
		l.mu.logger.Warn("the history of the configuration could not be written", "error", err)
		out.Notes = append(out.Notes, "the change is in force, but its entry of the history could not be written and will be gone after a restart")
	}
	if err := l.commitLocked(next, s, entry); err != nil {
		return nil, err
	}
	return out, nil
}

// Reload reads all sources again; changes that weren't persisted are given up.
// It gives what a restart would. If a setting that needs a restart has changed,
// the error is a Conflict that names it, and nothing was changed.
func (l *Live) Reload(who string) (*Outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, err := read(l.source)
	if err != nil {
		return nil, refused(err)
	}
	s, err := next.resolve()
	if err != nil {
		return nil, refused(err)
	}
	entry := Entry{Time: l.now().UTC(), Who: who, Persisted: true, Changes: diff(l.state.Load(), s)}
	if fixed := needRestart(entry.Changes); fixed != nil {
		return nil, errs.New(errs.Conflict, "restart_required", "%s can't change while the server runs; nothing was changed, restart it instead",
			strings.Join(fixed, ", "))
	}
	if err := l.checkLocked(s); err != nil {
		return nil, err
	}
	// The memory knows entries that could not be written.
	next.history = l.mu.in.history
	if len(entry.Changes) > 0 {
		if err := next.stage(entry); err != nil {
			l.mu.logger.Warn("the history of the configuration could not be written", "error", err)
		}
	}
	if err := l.commitLocked(next, s, entry); err != nil {
		return nil, err
	}
	return &Outcome{Changes: entry.Changes, Persisted: true}, nil
}

// History lists the changes, newest first.
func (l *Live) History() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.mu.in.history)
}

func (l *Live) checkLocked(s *state) error {
	for _, subscriber := range l.mu.subscribers {
		if subscriber.Check == nil {
			continue
		}
		if err := subscriber.Check(l.Config(), s.config); err != nil {
			return refused(err)
		}
	}
	return nil
}

// refused keeps an error in the terms of the caller.
func refused(err error) error {
	var own *errs.Error
	if errors.As(err, &own) {
		return err
	}
	return errs.New(errs.Invalid, "invalid_setting", "%v; nothing was changed", err)
}

// commitLocked puts a state in force and its overlay file in place, both or
// neither.
func (l *Live) commitLocked(next *layers, s *state, entry Entry) error {
	before := l.Config()
	for i, subscriber := range l.mu.subscribers {
		if err := subscriber.Apply(before, s.config); err != nil {
			l.takeBackLocked(i, s.config, before)
			return refused(err)
		}
	}
	if err := next.publish(); err != nil {
		l.takeBackLocked(len(l.mu.subscribers), s.config, before)
		return next.notWritten(err)
	}
	l.mu.in = next
	l.state.Store(s)
	for _, c := range entry.Changes {
		l.logLocked(entry, c)
	}
	return nil
}

// takeBackLocked undoes what the first n subscribers have applied.
func (l *Live) takeBackLocked(n int, after, before *Config) {
	for i := n - 1; i >= 0; i-- {
		if err := l.mu.subscribers[i].Apply(after, before); err != nil {
			l.mu.logger.Error("a change of the configuration could not be taken back in full; restart the server", "error", err)
		}
	}
}

// logLocked logs a change whatever the level, which may be what was changed.
func (l *Live) logLocked(entry Entry, c Change) {
	record := slog.NewRecord(entry.Time, slog.LevelInfo, "a setting was changed", 0)
	record.AddAttrs(slog.String("who", entry.Who), slog.String("key", c.Key),
		slog.String("from", string(c.From)), slog.String("to", string(c.To)), slog.Bool("persisted", entry.Persisted))
	if err := l.mu.logger.Handler().Handle(context.Background(), record); err != nil {
		l.mu.logger.Error("a change could not be logged", "error", err)
	}
}

// notWritten is the error of a change that could not be persisted.
func (in *layers) notWritten(err error) error {
	kind := errs.Internal
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		kind = errs.StorageFull
	}
	return errs.Wrap(err, kind, "overlay_not_written", "the changes could not be written to %s; nothing was changed", in.overlayFile)
}

// with returns the layers after an edit.
func (in *layers) with(e *edit) *layers {
	next := *in
	next.runtime, next.overlay = maps.Clone(in.runtime), maps.Clone(in.overlay)
	for path, g := range e.values {
		if !e.persist {
			next.runtime[path] = g
			continue
		}
		next.overlay[path] = given{g.value, "overlay"}
		delete(next.runtime, path)
		if _, outranked := in.flags[path]; outranked {
			next.runtime[path] = g
		}
	}
	return &next
}

// outranked says which persisted values a restart will not bring back.
func (in *layers) outranked(e *edit) []string {
	var notes []string
	for _, path := range sortedKeys(e.values) {
		if _, flag := in.flags[path]; flag && e.persist {
			notes = append(notes, path+" is also set by a flag, which wins at the next start")
		}
	}
	return notes
}

// diff lists the settings that differ.
func diff(before, after *state) []Change {
	changes := []Change{}
	for i := range keys {
		path := keys[i].path
		from, to := before.values[path].value, after.values[path].value
		if !reflect.DeepEqual(from, to) {
			changes = append(changes, Change{path, encode(masked(from)), encode(masked(to))})
		}
	}
	return changes
}

// needRestart names the changes that can't happen now.
func needRestart(changes []Change) []string {
	var fixed []string
	for _, c := range changes {
		if k := find(c.Key); !k.reload && !k.signal {
			fixed = append(fixed, c.Key)
		}
	}
	return fixed
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
