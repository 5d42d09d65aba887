package supervisor_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/gpu/wire"
)

func TestMain(m *testing.M) {
	if gputest.IsWorker() {
		os.Exit(gputest.Work())
	}
	if len(os.Args) > 2 && os.Args[1] == orphanServer {
		os.Exit(serveOrphan(os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

// patient are options whose worker isn't taken for dead because the machine is busy.
func patient(o supervisor.Options) supervisor.Options {
	o.Misses, o.SearchStall, o.UpdateStall = 300, 30*time.Second, 30*time.Second
	return o
}

func open(t *testing.T, o supervisor.Options) *supervisor.Supervisor {
	t.Helper()
	s := supervisor.New(o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

const dim = 4

// rows are n vectors, id i's being (i, 1, 0, 0).
func rows(n int) (ids []uint32, vectors []float32) {
	for i := range n {
		ids = append(ids, uint32(i))
		vectors = append(vectors, float32(i), 1, 0, 0)
	}
	return ids, vectors
}

// filled makes an l2 index with n rows.
func filled(t *testing.T, x *supervisor.Session, n int) uint32 {
	t.Helper()
	index, err := x.CreateIndex(t.Context(), wire.IndexSpec{Dim: dim, Metric: wire.L2})
	if err != nil {
		t.Fatal(err)
	}
	ids, vectors := rows(n)
	if err := x.Put(t.Context(), index, ids, vectors); err != nil {
		t.Fatal(err)
	}
	return index
}

func search(ctx context.Context, x *supervisor.Session, index uint32) (wire.Answer, error) {
	return x.Search(ctx, index, wire.Search{Vector: []float32{0, 1, 0, 0}, K: 3})
}

func cause(err error) supervisor.Cause {
	var e *supervisor.SessionError
	if errors.As(err, &e) {
		return e.Cause
	}
	return ""
}

func code(t *testing.T, err error) wire.Code {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no error of the worker's", err)
	}
	return e.Code
}

// TestProcess: a worker that is a process puts, deletes, searches under a filter, and
// ends with the supervisor.
func TestProcess(t *testing.T) {
	t.Parallel()
	process := gputest.NewProcess(t, gputest.Faults{Print: "hello"})
	s := open(t, patient(supervisor.Options{Command: process.Command(), MemoryLimit: 1 << 20}))
	if s.Session() != nil || s.Status().State != supervisor.Off || s.Status().Totals.Starts != 0 {
		t.Fatalf("it runs though nobody wants it: %+v", s.Status())
	}
	x := gputest.Session(t, s)
	index := filled(t, x, 1000)
	if err := x.Delete(t.Context(), index, []uint32{2, 1}); err != nil {
		t.Fatal(err)
	}
	a, err := search(t.Context(), x, index)
	if err != nil || len(a.Hits) != 3 || a.Hits[1] != (wire.Hit{ID: 3, Distance: 9}) || a.BatchSize != 1 || !a.First {
		t.Fatalf("%+v, %v", a, err)
	}
	a, err = x.Search(t.Context(), index, wire.Search{Vector: []float32{0, 1, 0, 0}, K: 3, Allow: []uint64{1<<1 | 1<<5 | 1<<4, 0}})
	if err != nil || len(a.Hits) != 2 || a.Hits[0].ID != 4 || a.Hits[1].ID != 5 {
		t.Fatalf("%+v, %v", a, err)
	}
	a, err = x.Search(t.Context(), index, wire.Search{Vector: []float32{0, 1, 0, 0}, K: 3, Allow: []uint64{}})
	if err != nil || len(a.Hits) != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	state, err := x.Stats(t.Context())
	if err != nil || len(state.Indexes) != 1 || state.Indexes[0].Rows != 998 || state.Device.MemoryLimit != 1<<20 {
		t.Fatalf("%+v, %v", state, err)
	}
	status := s.Status()
	if status.State != supervisor.Running || status.PID == 0 || status.PID == os.Getpid() || status.Device == nil {
		t.Fatalf("%+v", status)
	}
	if n := status.Totals; n.Searches != 2 || n.Batches != 2 || n.BatchSizes[0] != 2 || n.RowsPut != 1000 ||
		n.RowsDeleted != 2 || n.BytesPut != 1000*4*dim || n.BytesFilters != 8 || n.Device <= 0 || len(n.Errors) != 0 {
		t.Errorf("%+v", n)
	}
	if err := x.DropIndex(t.Context(), index); err != nil {
		t.Fatal(err)
	}
	if _, err := search(t.Context(), x, index); code(t, err) != wire.NoIndex {
		t.Errorf("%v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := search(t.Context(), x, index); cause(err) != supervisor.CauseRequested {
		t.Errorf("after Close: %v", err)
	}
	if status := s.Status(); status.State != supervisor.Off || status.LastCause != "" || len(status.Totals.Failures) != 0 {
		t.Errorf("after Close: %+v", status)
	}
}

// TestProcessEnds: whatever ends or stops a process, the search that it meets returns an
// error that names the cause, and another worker is started.
func TestProcessEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults gputest.Faults
		cause  supervisor.Cause
		text   string
	}{
		{"killed", gputest.Faults{Search: gputest.Crash}, supervisor.CauseCrash, "SIGKILL"},
		{"panic", gputest.Faults{Search: gputest.Panic}, supervisor.CauseCrash, "panic: the fake worker was told to panic"},
		{"garbage", gputest.Faults{Break: gputest.Garbage}, supervisor.CauseProtocol, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			process := gputest.NewProcess(t, gputest.Faults{})
			s := open(t, patient(supervisor.Options{Command: process.Command(), Backoff: time.Millisecond}))
			x := gputest.Session(t, s)
			index := filled(t, x, 10)
			process.Set(c.faults)
			_, err := search(t.Context(), x, index)
			if cause(err) != c.cause || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("%v", err)
			}
			<-x.Done()
			if x.Err() == nil {
				t.Error("the session has no error")
			}
			process.Set(gputest.Faults{})
			x = gputest.After(t, s, x)
			if _, err := search(t.Context(), x, filled(t, x, 10)); err != nil {
				t.Error(err)
			}
			if status := s.Status(); status.LastCause != c.cause || status.Totals.Failures[c.cause] == 0 || status.Totals.Errors[string(c.cause)] == 0 {
				t.Errorf("%+v", status)
			}
		})
	}
}
