package device

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vccdb/vccdb/gpu/kernels/hostrun"
	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/vecindex"
)

// kernelSession is a Session, and its Worker, over a device whose kernels run on the CPU.
type kernelSession struct {
	device  *scan.Device
	mu      sync.RWMutex
	indexes []serve.Index
}

func newKernelSession(t *testing.T) *kernelSession {
	t.Helper()
	launcher, err := hostrun.New(hostrun.Options{})
	if errors.Is(err, hostrun.ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &kernelSession{device: scan.New(launcher, scan.Options{})}
	t.Cleanup(func() {
		if err := s.device.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *kernelSession) Want()                    {}
func (s *kernelSession) Session() Session         { return s }
func (s *kernelSession) Changed() <-chan struct{} { return nil }
func (s *kernelSession) Reason() string           { return "" }
func (s *kernelSession) Done() <-chan struct{}    { return nil }
func (s *kernelSession) Err() error               { return nil }
func (s *kernelSession) Device() wire.DeviceInfo  { return s.device.Info() }

func (s *kernelSession) CreateIndex(_ context.Context, spec wire.IndexSpec) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.device.NewIndex(spec)
	s.indexes = append(s.indexes, x)
	return uint32(len(s.indexes)), err
}

func (s *kernelSession) DropIndex(_ context.Context, index uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.indexes[index-1].Close()
}

func (s *kernelSession) Put(_ context.Context, index uint32, ids []uint32, vectors []float32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.indexes[index-1].Put(ids, vectors)
}

func (s *kernelSession) Delete(_ context.Context, index uint32, ids []uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.indexes[index-1].Delete(ids)
}

func (s *kernelSession) Stats(context.Context) (state wire.State, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, x := range s.indexes {
		state.Indexes = append(state.Indexes, wire.IndexStats{Index: uint32(i + 1), Bytes: x.Bytes()})
	}
	return state, nil
}

func (s *kernelSession) Search(_ context.Context, index uint32, q wire.Search) (wire.Answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b := serve.Batch{Exact: q.Exact, Queries: []serve.Query{{Vector: q.Vector, K: q.K, Allow: q.Allow}}}
	err := s.indexes[index-1].Search(&b)
	return wire.Answer{Hits: b.Queries[0].Hits, BatchSize: 1}, err
}

// TestKernels: what the kernels compute is believed, and proves exact searches, on vectors
// of all sizes.
func TestKernels(t *testing.T) {
	for i, metric := range []vecindex.Metric{vecindex.Cosine, vecindex.L2, vecindex.Dot} {
		for _, codes := range []string{"int8", "bf16"} {
			t.Run(metric.String()+" "+codes, func(t *testing.T) { testKernels(t, metric, codes, uint64(i)) })
		}
	}
}

func testKernels(t *testing.T, metric vecindex.Metric, codes string, seed uint64) {
	const dim, n, ids = 70, 600, 900
	x := newIndex(t, newKernelSession(t), metric, dim, func(o *Options) { o.Codes, o.Patience = codes, time.Minute })
	defer x.Close()
	rng := rand.New(rand.NewPCG(seed, 4))
	scale := []float32{1e-3, 1, 1e4}[seed]
	vector := func() []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = scale * (float32(rng.NormFloat64()) + 1)
		}
		return v
	}
	for range n {
		if err := x.Put(rng.Uint32N(ids), 1, vector()); err != nil {
			t.Fatal(err)
		}
		x.Delete(rng.Uint32N(ids))
	}
	until(t, "the device has everything", func() bool {
		d := x.Device()
		return d.State == Distrusted || d.State == Ready && d.Dirty == 0 && d.Recall > 0
	})
	found, wanted := 0, 0
	for i := range 24 {
		q := vecindex.Query{Vector: vector(), K: 1 + rng.IntN(10), Exact: true}
		if i%3 == 0 {
			q.Allow = &bitmap.Set{}
			for id := range uint32(ids) {
				if id%4 != 0 {
					q.Allow.Add(id)
				}
			}
		}
		want, _, err := x.Unwrap().Search(context.Background(), q, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, stats, err := x.Search(context.Background(), q, nil)
		if err != nil || !slices.Equal(got, want) || stats.Placement.Engine != vecindex.EngineGPU {
			t.Errorf("exactly there are %v, %v; want %v. %+v", got, err, want, stats.Placement)
		}
		q.Exact = false
		got, stats, err = x.Search(context.Background(), q, nil)
		if err != nil || stats.Plan != vecindex.PlanDevice {
			t.Errorf("%v; %+v", err, stats)
		}
		wanted += len(want)
		for _, h := range got {
			if slices.Contains(want, h) {
				found++
			}
		}
	}
	if float64(found) < 0.97*float64(wanted) {
		t.Errorf("of %d neighbours %d were found", wanted, found)
	}
	if d := x.Device(); d.Recall < leastRecall || d.Bytes == 0 {
		t.Errorf("the device is thought of as %+v", d)
	}
}
