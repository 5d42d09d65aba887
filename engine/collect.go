package engine

import (
	"context"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

// snapshotState is the state of an execution's snapshot. It is found out when it is
// needed first.
type snapshotState struct {
	known bool
	seq   storage.Seq
	// settled is false if the state can't be told.
	settled bool
}

// settled returns the snapshot's state after all in memory has gone through it: the
// bitmaps and the vector indexes. It isn't ok if that can't be told.
func (x *execution) settled(ctx context.Context) (at storage.Seq, ok bool) {
	if s := &x.state; !s.known {
		s.known = true
		seq, err := x.snapshot.Seq()
		s.seq = seq
		s.settled = err == nil && x.e.store.AwaitSettled(ctx, seq)
	}
	return x.state.seq, x.state.settled
}

// setsUsable says whether the bitmaps can be asked for the snapshot's state.
func (x *execution) setsUsable(ctx context.Context) bool {
	if x.e.sets.limit <= 0 {
		return false
	}
	_, ok := x.settled(ctx)
	return ok
}

func keyOf(index uint32, r query.Range) termKey {
	return termKey{index: index, lo: string(r.Lo), hi: string(r.Hi)}
}

// idsInMemory returns the ids of a range if storage needn't be read for them.
func (x *execution) idsInMemory(ctx context.Context, index uint32, r query.Range) *roaring.Bitmap {
	if !x.setsUsable(ctx) {
		return nil
	}
	return x.e.sets.find(keyOf(index, r), x.state.seq)
}

// ids collects what a node yields. The bitmap may be shared with others and must not
// be changed.
func (x *execution) ids(ctx context.Context, node query.Node) (*roaring.Bitmap, error) {
	switch n := node.(type) {
	case *query.TermScan:
		return x.termIDs(ctx, n)
	case *query.Intersection:
		return x.combine(ctx, n, n.Children, roaring.And)
	case *query.Union:
		return x.combine(ctx, n, n.Children, roaring.Or)
	case *query.Difference:
		return x.combine(ctx, n, []query.Node{n.From, n.Without}, roaring.AndNot)
	case *query.FullScan:
		return x.everyID(ctx, n)
	case *query.Empty:
		return roaring.New(), nil
	}
	return nil, errs.New(errs.Internal, "internal", "a plan has the node %T where ids are collected", node)
}

func (x *execution) combine(ctx context.Context, node query.Node, children []query.Node, with func(a, b *roaring.Bitmap) *roaring.Bitmap) (*roaring.Bitmap, error) {
	var all *roaring.Bitmap
	for _, child := range children {
		ids, err := x.ids(ctx, child)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = ids
			continue
		}
		all = with(all, ids)
	}
	x.yield(node, int(all.GetCardinality()))
	return all, nil
}

// termIDs returns the ids of term ranges.
func (x *execution) termIDs(ctx context.Context, scan *query.TermScan) (*roaring.Bitmap, error) {
	parts := make([]*roaring.Bitmap, 0, len(scan.Ranges))
	for _, r := range scan.Ranges {
		ids, err := x.rangeIDs(ctx, scan, r)
		if err != nil {
			return nil, err
		}
		parts = append(parts, ids)
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return roaring.FastOr(parts...), nil
}

// rangeIDs returns the ids of a term range: from memory, or from storage, and then
// they are kept if they are many.
func (x *execution) rangeIDs(ctx context.Context, scan *query.TermScan, r query.Range) (*roaring.Bitmap, error) {
	terms := storage.TermRange{Lo: r.Lo, Hi: r.Hi}
	read := func() (*roaring.Bitmap, error) { return x.readTerms(ctx, scan, terms) }
	if !x.setsUsable(ctx) {
		return read()
	}
	key := keyOf(scan.Index, r)
	if !x.e.sets.has(key) {
		few, all, err := x.readFew(ctx, scan, terms)
		if err != nil || all {
			return few, err
		}
	}
	ids, hit, err := x.e.sets.get(ctx, key, x.state.seq, true, read)
	if hit {
		x.yield(scan, int(ids.GetCardinality()))
		x.remember(scan)
	}
	return ids, err
}

// readFew reads the ids of a range unless they are so many that they are kept.
func (x *execution) readFew(ctx context.Context, scan *query.TermScan, r storage.TermRange) (ids *roaring.Bitmap, all bool, err error) {
	few := make([]uint32, 0, x.e.sets.few)
	err = x.snapshot.ScanTerms(ctx, scan.Index, r, func(_ []byte, id uint32) (bool, error) {
		few = append(few, id)
		return len(few) < x.e.sets.few, nil
	})
	if err != nil || len(few) == x.e.sets.few {
		return nil, false, err
	}
	x.e.counters.rangeScanSteps.Add(uint64(len(few)))
	x.yield(scan, len(few))
	ids = roaring.New()
	ids.AddMany(few)
	return ids, true, nil
}

// readTerms reads the ids of a term range. Within a term they ascend, so they are
// added in runs.
func (x *execution) readTerms(ctx context.Context, scan *query.TermScan, r storage.TermRange) (*roaring.Bitmap, error) {
	all, steps := roaring.New(), 0
	run := make([]uint32, 0, 4096)
	err := x.snapshot.ScanTerms(ctx, scan.Index, r, func(_ []byte, id uint32) (bool, error) {
		steps++
		if run = append(run, id); len(run) == cap(run) {
			all.AddMany(run)
			run = run[:0]
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	all.AddMany(run)
	x.e.counters.rangeScanSteps.Add(uint64(steps))
	x.yield(scan, steps)
	return all, nil
}

// everyID returns the ids of all entities of the table.
func (x *execution) everyID(ctx context.Context, scan *query.FullScan) (*roaring.Bitmap, error) {
	read := func() (*roaring.Bitmap, error) {
		all := roaring.New()
		run := make([]uint32, 0, 4096)
		err := x.snapshot.ScanEntities(ctx, x.t.id, 0, func(id uint32, _ []byte) (bool, error) {
			if run = append(run, id); len(run) == cap(run) {
				all.AddMany(run)
				run = run[:0]
			}
			return true, nil
		})
		all.AddMany(run)
		return all, err
	}
	var ids *roaring.Bitmap
	var hit bool
	var err error
	if x.setsUsable(ctx) {
		ids, hit, err = x.e.sets.get(ctx, termKey{index: x.t.id}, x.state.seq, true, read)
	} else {
		ids, err = read()
	}
	if err != nil {
		return nil, err
	}
	if hit {
		x.remember(scan)
	}
	x.yield(scan, int(ids.GetCardinality()))
	return ids, nil
}

// exactIDs collects the ids of all matches. The set may be shared with others and must
// not be changed.
func (x *execution) exactIDs(ctx context.Context) (*bitmap.Set, error) {
	expiring, known := x.expiring()
	if x.residual != nil || !known {
		set := &bitmap.Set{}
		return set, x.each(ctx, 0, func(m match) (bool, error) {
			set.Add(m.id)
			return true, nil
		})
	}
	ids, err := x.ids(ctx, x.plan.Root)
	if err != nil {
		return nil, err
	}
	for _, index := range expiring {
		expired := roaring.New()
		err := x.snapshot.ScanTerms(ctx, index, expiredRange(x.nowMs), func(_ []byte, id uint32) (bool, error) {
			expired.Add(id)
			return true, nil
		})
		if err != nil {
			return nil, err
		}
		ids = roaring.AndNot(ids, expired)
	}
	if scan, ok := x.plan.Root.(*query.TermScan); ok && len(scan.Ranges) == 1 && len(expiring) == 0 {
		return x.e.sets.flat(keyOf(scan.Index, scan.Ranges[0]), ids), nil
	}
	return flatten(ids), nil
}

func flatten(ids *roaring.Bitmap) *bitmap.Set {
	words := make([]uint64, ids.DenseSize())
	ids.WriteDenseTo(words)
	return bitmap.FromWords(words, int(ids.GetCardinality()))
}

// expiring lists the ttl indexes, whose entries say what has expired; known is false
// if the snapshot doesn't have all entries of one.
func (x *execution) expiring() (indexes []uint32, known bool) {
	for _, b := range x.schema.ttl {
		if !b.readyIn(x.snapshot) {
			return nil, false
		}
		indexes = append(indexes, b.def.ID)
	}
	return indexes, true
}

// count counts the matches, without reading entities where the indexes know.
func (x *execution) count(ctx context.Context) (int, error) {
	if scan, ok := x.plan.Root.(*query.TermScan); ok && x.residual == nil && len(x.schema.ttl) == 0 && x.ascending(scan) {
		if ids := x.idsInMemory(ctx, scan.Index, scan.Ranges[0]); ids != nil {
			x.yield(scan, int(ids.GetCardinality()))
			x.remember(scan)
			return int(ids.GetCardinality()), nil
		}
		n, _, err := x.snapshot.CountTerms(ctx, scan.Index, storage.TermRange{Lo: scan.Ranges[0].Lo, Hi: scan.Ranges[0].Hi}, maxID)
		x.yield(scan, n)
		return n, err
	}
	ids, err := x.exactIDs(ctx)
	if err != nil {
		return 0, err
	}
	return ids.Len(), nil
}
