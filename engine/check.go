package engine

import (
	"bytes"
	"context"
	"fmt"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/storage/keys"
)

// maxFindings bounds a report; more are counted only.
const maxFindings = 100

// CheckReport is the outcome of Check.
type CheckReport struct {
	Tables   int    `json:"tables"`
	Entities uint64 `json:"entities"`
	Terms    uint64 `json:"terms"`
	Vectors  uint64 `json:"vectors"`
	// FeedEvents are those of the change feed.
	FeedEvents uint64 `json:"feed_events"`
	// Total counts the findings; Findings names the first hundred.
	Total    int      `json:"total"`
	Findings []string `json:"findings"`
}

func (r *CheckReport) find(format string, args ...any) {
	r.Total++
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
	}
}

// Check proves, table by table, that entities, primary keys, index terms,
// stored vectors and counters agree both ways, and that each vector index holds
// just the stored vectors and keeps its own invariants; and that the change feed
// is readable from end to end and tells the same as the oplog. Writes to a table
// wait while it is looked at. An error means that the check itself could not be done.
func (e *Engine) Check(ctx context.Context) (*CheckReport, error) {
	r := &CheckReport{Findings: []string{}}
	for _, t := range e.allTables() {
		if err := e.checkTable(ctx, t, r); err != nil {
			return nil, err
		}
		r.Tables++
	}
	if err := e.checkFeed(ctx, r); err != nil {
		return nil, contextError(err)
	}
	return r, nil
}

// tableCheck is the check of one table.
type tableCheck struct {
	*CheckReport
	e      *Engine
	t      *table
	schema *tableSchema
	reader *storage.Reader
	// expected counts, per index, the entries that the entities call for.
	expected []uint64
}

func (e *Engine) checkTable(ctx context.Context, t *table, r *CheckReport) error {
	t.ddl.Lock()
	defer t.ddl.Unlock()
	// With writers held out the backlog can only shrink.
	for _, b := range t.schema.Load().indexes {
		if b.vector != nil && b.vector.current() != nil {
			if err := b.vector.current().Drain(ctx); err != nil {
				return contextError(err)
			}
		}
	}
	snapshot := e.store.NewSnapshot()
	defer snapshot.Release()
	s := t.schema.Load()
	c := &tableCheck{CheckReport: r, e: e, t: t, schema: s, reader: &snapshot.Reader, expected: make([]uint64, len(s.indexes))}
	if err := c.entities(ctx); err != nil {
		return contextError(err)
	}
	for i := range s.indexes {
		if err := c.index(ctx, i); err != nil {
			return contextError(err)
		}
	}
	return nil
}

// entities goes from each entity to all that must point at it.
func (c *tableCheck) entities(ctx context.Context) error {
	n := uint64(0)
	var x schema.Extracted
	err := c.reader.ScanEntities(ctx, c.t.id, 0, func(id uint32, raw []byte) (bool, error) {
		n++
		rec, err := decodeRecord(raw)
		if err != nil {
			c.find("%s: the record with id %d can't be decoded", c.t.name, id)
			return true, nil
		}
		key := Key{c.t.name, string(rec.pk)}
		if err := c.primaryKey(key, id); err != nil {
			return false, err
		}
		if _, err := schema.ValidateDocument(rec.doc); err != nil {
			c.find("%s: the document isn't valid: %v", key, err)
			return true, nil
		}
		if err := c.schema.extractor.Extract(rec.doc, &x); err != nil {
			return false, err
		}
		for i, b := range c.schema.indexes {
			if err := c.entries(key, id, i, b, &x); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	c.Entities += n
	if have := c.e.store.Counter(tableCounter(c.t.id)); uint64(have) != n {
		c.find("%s: %d entities are stored, but the counter says %d", c.t.name, n, have)
	}
	return c.primaryKeys(ctx, n)
}

func (c *tableCheck) primaryKey(key Key, id uint32) error {
	present, err := c.e.lookup(c.reader, c.t, []string{key.PK})
	switch {
	case err != nil:
		return err
	case len(present) == 0:
		c.find("%s: the entity with id %d can't be found by its key", key, id)
	case present[0].id != id:
		c.find("%s: the key leads to id %d, the entity has id %d", key, present[0].id, id)
	}
	return nil
}

// primaryKeys checks that there are no keys without an entity.
func (c *tableCheck) primaryKeys(ctx context.Context, entities uint64) error {
	n := uint64(0)
	err := c.reader.ScanPKs(ctx, c.t.id, "", func(string, uint32) (bool, error) {
		n++
		return true, nil
	})
	if err == nil && n != entities {
		c.find("%s: there are %d primary keys for %d entities", c.t.name, n, entities)
	}
	return err
}

// entries looks up what index i must hold for an entity.
func (c *tableCheck) entries(key Key, id uint32, i int, b boundIndex, x *schema.Extracted) error {
	if !b.covers(id) {
		return nil
	}
	if b.vector != nil {
		return c.vector(key, id, i, b, x)
	}
	terms, err := b.def.Terms(x, b.columns)
	if err != nil {
		c.find("%s: doesn't fit the index %s: %v", key, b.subject(), err)
		return nil
	}
	c.expected[i] += uint64(len(terms))
	for _, term := range terms {
		found, others := false, 0
		r := storage.TermRange{Lo: term, Hi: keys.PrefixEnd(term)}
		if !b.def.Unique && id > 0 {
			r.After, r.AfterID = term, id-1
		}
		err := c.reader.ScanTerms(c.e.ctx, b.def.ID, r, func(t []byte, other uint32) (bool, error) {
			found = found || other == id && bytes.Equal(t, term)
			others++
			return b.def.Unique, nil
		})
		if err != nil {
			return err
		}
		if !found {
			c.find("%s: isn't in the index %s", key, b.subject())
		}
		if b.def.Unique && b.def.Collides(term) && others > 1 {
			c.find("%s: %d entities have the same value in the unique index %s", key, others, b.subject())
		}
	}
	return nil
}

func (c *tableCheck) vector(key Key, id uint32, i int, b boundIndex, x *schema.Extracted) error {
	text := b.vectorText(x)
	if text == nil {
		return nil
	}
	c.expected[i]++
	want, err := schema.ParseVector(text)
	if err != nil {
		c.find("%s: the column of the index %s isn't a vector: %v", key, b.subject(), err)
		return nil
	}
	return c.reader.Vectors(b.def.ID, []uint32{id}, func(_ int, stamp uint64, raw []byte) error {
		switch {
		case raw == nil:
			c.find("%s: its vector isn't stored for the index %s", key, b.subject())
		case !equalVectors(decodeVector(nil, raw), want):
			c.find("%s: the stored vector of the index %s differs from the entity's", key, b.subject())
		default:
			c.memory(key, id, stamp, b)
		}
		return nil
	})
}

// memory checks that the in-memory index has the stored vector.
func (c *tableCheck) memory(key Key, id uint32, stamp uint64, b boundIndex) {
	v := b.vector.current()
	if v == nil || b.vector.loading.Load() {
		return
	}
	if have, ok := v.Stamp(id); !ok || have != stamp {
		c.find("%s: the index %s has the vector of write %d (present: %t), storage that of write %d", key, b.subject(), have, ok, stamp)
	}
}

func equalVectors(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// index goes from an index's entries back: with every expected entry found,
// equal counts mean that there are no others.
func (c *tableCheck) index(ctx context.Context, i int) error {
	b := c.schema.indexes[i]
	n, err := c.countEntries(ctx, b)
	if err != nil {
		return err
	}
	if b.vector != nil {
		c.Vectors += n
	} else {
		c.Terms += n
	}
	if n != c.expected[i] {
		c.find("the index %s has %d entries, its entities call for %d", b.subject(), n, c.expected[i])
	}
	if have := c.e.store.Counter(indexCounter(b.def.ID)); uint64(have) != n {
		c.find("the index %s has %d entries, but its counter says %d", b.subject(), n, have)
	}
	if b.vector == nil || b.vector.current() == nil || b.vector.loading.Load() {
		return nil
	}
	v := b.vector.current()
	if uint64(v.Len()) != n {
		c.find("the index %s has %d vectors in memory and %d in storage", b.subject(), v.Len(), n)
	}
	if err := v.Check(); err != nil {
		c.find("the index %s breaks its own rules: %v", b.subject(), err)
	}
	return nil
}

func (c *tableCheck) countEntries(ctx context.Context, b boundIndex) (uint64, error) {
	n := uint64(0)
	if b.vector != nil {
		err := c.reader.ScanVectors(ctx, b.def.ID, 0, func(uint32, uint64, []byte) (bool, error) {
			n++
			return true, nil
		})
		return n, err
	}
	err := c.reader.ScanTerms(ctx, b.def.ID, storage.TermRange{}, func([]byte, uint32) (bool, error) {
		n++
		return true, nil
	})
	return n, err
}
