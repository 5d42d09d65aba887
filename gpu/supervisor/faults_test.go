package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/gpu/wire"
)

// bubble runs f with a fake clock, and a supervisor whose workers live under it.
func bubble(t *testing.T, o supervisor.Options, local *gputest.Local, f func(t *testing.T, s *supervisor.Supervisor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Start = local.Start
		if o.ArenaBytes == 0 {
			o.ArenaBytes = 256 << 10
		}
		s := supervisor.New(o)
		defer func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}()
		f(t, s)
	})
}

// TestWorkerEnds: whatever a worker does wrong, each of many searches returns an error
// that names the cause: within a second if the worker hangs, a tenth otherwise.
// Then the next worker works.
func TestWorkerEnds(t *testing.T) {
	const soon = 150 * time.Millisecond
	for _, c := range []struct {
		faults gputest.Faults
		cause  supervisor.Cause
		text   string
		within time.Duration
	}{
		{gputest.Faults{Search: gputest.Crash}, supervisor.CauseCrash, "SIGKILL", soon},
		{gputest.Faults{Search: gputest.Lost}, supervisor.CauseLost, "fell off the bus", soon},
		{gputest.Faults{Search: gputest.Hang}, supervisor.CauseHang, "on the device for", time.Second},
		{gputest.Faults{Break: gputest.Deaf}, supervisor.CauseHang, "did not answer for 600ms", time.Second},
		{gputest.Faults{Break: gputest.Half}, supervisor.CauseHang, "did not answer", time.Second},
		{gputest.Faults{Break: gputest.Garbage}, supervisor.CauseProtocol, "2779096485 bytes", soon},
		{gputest.Faults{Break: gputest.Huge}, supervisor.CauseProtocol, "a frame of 1073741824 bytes", soon},
		{gputest.Faults{Break: gputest.Unknown}, supervisor.CauseProtocol, "nobody asked", soon},
		{gputest.Faults{Break: gputest.WrongType}, supervisor.CauseProtocol, "pong instead of answer", soon},
		{gputest.Faults{Break: gputest.BadBatch}, supervisor.CauseProtocol, "malformed answer", soon},
		{gputest.Faults{Lie: gputest.TooMany}, supervisor.CauseProtocol, "4 hits, where 3", soon},
		{gputest.Faults{Lie: gputest.NaN}, supervisor.CauseProtocol, "NaN", soon},
		{gputest.Faults{Lie: gputest.Infinite}, supervisor.CauseProtocol, "Inf", soon},
		{gputest.Faults{Lie: gputest.Unsorted}, supervisor.CauseProtocol, "sorted", soon},
		{gputest.Faults{Lie: gputest.UnsortedTies}, supervisor.CauseProtocol, "sorted by id", soon},
		{gputest.Faults{Lie: gputest.Twice}, supervisor.CauseProtocol, "twice", soon},
		{gputest.Faults{Lie: gputest.NotAllowed}, supervisor.CauseProtocol, "excludes", soon},
	} {
		t.Run(fmt.Sprintf("%s%s%s", c.faults.Search, c.faults.Lie, c.faults.Break), func(t *testing.T) {
			local := &gputest.Local{}
			bubble(t, supervisor.Options{}, local, func(t *testing.T, s *supervisor.Supervisor) {
				x := gputest.Session(t, s)
				index := filled(t, x, 10)
				local.Set(c.faults)
				began := time.Now()
				var calls sync.WaitGroup
				errs := make([]error, 20)
				for i := range errs {
					calls.Go(func() {
						_, errs[i] = x.Search(t.Context(), index, wire.Search{Vector: []float32{0, 1, 0, 0}, K: 3, Allow: []uint64{math.MaxUint64}})
						if took := time.Since(began); took > c.within {
							t.Errorf("a search returned after %v: %v", took, errs[i])
						}
					})
				}
				calls.Wait()
				named := 0
				for _, err := range errs {
					switch {
					case cause(err) == c.cause && strings.Contains(err.Error(), c.text):
						named++
					case err == nil && c.faults.Break != "": // it was answered before
					case err != nil && c.cause == supervisor.CauseLost && code(t, err) == wire.Lost:
						named++
					default:
						t.Errorf("a search returned: %v", err)
					}
				}
				if named == 0 {
					t.Error("no search named the cause")
				}
				<-x.Done()
				if _, err := search(t.Context(), x, index); cause(err) != c.cause {
					t.Errorf("after the end: %v", err)
				}
				local.Set(gputest.Faults{})
				next := gputest.After(t, s, x)
				if a, err := search(t.Context(), next, filled(t, next, 10)); err != nil || len(a.Hits) != 3 {
					t.Errorf("the next worker: %v, %v", a, err)
				}
				status := s.Status()
				if status.LastCause != c.cause || status.Totals.Failures[c.cause] != 1 || status.Totals.Starts != 2 {
					t.Errorf("%+v", status)
				}
			})
		})
	}
}

// TestDeviceErrors: what concerns one request is told to its caller only; the worker
// lives on.
func TestDeviceErrors(t *testing.T) {
	local := &gputest.Local{}
	bubble(t, supervisor.Options{}, local, func(t *testing.T, s *supervisor.Supervisor) {
		x := gputest.Session(t, s)
		index := filled(t, x, 10)
		for fault, want := range map[gputest.Fault]wire.Code{gputest.OutOfMemory: wire.OutOfMemory, gputest.Fail: wire.Failed} {
			local.Set(gputest.Faults{NewIndex: fault, Put: fault, Delete: fault, Search: fault})
			_, creating := x.CreateIndex(t.Context(), wire.IndexSpec{Dim: 3})
			_, searching := search(t.Context(), x, index)
			for _, err := range []error{
				creating, searching,
				x.Put(t.Context(), index, []uint32{1}, make([]float32, dim)), x.Delete(t.Context(), index, []uint32{1}),
			} {
				if code(t, err) != want {
					t.Errorf("%v: %v", fault, err)
				}
			}
		}
		local.Set(gputest.Faults{})
		if a, err := search(t.Context(), x, index); err != nil || len(a.Hits) != 3 || a.Hits[1].ID != 1 {
			t.Errorf("%+v, %v", a, err)
		}
		if got := s.Status().Totals.Errors; got["out_of_memory"] != 4 || got["failed"] != 4 || s.Session() != x {
			t.Errorf("%v", got)
		}
	})
}

// TestInvalid: what can't be right isn't sent.
func TestInvalid(t *testing.T) {
	bubble(t, supervisor.Options{}, &gputest.Local{}, func(t *testing.T, s *supervisor.Supervisor) {
		x := gputest.Session(t, s)
		index := filled(t, x, 10)
		ctx, nan := t.Context(), float32(math.NaN())
		_, created := x.CreateIndex(ctx, wire.IndexSpec{Dim: wire.MaxDim + 1})
		_, short := x.Search(ctx, index, wire.Search{Vector: []float32{1}, K: 1})
		_, none := x.Search(ctx, index, wire.Search{Vector: make([]float32, dim)})
		_, much := x.Search(ctx, index, wire.Search{Vector: make([]float32, dim), K: wire.MaxK + 1})
		_, wrong := x.Search(ctx, index, wire.Search{Vector: []float32{1, nan, 0, 0}, K: 1})
		_, stranger := x.Search(ctx, 99, wire.Search{Vector: make([]float32, dim), K: 1})
		for i, c := range []struct {
			err  error
			code wire.Code
		}{
			{created, wire.Invalid},
			{short, wire.Invalid},
			{none, wire.Unsupported},
			{much, wire.Unsupported},
			{wrong, wire.Invalid},
			{stranger, wire.NoIndex},
			{x.Put(ctx, index, []uint32{1, 2}, make([]float32, dim)), wire.Invalid},
			{x.Put(ctx, index, []uint32{2, 1, 2}, make([]float32, 3*dim)), wire.Invalid},
			{x.Put(ctx, index, []uint32{1}, []float32{0, 0, 0, nan}), wire.Invalid},
			{x.Put(ctx, 99, []uint32{1}, make([]float32, dim)), wire.NoIndex},
			{x.Delete(ctx, index, []uint32{5, 5}), wire.Invalid},
			{x.Delete(ctx, 99, []uint32{5}), wire.NoIndex},
		} {
			if code(t, c.err) != c.code {
				t.Errorf("%d: %v", i, c.err)
			}
		}
		if err := x.DropIndex(ctx, 99); err != nil {
			t.Error(err)
		}
	})
}

// gate makes searches wait.
type gate struct {
	open  chan struct{}
	mu    sync.Mutex
	sizes []int
}

func (g *gate) install(d *gputest.Device) {
	g.open = make(chan struct{}) // of the bubble
	d.Before = func(c gputest.Call) {
		if c.Op == "search" {
			g.mu.Lock()
			g.sizes = append(g.sizes, len(c.Batch.Queries))
			g.mu.Unlock()
			<-g.open
		}
	}
}

// TestContext: a search whose context ends returns at once with its context's error,
// and if the device didn't have it yet, it never gets it.
func TestContext(t *testing.T) {
	g := &gate{}
	local := &gputest.Local{Device: g.install, Serve: serve.Options{Streams: 1}}
	bubble(t, supervisor.Options{SearchStall: time.Hour}, local, func(t *testing.T, s *supervisor.Supervisor) {
		x := gputest.Session(t, s)
		index := filled(t, x, 10)
		began := time.Now()
		start := func(ctx context.Context, want error, after time.Duration) {
			go func() {
				if _, err := search(ctx, x, index); !errors.Is(err, want) || time.Since(began) != after {
					t.Errorf("%v after %v, want %v after %v", err, time.Since(began), want, after)
				}
			}()
			synctest.Wait()
		}
		cancelled, cancel := context.WithCancel(t.Context())
		deadline, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		start(t.Context(), nil, 3*time.Second) // the device has it
		start(cancelled, context.Canceled, 2*time.Second)
		start(deadline, context.DeadlineExceeded, time.Second)
		start(t.Context(), nil, 3*time.Second)
		time.Sleep(2 * time.Second)
		cancel()
		if _, err := search(cancelled, x, index); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that had ended: %v", err)
		}
		time.Sleep(time.Second)
		close(g.open)
		synctest.Wait()
		if len(g.sizes) != 2 || g.sizes[0] != 1 || g.sizes[1] != 1 {
			t.Errorf("batches of %v", g.sizes)
		}
		if n := s.Status().Totals; n.Searches != 2 || n.Errors["deadline"] != 1 || n.Errors["cancelled"] != 2 || n.Queued < 2*time.Second {
			t.Errorf("%+v", n)
		}
	})
}

// TestRoom: without room for a filter a search is refused at once; the room of one that
// was given up stays taken until the worker is done with it.
func TestRoom(t *testing.T) {
	g := &gate{}
	local := &gputest.Local{Device: g.install}
	bubble(t, supervisor.Options{SearchStall: time.Hour}, local, func(t *testing.T, s *supervisor.Supervisor) {
		x := gputest.Session(t, s)
		index := filled(t, x, 10)
		filter := make([]uint64, 128<<10/8) // as large as the room
		filter[0], filter[len(filter)-1] = 2, 1
		q := wire.Search{Vector: make([]float32, dim), K: 1, Allow: filter}
		ctx, cancel := context.WithCancel(t.Context())
		go x.Search(ctx, index, q)
		synctest.Wait()
		cancel()
		synctest.Wait()
		_, busy := x.Search(t.Context(), index, q)
		if code(t, busy) != wire.Busy {
			t.Errorf("%v", busy)
		}
		close(g.open)
		synctest.Wait()
		if a, err := x.Search(t.Context(), index, q); err != nil || len(a.Hits) != 1 || a.Hits[0].ID != 1 {
			t.Errorf("%+v, %v", a, err)
		}
		q.Allow = make([]uint64, 1<<20)
		q.Allow[len(q.Allow)-1] = 1
		if _, err := x.Search(t.Context(), index, q); code(t, err) != wire.Busy {
			t.Errorf("a filter larger than the room: %v", err)
		}
	})
}

// TestInFlight: more than MaxInFlight requests are refused.
func TestInFlight(t *testing.T) {
	g := &gate{}
	bubble(t, supervisor.Options{MaxInFlight: 5, SearchStall: time.Hour}, &gputest.Local{Device: g.install}, func(t *testing.T, s *supervisor.Supervisor) {
		x := gputest.Session(t, s)
		index := filled(t, x, 10)
		var calls sync.WaitGroup
		for range 5 {
			calls.Go(func() {
				if _, err := search(t.Context(), x, index); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if _, err := search(t.Context(), x, index); code(t, err) != wire.Busy {
			t.Errorf("%v", err)
		}
		time.Sleep(10 * time.Second) // the heartbeat isn't refused
		close(g.open)
		calls.Wait()
	})
}

// TestParts: a put larger than a staging area goes in parts, in whatever order its ids
// are, and a failing part is reported.
func TestParts(t *testing.T) {
	local := &gputest.Local{}
	bubble(t, supervisor.Options{ArenaBytes: wire.MinArena}, local, func(t *testing.T, s *supervisor.Supervisor) {
		x := gputest.Session(t, s)
		ids, vectors := rows(10000)
		for _, reverse := range []bool{false, true} {
			index, err := x.CreateIndex(t.Context(), wire.IndexSpec{Dim: dim, Metric: wire.L2})
			if err != nil {
				t.Fatal(err)
			}
			if reverse {
				for i := range ids {
					ids[i] = uint32(len(ids) - 1 - i)
					vectors[i*dim] = float32(ids[i])
				}
			}
			if err := x.Put(t.Context(), index, ids, vectors); err != nil {
				t.Fatal(err)
			}
			for _, id := range []float32{0, 4321, 9999} {
				a, err := x.Search(t.Context(), index, wire.Search{Vector: []float32{id, 1, 0, 0}, K: 1})
				if err != nil || a.Hits[0] != (wire.Hit{ID: uint32(id)}) {
					t.Errorf("%+v, %v", a, err)
				}
			}
			if err := x.Delete(t.Context(), index, ids); err != nil {
				t.Fatal(err)
			}
			if a, err := search(t.Context(), x, index); err != nil || len(a.Hits) != 0 {
				t.Errorf("%+v, %v", a, err)
			}
		}
		index := filled(t, x, 10)
		local.Set(gputest.Faults{Put: gputest.OutOfMemory, After: 20})
		if err := x.Put(t.Context(), index, ids, vectors); code(t, err) != wire.OutOfMemory {
			t.Errorf("%v", err)
		}
		// Both areas are back.
		local.Set(gputest.Faults{})
		if err := x.Put(t.Context(), index, ids, vectors); err != nil {
			t.Error(err)
		}
	})
}

// TestStagingTaken: a put waits for a staging area, as long as its context lets it.
func TestStagingTaken(t *testing.T) {
	local := &gputest.Local{}
	bubble(t, supervisor.Options{UpdateStall: time.Hour}, local, func(t *testing.T, s *supervisor.Supervisor) {
		x := gputest.Session(t, s)
		index := filled(t, x, 10)
		local.Set(gputest.Faults{Put: gputest.Hang})
		ids, vectors := rows(1)
		var calls sync.WaitGroup
		for i := range 3 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := x.Put(ctx, index, ids, vectors); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("put %d: %v", i, err)
				}
			})
		}
		calls.Wait()
		local.Set(gputest.Faults{})
		if err := x.Put(t.Context(), index, ids, vectors); err != nil {
			t.Error(err)
		}
	})
}
