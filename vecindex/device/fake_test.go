package device

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/gpu/wire"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/flat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeWorker is a Worker whose sessions are in this process and do wrong when told to.
type fakeWorker struct {
	wanted atomic.Bool
	faults faults

	mu      sync.Mutex
	session *fakeSession
	changed chan struct{}
}

// faults are what a fakeSession does wrong, from now on.
type faults struct {
	// searches fail with this, uploads with that.
	search, upload atomic.Pointer[wire.Error]
	// hang has searches wait for their context.
	hang atomic.Bool
	// lie changes answers.
	lie atomic.Pointer[func([]wire.Hit) []wire.Hit]
	// rows is how many fit, 0 is no limit.
	rows atomic.Int64
	// slow is how long an upload takes, slowSearch how long a search.
	slow, slowSearch atomic.Int64
	// used is how many bytes other indexes take.
	used atomic.Int64
}

func newFakeWorker() *fakeWorker {
	w := &fakeWorker{changed: make(chan struct{})}
	w.start()
	return w
}

func (w *fakeWorker) Want() { w.wanted.Store(true) }

func (w *fakeWorker) Session() Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session == nil {
		return nil
	}
	return w.session
}

func (w *fakeWorker) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

func (w *fakeWorker) Reason() string { return "the fake worker is dead" }

// start begins a session, in which nothing is known.
func (w *fakeWorker) start() {
	w.set(&fakeSession{w: w, done: make(chan struct{}), indexes: map[uint32]*fakeIndex{}})
}

// kill ends the session.
func (w *fakeWorker) kill() {
	w.mu.Lock()
	s := w.session
	w.mu.Unlock()
	if s != nil {
		w.set(nil)
		close(s.done)
	}
}

func (w *fakeWorker) set(s *fakeSession) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session = s
	close(w.changed)
	w.changed = make(chan struct{})
}

// fakeSession is exact, in float32 as a device is.
type fakeSession struct {
	w        *fakeWorker
	done     chan struct{}
	searches atomic.Int64

	mu      sync.RWMutex
	next    uint32
	indexes map[uint32]*fakeIndex
}

type fakeIndex struct {
	spec    wire.IndexSpec
	vectors map[uint32][]float32
}

var errFakeOver = errors.New("the session is over")

func (s *fakeSession) Done() <-chan struct{} { return s.done }

func (s *fakeSession) Err() error {
	if isOver(s) {
		return errFakeOver
	}
	return nil
}

func (s *fakeSession) Device() wire.DeviceInfo {
	return wire.DeviceInfo{MemoryTotal: 1 << 30, MemoryLimit: 1 << 29, MemoryUsed: s.w.faults.used.Load()}
}

func (s *fakeSession) CreateIndex(_ context.Context, spec wire.IndexSpec) (uint32, error) {
	if err := spec.Validate(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	s.indexes[s.next] = &fakeIndex{spec: spec, vectors: map[uint32][]float32{}}
	return s.next, s.Err()
}

func (s *fakeSession) DropIndex(_ context.Context, index uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.indexes, index)
	return s.Err()
}

// upload changes an index.
func (s *fakeSession) upload(index uint32, change func(x *fakeIndex)) error {
	time.Sleep(time.Duration(s.w.faults.slow.Load()))
	if err := s.w.faults.upload.Load(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.indexes[index]
	if x == nil || isOver(s) {
		return cmp.Or(s.Err(), error(wire.Errorf(wire.NoIndex, "no such index")))
	}
	change(x)
	if most := s.w.faults.rows.Load(); most > 0 && int64(len(x.vectors)) > most {
		return wire.Errorf(wire.OutOfMemory, "there is room for %d rows", most)
	}
	return nil
}

func (s *fakeSession) Put(_ context.Context, index uint32, ids []uint32, vectors []float32) error {
	return s.upload(index, func(x *fakeIndex) {
		for i, id := range ids {
			x.vectors[id] = x.prepared(vectors[i*x.spec.Dim : (i+1)*x.spec.Dim])
		}
	})
}

func (s *fakeSession) Delete(_ context.Context, index uint32, ids []uint32) error {
	return s.upload(index, func(x *fakeIndex) {
		for _, id := range ids {
			delete(x.vectors, id)
		}
	})
}

func (s *fakeSession) Stats(context.Context) (state wire.State, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, x := range s.indexes {
		state.Indexes = append(state.Indexes, wire.IndexStats{Index: i, Rows: int64(len(x.vectors)), Bytes: int64(len(x.vectors) * x.spec.Dim * 5)})
	}
	return state, s.Err()
}

func (s *fakeSession) Search(ctx context.Context, index uint32, q wire.Search) (wire.Answer, error) {
	f := &s.w.faults
	if f.hang.Load() {
		select {
		case <-ctx.Done():
			return wire.Answer{}, ctx.Err()
		case <-s.done:
		}
	}
	if isOver(s) {
		return wire.Answer{}, errFakeOver
	}
	if err := f.search.Load(); err != nil {
		return wire.Answer{}, err
	}
	time.Sleep(time.Duration(f.slowSearch.Load()))
	s.mu.RLock()
	defer s.mu.RUnlock()
	x := s.indexes[index]
	if x == nil {
		return wire.Answer{}, wire.Errorf(wire.NoIndex, "no such index")
	}
	if q.K < 1 || q.K > wire.MaxK {
		return wire.Answer{}, wire.Errorf(wire.Invalid, "k is %d", q.K)
	}
	s.searches.Add(1)
	hits := x.search(q)
	if lie := f.lie.Load(); lie != nil {
		hits = (*lie)(hits)
	}
	return wire.Answer{Hits: hits, BatchSize: 3, Queued: time.Microsecond, Device: 2 * time.Microsecond}, nil
}

func (x *fakeIndex) prepared(v []float32) []float32 {
	v = slices.Clone(v)
	if x.spec.Metric == wire.Cosine {
		var sum float32
		for _, e := range v {
			sum += e * e
		}
		scale := 1 / float32(math.Sqrt(float64(sum)))
		for i := range v {
			v[i] *= scale
		}
	}
	return v
}

func (x *fakeIndex) search(q wire.Search) (hits []wire.Hit) {
	query := x.prepared(q.Vector)
	for id, v := range x.vectors {
		if q.Allow != nil && (int(id/64) >= len(q.Allow) || q.Allow[id/64]>>(id%64)&1 == 0) {
			continue
		}
		var sum float32
		for i := len(v) - 1; i >= 0; i-- {
			if x.spec.Metric == wire.L2 {
				sum += (query[i] - v[i]) * (query[i] - v[i])
			} else {
				sum += query[i] * v[i]
			}
		}
		switch x.spec.Metric {
		case wire.Cosine:
			sum = 1 - sum
		case wire.Dot:
			sum = 0 - sum
		}
		hits = append(hits, wire.Hit{ID: id, Distance: sum})
	}
	slices.SortFunc(hits, func(a, b wire.Hit) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.ID, b.ID))
	})
	return hits[:min(q.K, len(hits))]
}

// newIndex wraps a flat index. Whoever calls it closes the Index.
func newIndex(t *testing.T, w Worker, metric vecindex.Metric, dim int, change func(*Options)) *Index {
	t.Helper()
	cpu, err := flat.New(metric, dim, flat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{CPU: cpu, Dimension: dim, Metric: metric, Worker: w, Always: true, Linger: time.Microsecond, Retry: time.Millisecond}
	if change != nil {
		change(&o)
	}
	return New(o)
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (x *Index) is(s State) func() bool {
	return func() bool { return x.Device().State == s }
}
