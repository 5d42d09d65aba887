package engine

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/storage"
)

// table is one table in memory: its id, its indexes and its id allocator.
type table struct {
	id   uint32
	name string

	// ddl keeps schema changes and writes apart: a write holds it shared from
	// reading the schema until its commit, a schema change or one step of a
	// backfill holds it exclusively.
	ddl sync.RWMutex
	// schema is replaced whole, under ddl held exclusively; reads need no lock.
	schema atomic.Pointer[tableSchema]
	// dropped is guarded by ddl.
	dropped bool
	ids     idAllocator
}

// index is one index of a table. Its def never changes: a state change makes a
// new index that shares the rest.
type index struct {
	def *schema.IndexDef
	// vector is set for vector indexes only.
	vector *vectorIndex
	// build is set while the index is being built.
	build *build
	// multi is set, for good and before the write is visible, by the first
	// entity with more than one term. Without such, the planner may take two
	// bounds on the column for one range. See multiCounter.
	multi *atomic.Bool
	// readyAfter is the last snapshot that may lack entries of the index.
	readyAfter uint64
}

func newIndex(def *schema.IndexDef) *index {
	return &index{def: def, multi: &atomic.Bool{}}
}

// noteTerms records how many terms an entity has. The batch says so too until
// that is stored: a batch that fails must not be the only one that did.
func (ix *index) noteTerms(store *storage.Store, b *storage.Batch, n int) {
	if n < 2 {
		return
	}
	if !ix.multi.Load() {
		ix.multi.Store(true)
	}
	if counter := multiCounter(ix.def.ID); store.Counter(counter) == 0 {
		b.AddCounter(counter, 1)
	}
}

// build is the backfill of one index.
type build struct {
	job atomic.Pointer[jobs.Job]
	// replaces is the index that the built one takes over from; nil for a new one.
	replaces *index
	// through is the last id that the backfill has covered, -1 before the first.
	// Writers leave later ids to the backfill. It changes under ddl.
	through atomic.Int64
}

// ready says whether the index has all its entries by now.
func (ix *index) ready() bool { return ix.build == nil }

// readyIn says whether it has them in a snapshot, so that queries on that may use it.
func (ix *index) readyIn(snapshot *storage.Snapshot) bool {
	return ix.ready() && snapshot.Place() > ix.readyAfter
}

// covers says whether a writer of id has to maintain the index.
func (ix *index) covers(id uint32) bool {
	return ix.build == nil || int64(id) <= ix.build.through.Load()
}

func (ix *index) is(columns []string, typ schema.IndexType) bool {
	return ix.def.Type == typ && slices.Equal(ix.def.Columns, columns)
}

// subject names the index in messages: table.column or table.(a,b), and its type.
func (ix *index) subject() string { return indexSubject(ix.def) }

// boundIndex is an index with the positions of its columns in what the
// schema's extractor yields.
type boundIndex struct {
	*index
	columns []int
}

// tableSchema is an immutable set of indexes.
type tableSchema struct {
	indexes   []boundIndex
	extractor *schema.Extractor
	// vectorColumns are the columns of vector indexes, without repetition.
	vectorColumns []string
	// withoutVectors leaves them out of documents.
	withoutVectors schema.Projection
	// ttl are the ready ttl indexes.
	ttl []boundIndex
}

func newTableSchema(indexes []*index) *tableSchema {
	s := &tableSchema{}
	var paths []string
	for _, ix := range indexes {
		b := boundIndex{index: ix}
		for _, c := range ix.def.Columns {
			at := slices.Index(paths, c)
			if at < 0 {
				at = len(paths)
				paths = append(paths, c)
			}
			b.columns = append(b.columns, at)
		}
		s.indexes = append(s.indexes, b)
		if ix.def.Type == schema.Vector && !slices.Contains(s.vectorColumns, ix.def.Columns[0]) {
			s.vectorColumns = append(s.vectorColumns, ix.def.Columns[0])
		}
		if ix.def.Type == schema.TTL && ix.ready() {
			s.ttl = append(s.ttl, b)
		}
	}
	s.extractor = schema.NewExtractor(paths...)
	s.withoutVectors = schema.Without(s.vectorColumns)
	return s
}

// list returns the schema's indexes in a slice of its own.
func (s *tableSchema) list() []*index {
	out := make([]*index, len(s.indexes))
	for i, b := range s.indexes {
		out[i] = b.index
	}
	return out
}

// find returns the index on columns of that type, a ready one before one that
// is being built.
func (s *tableSchema) find(columns []string, typ schema.IndexType) *index {
	var found *index
	for _, b := range s.indexes {
		if b.is(columns, typ) && (found == nil || b.ready()) {
			found = b.index
		}
	}
	return found
}

// defs lists all indexes, also those being built.
func (s *tableSchema) defs() []*schema.IndexDef {
	var defs []*schema.IndexDef
	for _, b := range s.indexes {
		defs = append(defs, b.def)
	}
	return defs
}

// readyDefs lists what the planner may use on a snapshot.
func (s *tableSchema) readyDefs(snapshot *storage.Snapshot) []*schema.IndexDef {
	var defs []*schema.IndexDef
	for _, b := range s.indexes {
		if b.readyIn(snapshot) {
			defs = append(defs, b.def)
		}
	}
	return defs
}

// singleValued says that no entity has more than one term in the index. It is
// asked after the snapshot was pinned.
func (s *tableSchema) singleValued(id uint32) bool {
	for _, b := range s.indexes {
		if b.def.ID == id {
			return !b.multi.Load()
		}
	}
	return false
}

// expired says whether a document's time is up at now (unix milliseconds).
func (s *tableSchema) expired(x *schema.Extracted, nowMs int64) bool {
	for _, b := range s.ttl {
		if at, ok := b.def.Expiry(x, b.columns[0]); ok && at <= nowMs {
			return true
		}
	}
	return false
}

// docExpired is expired for a document that isn't extracted yet. It costs
// nothing for tables without a ttl index.
func (s *tableSchema) docExpired(doc []byte, nowMs int64) (bool, error) {
	if len(s.ttl) == 0 {
		return false, nil
	}
	var x schema.Extracted
	if err := s.extractor.Extract(doc, &x); err != nil {
		return false, err
	}
	return s.expired(&x, nowMs), nil
}
