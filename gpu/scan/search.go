package scan

import (
	"cmp"
	"math"
	"slices"
	"time"
	"unsafe"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

const (
	// rerankFactor and rerankMost say how many candidates get their float32 distance for
	// K hits: so many times K, but no more than so many besides. With codes of a byte
	// the error of an estimate is far below the spread of that many.
	rerankFactor, rerankMost = 4, 1024
	// rerankLeast is for small K: that many cost nothing next to the scan.
	rerankLeast = 40
	// firstTiles are visited before there is a threshold; all of their rows become
	// candidates.
	firstTiles = 32
	// phaseGrowth is how many times as many rows have been visited after each further
	// phase. About phaseGrowth times keep of them are below the threshold before it,
	// if the order of rows is random, which the permutation of tiles makes likely.
	phaseGrowth = 16
	// minCapacity holds the first phase's rows.
	minCapacity = firstTiles * kernels.TileRows
	// maxRounds is how often queries are repeated whose candidates overflowed. Each
	// round divides what is below the threshold by about its capacity over keep.
	maxRounds = 8
)

// keepFor is how many candidates are kept for K hits.
func keepFor(k int, exact bool) int {
	if exact {
		return k
	}
	return min(kernels.MaxKeep, max(rerankLeast, min(rerankFactor*k, k+rerankMost)))
}

// capacityFor is the room for candidates where keep are kept: twice what a phase is
// expected to bring.
func capacityFor(keep int) int {
	capacity := minCapacity
	for capacity < 2*phaseGrowth*keep {
		capacity *= 2
	}
	return min(capacity, kernels.MaxCapacity)
}

// tileStep is a step that visits all tiles in an order without much order in it: near
// the golden section, which keeps any few successive ones apart, and without a divisor
// in common with their number.
func tileStep(tiles int) int {
	step := max(1, int(0.6180339887*float64(tiles)))
	for gcd(step, tiles) != 1 {
		step++
	}
	return step
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// pending is a query that has no hits yet.
type pending struct {
	*serve.Query
	keep int
	// allow is the query's, as far as there are ids.
	allow []uint64
	// threshold is a bound for the keep-th nearest, below which all are found.
	threshold uint64
}

// Search answers a batch.
func (x *Index) Search(b *serve.Batch) error {
	todo, err := x.pending(b)
	if err != nil || len(todo) == 0 {
		return err
	}
	l, err := x.d.lane()
	if err != nil {
		return err
	}
	defer x.d.back(l)
	for round := 0; len(todo) > 0; round++ {
		if round == maxRounds {
			return wire.Errorf(wire.Failed, "%d queries of a batch had too many candidates, %d times", len(todo), maxRounds)
		}
		var again []pending
		for len(todo) > 0 {
			p := x.part(todo, b.Exact)
			over, err := p.answer(l, &b.DeviceTime)
			if err != nil {
				return err
			}
			again = append(again, over...)
			todo = todo[len(p.queries):]
		}
		todo = again
	}
	return nil
}

// pending are the queries that need the device, those with the smallest K first, so
// that parts of a batch need room for what their own queries keep.
func (x *Index) pending(b *serve.Batch) ([]pending, error) {
	var todo []pending
	words := (len(x.rows.of) + 63) / 64
	for i := range b.Queries {
		q := &b.Queries[i]
		if len(q.Vector) != x.spec.Dim || q.K < 1 || q.K > wire.MaxK {
			return nil, wire.Errorf(wire.Invalid, "query %d has %d dimensions and asks for %d hits; the index has %d, and up to %d",
				i, len(q.Vector), q.K, x.spec.Dim, wire.MaxK)
		}
		q.Hits = []wire.Hit{}
		if x.rows.live == 0 || q.Allow != nil && len(q.Allow) == 0 {
			continue
		}
		p := pending{Query: q, keep: keepFor(q.K, b.Exact), threshold: math.MaxUint64}
		if q.Allow != nil {
			p.allow = q.Allow[:min(len(q.Allow), words)]
		}
		todo = append(todo, p)
	}
	slices.SortStableFunc(todo, func(a, b pending) int { return cmp.Compare(a.K, b.K) })
	return todo, nil
}

// part is the queries of a batch that are searched at once, and where what they need
// lies in a lane's memory.
type part struct {
	x       *Index
	exact   bool
	queries []pending
	keep    int // the most of a query
	// capacity of each query's candidates; stride is that of the hits.
	capacity, stride int
	// filters are where those that differ lie, from filterAt on.
	filters map[filter]int64
	// On the device: what goes in (input), what encode makes of it, the filters, then
	// what comes out, in one piece of out bytes from states on: the states of the
	// queries, those before the last select, and the keys.
	input, vectors, codes, filterAt, states, saved, keys, candidates int64
	out, bytes                                                       int64
}

// filter is the memory of what a query allows, by its first word.
type filter struct {
	first *uint64
	words int
}

func (q pending) filter() filter { return filter{&q.allow[0], len(q.allow)} }

// part takes as many of todo, at least one, as there is scratch memory for.
func (x *Index) part(todo []pending, exact bool) *part {
	p := &part{x: x, exact: exact, filters: map[filter]int64{}}
	filterBytes := int64(0)
	for i, q := range todo {
		keep, stride := max(p.keep, q.keep), max(p.stride, q.K)
		each := 4*x.spec.Dim + 4*x.stride + x.rowBytes + 2*kernels.QueryBytes + kernels.KeyBytes*(stride+capacityFor(keep))
		more := int64(0)
		if _, there := p.filterOf(q); q.allow != nil && !there {
			more = aligned(int64(8 * len(q.allow)))
		}
		if i > 0 && int64(i+1)*int64(each)+filterBytes+more > x.d.o.ScratchBytes-partPieces*align {
			break
		}
		if more > 0 {
			p.filters[q.filter()] = filterBytes
			filterBytes += more
		}
		p.queries, p.keep, p.stride = todo[:i+1], keep, stride
	}
	p.capacity = capacityFor(p.keep)
	p.layOut(filterBytes)
	return p
}

// filterOf is where a query's filter is, once for all that share it.
func (p *part) filterOf(q pending) (at int64, there bool) {
	if q.allow == nil {
		return 0, false
	}
	at, there = p.filters[q.filter()]
	return at, there
}

// partPieces is how many pieces layOut cuts, of which each may be rounded up.
const partPieces = 8

// layOut says where what lies.
func (p *part) layOut(filterBytes int64) {
	n := int64(len(p.queries))
	var c cutter
	p.input = c.cut(n * int64(4*p.x.spec.Dim))
	p.vectors = c.cut(n * int64(4*p.x.stride))
	p.codes = c.cut(n * int64(p.x.rowBytes))
	p.filterAt = c.cut(filterBytes)
	p.states = c.cut(n * kernels.QueryBytes)
	p.saved = c.cut(n * kernels.QueryBytes)
	p.keys = c.cut(n * int64(p.stride) * kernels.KeyBytes)
	p.out = c.used - p.states
	p.candidates = c.cut(n * int64(p.capacity) * kernels.KeyBytes)
	p.bytes = c.used
}

// answer sets the hits of the part's queries and returns those that have to be
// repeated, with their thresholds.
func (p *part) answer(l *lane, deviceTime *time.Duration) ([]pending, error) {
	inBytes := aligned(int64(4 * p.x.spec.Dim * len(p.queries)))
	stateBytes := aligned(int64(kernels.QueryBytes * len(p.queries)))
	if err := l.need(p.bytes, inBytes+stateBytes+p.out); err != nil {
		return nil, err
	}
	in, states, out := l.host[:inBytes], l.host[inBytes:][:stateBytes], l.host[inBytes+stateBytes:][:p.out]
	p.fill(l, in, states)
	started := time.Now()
	p.queue(l, in, states)
	l.CopyOut(out, l.scratch.at+Ptr(p.states))
	err := l.Sync()
	*deviceTime += time.Since(started)
	if err != nil {
		return nil, err
	}
	return p.hits(out), nil
}

// fill writes what goes to the device into the host's memory.
func (p *part) fill(l *lane, in, states []byte) {
	states = states[:0]
	for i, q := range p.queries {
		copy(in[4*i*p.x.spec.Dim:], bytesOf(q.Vector))
		state := kernels.Query{Threshold: q.threshold, Keep: uint32(q.keep), K: uint32(q.K)}
		if at, there := p.filterOf(q); there {
			state.Filter = l.scratch.at + Ptr(p.filterAt+at)
			state.FilterWords = uint32(len(q.allow))
		}
		states = appendQuery(states, state)
	}
}

// queue is a search as the device does it.
func (p *part) queue(l *lane, in, states []byte) {
	n, base := len(p.queries), l.scratch.at
	l.CopyIn(base+Ptr(p.input), in[:4*n*p.x.spec.Dim])
	l.CopyIn(base+Ptr(p.states), states[:n*kernels.QueryBytes])
	for f, at := range p.filters {
		l.CopyIn(base+Ptr(p.filterAt+at), bytesOf(unsafe.Slice(f.first, f.words)))
	}
	l.launch(kernels.LaunchEncodeQueries(n, p.x.spec.Dim), args(kernels.EncodeQueriesArgs{
		Input: base + Ptr(p.input), Vectors: base + Ptr(p.vectors), Codes: base + Ptr(p.codes), Queries: base + Ptr(p.states),
		Rotation: p.x.rotation, Dim: uint32(p.x.spec.Dim), RowBytes: uint32(p.x.rowBytes), Stride: uint32(p.x.stride),
		Metric: kernels.Metric(p.x.spec.Metric), Code: p.x.code, Count: uint32(n),
	}))
	tiles := (p.x.rows.used + kernels.TileRows - 1) / kernels.TileRows
	for first, count := 0, firstTiles; first < tiles; first, count = first+count, (phaseGrowth-1)*(first+count) {
		p.scan(l, first, min(count, tiles-first), tiles)
		p.choose(l, false)
	}
	l.Copy(base+Ptr(p.saved), base+Ptr(p.states), int64(n*kernels.QueryBytes))
	if !p.exact {
		l.launch(kernels.LaunchRerank(n, p.keep), args(kernels.RerankArgs{
			Queries: base + Ptr(p.states), Candidates: base + Ptr(p.candidates), Vectors: base + Ptr(p.vectors),
			Segments: p.x.table.at, RowOf: p.x.rowOf.at, IDs: uint32(len(p.x.rows.of)), NumQueries: uint32(n),
			Capacity: uint32(p.capacity), Stride: uint32(p.x.stride), Metric: kernels.Metric(p.x.spec.Metric),
		}))
	}
	p.choose(l, true)
}

// scan queues the visit of some tiles.
func (p *part) scan(l *lane, first, count, tiles int) {
	code, rowBytes, queries := p.x.code, p.x.rowBytes, p.codes
	if p.exact {
		code, rowBytes, queries = kernels.F32, 4*p.x.stride, p.vectors
	}
	k := kernels.ScanFor(code, len(p.queries)).Launch(rowBytes, len(p.queries), count, p.x.d.multiprocessors)
	base := l.scratch.at
	l.launch(k, args(kernels.ScanArgs{
		Segments: p.x.table.at, Queries: base + Ptr(p.states), Codes: base + Ptr(queries), Candidates: base + Ptr(p.candidates),
		Rows: uint32(p.x.rows.used), RowBytes: uint32(rowBytes), NumQueries: uint32(len(p.queries)), Capacity: uint32(p.capacity),
		First: uint32(first), Count: uint32(count), Tiles: uint32(tiles), TileStep: uint32(tileStep(tiles)),
		Metric: kernels.Metric(p.x.spec.Metric),
	}))
}

// choose queues a select.
func (p *part) choose(l *lane, final bool) {
	base := l.scratch.at
	a := kernels.SelectArgs{
		Queries: base + Ptr(p.states), Candidates: base + Ptr(p.candidates),
		NumQueries: uint32(len(p.queries)), Capacity: uint32(p.capacity), OutStride: uint32(p.stride),
	}
	if final {
		a.Out, a.Final = base+Ptr(p.keys), 1
	}
	l.launch(kernels.LaunchSelect(len(p.queries)), args(a))
}

// hits reads what came back.
func (p *part) hits(out []byte) []pending {
	var again []pending
	saved, keys := out[p.saved-p.states:], out[p.keys-p.states:]
	for i, q := range p.queries {
		if before := kernels.ReadQuery(saved[i*kernels.QueryBytes:]); before.Flags&kernels.Overflowed != 0 {
			if before.Threshold < q.threshold {
				q.threshold = before.Threshold + 1 // the bound itself is one of the nearest
			}
			again = append(again, q)
			continue
		}
		found := min(int(kernels.ReadQuery(out[i*kernels.QueryBytes:]).Count), q.K)
		q.Hits = readKeys(keys[i*p.stride*kernels.KeyBytes:], found)
	}
	return again
}
