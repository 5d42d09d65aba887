// Package hnsw is the approximate vector index: a hierarchical navigable small
// world graph (Malkov and Yashunin, 2016, arXiv:1603.09320) that is changed while
// it is searched.
//
// # Words
//
// A slot is a place for one vector; an id that is put again gets a new slot. A
// slot is pending until it is linked into the graph, and dead (a tombstone) once
// its id was deleted or put again; the graph still walks through dead slots. A
// condemned slot is a dead one that the running sweep is taking out. A row is what
// vectors are compared by in the graph: the vector itself or, where it is quantized, a
// code of it; then a search scores the best of what it has found by the vectors.
//
// # Invariants
//
//  1. The clock counts changes. A slot has a birth and, once dead, a death, and a
//     search sees what was alive at the clock it read when it began: for a
//     replaced id exactly one of the two vectors, never both, never neither.
//  2. While a slot is pending every search looks at it, and it stops being pending
//     only after it is linked. A search scans the pending slots first and walks the
//     graph afterwards, so what moves between the two is seen twice at worst. The scan
//     leaves out no slot but by its row, and none whose row isn't farther than errors
//     of rows account for.
//  3. Nothing a search can reach is overwritten. A dead slot is used again only
//     after a sweep removed every link to it and every search and linker that was
//     under way at that time has ended.
//  4. A link names a slot that is linked, or that a linker holds right now, with at
//     least the level of the link. Links are read without locks, one atomic uint32
//     each: a reader may see a mix of an old and a new row, never a bad slot.
//  5. From the moment slots are condemned no linker makes a new link to them, so one
//     pass over all rows removes the last one.
//
// Rebuilding the whole graph in the background when too many slots are dead was
// rejected: it needs the memory twice and the build time again. The sweep instead
// repairs the rows that point at dead slots (as FreshDiskANN does, arXiv:2105.09613)
// and frees those slots.
//
// # Goroutines and locks
//
// Options.Workers linkers and one sweeper (which has helpers while it sweeps, and tidies
// up an index that is left alone); Close stops them and waits. Searches take no lock. Lock order: linking, top, mu;
// a stripe is taken last and never two at a time.
package hnsw

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/space"
	"github.com/vccdb/vccdb/vecindex/simd"
)

// Options of an index. Dimension has no default; every other zero value stands
// for the default named beside it.
type Options struct {
	Dimension int
	Metric    vecindex.Metric
	// Quantization is what the graph is walked on. None: the vectors themselves.
	Quantization vecindex.Quantization
	// Dir is a folder, which exists, for the vectors of a quantized graph: they lie in
	// a file there instead of in memory. None: they are in memory.
	Dir string
	// Restore reads the vector of an id anew from where it is kept for good, appended
	// to dst; false if there is none with that stamp any more. It is called for what the
	// file in Dir turns out not to hold. None: such vectors count as farthest.
	Restore func(dst []float32, id uint32, stamp uint64) ([]float32, bool)
	// M is the number of links a node gets on each level; level 0 holds up to 2M. 16.
	M int
	// EfConstruction is the width of the search for a new node's neighbours. 200.
	EfConstruction int
	// Ef is the width of a search that names none. 64.
	Ef int
	// Workers is the number of linkers. GOMAXPROCS.
	Workers int
	// Kernel forces an instruction set; the zero value takes the best one.
	Kernel simd.Level
	// MaxPending is the backlog above which Admit blocks. 4096.
	MaxPending int
	// Capacity is the most slots the index may have; it costs address space only. 2^28.
	Capacity int
	// Seed makes the levels drawn for nodes, and the codes, repeatable.
	Seed uint64
	// remembered is scanRemembered but in tests that haven't so many vectors.
	remembered int
	// breath is fullBreath but in tests that haven't the time.
	breath time.Duration
	// Logger gets the sweeps. None.
	Logger *slog.Logger
}

const (
	maxM          = 128
	maxEf         = 1 << 16
	maxCapacity   = 1<<31 - 1 // slot+1 and the packed entry stay positive
	maxLevel      = 30
	serialUntil   = 256  // nodes linked one after another, so that the graph starts connected
	contextEvery  = 4096 // distances between two looks at a search's context
	noSlot        = math.MaxUint32
	sweepFraction = 0.1  // dead nodes, of all, for which a sweep isn't put off
	tidyFraction  = 0.02 // dead nodes, of all, that are swept when there is time
	tidyMinimum   = 256  // nodes to link before it is looked whether all can be reached
	sweepMinimum  = 256  // fewer dead nodes aren't worth a sweep
	limboMaximum  = 1024 // dead slots that were never linked, before they are taken back
)

func (o *Options) ensureDefaults() {
	setDefault := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	setDefault(&o.M, 16)
	setDefault(&o.EfConstruction, 200)
	setDefault(&o.Ef, 64)
	setDefault(&o.Workers, runtime.GOMAXPROCS(0))
	setDefault(&o.MaxPending, 4096)
	setDefault(&o.Capacity, 1<<28)
	setDefault(&o.remembered, scanRemembered)
	if o.breath == 0 {
		o.breath = fullBreath
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func (o *Options) validate() error {
	check := func(name string, v, low, high int) error {
		if v < low || v > high {
			return errs.New(errs.Invalid, "invalid_vector_option", "%s is %d to %d, not %d", name, low, high, v)
		}
		return nil
	}
	for _, err := range []error{
		check("quantization", int(o.Quantization), 0, int(vecindex.FastScan)),
		check("m", o.M, 2, maxM),
		check("ef_construction", o.EfConstruction, 1, maxEf),
		check("ef", o.Ef, 1, maxEf),
		check("workers", o.Workers, 1, 1024),
		check("max_pending", o.MaxPending, 1, maxCapacity),
		check("capacity", o.Capacity, 1, maxCapacity),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// Index is a vecindex.Index that searches a graph.
type Index struct {
	opts  Options
	space space.Space
	ef    atomic.Int64
	slots *slots
	rows  rows
	graph *graph

	clock  atomic.Uint64 // of the last change
	live   atomic.Int64  // ids that can be found
	linked atomic.Int64  // slots in the graph, dead or alive
	// searches counts them, so that linkers know when to stand back.
	searches atomic.Uint64

	gate      gate         // every call is inside it; Close and the sweep wait on it
	linking   sync.RWMutex // shared by whoever changes links; alone: the links stand still
	scratches sync.Pool    // *scratch

	// loaded says that there may be suspect slots, see cold.go; fixed before the index
	// is used.
	loaded    bool
	torn      bool           // links were lost in the load; as loaded
	restoring [64]sync.Mutex // by slot: held while it is looked whether its vector is lost
	restored  atomic.Int64   // vectors that were

	unreadable atomic.Int64 // times that the file of the vectors couldn't be read

	stop    chan struct{} // closed by Close
	wake    chan struct{} // tells the sweeper to look; holds one
	workers sync.WaitGroup

	mu struct {
		sync.Mutex
		closed     bool
		rng        *rand.Rand
		queue      queue         // pending slots, in the order they came
		backlog    int           // slots in the queue or with a linker
		allowed    int           // backlog up to which Admit lets pass although it is over MaxPending
		pending    int           // pending slots that are alive
		linkedDead int           // dead slots in the graph
		proven     int           // slots in the graph when all could be reached, less those that went
		limbo      []uint32      // died before they were linked; their slots wait for searches to end
		shrunk     chan struct{} // closed and replaced when the backlog or the tombstones get fewer
		work       *sync.Cond    // signals linkers: queue or closed changed
	}
}

var _ vecindex.Source = (*Index)(nil)

// New makes an empty index and starts its workers.
func New(o Options) (*Index, error) {
	file, err := o.newColdFile()
	if err != nil {
		return nil, err
	}
	x, err := build(o, file)
	if err != nil {
		return nil, err
	}
	x.start()
	return x, nil
}

// build makes an empty index without workers, its vectors in a file if one is named.
func build(o Options, file string) (*Index, error) {
	o.ensureDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	sp, err := space.New(o.Metric, o.Dimension, o.Kernel)
	if err != nil {
		return nil, err
	}
	x := &Index{opts: o, space: sp, stop: make(chan struct{}), wake: make(chan struct{}, 1)}
	if x.slots, err = newSlots(o.Capacity, sp.Stride, file); err != nil {
		return nil, err
	}
	if x.rows, err = newRows(&o, sp, x.slots); err != nil {
		return nil, errors.Join(err, x.slots.arrays.Free())
	}
	if x.graph, err = newGraph(o.Capacity, o.M); err != nil {
		return nil, errors.Join(err, x.slots.arrays.Free())
	}
	if x.graph.neighbours, err = newNeighbours(&x.graph.arrays, &o, x.rows, x.graph.m0); err != nil {
		return nil, errors.Join(err, x.free())
	}
	if err := x.newMarks(); err != nil {
		return nil, errors.Join(err, x.free())
	}
	x.ef.Store(int64(o.Ef))
	x.scratches.New = func() any { return x.newScratch() }
	x.mu.rng = rand.New(rand.NewPCG(o.Seed, 0))
	x.mu.shrunk = make(chan struct{})
	x.mu.work = sync.NewCond(&x.mu)
	return x, nil
}

func (x *Index) start() {
	for range x.opts.Workers {
		x.workers.Go(x.runLinker)
	}
	x.workers.Go(x.runSweeper)
	if n := x.graph.neighbours; n != nil && !n.ready.Load() {
		x.workers.Go(x.fillNeighbours)
	}
}

func (x *Index) free() error { return errors.Join(x.slots.arrays.Free(), x.graph.arrays.Free()) }

// SetEf changes the width of searches that name none.
func (x *Index) SetEf(ef int) error {
	if ef < 1 || ef > maxEf {
		return errs.New(errs.Invalid, "invalid_vector_option", "ef is 1 to %d, not %d; it stays %d", maxEf, ef, x.ef.Load())
	}
	x.ef.Store(int64(ef))
	return nil
}

// Ef is the width of searches that name none.
func (x *Index) Ef() int { return int(x.ef.Load()) }

// Len is the number of ids that can be found.
func (x *Index) Len() int { return int(x.live.Load()) }

// Close stops the background work, waits for it and for every call under way,
// and frees all memory. Calls that wait in Admit or Drain return an error.
func (x *Index) Close() error {
	if !x.gate.shut() {
		return nil
	}
	close(x.stop)
	x.mu.Lock()
	x.mu.closed = true
	x.mu.work.Broadcast()
	x.mu.Unlock()
	x.workers.Wait()
	x.gate.wait()
	return x.free()
}

func firstError(errors ...error) error {
	for _, err := range errors {
		if err != nil {
			return err
		}
	}
	return nil
}

func errClosed() error {
	return errs.New(errs.Unavailable, "vector_index_closed", "the vector index is closed; nothing was done")
}

// Admit blocks while more than Options.MaxPending slots wait to be linked, or
// while updates make tombstones faster than sweeps take them back.
func (x *Index) Admit(ctx context.Context) error {
	return x.waitUntil(ctx, func() bool {
		tombstones := x.mu.linkedDead + len(x.mu.limbo)
		if x.mu.backlog <= x.opts.MaxPending {
			x.mu.allowed = 0
		}
		return x.mu.backlog <= max(x.opts.MaxPending, x.mu.allowed) && tombstones <= int(x.live.Load())/2+16*sweepMinimum+x.opts.MaxPending
	})
}

// AllowBacklog is called once the stored vectors have been put at a start. Their
// backlog takes minutes to link; until it is down to MaxPending, Admit lets writers
// keep it where it is now.
func (x *Index) AllowBacklog() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.allowed = x.mu.backlog + x.opts.MaxPending
	x.announceLocked()
}

// Drain blocks until every slot is linked.
func (x *Index) Drain(ctx context.Context) error {
	return x.waitUntil(ctx, func() bool { return x.mu.backlog == 0 })
}

// waitUntil blocks until done, which is called with mu held.
func (x *Index) waitUntil(ctx context.Context, done func() bool) error {
	for {
		x.mu.Lock()
		ready, closed, shrunk := done(), x.mu.closed, x.mu.shrunk
		x.mu.Unlock()
		if closed {
			return errClosed()
		}
		if ready {
			return ctx.Err()
		}
		select {
		case <-shrunk:
		case <-ctx.Done():
			return ctx.Err()
		case <-x.stop:
			return errClosed()
		}
	}
}

// announceLocked wakes those who wait for the backlog to shrink.
func (x *Index) announceLocked() {
	close(x.mu.shrunk)
	x.mu.shrunk = make(chan struct{})
}
