package engine

import (
	"time"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/storage/keys"
)

const (
	// sweepBatch is how many expired entities one write removes.
	sweepBatch = 500
	// oplogKeep is how many oplog records stay at least: enough to restore the clock
	// from and to look back at. Trimming waits for twice as many.
	oplogKeep = 10_000
)

// sweepLoop removes expired entities and trims the oplog and the change feed
// until Close.
func (e *Engine) sweepLoop() {
	ticker := time.NewTicker(e.opts.SweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-ticker.C:
		}
		// On a full disk the store may still take what only removes data. That it
		// refuses writes, it has said itself.
		if err := e.store.Err(); err != nil && errs.KindOf(err) != errs.StorageFull {
			continue
		}
		failed := func(err error) bool {
			return err != nil && e.ctx.Err() == nil && errs.KindOf(err) != errs.StorageFull
		}
		for _, t := range e.allTables() {
			if err := e.sweep(t); failed(err) {
				e.log.Warn("expired entities could not be removed; they stay invisible and the next sweep tries again",
					"component", "ttl", "table", t.name, "error", err)
			}
		}
		if err := e.trimOplog(); failed(err) {
			e.log.Warn("the oplog could not be trimmed", "component", "storage", "error", err)
		}
		if err := e.retainFeed(); failed(err) {
			e.log.Warn("old events could not be removed from the change feed", "component", "feed", "error", err)
		}
	}
}

// expiredRange are the terms of a ttl index whose time is up.
func expiredRange(nowMs int64) storage.TermRange {
	return storage.TermRange{Hi: keys.PrefixEnd(schema.IntOf(nowMs).AppendTerm(nil))}
}

// sweep deletes what has expired in t, a batch at a time.
func (e *Engine) sweep(t *table) error {
	for _, b := range t.schema.Load().ttl {
		for {
			n, err := e.sweepBatch(t, b)
			if err != nil {
				return err
			}
			if n < sweepBatch {
				break
			}
		}
	}
	return nil
}

func (e *Engine) sweepBatch(t *table, b boundIndex) (int, error) {
	var ids []uint32
	err := e.store.Latest().ScanTerms(e.ctx, b.def.ID, expiredRange(e.opts.Now().UnixMilli()), func(_ []byte, id uint32) (bool, error) {
		ids = append(ids, id)
		return len(ids) < sweepBatch, nil
	})
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	var ops []Op
	err = e.store.Latest().Entities(t.id, ids, func(_ int, raw []byte) error {
		if raw == nil {
			return nil
		}
		r, err := decodeRecord(raw)
		ops = append(ops, Op{Kind: opSweep, Key: Key{t.name, string(r.pk)}})
		return err
	})
	if err != nil {
		return 0, err
	}
	results, err := e.Apply(e.ctx, ops, false)
	if err != nil {
		return 0, err
	}
	swept := uint64(0)
	for _, r := range results {
		if r.Err == nil {
			swept++
		} else if errs.KindOf(r.Err) != errs.NotFound {
			return 0, r.Err
		}
	}
	e.counters.expiredSwept.Add(swept)
	return len(ids), nil
}

func (e *Engine) trimOplog() error {
	last, err := e.store.Latest().Seq()
	if err != nil || uint64(last) < e.counters.oplogTrimmed.Load()+2*oplogKeep {
		return err
	}
	upTo := min(last-oplogKeep, e.oplogNeeded(last))
	if uint64(upTo) < e.counters.oplogTrimmed.Load()+oplogKeep {
		return nil
	}
	if err := e.store.TrimOplog(upTo); err != nil {
		return err
	}
	e.counters.oplogTrimmed.Store(uint64(upTo))
	return nil
}
