package engine

import (
	"context"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

// checkFeed reads the whole change feed: its rows follow each other, decode, and
// agree with the oplog where both exist. What is trimmed meanwhile makes it start
// over.
func (e *Engine) checkFeed(ctx context.Context, r *CheckReport) error {
	for {
		before := *r
		err := e.checkFeedOnce(ctx, r)
		code := errs.CodeOf(err)
		if err == nil || code != "feed_trimmed" && code != "oplog_trimmed" {
			return err
		}
		*r = before
	}
}

func (e *Engine) checkFeedOnce(ctx context.Context, r *CheckReport) error {
	within := e.store.FeedRange()
	if within.Start == within.Last {
		return nil
	}
	from, ops, err := e.oplogOf(ctx, within)
	if err != nil {
		return err
	}
	return e.store.ReadFeed(ctx, within.Start, func(row storage.FeedRow) (bool, error) {
		r.FeedEvents++
		ev, err := e.feedEvent(row)
		if err != nil {
			r.find("the event %d of the change feed can't be decoded: %v", row.Seq, err)
			return row.Seq < within.Last, nil
		}
		if ev.Type == FeedPut {
			if _, err := schema.ValidateDocument(ev.Doc); err != nil {
				r.find("the event %d of the change feed: the document of %s isn't valid: %v", row.Seq, ev.Key, err)
			}
		}
		if row.Seq > from && int(row.Seq-from) <= len(ops) {
			op := ops[row.Seq-from-1]
			if row.Op.PK = ev.Key.PK; row.Op != op {
				r.find("the event %d of the change feed is %+v, the oplog has %+v", row.Seq, row.Op, op)
			}
		}
		return row.Seq < within.Last, nil
	})
}

// oplogOf returns the oplog records within the feed, the first of which follows
// from.
func (e *Engine) oplogOf(ctx context.Context, within storage.FeedRange) (from storage.Seq, ops []storage.Op, err error) {
	trimmed, err := e.store.OplogStart()
	if err != nil {
		return 0, nil, err
	}
	from = max(trimmed, within.Start)
	err = e.store.ReadOplog(ctx, from, func(seq storage.Seq, op storage.Op) (bool, error) {
		if seq <= within.Last {
			ops = append(ops, op)
		}
		return seq < within.Last, nil
	})
	return from, ops, err
}
