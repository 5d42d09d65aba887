// Package flat is the exact vector index: it scores every vector there is. It is
// the oracle for every other engine and the right one for small collections.
//
// Vectors lie packed in Go memory under one RWMutex: searches share it, Put and
// Delete take it alone. The package has no goroutines.
package flat

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/nearest"
	"github.com/vccdb/vccdb/vecindex/internal/space"
	"github.com/vccdb/vccdb/vecindex/simd"
)

// block is how many vectors are scored at a time; between blocks a search looks
// at its context.
const block = 1024

// Options has a usable zero value.
type Options struct {
	// Kernel forces an instruction set; the zero value takes the best one.
	Kernel simd.Level
}

// Index is a vecindex.Index that searches exactly.
type Index struct {
	space space.Space
	// scratches are reused by searches; each holds a *scratch.
	scratches sync.Pool

	mu struct {
		sync.RWMutex
		closed  bool
		vectors []float32 // row i is vectors[i*Stride:(i+1)*Stride]
		ids     []uint32  // of row i
		stamps  []uint64  // of row i
		rows    map[uint32]uint32
	}
}

var _ vecindex.Source = (*Index)(nil)

// scratch is what one search needs.
type scratch struct {
	query     []float32
	rows      []uint32
	distances []float32
	nearest   nearest.Heap
}

// New makes an empty index for vectors of one dimension.
func New(metric vecindex.Metric, dim int, o Options) (*Index, error) {
	sp, err := space.New(metric, dim, o.Kernel)
	if err != nil {
		return nil, err
	}
	x := &Index{space: sp}
	x.mu.rows = make(map[uint32]uint32)
	x.scratches.New = func() any {
		return &scratch{query: make([]float32, sp.Stride), rows: make([]uint32, 0, block), distances: make([]float32, block)}
	}
	return x, nil
}

func errClosed() error {
	return errs.New(errs.Unavailable, "vector_index_closed", "the vector index is closed; nothing was done")
}

// Put makes vec searchable under id at once.
func (x *Index) Put(id uint32, stamp uint64, vec []float32) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.closed {
		return errClosed()
	}
	end := len(x.mu.vectors)
	row, replace := x.mu.rows[id]
	if !replace {
		row = uint32(len(x.mu.ids))
	}
	// The vector is prepared behind the last row: a refused one changes nothing.
	x.mu.vectors = append(x.mu.vectors, make([]float32, x.space.Stride)...)
	fresh := x.mu.vectors[end:]
	if err := x.space.Prepare(fresh, vec); err != nil {
		x.mu.vectors = x.mu.vectors[:end]
		return err
	}
	if replace {
		copy(x.row(row), fresh)
		x.mu.vectors = x.mu.vectors[:end]
		x.mu.stamps[row] = stamp
		return nil
	}
	x.mu.ids = append(x.mu.ids, id)
	x.mu.stamps = append(x.mu.stamps, stamp)
	x.mu.rows[id] = row
	return nil
}

// Delete makes id unfindable; the last row takes its place.
func (x *Index) Delete(id uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	row, ok := x.mu.rows[id]
	if !ok {
		return
	}
	last := uint32(len(x.mu.ids) - 1)
	copy(x.row(row), x.row(last))
	x.mu.ids[row], x.mu.stamps[row] = x.mu.ids[last], x.mu.stamps[last]
	x.mu.rows[x.mu.ids[row]] = row
	delete(x.mu.rows, id)
	x.mu.ids, x.mu.stamps = x.mu.ids[:last], x.mu.stamps[:last]
	x.mu.vectors = x.mu.vectors[:int(last)*x.space.Stride]
}

func (x *Index) row(r uint32) []float32 {
	at := int(r) * x.space.Stride
	return x.mu.vectors[at : at+x.space.Stride]
}

// Admit never blocks: there is no backlog.
func (x *Index) Admit(ctx context.Context) error { return ctx.Err() }

// AllowBacklog does nothing: there is no backlog.
func (x *Index) AllowBacklog() {}

// Drain never blocks: nothing is ever pending.
func (x *Index) Drain(ctx context.Context) error { return ctx.Err() }

// Search scores every allowed vector.
func (x *Index) Search(ctx context.Context, q vecindex.Query, dst []vecindex.Hit) ([]vecindex.Hit, vecindex.SearchStats, error) {
	return x.search(ctx, q, x.allowed(q.Allow), dst)
}

// SearchAmong scores the vectors of ids.
func (x *Index) SearchAmong(ctx context.Context, q vecindex.Query, ids []uint32, dst []vecindex.Hit) ([]vecindex.Hit, vecindex.SearchStats, error) {
	return x.search(ctx, q, func(yield func(uint32) bool) {
		for _, id := range ids {
			if row, ok := x.mu.rows[id]; ok && (q.Allow == nil || q.Allow.Contains(id)) && !yield(row) {
				return
			}
		}
	}, dst)
}

// search scores the vectors of rows, which are gone over with the lock held.
func (x *Index) search(ctx context.Context, q vecindex.Query, rows iter.Seq[uint32], dst []vecindex.Hit) ([]vecindex.Hit, vecindex.SearchStats, error) {
	var stats vecindex.SearchStats
	if q.K < 1 {
		return dst, stats, errs.New(errs.Invalid, "invalid_k", "k is at least 1, not %d", q.K)
	}
	s := x.scratches.Get().(*scratch)
	defer x.scratches.Put(s)
	if err := x.space.Prepare(s.query, q.Vector); err != nil {
		return dst, stats, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.mu.closed {
		return dst, stats, errClosed()
	}
	s.nearest.Reset(q.K)
	for row := range rows {
		s.rows = append(s.rows, row)
		if len(s.rows) == block {
			stats.Distances += x.score(s)
			if err := ctx.Err(); err != nil {
				return dst, stats, err
			}
		}
	}
	stats.Distances += x.score(s)
	return s.nearest.AppendSorted(dst), stats, ctx.Err()
}

// allowed yields the rows whose ids are in allow (nil: all rows), by whichever of
// the two is shorter.
func (x *Index) allowed(allow *bitmap.Set) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		if allow != nil && allow.Len() < len(x.mu.ids) {
			allow.All(func(id uint32) bool {
				row, ok := x.mu.rows[id]
				return !ok || yield(row)
			})
			return
		}
		for row, id := range x.mu.ids {
			if (allow == nil || allow.Contains(id)) && !yield(uint32(row)) {
				return
			}
		}
	}
}

// score moves the gathered rows into the nearest and says how many there were.
func (x *Index) score(s *scratch) int {
	n := len(s.rows)
	x.space.Distances(s.query, x.mu.vectors, s.rows, s.distances)
	for i, row := range s.rows {
		if id := x.mu.ids[row]; s.nearest.Wants(s.distances[i], id) {
			s.nearest.Add(vecindex.Hit{ID: id, Distance: s.distances[i], Stamp: x.mu.stamps[row]})
		}
	}
	s.rows = s.rows[:0]
	return n
}

// Stamp is the one given to Put with id's vector.
func (x *Index) Stamp(id uint32) (uint64, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	row, ok := x.mu.rows[id]
	if !ok {
		return 0, false
	}
	return x.mu.stamps[row], true
}

// Len is the number of vectors.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.mu.ids)
}

// IDs yields the ids that had a vector when it began.
func (x *Index) IDs() iter.Seq[uint32] {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Values(slices.Clone(x.mu.ids))
}

// Vector copies the vector of id to dst.
func (x *Index) Vector(dst []float32, id uint32) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	row, ok := x.mu.rows[id]
	if ok {
		copy(dst, x.row(row))
	}
	return ok
}

// Stats describes the index; an exact one has no links, levels or tombstones.
func (x *Index) Stats() vecindex.Stats {
	x.mu.RLock()
	defer x.mu.RUnlock()
	const bytesPerMapEntry = 10 // two uint32 and a control byte, at the usual load
	return vecindex.Stats{
		Engine:    "flat",
		Kernel:    x.space.Kernel().String(),
		Dimension: x.space.Dim,
		Metric:    x.space.Metric,
		Live:      len(x.mu.ids),
		Bytes: map[string]int64{
			"vectors": int64(cap(x.mu.vectors)) * 4,
			"ids":     int64(cap(x.mu.ids))*4 + int64(cap(x.mu.stamps))*8 + int64(len(x.mu.rows))*bytesPerMapEntry,
		},
	}
}

// Usage is the part of Stats that costs nothing; here that is all of it.
func (x *Index) Usage() vecindex.Usage {
	s := x.Stats()
	return vecindex.Usage{Live: s.Live, Bytes: s.Bytes["vectors"] + s.Bytes["ids"]}
}

// MemoryWith is the memory of as many vectors and more: slices grow by up to a quarter.
func (x *Index) MemoryWith(more int) int64 {
	x.mu.RLock()
	spare := cap(x.mu.ids) - len(x.mu.ids)
	x.mu.RUnlock()
	bytes := x.Usage().Bytes
	if more <= spare {
		return bytes
	}
	return max(bytes+bytes/4, bytes+int64(more-spare)*int64(4*x.space.Stride+4+8))
}

// Check verifies that rows and ids name each other.
func (x *Index) Check() error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n := len(x.mu.ids)
	if len(x.mu.rows) != n || len(x.mu.stamps) != n || len(x.mu.vectors) != n*x.space.Stride {
		return fmt.Errorf("flat: %d ids, %d rows, %d stamps, %d floats", n, len(x.mu.rows), len(x.mu.stamps), len(x.mu.vectors))
	}
	for row, id := range x.mu.ids {
		if got, ok := x.mu.rows[id]; !ok || got != uint32(row) {
			return fmt.Errorf("flat: row %d has id %d, which is mapped to row %d (%v)", row, id, got, ok)
		}
	}
	return nil
}

// Close frees the memory. Searches under way finish first.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.closed = true
	x.mu.vectors, x.mu.ids, x.mu.stamps = nil, nil, nil
	clear(x.mu.rows)
	return nil
}
