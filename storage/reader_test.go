package storage

import (
	"sync"
	"testing"
	"time"
)

// TestSequencesOfSnapshots: what a snapshot knows of its sequence is what it has
// stored, on a store that rests, beside writers, and after both.
func TestSequencesOfSnapshots(t *testing.T) {
	o := testOptions(t)
	o.Durability = DurabilityNone
	s := open(t, o)
	known := 0
	look := func() {
		t.Helper()
		snap := s.NewSnapshot()
		defer snap.Release()
		have, err := snap.Seq()
		must(t, err)
		stored, err := snap.Reader.Seq()
		must(t, err)
		if have != stored {
			t.Errorf("a snapshot of sequence %d says %d", stored, have)
		}
		if snap.seqKnown {
			known++
		}
	}
	look()
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for w := range uint32(2) {
		writers.Go(func() {
			for i := uint32(0); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Commit(oneEntity(w<<16+i%100), CommitOptions{}); err != nil {
					t.Error(err)
					return
				}
				if i%100 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for range 20_000 {
		look()
	}
	close(stop)
	writers.Wait()
	known = 0
	look()
	if known != 1 {
		t.Error("a store that rests doesn't know the sequence of a snapshot")
	}
}
