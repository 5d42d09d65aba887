package schedule

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/internal/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a kind of copy that takes a second to make.
type memory struct {
	sync.Mutex
	made []time.Time
	// fails makes create fail, unlisted last.
	fails, unlisted error
}

func (m *memory) last(now time.Time) (last time.Time, err error) {
	m.Lock()
	defer m.Unlock()
	for _, t := range m.made {
		if !t.After(now) {
			last = later(last, t)
		}
	}
	if m.unlisted != nil {
		return time.Time{}, m.unlisted
	}
	return last, nil
}

func (m *memory) create(_ context.Context, started func(string)) (string, error) {
	started("job")
	time.Sleep(time.Second)
	m.Lock()
	defer m.Unlock()
	if m.fails != nil {
		return "", m.fails
	}
	m.made = append(m.made, time.Now())
	return strconv.Itoa(len(m.made)), nil
}

func (m *memory) prune(keep int) (removed []string, err error) {
	m.Lock()
	defer m.Unlock()
	for len(m.made) > keep {
		removed = append(removed, m.made[0].Format(time.TimeOnly))
		m.made = slices.Delete(m.made, 0, 1)
	}
	return removed, nil
}

// times are those of the copies.
func (m *memory) times() []time.Time {
	m.Lock()
	defer m.Unlock()
	return slices.Clone(m.made)
}

// with changes it while the line sleeps.
func (m *memory) with(change func()) {
	m.Lock()
	defer m.Unlock()
	change()
}

// during runs a line in the time of a bubble; check is called when all sleeps.
func during(t *testing.T, m *memory, rule Rule, check func(l *line)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		l := newLine(m, rule, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); l.run(ctx) }()
		check(l)
		stop()
		<-ended
	})
}

// wait lets time pass, and then some for what was due.
func wait(d time.Duration) {
	time.Sleep(d + 2*time.Second)
	synctest.Wait()
}

// TestIntervals: the first copy comes at once, the others at the interval after
// the newest one, and old ones go.
func TestIntervals(t *testing.T) {
	m := &memory{}
	during(t, m, Rule{Every: time.Hour, Keep: 2}, func(l *line) {
		wait(0)
		if s := l.status(); len(m.times()) != 1 || s.Made != 1 || !s.Next.Equal(m.times()[0].Add(time.Hour)) {
			t.Fatalf("at the start: %v, %+v", m.times(), s)
		}
		wait(3*time.Hour + time.Minute)
		s := l.status()
		if len(m.times()) != 2 || s.Made != 4 || s.Failed != 0 || len(s.Last.Removed) != 1 || s.Last.Name == "" || s.Job != "" {
			t.Errorf("after three hours: %v, %+v", m.times(), s)
		}
		// One that somebody else made puts the next one off.
		m.with(func() { m.made = append(m.made, time.Now()) })
		wait(59 * time.Minute)
		if s := l.status(); s.Made != 4 {
			t.Errorf("an hour after another one: %+v", s)
		}
		wait(2 * time.Minute)
		if s := l.status(); s.Made != 5 {
			t.Errorf("after that hour: %+v", s)
		}
	})
}

// TestMissed: what was due while nothing ran comes at once, and no more than
// that.
func TestMissed(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		m := &memory{made: []time.Time{time.Now().Add(-100 * time.Hour), time.Now().Add(1000 * time.Hour)}}
		l := newLine(m, Rule{Every: 24 * time.Hour}, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		go l.run(ctx)
		wait(0)
		if s := l.status(); s.Made != 1 || len(m.times()) != 3 || !s.Next.Equal(m.times()[2].Add(24*time.Hour)) {
			t.Errorf("%v, %+v", m.times(), s)
		}
		stop()
		synctest.Wait()
	})
}

// TestPlanChanges: a rule is followed at once, off means off.
func TestPlanChanges(t *testing.T) {
	m := &memory{}
	during(t, m, Rule{}, func(l *line) {
		wait(100 * time.Hour)
		if s := l.status(); len(m.times()) != 0 || !s.Next.IsZero() {
			t.Errorf("off: %v, %+v", m.times(), s)
		}
		l.set(Rule{Every: time.Hour})
		wait(0)
		if len(m.times()) != 1 {
			t.Errorf("switched on: %v", m.times())
		}
		wait(2 * time.Minute)
		l.set(Rule{Every: time.Minute, Keep: 9})
		wait(0)
		if s := l.status(); len(m.times()) != 2 || s.Keep != 9 {
			t.Errorf("more often: %v, %+v", m.times(), s)
		}
		l.set(Rule{})
		wait(100 * time.Hour)
		if s := l.status(); len(m.times()) != 2 || !s.Next.IsZero() {
			t.Errorf("off again: %v, %+v", m.times(), s)
		}
	})
}

// TestFailures: a failure is tried again soon, one that was canceled at the next
// time; copies that can't be listed don't stop the schedule, nor speed it up.
func TestFailures(t *testing.T) {
	m := &memory{fails: errors.New("no room")}
	during(t, m, Rule{Every: 24 * time.Hour}, func(l *line) {
		wait(time.Minute)
		if s := l.status(); s.Failed != 1 || !s.Failing() || s.Made != 0 || s.Next.Sub(s.Last.Time) != retryAfter {
			t.Errorf("after a failure: %+v", s)
		}
		wait(retryAfter)
		if s := l.status(); s.Failed != 2 {
			t.Errorf("after the second try: %+v", s)
		}
		m.with(func() { m.fails = errs.New(errs.Canceled, "job_canceled", "canceled") })
		wait(retryAfter)
		wait(10 * retryAfter)
		if s := l.status(); s.Failed != 3 {
			t.Errorf("after it was canceled: %+v", s)
		}
		m.with(func() { m.fails = nil })
		wait(24 * time.Hour)
		if s := l.status(); s.Made != 1 || s.Failing() {
			t.Errorf("a day later: %+v", s)
		}
		m.with(func() { m.unlisted = errors.New("no such folder") })
		wait(49 * time.Hour)
		if s := l.status(); s.Made != 3 {
			t.Errorf("without a list: %+v", s)
		}
	})
}

func TestNames(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 1, 999, time.FixedZone("", 7200))
	if got := nameAt(now); got != "scheduled-20261122T080001Z" || !Scheduled(got) {
		t.Error(got)
	}
	for _, name := range []string{"", "scheduled-", "scheduled-20261122T080001Z2", "scheduled-20261322T080001Z", "x-scheduled-20261122T080001Z",
		"snapshot-20261122T080001-000Z", "scheduled-20261122T080001.5Z", "scheduled-mine"} {
		if Scheduled(name) {
			t.Errorf("%q counts", name)
		}
	}
}
