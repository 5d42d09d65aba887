// Package feed is the console's pages of the change feed: the newest changes and
// those that come, or all from a sequence on; one change with its document; what
// is kept, and the trimming of it.
//
// A page holds the facts of its changes, not their documents. A stream shows what
// a person can follow: of a flood it leaves out a part, and says which. The
// package owns no goroutines and no locks.
package feed

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

// Database is what is asked for; *engine.Engine is one.
type Database interface {
	ReadFeed(ctx context.Context, from uint64, limit int, filter engine.FeedFilter) (engine.FeedPage, error)
	WaitFeed(ctx context.Context, from uint64, most time.Duration) (news bool, err error)
	FollowFeed() (done func(slow bool))
	FeedStats() (engine.FeedStats, error)
	FeedTimeline() (string, error)
	TrimFeed(before uint64) (removed uint64, err error)
}

// Options are what the pages show.
type Options struct {
	Database Database
	Config   *config.Live
}

// Feed serves the pages. Make one with New.
type Feed struct {
	frame *page.Frame
	o     Options
}

// New returns the pages.
func New(f *page.Frame, o Options) *Feed {
	return &Feed{frame: f, o: o}
}

// nav is the menu entry of all pages here.
const nav = "feed"

// Routes lists every route.
func (f *Feed) Routes() []rest.Route {
	r := f.frame.Route
	return []rest.Route{
		r(http.MethodGet, "feed", auth.ReadOnly, f.show),
		r(http.MethodGet, "feed/stream", auth.ReadOnly, f.follow),
		r(http.MethodGet, "feed/event/{sequence}", auth.ReadOnly, f.event),
		r(http.MethodGet, "feed/trim", auth.ReadOnly, f.trimForm),
		r(http.MethodPost, "feed/trim", auth.Admin, f.trim),
		r(http.MethodPost, "feed/on", auth.Admin, f.switchOn),
	}
}

const (
	// shown is how many changes a page has.
	shown = 100
	// lookBack is how many of the newest are looked at for those that a filter
	// wants.
	lookBack = 2000
	// readings bounds the pages of the engine that one page of the console reads,
	// each of which is bounded in bytes.
	readings = 8
)

// query is what the page's URL asks for.
type query struct {
	engine.FeedFilter
	// From is the last sequence that isn't wanted; Given says that there is one.
	From  uint64
	Given bool
}

func queryOf(c fiber.Ctx) (query, error) {
	q := query{FeedFilter: engine.FeedFilter{Table: strings.TrimSpace(page.Query(c, "table")), KeyPrefix: page.Query(c, "key_prefix")}}
	if q.Table != "" {
		if err := engine.ValidateTable(q.Table); err != nil {
			return q, err
		}
	}
	text := strings.TrimSpace(page.Query(c, "from"))
	if text == "" {
		return q, nil
	}
	from, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return q, errs.New(errs.Invalid, "invalid_parameter", "A sequence is a whole number from 0, not %q.", text)
	}
	q.From, q.Given = from, true
	return q, nil
}

// filter is the query without the sequence, as names and values, with more of
// them behind.
func (q query) filter(more ...string) []string {
	return append([]string{"table", q.Table, "key_prefix", q.KeyPrefix}, more...)
}

func (q query) filtered() bool { return q.FeedFilter != engine.FeedFilter{} }

// feedView is the page of changes.
type feedView struct {
	Stats    engine.FeedStats
	Timeline string
	Query    query
	Rows     []row
	// Next is the sequence to read on from, and Live says that there is nothing
	// behind it yet: then the page follows the feed.
	Next uint64
	Live bool
	// LookedAt is how many of the newest changes were looked at for a filter, 0 if
	// that were all that are kept.
	LookedAt uint64
	// Gone is why the changes asked for can't be read.
	Gone string
}

// row is a change on the page.
type row struct {
	Seq     uint64
	Time    time.Time
	Clock   string
	Type    engine.FeedType
	Key     engine.Key
	Version uint64
	Bytes   int
}

func (f *Feed) rowsOf(events []engine.FeedEvent) []row {
	now := time.Now()
	rows := make([]row, len(events))
	for i, ev := range events {
		rows[i] = row{Seq: ev.Seq, Time: ev.Time, Clock: format.Clock(ev.Time, now), Type: ev.Type, Key: ev.Key, Version: ev.Version, Bytes: len(ev.Doc)}
	}
	return rows
}

func (f *Feed) feedView(ctx context.Context, q query) (v feedView, err error) {
	v.Query = q
	if v.Stats, err = f.o.Database.FeedStats(); err != nil || !v.Stats.Enabled {
		return v, err
	}
	if v.Timeline, err = f.o.Database.FeedTimeline(); err != nil {
		return v, err
	}
	if q.Given {
		return v, f.readOn(ctx, &v)
	}
	return v, f.readNewest(ctx, &v)
}

// readOn reads a page from a sequence on.
func (f *Feed) readOn(ctx context.Context, v *feedView) error {
	v.Next = v.Query.From
	for range readings {
		p, err := f.o.Database.ReadFeed(ctx, v.Next, shown-len(v.Rows), v.Query.FeedFilter)
		if errs.KindOf(err) == errs.Gone {
			v.Gone = problem.Of(err).Detail
			return nil
		}
		if err != nil {
			return err
		}
		v.Rows = append(v.Rows, f.rowsOf(p.Events)...)
		v.Next, v.Live = p.Next, p.Next == p.Latest
		if v.Live || len(v.Rows) >= shown {
			return nil
		}
	}
	return nil
}

// readNewest reads the last changes, newest first.
func (f *Feed) readNewest(ctx context.Context, v *feedView) error {
	back := uint64(shown)
	if v.Query.filtered() {
		back = lookBack
	}
	start := v.Stats.Oldest - 1
	if v.Stats.Events > back {
		start = v.Stats.Latest - back
		if v.Query.filtered() {
			v.LookedAt = back
		}
	}
	v.Next, v.Live = start, true
	for range readings {
		p, err := f.o.Database.ReadFeed(ctx, v.Next, lookBack, v.Query.FeedFilter)
		if errs.CodeOf(err) == "feed_trimmed" { // just now; the stream begins at the end then
			v.Next = v.Stats.Latest
			break
		}
		if err != nil {
			return err
		}
		v.Rows = append(v.Rows, f.rowsOf(p.Events)...)
		v.Rows = v.Rows[max(0, len(v.Rows)-shown):]
		if v.Next = p.Next; p.Next == p.Latest {
			break
		}
	}
	slices.Reverse(v.Rows)
	return nil
}

func (f *Feed) show(c fiber.Ctx) error {
	q, err := queryOf(c)
	if err != nil {
		return err
	}
	v, err := f.feedView(c.Context(), q)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if v.Gone != "" {
		status = http.StatusGone
	}
	return f.frame.ShowStatus(c, status, page.Page{Title: "Change feed", Nav: nav, Wide: true}, content(v))
}

// switchOn records changes from now on, as POST /config does.
func (f *Feed) switchOn(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	document := `{"features":{"cdc":true},"persist":` + strconv.FormatBool(form.Checked("persist")) + `}`
	if _, err := f.o.Config.Edit(request.Principal(c).Name, []byte(document)); err != nil {
		return err
	}
	if form.Checked("persist") {
		return f.frame.Done(c, "The change feed is on, also after a restart.", "feed")
	}
	return f.frame.Done(c, "The change feed is on until the next restart.", "feed")
}
