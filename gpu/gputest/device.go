package gputest

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

// Call is one call of a Device, as Device.Before sees it.
type Call struct {
	// Op is "open", "new_index", "put", "delete" or "search".
	Op string
	// Batch is a search's; IDs are a put's or delete's.
	Batch *serve.Batch
	IDs   []uint32
}

// Device is a serve.Device that keeps its vectors in maps and measures every one of
// them, in double precision. It is safe for concurrent use.
type Device struct {
	// Before is called at the beginning of each call, if it isn't nil, without any lock:
	// it may look at the batch, or block. Set it before the device is used.
	Before func(Call)
	// Limit is how many bytes all vectors may take, 0 for no limit: a put beyond it is
	// out of memory. A Process takes it from --memory-limit.
	Limit int64

	faults func() Faults
	crash  func(Fault)
	// killed ends calls that hang.
	killed chan struct{}
	mu     struct {
		sync.Mutex
		calls map[string]int
		bytes int64
	}
}

var _ serve.Device = (*Device)(nil)

// NewDevice returns a device without faults, for tests of serve.Run.
func NewDevice() *Device {
	return newDevice(func() Faults { return Faults{} }, func(Fault) {})
}

func newDevice(faults func() Faults, crash func(Fault)) *Device {
	d := &Device{faults: faults, crash: crash, killed: make(chan struct{})}
	d.mu.calls = map[string]int{}
	return d
}

// Calls is how often op was called.
func (d *Device) Calls(op string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.calls[op]
}

// hangPoll is how often a call that hangs looks whether the fault is still there.
const hangPoll = 20 * time.Millisecond

// begin counts a call and lets it go wrong.
func (d *Device) begin(c Call, fault func(Faults) Fault) error {
	d.mu.Lock()
	d.mu.calls[c.Op]++
	n := d.mu.calls[c.Op]
	d.mu.Unlock()
	if d.Before != nil {
		d.Before(c)
	}
	f := d.faults()
	if n <= f.After {
		return nil
	}
	switch now := fault(f); now {
	case "":
		return nil
	case OutOfMemory:
		return wire.Errorf(wire.OutOfMemory, "the device has no memory left for this")
	case Lost:
		return wire.Errorf(wire.Lost, "the device fell off the bus")
	case Hang:
		for fault(d.faults()) == Hang {
			select {
			case <-d.killed:
				return wire.Errorf(wire.Failed, "killed")
			case <-time.After(hangPoll):
			}
		}
		return nil
	case Crash, Panic:
		d.crash(now)
	}
	return wire.Errorf(wire.Failed, "the device made a mistake")
}

// Info describes a device with as much memory as Limit, or 1 GiB.
func (d *Device) Info() wire.DeviceInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	total := cmp.Or(d.Limit, 1<<30)
	return wire.DeviceInfo{
		Name: "fake device", Driver: "12.4", Kernels: "go", ComputeMajor: 9, Multiprocessors: 1,
		MemoryTotal: total, MemoryFree: total - d.mu.bytes, MemoryUsed: d.mu.bytes, MemoryLimit: d.Limit,
	}
}

// Pin does nothing.
func (d *Device) Pin([]byte) error { return nil }

// NewIndex makes an empty index.
func (d *Device) NewIndex(spec wire.IndexSpec) (serve.Index, error) {
	if err := d.begin(Call{Op: "new_index"}, func(f Faults) Fault { return f.NewIndex }); err != nil {
		return nil, err
	}
	return &index{d: d, spec: spec, rows: map[uint32][]float32{}}, nil
}

// Close does nothing.
func (d *Device) Close() error { return nil }

// take counts bytes as used, unless they are beyond the limit.
func (d *Device) take(bytes int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Limit > 0 && d.mu.bytes+bytes > d.Limit {
		return wire.Errorf(wire.OutOfMemory, "%d bytes are needed, and %d of %d are used", bytes, d.mu.bytes, d.Limit)
	}
	d.mu.bytes += bytes
	return nil
}

// index is one index. Its lock is never waited for unless serve breaks its promise that
// puts overlap with nothing.
type index struct {
	d    *Device
	spec wire.IndexSpec
	mu   sync.RWMutex
	rows map[uint32][]float32
}

// exclusive takes the lock for a change, which nobody else may hold.
func (x *index) exclusive() func() {
	if !x.mu.TryLock() {
		panic("gputest: a change of an index overlaps with another call")
	}
	return x.mu.Unlock
}

func (x *index) rowBytes() int64 { return 4 * int64(x.spec.Dim) }

// Put stores vectors.
func (x *index) Put(ids []uint32, vectors []float32) error {
	defer x.exclusive()()
	if len(vectors) != len(ids)*x.spec.Dim {
		panic("gputest: " + strconv.Itoa(len(vectors)) + " values for " + strconv.Itoa(len(ids)) + " vectors")
	}
	if err := x.d.begin(Call{Op: "put", IDs: ids}, func(f Faults) Fault { return f.Put }); err != nil {
		return err
	}
	for i, id := range ids {
		if _, known := x.rows[id]; !known {
			if err := x.d.take(x.rowBytes()); err != nil {
				return err
			}
		}
		x.rows[id] = slices.Clone(vectors[i*x.spec.Dim : (i+1)*x.spec.Dim])
	}
	return nil
}

// Delete removes vectors.
func (x *index) Delete(ids []uint32) error {
	defer x.exclusive()()
	if err := x.d.begin(Call{Op: "delete", IDs: ids}, func(f Faults) Fault { return f.Delete }); err != nil {
		return err
	}
	for _, id := range ids {
		if _, known := x.rows[id]; known {
			delete(x.rows, id)
			x.d.take(-x.rowBytes())
		}
	}
	return nil
}

// Search measures every vector for every query.
func (x *index) Search(b *serve.Batch) error {
	if !x.mu.TryRLock() {
		panic("gputest: a search overlaps with a change of its index")
	}
	defer x.mu.RUnlock()
	began := time.Now()
	if err := x.d.begin(Call{Op: "search", Batch: b}, func(f Faults) Fault { return f.Search }); err != nil {
		return err
	}
	f := x.d.faults()
	if f.Slow > 0 {
		time.Sleep(f.Slow)
	}
	for i := range b.Queries {
		q := &b.Queries[i]
		q.Hits = lie(f.Lie, q, x.nearest(q.Vector, q.Allow))
	}
	b.DeviceTime = max(1, time.Since(began))
	return nil
}

// nearest sorts all allowed vectors by distance, then id.
func (x *index) nearest(query []float32, allow []uint64) []wire.Hit {
	var hits []wire.Hit
	for id, vector := range x.rows {
		if allow == nil || int(id/64) < len(allow) && allow[id/64]&(1<<(id%64)) != 0 {
			hits = append(hits, wire.Hit{ID: id, Distance: Distance(x.spec.Metric, query, vector)})
		}
	}
	slices.SortFunc(hits, func(a, b wire.Hit) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.ID, b.ID))
	})
	return hits
}

// Len is how many vectors there are.
func (x *index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.rows)
}

// Bytes is what they take.
func (x *index) Bytes() int64 { return int64(x.Len()) * x.rowBytes() }

// Close frees the memory.
func (x *index) Close() error {
	defer x.exclusive()()
	x.d.take(-int64(len(x.rows)) * x.rowBytes())
	return nil
}

// Distance measures two vectors of the same length.
func Distance(m wire.Metric, a, b []float32) float32 {
	var dot, l2, lengthA, lengthB float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot += x * y
		l2 += (x - y) * (x - y)
		lengthA += x * x
		lengthB += y * y
	}
	switch m {
	case wire.Cosine:
		if lengthA == 0 || lengthB == 0 {
			return 1
		}
		return float32(1 - dot/math.Sqrt(lengthA*lengthB))
	case wire.Dot:
		return float32(-dot)
	}
	return float32(l2)
}
