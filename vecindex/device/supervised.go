package device

import (
	"cmp"

	"github.com/vccdb/vccdb/gpu/supervisor"
)

// Supervised gives the sessions of a supervisor.
func Supervised(s *supervisor.Supervisor) Worker { return supervised{s} }

type supervised struct{ *supervisor.Supervisor }

func (s supervised) Session() Session {
	if session := s.Supervisor.Session(); session != nil {
		return session
	}
	return nil
}

func (s supervised) Reason() string {
	status := s.Status()
	return cmp.Or(status.Reason, "the GPU worker is "+string(status.State))
}
