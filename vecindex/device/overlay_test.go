package device

import (
	"slices"
	"sync"
	"testing"
)

// TestOverlayKeepsWhatFails: an id whose upload fails is never out of sight, or a search
// between would miss a change that was acknowledged.
func TestOverlayKeepsWhatFails(t *testing.T) {
	const id, rounds = 70, 20_000
	o := newOverlay()
	o.begin()
	o.mark(id)
	done := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		defer close(done)
		for range rounds {
			if flight := o.take(10); !slices.Equal(flight, []uint32{id}) {
				t.Errorf("%v is sent", flight)
				return
			}
			o.returned()
		}
	})
	defer sender.Wait()
	for looks := 0; ; looks++ {
		ids, ok := o.appendTo(nil, 10)
		if !ok || !slices.Equal(ids, []uint32{id}) || o.size.Load() != 1 {
			t.Errorf("after %d looks the overlay is %v (%v), of size %d", looks, ids, ok, o.size.Load())
			return
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
