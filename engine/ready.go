package engine

import (
	"context"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
)

// readyInterval is how often AwaitReady looks.
const readyInterval = 2 * time.Millisecond

// AwaitReady returns once everything is loaded, or why that can't be. Whether
// writes are taken doesn't matter.
func (e *Engine) AwaitReady(ctx context.Context) error {
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		switch r := e.loaded(); {
		case r.Ready:
			return nil
		case r.Failed:
			return errs.New(errs.Unavailable, "not_ready", "%s", r.Reason)
		}
		select {
		case <-ctx.Done():
			return contextError(ctx.Err())
		case <-ticker.C:
		}
	}
}
