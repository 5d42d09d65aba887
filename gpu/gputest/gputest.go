// Package gputest stands in for a GPU in tests: a Device that computes everything in
// plain Go, exactly, and fake workers around it, which go wrong on command. Local
// workers live in the test's process, also in a synctest bubble; a Process starts real
// ones, which crash and are killed like real ones.
//
//	local := &gputest.Local{}
//	s := supervisor.New(supervisor.Options{Start: local.Start})
//	defer s.Close()
//	session := gputest.Session(t, s) // Want, and wait for a session
//	local.Set(gputest.Faults{Search: gputest.Crash}) // from now on searches end the worker
//
//	process := gputest.NewProcess(t, gputest.Faults{})
//	s := supervisor.New(supervisor.Options{Command: process.Command()})
//
// Only tests may import it. The goroutines of a Local's workers end when the
// supervisor has ended them.
package gputest

import (
	"testing"
	"time"

	"github.com/vccdb/vccdb/gpu/supervisor"
)

// wait is how long a test waits for what has to happen, on a busy machine too.
const wait = 30 * time.Second

// Session asks s for a worker and waits until there is a session.
func Session(t testing.TB, s *supervisor.Supervisor) *supervisor.Session {
	t.Helper()
	s.Want()
	return After(t, s, nil)
}

// After waits until there is a session other than old.
func After(t testing.TB, s *supervisor.Supervisor, old *supervisor.Session) *supervisor.Session {
	t.Helper()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		changed := s.Changed()
		if x := s.Session(); x != nil && x != old {
			return x
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("no session within %v: %+v", wait, s.Status())
		}
	}
}
