package admin

import (
	"strings"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/ops"
)

// workers answers as a test wants.
type workers struct {
	answer    ops.WorkerStats
	err       error
	restarted int
}

func (w *workers) RestartWorker() (ops.WorkerStats, error) {
	w.restarted++
	return w.answer, w.err
}

// TestRestartGPU: an admin restarts the worker, nobody else does, and it is written
// down.
func TestRestartGPU(t *testing.T) {
	s := newConfigServer(t)
	for key, want := range map[string]int{"": 401, "key-of-the-writer": 403} {
		if status, answer := s.call("POST", "/gpu/restart", "", key); status != want || s.workers.restarted != 0 {
			t.Errorf("with %q: %d %s, restarted %d times", key, status, answer, s.workers.restarted)
		}
	}
	s.workers.answer = ops.WorkerStats{State: "starting", Restarts: 3}
	status, answer := s.call("POST", "/gpu/restart", "", "key-of-the-admin")
	if status != 202 || !strings.Contains(answer, `"state":"starting"`) || !strings.Contains(answer, `"restarts":3`) || s.workers.restarted != 1 {
		t.Errorf("%d %s, restarted %d times", status, answer, s.workers.restarted)
	}
	if log := s.audit.String(); !strings.Contains(log, "principal=ops role=admin") || !strings.Contains(log, "route=/gpu/restart target=/gpu/restart status=202 outcome=ok") {
		t.Errorf("the audit log has %s", log)
	}
	for kind, want := range map[errs.Kind]int{errs.Conflict: 409, errs.Unavailable: 503} {
		s.workers.err = errs.New(kind, "gpu", "No index asks for one.")
		if status, answer := s.call("POST", "/gpu/restart", "", "key-of-the-admin"); status != want || !strings.Contains(answer, "No index asks for one.") {
			t.Errorf("%d %s, want %d", status, answer, want)
		}
	}
}
