package storage

import (
	"context"
	"sync"
)

// settled is how far commits are over: the newest sequence up to which every
// OnCommit has returned. A reader may see a write a moment before that.
type settled struct {
	mu  sync.Mutex
	seq Seq
	// moved is closed and replaced when a group is over.
	moved chan struct{}
}

func (t *settled) init() { t.moved = make(chan struct{}) }

func (t *settled) advance(to Seq) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq = to
	close(t.moved)
	t.moved = make(chan struct{})
}

func (t *settled) load() (Seq, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seq, t.moved
}

// Settled returns the newest sequence up to which every OnCommit has returned.
func (s *Store) Settled() Seq {
	seq, _ := s.settled.load()
	return seq
}

// AwaitSettled waits until every OnCommit up to a sequence that a reader has seen
// has returned: a moment at most, as they run right after the write. It reports
// whether that is so; it isn't if ctx ends or if the store stops taking writes.
func (s *Store) AwaitSettled(ctx context.Context, seq Seq) bool {
	for {
		at, moved := s.settled.load()
		if at >= seq {
			return true
		}
		if s.Err() != nil {
			return false
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		case <-s.stop:
			return false
		}
	}
}
