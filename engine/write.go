package engine

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/giveway"
	"github.com/vccdb/vccdb/storage"
)

// The write path. Its invariants:
//
//  1. One Apply is one storage batch: entities, index terms, vectors, counters
//     and oplog records become visible together or not at all.
//  2. The key stripes of all entities touched are held from reading the old
//     version until the commit, so each difference is taken against the state
//     it is applied to.
//  3. A unique term's stripe is held from the check until the commit.
//  4. Vector indexes learn of a change on the committer, in commit order, before
//     the write is acknowledged.
//
// Locks are taken in this order: the tables' ddl (shared, by name), key
// stripes, unique stripes. Repairing after writing in steps was rejected: a
// crash between two steps is then a state that every reader must expect.

// opSweep removes an entity if it has expired, and only then.
const opSweep OpKind = 255

// write is one Apply under way.
type write struct {
	e       *Engine
	ops     []Op
	atomic  bool
	results []OpResult
	nowMs   int64

	tables  map[string]*table
	schemas map[*table]*tableSchema
	// current is the newest state of each key touched; nil is absent.
	current map[Key]*entityState
	changes []change
	// dimensions are those that this batch gives to indexes without one.
	dimensions map[*index]int
	// claims are of room in vector indexes.
	claims claims
	// expiredOwners remove entities whose time is up and whose unique values are
	// wanted.
	expiredOwners []Op
	unlocks       []func()
}

type entityState struct {
	// id is valid if hasID is set; fresh says that this batch took it from the
	// allocator.
	id           uint32
	hasID, fresh bool
	// version is nil if there is no record.
	version *version
	// failed is the error that later ops on the key share, because they would
	// build on one that was refused.
	failed error
}

// Apply carries out ops as one atomic storage write. With atomic set, one
// failing op fails them all and nothing is kept; without, the failing ones say
// so in their results and the others are kept. Ops on the same key take effect
// in order. An error is returned only when nothing was acknowledged; if single
// ops are to blame, the results say which. Each op's Doc is replaced by its
// compact form.
func (e *Engine) Apply(ctx context.Context, ops []Op, atomic bool) ([]OpResult, error) {
	for {
		results, expired, err := e.tryApply(ctx, ops, atomic)
		if !errors.Is(err, errExpiredOwners) {
			return results, err
		}
		// They hold unique values that these ops want. Removing them takes locks
		// of its own, so the attempt was given up and starts over.
		if _, _, err := e.tryApply(ctx, expired, false); err != nil {
			return results, err
		}
	}
}

// errExpiredOwners ends an attempt that met unique values of expired entities.
var errExpiredOwners = errors.New("unique values are held by expired entities")

// tryApply is one attempt of Apply. With errExpiredOwners it returns the ops
// that remove those.
func (e *Engine) tryApply(ctx context.Context, ops []Op, atomic bool) ([]OpResult, []Op, error) {
	w := &write{
		e: e, ops: ops, atomic: atomic,
		results:    make([]OpResult, len(ops)),
		nowMs:      e.opts.Now().UnixMilli(),
		tables:     map[string]*table{},
		schemas:    map[*table]*tableSchema{},
		current:    make(map[Key]*entityState, len(ops)),
		dimensions: map[*index]int{},
		claims:     claims{},
	}
	defer w.unlock()
	defer w.claims.release()
	err := w.run(ctx)
	if err != nil {
		w.changes = nil
		w.abort(err)
	}
	w.settleIDs()
	return w.results, w.expiredOwners, err
}

// abort marks the ops that were fine in themselves. Where one of them is to
// blame, nothing was written; else it is the storage's error, which says what
// became of the batch.
func (w *write) abort(err error) {
	if w.atomic && slices.ContainsFunc(w.results, func(r OpResult) bool { return r.Err != nil }) {
		err = errs.New(errs.Conflict, "not_applied", "the batch was refused as a whole; nothing of it was kept")
	}
	for i := range w.results {
		if w.results[i].Err == nil {
			w.results[i] = OpResult{Key: w.ops[i].Key, Err: err}
		}
	}
}

func (w *write) run(ctx context.Context) error {
	if err := w.validate(); err != nil {
		return err
	}
	if err := w.openTables(); err != nil {
		return err
	}
	if err := w.admit(ctx); err != nil {
		return err
	}
	w.lockKeys()
	if err := w.readCurrent(); err != nil {
		return err
	}
	for i := range w.ops {
		giveway.Before(i)
		if w.results[i].Err != nil {
			continue
		}
		if err := w.plan(i); err != nil {
			if err := w.fail(i, err); err != nil {
				return err
			}
		}
	}
	if err := w.checkUnique(); err != nil {
		return err
	}
	if err := w.fixDimensions(); err != nil {
		return err
	}
	return w.commit(ctx)
}

// fail records err as the outcome of op i; for an atomic write it returns it as
// the outcome of them all.
func (w *write) fail(i int, err error) error {
	w.results[i].Err = err
	if w.atomic {
		return err
	}
	return nil
}

// validate checks what needs no lock: keys and documents.
func (w *write) validate() error {
	for i := range w.ops {
		giveway.Before(i)
		op := &w.ops[i]
		w.results[i].Key = op.Key
		err := op.Key.Validate()
		if err == nil && (op.Kind == OpPut || op.Kind == OpPatch) {
			op.Doc, err = schema.ValidateDocument(op.Doc)
		}
		if err != nil {
			if err := w.fail(i, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// openTables finds the tables, makes those that a put needs, and keeps schema
// changes out until unlock.
func (w *write) openTables() error {
	puts := map[string]bool{}
	for i, op := range w.ops {
		if w.results[i].Err == nil {
			puts[op.Key.Table] = puts[op.Key.Table] || op.Kind == OpPut
		}
	}
	names := make([]string, 0, len(puts))
	for name := range puts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.openTable(name, puts[name]); err != nil {
			return err
		}
	}
	return nil
}

func (w *write) openTable(name string, create bool) error {
	for {
		t, err := w.e.table(name)
		if err != nil && create {
			t, err = w.e.createTable(name)
		}
		if errs.KindOf(err) == errs.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		t.ddl.RLock()
		if !t.dropped {
			w.unlocks = append(w.unlocks, t.ddl.RUnlock)
			w.tables[name] = t
			w.schemas[t] = t.schema.Load()
			return nil
		}
		// Dropped between the look-up and the lock: look again.
		t.ddl.RUnlock()
	}
}

// admit waits until the vector indexes have room for more work.
func (w *write) admit(ctx context.Context) error {
	for _, s := range w.schemas {
		for _, b := range s.indexes {
			if b.vector != nil {
				if err := b.vector.admit(ctx); err != nil {
					return contextError(err)
				}
			}
		}
	}
	return nil
}

func (w *write) lockKeys() {
	wanted := make([]int, 0, len(w.ops))
	for i, op := range w.ops {
		if t := w.tables[op.Key.Table]; t != nil && w.results[i].Err == nil {
			wanted = append(wanted, w.e.keyLocks.of(t.id, []byte(op.Key.PK)))
		}
	}
	w.unlocks = append(w.unlocks, w.e.keyLocks.lock(wanted))
}

func (w *write) unlock() {
	for _, unlock := range slices.Backward(w.unlocks) {
		unlock()
	}
}

// settleIDs gives back the ids that no entity has once the write is over:
// those of deleted entities and of creations that didn't happen.
func (w *write) settleIDs() {
	stored := map[Key]bool{}
	for _, c := range w.changes {
		stored[c.key] = c.after != nil
	}
	for key, s := range w.current {
		kept, changed := stored[key]
		if s.hasID && !kept && (changed || s.fresh) {
			w.tables[key.Table].ids.release(s.id)
		}
	}
}

// readCurrent reads the stored state of every key touched.
func (w *write) readCurrent() error {
	byTable := map[*table][]string{}
	for i, op := range w.ops {
		t := w.tables[op.Key.Table]
		if w.results[i].Err != nil || w.current[op.Key] != nil {
			continue
		}
		w.current[op.Key] = &entityState{}
		if t != nil {
			byTable[t] = append(byTable[t], op.Key.PK)
		}
	}
	for t, pks := range byTable {
		if err := w.readTable(t, pks); err != nil {
			return err
		}
	}
	return nil
}

func (w *write) readTable(t *table, pks []string) error {
	states := make([]*entityState, 0, len(pks))
	present, err := w.e.lookup(w.e.store.Latest(), t, pks)
	if err != nil {
		return err
	}
	var ids []uint32
	for _, p := range present {
		s := w.current[Key{t.name, pks[p.at]}]
		s.id, s.hasID = p.id, true
		states = append(states, s)
		ids = append(ids, p.id)
	}
	return w.e.store.Latest().Entities(t.id, ids, func(i int, raw []byte) error {
		giveway.Before(i)
		r, err := decodeRecord(raw)
		if err != nil {
			return err
		}
		states[i].version = &version{stamp: r.stamp, version: r.version, doc: bytes.Clone(r.doc)}
		return w.see(w.schemas[t], states[i].version, true)
	})
}

// see fills in what the indexes see in v. A value that can't be indexed is an
// error, except in a stored version: there only an index that doesn't cover the
// entity can find one.
func (w *write) see(s *tableSchema, v *version, stored bool) error {
	if len(s.indexes) == 0 {
		return nil
	}
	var x schema.Extracted
	if err := s.extractor.Extract(v.doc, &x); err != nil {
		return err
	}
	v.expired = s.expired(&x, w.nowMs)
	v.terms = make([][][]byte, len(s.indexes))
	v.vectors = make([]vectorText, len(s.indexes))
	for i, b := range s.indexes {
		if b.vector != nil {
			v.vectors[i].raw = b.vectorText(&x)
			continue
		}
		terms, err := b.def.Terms(&x, b.columns)
		if err != nil && !stored {
			return err
		}
		v.terms[i] = terms
	}
	return nil
}

// plan decides what op i does to its entity.
func (w *write) plan(i int) error {
	op := &w.ops[i]
	state := w.current[op.Key]
	if state.failed != nil {
		return state.failed
	}
	seen := state.version
	if seen != nil && seen.expired != (op.Kind == opSweep) {
		seen = nil
	}
	if err := checkConditions(op, seen); err != nil {
		return err
	}
	c := change{op: i, table: w.tables[op.Key.Table], key: op.Key, before: state.version}
	c.schema = w.schemas[c.table]
	if op.Kind == OpDelete || op.Kind == opSweep {
		c.id = state.id
		c.deleted = w.e.clock.next()
		w.results[i].Version = seen.version
		w.changes = append(w.changes, c)
		state.version = nil
		return nil
	}
	after, err := w.after(op, seen)
	if err != nil {
		return err
	}
	if err := w.see(c.schema, after, false); err != nil {
		return err
	}
	if err := w.readVectors(c.schema, state.version, after); err != nil {
		return err
	}
	if err := w.giveID(c.table, state); err != nil {
		return err
	}
	c.id, c.after = state.id, after
	w.results[i].Version, w.results[i].Created = after.version, seen == nil
	w.changes = append(w.changes, c)
	state.version = after
	return nil
}

// checkConditions holds an op's conditions against the entity it meets, nil if
// there is none.
func checkConditions(op *Op, seen *version) error {
	if op.IfAbsent && seen != nil {
		return errs.New(errs.Precondition, "entity_exists", "the entity %s exists, at version %d; nothing was changed", op.Key, seen.version)
	}
	if op.IfVersion != nil {
		if seen == nil {
			return errs.New(errs.Precondition, "version_mismatch", "version %d of %s was expected, but there is no such entity", *op.IfVersion, op.Key)
		}
		if seen.version != *op.IfVersion {
			return errs.New(errs.Precondition, "version_mismatch", "version %d of %s was expected, but it is at %d; nothing was changed", *op.IfVersion, op.Key, seen.version)
		}
	}
	if seen == nil && op.Kind != OpPut {
		return errs.New(errs.NotFound, "entity_not_found", "there is no entity %s", op.Key)
	}
	return nil
}

// after is the state that a put or patch leads to.
func (w *write) after(op *Op, seen *version) (*version, error) {
	v := &version{stamp: w.e.clock.next(), version: 1, doc: op.Doc}
	if seen != nil {
		v.version = seen.version + 1
	}
	if op.Kind == OpPatch {
		doc, err := schema.MergePatch(seen.doc, op.Doc)
		if err != nil {
			return nil, err
		}
		v.doc = doc
	}
	return v, nil
}

// readVectors parses the vectors that differ from before's.
func (w *write) readVectors(s *tableSchema, before, after *version) error {
	for i, b := range s.indexes {
		if b.vector == nil || after.vectors[i].raw == nil {
			continue
		}
		if before != nil && bytes.Equal(before.vectors[i].raw, after.vectors[i].raw) {
			continue
		}
		v, err := b.parse(after.vectors[i].raw, w.dimensions)
		if err != nil {
			return err
		}
		if err := w.claims.claim(b.vector); err != nil {
			return err
		}
		after.vectors[i].vector = v
	}
	return nil
}

func (w *write) giveID(t *table, state *entityState) error {
	if state.hasID {
		return nil
	}
	id, err := t.ids.take()
	if err != nil {
		return err
	}
	state.id, state.hasID, state.fresh = id, true, true
	return nil
}

// fixDimensions gives vector indexes that have none the dimension of their
// first vector.
func (w *write) fixDimensions() error {
	for ix, dimension := range w.dimensions {
		if err := w.e.fixDimension(ix, dimension); err != nil {
			return err
		}
	}
	return nil
}

// commit writes the changes as one batch.
func (w *write) commit(ctx context.Context) error {
	if len(w.changes) == 0 {
		return nil
	}
	// Beyond this point the write can't be taken back; before it, a caller
	// that went away costs nothing.
	if err := ctx.Err(); err != nil {
		return contextError(err)
	}
	var b storage.Batch
	var events []vectorEvent
	size := 0
	for i := range w.changes {
		size += w.changes[i].sizeBytes()
	}
	b.Grow(size)
	for i := range w.changes {
		giveway.Before(i)
		events = w.changes[i].addTo(w.e.store, &b, events)
	}
	_, err := w.e.store.Commit(&b, storage.CommitOptions{OnCommit: func(first storage.Seq) {
		w.e.sets.note(first, w.changes)
		for _, ev := range events {
			ev.apply(w.e.log)
		}
	}})
	return err
}

// contextError turns the end of a context into the error a client sees.
func contextError(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errs.Wrap(err, errs.Timeout, "request_timeout", "the time for this request was up; the work was stopped")
	case errors.Is(err, context.Canceled):
		return errs.Wrap(err, errs.Canceled, "request_canceled", "the request was canceled; the work was stopped")
	}
	return err
}
