package feed

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
)

const (
	// streamPage is how many changes are sent at a time, and streamPause how long
	// the stream rests then: nobody reads faster.
	streamPage  = 50
	streamPause = 250 * time.Millisecond
	// behind is how many changes a stream may lag before it leaves some out.
	behind = 1000
	// wait is how long the stream asks for news before it looks again.
	wait = 30 * time.Second
)

// follow sends the changes behind a sequence as they come. Upwards they are for
// the end of a page, else for its beginning.
func (f *Feed) follow(c fiber.Ctx) error {
	q, err := queryOf(c)
	if err != nil {
		return err
	}
	if id, err := strconv.ParseUint(c.Get("Last-Event-ID"), 10, 64); err == nil {
		q.From = id
	}
	upwards := page.Query(c, "order") == "up"
	return f.frame.Stream(c, func(ctx context.Context, s *page.Stream) error {
		done := f.o.Database.FollowFeed()
		defer done(false)
		return f.send(ctx, s, q, upwards)
	})
}

func (f *Feed) send(ctx context.Context, s *page.Stream, q query, upwards bool) error {
	rest := time.NewTimer(streamPause)
	defer rest.Stop()
	at := q.From
	for {
		p, err := f.o.Database.ReadFeed(ctx, at, streamPage, q.FeedFilter)
		gap := uint64(0)
		switch {
		case errs.CodeOf(err) == "feed_trimmed": // faster than it was sent
			stats, err := f.o.Database.FeedStats()
			if err != nil {
				return err
			}
			gap, at = stats.Latest-at, stats.Latest
		case err != nil:
			return err
		case p.Latest-p.Next > behind && !q.filtered():
			gap, at = p.Latest-p.Next, p.Latest
		default:
			at = p.Next
		}
		if len(p.Events) > 0 || gap > 0 {
			rows := f.rowsOf(p.Events)
			if !upwards {
				slices.Reverse(rows)
			}
			if err := s.Send("changes", strconv.FormatUint(at, 10), changes(rows, leftOut{gap, at - gap}, upwards)); err != nil {
				return err
			}
		}
		if at >= p.Latest {
			if _, err := f.o.Database.WaitFeed(ctx, at, wait); err != nil {
				return err
			}
		}
		rest.Reset(streamPause)
		select {
		case <-rest.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leftOut are changes that a stream didn't send, behind a sequence.
type leftOut struct {
	Count, From uint64
}

// eventView is the page of one change.
type eventView struct {
	row
	Doc []byte
	// Latest is the newest change's sequence.
	Latest uint64
}

// event shows one change with its document.
func (f *Feed) event(c fiber.Ctx) error {
	seq, err := strconv.ParseUint(c.Params("sequence"), 10, 64)
	if err != nil || seq == 0 {
		return errs.New(errs.NotFound, "change_not_found", "Changes have whole numbers from 1.")
	}
	p, err := f.o.Database.ReadFeed(c.Context(), seq-1, 1, engine.FeedFilter{})
	if err != nil {
		return err
	}
	if len(p.Events) == 0 {
		return errs.New(errs.NotFound, "change_not_found", "There is no change %d yet; the newest is %d.", seq, p.Latest)
	}
	v := eventView{row: f.rowsOf(p.Events)[0], Doc: p.Events[0].Doc, Latest: p.Latest}
	title := "Change " + strconv.FormatUint(seq, 10)
	return f.frame.Show(c, page.Page{Title: title, Nav: nav, Crumbs: crumbs()}, eventContent(v))
}

func crumbs() []page.Crumb { return []page.Crumb{{Title: "Change feed", Path: "feed"}} }
