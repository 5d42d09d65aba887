package engine

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

// page collects one page of a query's matches in the order asked for.
type page struct {
	req    *QueryRequest
	sorter *query.Sorter
	limit  int
	// after is the sort key of the page before's last entity, nil on the first,
	// and afterID its id.
	after       []byte
	afterID     uint32
	fingerprint uint64
}

// keyed is a match with its place in the order.
type keyed struct {
	match
	key []byte
}

// open checks the request and reads its cursor.
func (p *page) open() error {
	req := p.req
	switch req.Return {
	case "":
		req.Return = ReturnEntities
	case ReturnEntities, ReturnKeys, ReturnCount:
	default:
		return errs.Field("invalid_return", "/return", "%q isn't something to return; use entities, keys or count", req.Return)
	}
	var err error
	if p.limit, err = pageSize(req.Limit); err != nil {
		return err
	}
	p.fingerprint = fingerprintOf("query", req.Table, req.Filter.String(), fmt.Sprint(req.Order))
	if req.Cursor == "" {
		return nil
	}
	c, err := parseCursor(req.Cursor, p.fingerprint)
	if err == nil && len(c.Key) < 4 {
		err = errs.Field("invalid_cursor", "/cursor", "this isn't a cursor of a query")
	}
	p.after, p.afterID = c.Key, c.ID
	return err
}

// fill collects the page into result.
func (p *page) fill(ctx context.Context, x *execution, result *QueryResult) error {
	matches, err := p.collect(ctx, x)
	if err != nil {
		return err
	}
	if len(matches) > p.limit {
		matches = matches[:p.limit]
		result.NextCursor = cursor{Key: matches[p.limit-1].key, ID: matches[p.limit-1].id}.encode(p.fingerprint)
	}
	result.Count = len(matches)
	result.Entities, result.Keys = []Entity{}, []string{}
	shape := x.e.newShape(x.t, true, p.req.Fields)
	for _, m := range matches {
		key := Key{x.t.name, string(m.record.pk)}
		if p.req.Return == ReturnKeys {
			result.Keys = append(result.Keys, key.String())
			continue
		}
		doc, err := shape.part.Of(m.record.doc)
		if err != nil {
			return err
		}
		result.Entities = append(result.Entities, Entity{Key: key, Version: m.record.version, UpdatedAt: stampTime(m.record.stamp), Doc: doc})
	}
	return nil
}

// collect returns the first limit+1 matches after the cursor, if there are so
// many.
func (p *page) collect(ctx context.Context, x *execution) ([]keyed, error) {
	if scan, ok := x.plan.Root.(*query.OrderScan); ok {
		return p.walkIndex(ctx, x, scan)
	}
	if len(p.req.Order) > 0 {
		top := topKeys{limit: p.limit + 1}
		err := x.each(ctx, 0, func(m match) (bool, error) { return true, p.offer(&top, m) })
		return top.sorted(), err
	}
	return p.inIDOrder(ctx, x)
}

// inIDOrder takes matches as they come.
func (p *page) inIDOrder(ctx context.Context, x *execution) ([]keyed, error) {
	from := uint64(0)
	if p.after != nil {
		from = uint64(p.afterID) + 1
		x.e.counters.cursorAnchorHits.Add(1)
	}
	var found []keyed
	err := x.each(ctx, from, func(m match) (bool, error) {
		key, err := p.sorter.AppendKey(nil, m.record.doc, m.id)
		found = append(found, keyed{m, key})
		return len(found) <= p.limit, err
	})
	return found, err
}

// offer adds m to top if it comes after the cursor.
func (p *page) offer(top *topKeys, m match) error {
	key, err := p.sorter.AppendKey(nil, m.record.doc, m.id)
	if err == nil && bytes.Compare(key, p.after) > 0 {
		top.add(keyed{m, key})
	}
	return err
}

// topKeys keeps the limit smallest keys.
type topKeys struct {
	limit int
	kept  []keyed
}

func (t *topKeys) add(k keyed) {
	t.kept = append(t.kept, k)
	// Sorting now and then is as good as a heap and simpler.
	if len(t.kept) >= 2*t.limit+64 {
		t.sorted()
	}
}

func (t *topKeys) sorted() []keyed {
	slices.SortFunc(t.kept, func(a, b keyed) int { return bytes.Compare(a.key, b.key) })
	t.kept = t.kept[:min(len(t.kept), t.limit)]
	return t.kept
}

// indexEntry is one step of a walk along an index.
type indexEntry struct {
	id  uint32
	key []byte
}

// walkIndex walks the index of the order column and stops as soon as the page
// is full.
func (p *page) walkIndex(ctx context.Context, x *execution, scan *query.OrderScan) ([]keyed, error) {
	r := storage.TermRange{Lo: scan.Range.Lo, Hi: scan.Range.Hi, Reverse: scan.Desc}
	missing := false
	if p.after != nil {
		term, id, ok := p.sorter.Position(p.after)
		if !ok {
			return nil, errs.Field("invalid_cursor", "/cursor", "this isn't a cursor of a query with this order_by")
		}
		r.After, r.AfterID, missing = term, id, term == nil
		x.e.counters.cursorAnchorHits.Add(1)
	}
	var found []keyed
	for more := !missing; more; {
		var entries []indexEntry
		var err error
		if entries, more, err = p.entries(ctx, x, scan.Index, &r); err != nil {
			return nil, err
		}
		x.yield(scan, len(entries))
		if found, err = p.takeEntries(ctx, x, entries, found); err != nil || len(found) > p.limit {
			return found, err
		}
	}
	if !scan.MissingLast {
		return found, nil
	}
	return p.addMissing(ctx, x, found)
}

// entries reads the next entries of the walk and moves r behind them. more is
// false when they were the last.
func (p *page) entries(ctx context.Context, x *execution, index uint32, r *storage.TermRange) (entries []indexEntry, more bool, err error) {
	window := max(p.limit+1, x.e.opts.Query.BatchSize)
	err = x.snapshot.ScanTerms(ctx, index, *r, func(term []byte, id uint32) (bool, error) {
		entries = append(entries, indexEntry{id, p.sorter.AppendTermKey(nil, term, id)})
		if len(entries) == window {
			r.After, r.AfterID, more = bytes.Clone(term), id, true
		}
		return !more, nil
	})
	x.e.counters.rangeScanSteps.Add(uint64(len(entries)))
	return entries, more, err
}

// takeEntries adds the matches among the entries. An entity with several values
// has several entries; it is taken at the one it is sorted by.
func (p *page) takeEntries(ctx context.Context, x *execution, entries []indexEntry, found []keyed) ([]keyed, error) {
	ids := make([]uint32, len(entries))
	for i, entry := range entries {
		ids[i] = entry.id
	}
	slices.Sort(ids)
	matches, err := x.fetch(ctx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	byKey := make(map[string]match, len(matches))
	for _, m := range matches {
		key, err := p.sorter.AppendKey(nil, m.record.doc, m.id)
		if err != nil {
			return nil, err
		}
		byKey[string(key)] = m
	}
	for _, entry := range entries {
		if m, ok := byKey[string(entry.key)]; ok && len(found) <= p.limit {
			found = append(found, keyed{m, entry.key})
		}
	}
	return found, nil
}

// addMissing adds the matches that have no value to sort by.
func (p *page) addMissing(ctx context.Context, x *execution, found []keyed) ([]keyed, error) {
	top := topKeys{limit: p.limit + 1 - len(found)}
	err := x.scanAll(ctx, 0, func(m match) (bool, error) {
		key, err := p.sorter.AppendKey(nil, m.record.doc, m.id)
		if err != nil {
			return false, err
		}
		if term, _, ok := p.sorter.Position(key); ok && term == nil && bytes.Compare(key, p.after) > 0 {
			top.add(keyed{m, key})
		}
		return true, nil
	})
	return append(found, top.sorted()...), err
}
