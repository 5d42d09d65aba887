package gputest

import (
	"time"

	"github.com/vccdb/vccdb/gpu/supervisor"
)

// Supervise returns a supervisor of the processes, which starts them again soon however
// often they end, and is patient with those that a busy machine makes slow. The end of
// the test closes it.
func (p *Process) Supervise() *supervisor.Supervisor {
	s := supervisor.New(supervisor.Options{
		Command: p.Command(), Backoff: 10 * time.Millisecond, Healthy: time.Millisecond, Tries: 1000, ArenaBytes: 4 << 20,
		Misses: 200, SearchStall: 20 * time.Second,
	})
	p.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			p.t.Error(err)
		}
	})
	return s
}
