package scan_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/vccdb/vccdb/gpu/kernels/hostrun"
	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

// openKernels opens a device over the kernels themselves, compiled for this CPU.
func openKernels(t *testing.T, o scan.Options, h hostrun.Options) *scan.Device {
	t.Helper()
	l, err := hostrun.New(h)
	if errors.Is(err, hostrun.ErrNoCompiler) {
		t.Skip(err)
	}
	ok(t, err)
	d := scan.New(l, o)
	t.Cleanup(func() {
		closed(t, d)
		if n := l.InUse(); n != 0 {
			t.Errorf("%d allocations are left", n)
		}
	})
	return d
}

// TestKernelsHistory is TestHistory over the kernels.
func TestKernelsHistory(t *testing.T) {
	alone(t)
	for metric, codes := range map[wire.Metric]wire.Codes{wire.Cosine: wire.Int8, wire.L2: wire.BF16, wire.Dot: wire.Int8} {
		t.Run(fmt.Sprintf("%v/%v", metric, codes), func(t *testing.T) {
			d := openKernels(t, scan.Options{}, hostrun.Options{Seed: uint64(metric)})
			history(t, d, metric, codes, uint64(metric), 200)
		})
	}
}

// TestKernelsBatches searches by batches of every kernel's size, and some that need
// several of its blocks.
func TestKernelsBatches(t *testing.T) {
	alone(t)
	rng := rand.New(rand.NewPCG(70, 0))
	for _, codes := range []wire.Codes{wire.Int8, wire.BF16} {
		d := openKernels(t, scan.Options{}, hostrun.Options{})
		const dim, n = 70, 400
		x, o := index(t, d, wire.IndexSpec{Dim: dim, Metric: wire.L2, Codes: codes, Seed: 3})
		ids, vectors := ascending(rng, n, 1000), random(rng, n*dim)
		ok(t, x.Put(ids, vectors))
		o.put(ids, vectors)
		for _, size := range []int{1, 2, 3, 9, 40, 130} {
			b := serve.Batch{Queries: queries(rng, size, dim, 1000, 20)}
			ok(t, x.Search(&b))
			for _, q := range b.Queries {
				if recall := o.check(t, q, false); recall < 1 {
					t.Errorf("%v, batch of %d: recall %v", codes, size, recall)
				}
			}
		}
		ok(t, x.Close())
	}
}

// TestKernelsOverflow is TestOverflow over the kernels.
func TestKernelsOverflow(t *testing.T) {
	alone(t)
	overflow(t, openKernels(t, scan.Options{}, hostrun.Options{}))
}
