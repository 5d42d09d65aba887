package engine

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

// backfillChunk is how many entities one backfill step covers. It bounds how long
// a writer waits: some milliseconds, with a hundred or so microseconds an entity at
// worst, and a sync of the log. Under sync each step has one of those, so on a slow
// disk fewer steps are what makes a build fast.
const backfillChunk = 512

// fullDiskPause is how long a backfill waits on a full disk between two tries.
const fullDiskPause = time.Second

// backfill covers every entity of t and makes ix ready.
func (e *Engine) backfill(ctx context.Context, t *table, ix *index, p jobs.Progress) error {
	started := time.Now()
	total := uint64(e.store.Counter(tableCounter(t.id)))
	p.Unit("entities")
	p.Set(0, total)
	done := uint64(0)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ix.vector != nil {
			if err := ix.vector.admit(ctx); err != nil {
				return err
			}
		}
		n, err := e.backfillStep(ctx, t, ix)
		if errs.KindOf(err) == errs.StorageFull {
			// The step left nothing, and there may be space again soon.
			if err := pause(ctx, fullDiskPause); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		done += uint64(n)
		p.Set(done, max(total, done))
	}
	e.counters.indexRebuilds.Add(1)
	e.counters.indexRebuildMs.Add(uint64(time.Since(started).Milliseconds()))
	e.counters.indexRebuildEntities.Add(done)
	return nil
}

// pause waits unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// backfillStep indexes the next chunk of entities and returns how many they
// were; when there are none it makes the index ready.
func (e *Engine) backfillStep(ctx context.Context, t *table, ix *index) (int, error) {
	t.ddl.Lock()
	defer t.ddl.Unlock()
	if !slices.Contains(t.schema.Load().list(), ix) {
		return 0, errs.New(errs.Conflict, "index_dropped", "the index %s was dropped while it was being built", ix.subject())
	}
	c := &chunk{e: e, ix: ix, bound: newTableSchema([]*index{ix}), dimensions: map[*index]int{}, owners: map[string]uint32{}, claims: claims{}}
	defer c.claims.release()
	n := 0
	last := ix.build.through.Load()
	if last < math.MaxUint32 {
		err := e.store.Latest().ScanEntities(ctx, t.id, uint32(last+1), func(id uint32, raw []byte) (bool, error) {
			n++
			last = int64(id)
			return n < backfillChunk, c.add(id, raw)
		})
		if err != nil {
			return 0, err
		}
	}
	if n == 0 {
		return 0, e.makeReady(t, ix)
	}
	for _, dimension := range c.dimensions {
		if err := e.fixDimension(ix, dimension); err != nil {
			return 0, err
		}
	}
	_, err := e.store.Commit(&c.batch, storage.CommitOptions{OnCommit: func(storage.Seq) {
		for _, ev := range c.events {
			ev.apply(e.log)
		}
	}})
	if err != nil {
		return 0, err
	}
	ix.build.through.Store(last)
	return n, nil
}

// chunk collects the entries of one backfill step.
type chunk struct {
	e          *Engine
	ix         *index
	bound      *tableSchema
	batch      storage.Batch
	events     []vectorEvent
	dimensions map[*index]int
	claims     claims
	// owners are the unique terms of this chunk.
	owners    map[string]uint32
	extracted schema.Extracted
}

// add indexes one stored entity.
func (c *chunk) add(id uint32, raw []byte) error {
	r, err := decodeRecord(raw)
	if err != nil {
		return err
	}
	if err := c.bound.extractor.Extract(r.doc, &c.extracted); err != nil {
		return err
	}
	if c.ix.vector != nil {
		err = c.addVector(id, r)
	} else {
		err = c.addTerms(id, r)
	}
	if err != nil {
		return errs.Wrap(err, errs.Conflict, errs.CodeOf(err), "the entity %s:%s doesn't fit the index %s: %v; no index was made",
			c.ix.def.Table, r.pk, c.ix.subject(), err)
	}
	return nil
}

func (c *chunk) addVector(id uint32, r record) error {
	text := c.bound.indexes[0].vectorText(&c.extracted)
	if text == nil {
		return nil
	}
	vector, err := c.ix.parse(text, c.dimensions)
	if err != nil {
		return err
	}
	if err := c.claims.claim(c.ix.vector); err != nil {
		return err
	}
	c.batch.PutVector(c.ix.def.ID, id, r.stamp, vector)
	c.batch.AddCounter(indexCounter(c.ix.def.ID), 1)
	c.events = append(c.events, vectorEvent{index: c.ix.vector, id: id, stamp: r.stamp, vector: vector})
	return nil
}

func (c *chunk) addTerms(id uint32, r record) error {
	terms, err := c.ix.def.Terms(&c.extracted, c.bound.indexes[0].columns)
	if err != nil {
		return err
	}
	for _, term := range terms {
		if c.ix.def.Unique && c.ix.def.Collides(term) {
			if err := c.claim(id, string(r.pk), term); err != nil {
				return err
			}
		}
		c.batch.PutTerm(c.ix.def.ID, term, id)
	}
	c.batch.AddCounter(indexCounter(c.ix.def.ID), int64(len(terms)))
	c.ix.noteTerms(c.e.store, &c.batch, len(terms))
	return nil
}

// claim takes a unique term for id.
func (c *chunk) claim(id uint32, pk string, term []byte) error {
	if owner, taken := c.owners[string(term)]; taken && owner != id {
		return errs.New(errs.Conflict, "duplicate_value", "another entity has the same value")
	}
	c.owners[string(term)] = id
	owner, taken, err := c.e.termOwner(c.ix.def.ID, term, id)
	if err == nil && taken {
		err = errs.New(errs.Conflict, "duplicate_value", "the entity with the internal id %d has the same value", owner)
	}
	return err
}
