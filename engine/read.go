package engine

import (
	"context"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

// located is one primary key's id; at is its place in the list looked up.
type located struct {
	at int
	id uint32
}

// lookup finds the ids of those pks that have one.
func (e *Engine) lookup(r *storage.Reader, t *table, pks []string) ([]located, error) {
	ids := make([]uint32, len(pks))
	found := make([]bool, len(pks))
	if err := r.LookupIDs(t.id, pks, ids, found); err != nil {
		return nil, err
	}
	var present []located
	for i := range pks {
		if found[i] {
			present = append(present, located{i, ids[i]})
		}
	}
	return present, nil
}

// Get reads entities by key, nil for each that isn't there. Without
// withVectors, columns that a vector index covers are left out.
func (e *Engine) Get(ctx context.Context, wanted []Key, withVectors bool) ([]*Entity, error) {
	for _, k := range wanted {
		if err := k.Validate(); err != nil {
			return nil, err
		}
	}
	snapshot := e.store.NewSnapshot()
	defer snapshot.Release()
	out := make([]*Entity, len(wanted))
	byTable := map[string][]int{}
	for i, k := range wanted {
		byTable[k.Table] = append(byTable[k.Table], i)
	}
	for name, places := range byTable {
		if err := ctx.Err(); err != nil {
			return nil, contextError(err)
		}
		t, err := e.table(name)
		if errs.KindOf(err) == errs.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := e.getFrom(&snapshot.Reader, t, wanted, places, withVectors, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// getFrom fills out at places with t's entities.
func (e *Engine) getFrom(r *storage.Reader, t *table, wanted []Key, places []int, withVectors bool, out []*Entity) error {
	pks := make([]string, len(places))
	for i, p := range places {
		pks[i] = wanted[p].PK
	}
	present, err := e.lookup(r, t, pks)
	if err != nil {
		return err
	}
	ids := make([]uint32, len(present))
	for i, p := range present {
		ids[i] = p.id
	}
	shape := e.newShape(t, withVectors, nil)
	return r.Entities(t.id, ids, func(i int, raw []byte) error {
		if raw == nil {
			return nil
		}
		entity, err := shape.entity(raw)
		out[places[present[i].at]] = entity
		return err
	})
}

// shape turns records into the entities of an answer.
type shape struct {
	table  *table
	schema *tableSchema
	nowMs  int64
	// part is what is wanted of the documents.
	part schema.Projection
}

func (e *Engine) newShape(t *table, withVectors bool, fields []string) *shape {
	s := &shape{table: t, schema: t.schema.Load(), nowMs: e.opts.Now().UnixMilli(), part: schema.Only(fields)}
	if !withVectors && len(fields) == 0 {
		s.part = s.schema.withoutVectors
	}
	return s
}

// entity decodes a record; nil if it has expired.
func (s *shape) entity(raw []byte) (*Entity, error) {
	r, err := decodeRecord(raw)
	if err != nil {
		return nil, err
	}
	expired, err := s.schema.docExpired(r.doc, s.nowMs)
	if err != nil || expired {
		return nil, err
	}
	doc, err := s.part.Of(r.doc)
	if err != nil {
		return nil, err
	}
	return &Entity{
		Key:       Key{s.table.name, string(r.pk)},
		Version:   r.version,
		UpdatedAt: stampTime(r.stamp),
		Doc:       doc,
	}, nil
}

// defaultPage and maxPage bound the pages of listings.
const (
	defaultPage = 100
	maxPage     = 10_000
)

func pageSize(limit int) (int, error) {
	if limit < 0 || limit > maxPage {
		return 0, errs.Field("invalid_limit", "/limit", "the limit %d is out of range; it is 1 to %d", limit, maxPage)
	}
	if limit == 0 {
		return defaultPage, nil
	}
	return limit, nil
}

// Scroll lists a table page by page, in the order of the internal ids: an
// entity that exists throughout is listed exactly once, whatever is written
// meanwhile.
func (e *Engine) Scroll(ctx context.Context, tableName, after string, limit int, withVectors bool) (ScrollPage, error) {
	t, err := e.table(tableName)
	if err != nil {
		return ScrollPage{}, err
	}
	if limit, err = pageSize(limit); err != nil {
		return ScrollPage{}, err
	}
	from := uint64(0)
	fingerprint := fingerprintOf("scroll", tableName)
	if after != "" {
		c, err := parseCursor(after, fingerprint)
		if err != nil {
			return ScrollPage{}, err
		}
		from = uint64(c.ID) + 1
	}
	page := ScrollPage{Entities: []Entity{}}
	if from > maxID {
		return page, nil
	}
	shape := e.newShape(t, withVectors, nil)
	var last uint32
	err = e.store.Latest().ScanEntities(ctx, t.id, uint32(from), func(id uint32, raw []byte) (bool, error) {
		if len(page.Entities) == limit {
			page.NextCursor = cursor{ID: last}.encode(fingerprint)
			return false, nil
		}
		entity, err := shape.entity(raw)
		if err != nil || entity == nil {
			return true, err
		}
		page.Entities = append(page.Entities, *entity)
		last = id
		return true, nil
	})
	if err != nil {
		return ScrollPage{}, contextError(err)
	}
	return page, nil
}
