package server

import "github.com/vccdb/vccdb/server/auth"

// anonymous is everybody while no keys are set.
var anonymous = auth.Principal{Name: "anonymous", Role: auth.Admin}

// access is who may call. It doesn't change: other keys are another access.
type access struct {
	// keys are nil while nobody is asked for one.
	keys *auth.Keys
	// closing has a channel for each key, by its hash, and while there are none one
	// for everybody, by the zero value. Each is closed when the key is gone or has
	// another role, or the server drains.
	closing map[auth.Digest]chan struct{}
}

// holder is whom the key with a hash belongs to.
func (a *access) holder(sum auth.Digest) (auth.Principal, bool) {
	if a.keys == nil {
		return anonymous, sum == auth.Digest{}
	}
	return a.keys.Holder(sum)
}

// keeps reports whether whoever had the key before may go on.
func (a *access) keeps(before *access, sum auth.Digest) bool {
	old, was := before.holder(sum)
	now, is := a.holder(sum)
	return was && is && old.Role == now.Role && (before.keys == nil) == (a.keys == nil)
}

// SetKeys replaces the keys for all later requests; nil turns authentication off.
// Sessions whose keys are gone end, and so do streams.
func (s *Server) SetKeys(keys *auth.Keys) {
	s.setAccess(keys)
	if s.o.Sessions != nil {
		s.o.Sessions.Review(keys)
	}
}

func (s *Server) setAccess(keys *auth.Keys) {
	s.accessMu.Lock()
	defer s.accessMu.Unlock()
	before, after := s.access.Load(), &access{keys, map[auth.Digest]chan struct{}{}}
	sums := []auth.Digest{{}}
	if keys != nil {
		sums = keys.Digests()
	}
	for _, sum := range sums {
		switch {
		case s.Draining():
			after.closing[sum] = s.draining
		case before != nil && after.keeps(before, sum):
			after.closing[sum] = before.closing[sum]
		default:
			after.closing[sum] = make(chan struct{})
		}
	}
	s.access.Store(after)
	if before == nil || s.Draining() {
		return
	}
	for sum, closing := range before.closing {
		if after.closing[sum] != closing {
			close(closing)
		}
	}
}

// drain tells all answers that stream to end.
func (s *Server) drain() {
	s.accessMu.Lock()
	defer s.accessMu.Unlock()
	s.isDraining.Store(true)
	close(s.draining)
	for _, closing := range s.access.Load().closing {
		close(closing)
	}
}

// redact masks API keys in what is logged or answered.
func (s *Server) redact(text string) string { return s.access.Load().keys.Redact(text) }
