package engine

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

// TableNames lists the tables by name. It reads no storage, so it is quick with
// thousands of them; Tables says more.
func (e *Engine) TableNames() []string {
	var names []string
	for _, t := range e.allTables() {
		names = append(names, t.name)
	}
	return names
}

// IndexDefs lists the indexes of one table, or of all when the name is empty,
// by table. It reads no storage; IndexStats says more.
func (e *Engine) IndexDefs(tableName string) ([]schema.IndexDef, error) {
	tables := e.allTables()
	if tableName != "" {
		t, err := e.table(tableName)
		if err != nil {
			return nil, err
		}
		tables = []*table{t}
	}
	var defs []schema.IndexDef
	for _, t := range tables {
		for _, b := range t.schema.Load().indexes {
			defs = append(defs, *b.currentDef())
		}
	}
	return defs, nil
}

// PrimaryKeys lists the first primary keys of a table that begin with prefix, in
// byte order. An entity that has expired and isn't swept yet may be among them.
func (e *Engine) PrimaryKeys(ctx context.Context, tableName, prefix string, limit int) ([]string, error) {
	t, err := e.table(tableName)
	if err != nil {
		return nil, err
	}
	if limit, err = pageSize(limit); err != nil {
		return nil, err
	}
	pks := []string{}
	err = e.store.Latest().ScanPKs(ctx, t.id, prefix, func(pk string, _ uint32) (bool, error) {
		pks = append(pks, pk)
		return len(pks) < limit, nil
	})
	return pks, contextError(err)
}

// MaxVectors is the most vectors that Vectors returns.
const MaxVectors = 10_000

// VectorsRequest asks for the stored vectors of a vector index.
type VectorsRequest struct {
	// Table and Column name the index as in a SearchRequest.
	Table, Column string
	// PKs names the entities; those without a vector are left out of the answer.
	// Without any, Sample entities are drawn at random.
	PKs    []string
	Sample int
	// Filter narrows the sample; nil is all entities.
	Filter *query.Expr
	// Return is ReturnEntities when empty; ReturnKeys leaves the documents out.
	Return Return
	// Fields, if any, reduces each entity to these columns. Vectors aren't in it
	// unless they are named.
	Fields []string
}

// StoredVector is an entity with its vector in one index.
type StoredVector struct {
	Entity
	Vector []float32
}

// Vectors reads stored vectors with their entities: those of PKs in their
// order, or a random sample, which is smaller than asked for if there are fewer.
func (e *Engine) Vectors(ctx context.Context, req VectorsRequest) ([]StoredVector, error) {
	if n := max(req.Sample, len(req.PKs)); n > MaxVectors || req.Sample < 0 {
		return nil, errs.Field("invalid_sample", "/sample", "%d vectors were asked for; at most %d are read at once", n, MaxVectors)
	}
	t, ix, err := e.vectorIndexOf(req.Table, req.Column)
	if err != nil {
		return nil, err
	}
	r := vectorReader{e: e, t: t, ix: ix, snapshot: e.store.NewSnapshot(), shape: e.newShape(t, false, req.Fields), keysOnly: req.Return == ReturnKeys}
	defer r.snapshot.Release()
	vectors, err := r.read(ctx, req)
	return vectors, contextError(err)
}

// vectorReader is one call of Vectors.
type vectorReader struct {
	e        *Engine
	t        *table
	ix       *index
	snapshot *storage.Snapshot
	shape    *shape
	keysOnly bool
}

func (r *vectorReader) read(ctx context.Context, req VectorsRequest) ([]StoredVector, error) {
	if req.PKs != nil {
		present, err := r.e.lookup(&r.snapshot.Reader, r.t, req.PKs)
		if err != nil {
			return nil, err
		}
		ids := make([]uint32, len(present))
		for i, p := range present {
			ids[i] = p.id
		}
		return r.of(ids)
	}
	if req.Filter != nil {
		matching, _, err := r.e.matchingIDs(ctx, r.snapshot, r.t, req.Filter)
		if err != nil {
			return nil, err
		}
		return r.drawFrom(matching, req.Sample)
	}
	return r.draw(ctx, req.Sample)
}

// of reads the entities and vectors of ids, of those that have both.
func (r *vectorReader) of(ids []uint32) ([]StoredVector, error) {
	found := make([]StoredVector, len(ids))
	err := r.snapshot.Vectors(r.ix.def.ID, ids, func(i int, _ uint64, raw []byte) error {
		if raw != nil {
			found[i].Vector = decodeVector(nil, raw)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = r.snapshot.Entities(r.t.id, ids, func(i int, raw []byte) error {
		if raw == nil || found[i].Vector == nil {
			return nil
		}
		entity, err := r.entity(raw)
		if entity != nil {
			found[i].Entity = *entity
		}
		return err
	})
	return slices.DeleteFunc(found, func(v StoredVector) bool { return v.Key.PK == "" }), err
}

// entity is nil if it has expired.
func (r *vectorReader) entity(raw []byte) (*Entity, error) {
	if !r.keysOnly {
		return r.shape.entity(raw)
	}
	rec, err := decodeRecord(raw)
	if err != nil {
		return nil, err
	}
	expired, err := r.shape.schema.docExpired(rec.doc, r.shape.nowMs)
	if err != nil || expired {
		return nil, err
	}
	return &Entity{Key: Key{r.t.name, string(rec.pk)}, Version: rec.version, UpdatedAt: stampTime(rec.stamp)}, nil
}

// drawRounds bounds how often ids are drawn before the rest of the sample is
// read in a row: most of them are free where few entities have a vector.
const drawRounds = 4

// draw takes n entities at random.
func (r *vectorReader) draw(ctx context.Context, n int) ([]StoredVector, error) {
	last, ok, err := r.snapshot.LastID(r.t.id)
	if err != nil || !ok {
		return nil, err
	}
	var found []StoredVector
	drawn := &bitmap.Set{}
	for round := 0; round < drawRounds && len(found) < n && drawn.Len() <= int(last)/2; round++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var ids []uint32
		for range n - len(found) {
			if id := uint32(rand.Uint64N(uint64(last) + 1)); !drawn.Contains(id) {
				drawn.Add(id)
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		more, err := r.of(ids)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return r.fillUp(ctx, found, drawn, last, n)
}

// fillUp adds the vectors from a random place on that weren't drawn, until there
// are n.
func (r *vectorReader) fillUp(ctx context.Context, found []StoredVector, drawn *bitmap.Set, last uint32, n int) ([]StoredVector, error) {
	if len(found) >= n {
		return found, nil
	}
	from := uint32(rand.Uint64N(uint64(last) + 1))
	var ids []uint32
	for _, part := range [][2]uint64{{uint64(from), uint64(last) + 1}, {0, uint64(from)}} {
		err := r.snapshot.ScanVectors(ctx, r.ix.def.ID, uint32(part[0]), func(id uint32, _ uint64, _ []byte) (bool, error) {
			if uint64(id) >= part[1] || len(found)+len(ids) >= n {
				return false, nil
			}
			if !drawn.Contains(id) {
				ids = append(ids, id)
			}
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	more, err := r.of(ids)
	return append(found, more...), err
}

// drawFrom takes n of the ids at random. An entity without a vector makes the
// sample smaller.
func (r *vectorReader) drawFrom(matching *bitmap.Set, n int) ([]StoredVector, error) {
	ids := make([]uint32, 0, min(n, matching.Len()))
	seen := 0
	for id := range matching.All {
		seen++
		if len(ids) < n {
			ids = append(ids, id)
		} else if at := rand.IntN(seen); at < n { // each id has the same chance to stay
			ids[at] = id
		}
	}
	slices.Sort(ids)
	return r.of(ids)
}
