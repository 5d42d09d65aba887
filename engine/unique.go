package engine

import (
	"context"
	"strings"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/storage/keys"
)

// checkUnique refuses changes that would give two entities the same unique
// term. It leaves the terms' stripes locked.
func (w *write) checkUnique() error {
	type term struct {
		index uint32
		term  string
	}
	var wanted []int
	for _, c := range w.changes {
		c.eachUnique(func(b boundIndex, t []byte) {
			wanted = append(wanted, w.e.uniqueLocks.of(b.def.ID, t))
		})
	}
	if len(wanted) == 0 {
		return nil
	}
	w.unlocks = append(w.unlocks, w.e.uniqueLocks.lock(wanted))
	// owners is what this batch does to terms: whose they are after it so far.
	owners := map[term]*Key{}
	kept := w.changes[:0]
	for _, c := range w.changes {
		state := w.current[c.key]
		err := state.failed
		c.eachUnique(func(b boundIndex, t []byte) {
			owner, known := owners[term{b.def.ID, string(t)}]
			if err == nil && known && owner != nil && *owner != c.key {
				err = duplicate(b.def, c.key, *owner)
			}
			if err == nil && !known {
				err = w.checkTermFree(b, t, c)
			}
		})
		if err != nil {
			state.failed = err
			if err := w.fail(c.op, err); err != nil {
				return err
			}
			continue
		}
		c.eachUniqueOf(c.before, func(b boundIndex, t []byte) { owners[term{b.def.ID, string(t)}] = nil })
		c.eachUnique(func(b boundIndex, t []byte) { owners[term{b.def.ID, string(t)}] = &c.key })
		kept = append(kept, c)
	}
	w.changes = kept
	if len(w.expiredOwners) > 0 {
		return errExpiredOwners
	}
	return nil
}

// eachUnique calls fn for each unique term of the state after c.
func (c *change) eachUnique(fn func(boundIndex, []byte)) { c.eachUniqueOf(c.after, fn) }

func (c *change) eachUniqueOf(v *version, fn func(boundIndex, []byte)) {
	if v == nil {
		return
	}
	for i, b := range c.schema.indexes {
		if !b.def.Unique || !b.covers(c.id) {
			continue
		}
		for _, t := range v.terms[i] {
			if b.def.Collides(t) {
				fn(b, t)
			}
		}
	}
}

// termOwner returns an entity other than self that has that term.
func (e *Engine) termOwner(index uint32, term []byte, self uint32) (owner uint32, taken bool, err error) {
	r := storage.TermRange{Lo: term, Hi: keys.PrefixEnd(term)}
	err = e.store.Latest().ScanTerms(context.Background(), index, r, func(_ []byte, id uint32) (bool, error) {
		if id != self {
			owner, taken = id, true
		}
		return !taken, nil
	})
	return owner, taken, err
}

// checkTermFree refuses change c if another entity has its unique term. An
// expired one is noted for removal instead.
func (w *write) checkTermFree(b boundIndex, term []byte, c change) error {
	owner, taken, err := w.e.termOwner(b.def.ID, term, c.id)
	if err != nil || !taken {
		return err
	}
	key := Key{Table: c.table.name}
	expired := false
	err = w.e.store.Latest().Entities(c.table.id, []uint32{owner}, func(_ int, raw []byte) error {
		if raw == nil {
			return nil
		}
		r, err := decodeRecord(raw)
		if err != nil {
			return err
		}
		key.PK = string(r.pk)
		expired, err = c.schema.docExpired(r.doc, w.nowMs)
		return err
	})
	if err != nil {
		return err
	}
	if expired {
		w.expiredOwners = append(w.expiredOwners, Op{Kind: opSweep, Key: key})
		return nil
	}
	return duplicate(b.def, c.key, key)
}

func duplicate(def *schema.IndexDef, key, owner Key) error {
	return errs.New(errs.Conflict, "duplicate_value",
		"%s has the same value of %s as %s, and the index on it is unique; nothing was kept",
		key, strings.Join(def.Columns, ","), owner)
}
