package scan_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/kernels/hostrun"
	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/gpu/wire"
)

// workerArgument makes the test's program a worker, as cmd/themis_gpu is one, but over
// the emulated device.
const workerArgument = "work-over-the-emulated-device"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == workerArgument {
		os.Exit(work())
	}
	goleak.VerifyTestMain(m)
}

func work() int {
	o, err := serve.Inherited()
	if err == nil {
		o.Open = func() (serve.Device, error) {
			l, err := hostrun.New(hostrun.Options{Memory: 256 << 20})
			if err != nil {
				return nil, err
			}
			return scan.New(l, scan.Options{}), nil
		}
		err = serve.Run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return serve.ExitStatus(err)
}

// TestWorkerProcess is all of the GPU engine but CUDA: a supervisor, the worker's
// process, the protocol, batches, and the kernels; and again after the worker was
// killed.
func TestWorkerProcess(t *testing.T) {
	if l, err := hostrun.New(hostrun.Options{Memory: 1 << 20}); errors.Is(err, hostrun.ErrNoCompiler) { // compiles
		t.Skip(err)
	} else if err == nil {
		ok(t, l.Close())
	}
	s := supervisor.New(supervisor.Options{
		Command: []string{os.Args[0], workerArgument}, ArenaBytes: 8 << 20, Backoff: time.Millisecond,
		// A busy machine isn't a device that hangs.
		Misses: 600, SearchStall: time.Minute, UpdateStall: time.Minute,
	})
	session := gputest.Session(t, s)
	for life := range 2 {
		spec := wire.IndexSpec{Dim: 24, Metric: wire.Cosine, Seed: 7}
		x, err := session.CreateIndex(t.Context(), spec)
		ok(t, err)
		rng := rand.New(rand.NewPCG(71, uint64(life)))
		o := &oracle{spec.Metric, map[uint32][]float32{}}
		ids, vectors := ascending(rng, 300, 500), random(rng, 24*300)
		ok(t, session.Put(t.Context(), x, ids, vectors))
		o.put(ids, vectors)
		ok(t, session.Delete(t.Context(), x, ids[:40]))
		o.delete(ids[:40])
		searchAtOnce(t, session, x, o, queries(rng, 24, 24, 500, 20))
		if life == 0 {
			ok(t, syscall.Kill(s.Status().PID, syscall.SIGKILL))
			<-session.Done()
			session = gputest.After(t, s, session)
		}
	}
	ok(t, s.Close())
}

// searchAtOnce makes each query a search of its own, all at the same time.
func searchAtOnce(t *testing.T, session *supervisor.Session, x uint32, o *oracle, qs []serve.Query) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, len(qs))
	for i := range qs {
		wg.Go(func() {
			q := &qs[i]
			var a wire.Answer
			a, errs[i] = session.Search(t.Context(), x, wire.Search{Vector: q.Vector, K: q.K, Exact: i%3 == 0, Allow: q.Allow})
			q.Hits = a.Hits
		})
	}
	wg.Wait()
	for i, q := range qs {
		ok(t, errs[i])
		if recall := o.check(t, q, i%3 == 0); recall < 1 {
			t.Errorf("search %d: recall %v", i, recall)
		}
	}
}
