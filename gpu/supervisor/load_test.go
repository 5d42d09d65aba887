package supervisor_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/gpu/wire"
)

// TestLoad: beside puts and deletes and with contexts that end at any time, each search
// gets its own answer: the nearest under its own filter, with its own k. Goroutine g
// has the ids g, g+writers, ...; under id i lies (i, n, 0, 0) with n growing.
func TestLoad(t *testing.T) {
	const writers, readers, each = 3, 6, 150
	local := &gputest.Local{Serve: serve.Options{MaxBatch: 8}}
	s := open(t, patient(supervisor.Options{Start: local.Start, ArenaBytes: wire.MinArena}))
	x := gputest.Session(t, s)
	index := filled(t, x, 200)
	var calls sync.WaitGroup
	var given, answered atomic.Int64
	for g := range writers {
		calls.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for n := range each {
				id := uint32(200 + g + writers*rng.IntN(50))
				if err := x.Put(t.Context(), index, []uint32{id}, []float32{float32(id), float32(n), 0, 0}); err != nil {
					t.Errorf("put: %v", err)
				}
				// What was put is found by a search that starts now.
				a, err := x.Search(t.Context(), index, wire.Search{Vector: []float32{float32(id), float32(n), 0, 0}, K: 1, Exact: n%2 == 0})
				if err != nil || len(a.Hits) != 1 || a.Hits[0] != (wire.Hit{ID: id}) {
					t.Errorf("what was put isn't found: %+v, %v", a, err)
				}
				if n%3 == 0 {
					continue
				}
				if err := x.Delete(t.Context(), index, []uint32{id}); err != nil {
					t.Errorf("delete: %v", err)
				}
				a, err = x.Search(t.Context(), index, wire.Search{Vector: []float32{float32(id), float32(n), 0, 0}, K: 1})
				if err != nil || a.Hits[0].ID == id {
					t.Errorf("what was deleted is found: %+v, %v", a, err)
				}
			}
		})
	}
	for g := range readers {
		calls.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 2))
			for range each {
				near, k := rng.IntN(200), 1+rng.IntN(5)
				allow := []uint64{rng.Uint64() | 1<<5, rng.Uint64()}
				q := wire.Search{Vector: []float32{float32(near), 1, 0, 0}, K: k, Allow: allow, Background: rng.IntN(4) == 0}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(20)*rng.IntN(2000))*time.Microsecond+time.Microsecond)
				a, err := x.Search(ctx, index, q)
				cancel()
				if err != nil {
					if c := code(t, err); c != wire.Deadline && c != wire.Busy {
						t.Errorf("search: %v", err)
					}
					given.Add(1)
					continue
				}
				answered.Add(1)
				if want := nearestAllowed(near, k, allow); len(a.Hits) != len(want) || a.Hits[0] != want[0] || a.Hits[len(want)-1] != want[len(want)-1] {
					t.Errorf("%v near %d under %x, want %v", a.Hits, near, allow, want)
				}
			}
		})
	}
	calls.Wait()
	if answered.Load() == 0 || given.Load() == 0 {
		t.Errorf("%d searches were answered, %d given up", answered.Load(), given.Load())
	}
	// Nothing of the shared memory is left behind.
	for range 2 {
		select {
		case <-waited(x, index):
		case <-time.After(30 * time.Second):
			t.Fatal("the shared memory isn't whole again")
		}
	}
	if s.Session() != x {
		t.Error("the session didn't last")
	}
}

// waited is closed when a filter as large as the room and two puts find room.
func waited(x *supervisor.Session, index uint32) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		allow := make([]uint64, wire.MinArena/2/8)
		allow[len(allow)-1] = 1
		for {
			_, err := x.Search(context.Background(), index, wire.Search{Vector: make([]float32, dim), K: 1, Allow: allow})
			if err == nil || x.Err() != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return done
}

// nearestAllowed is the answer for a query (near, 1, 0, 0) among the first 128 of rows.
func nearestAllowed(near, k int, allow []uint64) []wire.Hit {
	var hits []wire.Hit
	for away := 0; away < 200 && len(hits) < k; away++ {
		for _, id := range []int{near - away, near + away} {
			if id >= 0 && id < 128 && allow[id/64]&(1<<(id%64)) != 0 && len(hits) < k && (away > 0 || len(hits) == 0) {
				hits = append(hits, wire.Hit{ID: uint32(id), Distance: float32(away * away)})
			}
		}
	}
	return hits
}

// TestKilledUnderLoad: kill -9 of the worker under load. Every search returns, with an
// answer or with an error that names the end of its session, and the next worker serves.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	process := gputest.NewProcess(t, gputest.Faults{})
	s := open(t, patient(supervisor.Options{Command: process.Command(), Backoff: time.Millisecond, Tries: 100}))
	for round := range 3 {
		x := gputest.Session(t, s)
		index := filled(t, x, 100)
		var calls sync.WaitGroup
		var good, bad atomic.Int64
		for range 8 {
			calls.Go(func() {
				for {
					a, err := search(t.Context(), x, index)
					switch {
					case err == nil && len(a.Hits) == 3:
						good.Add(1)
					case cause(err) == supervisor.CauseCrash:
						bad.Add(1)
						return
					default:
						t.Errorf("%+v, %v", a, err)
						return
					}
				}
			})
		}
		for good.Load() < 50 {
			time.Sleep(time.Millisecond)
		}
		syscall.Kill(s.Status().PID, syscall.SIGKILL)
		calls.Wait()
		if bad.Load() != 8 {
			t.Errorf("round %d: %d searches met the end", round, bad.Load())
		}
		gputest.After(t, s, x)
	}
	if n := s.Status().Totals; n.Failures[supervisor.CauseCrash] != 3 || n.Starts != 4 {
		t.Errorf("%+v", n)
	}
}
