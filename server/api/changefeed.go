package api

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of the change feed. Pages are written by appendChanges, which a test
// holds against these.
type (
	change struct {
		Sequence    uint64         `json:"sequence" doc:"Orders the changes of the whole database, without gaps."`
		Type        string         `json:"type" doc:"PUT, DELETE (also of what expired) or DROP, of a whole table."`
		Key         string         `json:"key" doc:"table:pk; table: in a DROP."`
		Value       jsontext.Value `json:"value" doc:"The whole object after a PUT, null otherwise."`
		TimestampMs int64          `json:"timestamp_ms" doc:"Milliseconds since 1970."`
		Metadata    changeMetadata `json:"metadata"`
	}
	changeMetadata struct {
		Table   string `json:"table"`
		PK      string `json:"pk" doc:"Empty in a DROP."`
		Version uint64 `json:"version" doc:"After a PUT; the last one of what a DELETE removed; 0 in a DROP."`
	}
	changePage struct {
		Events         []change `json:"events"`
		Count          int      `json:"count"`
		LatestSequence uint64   `json:"latest_sequence" doc:"Of the newest change, filtered out or not."`
		NextSequence   uint64   `json:"next_seq" doc:"The next from_seq. While it is below latest_sequence there is more to read, even if this page is empty: filters move it on."`
	}
	feedStats struct {
		Enabled          bool    `json:"enabled"`
		Timeline         string  `json:"timeline" doc:"Names the history that the sequences belong to; a restored database begins a new one. The parameter timeline holds a reader to it."`
		OldestSequence   uint64  `json:"oldest_sequence" doc:"Of the oldest event kept; latest_sequence + 1 if there is none."`
		LatestSequence   uint64  `json:"latest_sequence"`
		Events           uint64  `json:"events"`
		Bytes            uint64  `json:"bytes" doc:"What they take in storage, estimated."`
		RetentionSeconds float64 `json:"retention_seconds"`
		Streams          int     `json:"streams" doc:"Connected now."`
		Waiting          int     `json:"waiting" doc:"Streams and long polls with nothing to read now."`
		SlowReadersCut   uint64  `json:"slow_readers_cut"`
		EventsRead       uint64  `json:"events_read"`
		EventsTrimmed    uint64  `json:"events_trimmed"`
	}
	trimRequest struct {
		BeforeSequence uint64 `json:"before_sequence" doc:"The first event to keep."`
	}
	trimmed struct {
		Removed        uint64 `json:"removed"`
		OldestSequence uint64 `json:"oldest_sequence"`
		LatestSequence uint64 `json:"latest_sequence"`
	}
)

const (
	tagFeed = "Change feed"

	exampleChange = `{"sequence":7,"type":"PUT","key":"users:ada","value":{"name":"Ada"},"timestamp_ms":1795341600000,` +
		`"metadata":{"table":"users","pk":"ada","version":2}}`
	exampleFeedStats = `{"enabled":true,"timeline":"0b7c3f0e9d5a4c1f8e2d6b3a7c9f1e5d","oldest_sequence":1,"latest_sequence":7,"events":7,"bytes":2048,"retention_seconds":604800,` +
		`"streams":2,"waiting":2,"slow_readers_cut":0,"events_read":14,"events_trimmed":0}`

	feedNote = "Every change is in the feed while features.cdc is on, in the order of commits, written in one step with the change itself. " +
		"Events are kept for cdc_retention_hours, and read from before that is 410 with the oldest_sequence: then read the data anew " +
		"and go on from the latest_sequence of before. A restored database counts on from an earlier sequence: readers that give the timeline " +
		"of their sequence get a 410 then, and can't mistake other changes for those they have seen."

	// longestPoll keeps long polls below the time limits that proxies have.
	longestPoll = time.Minute
)

var feedParams = []openapi.Param{
	{Name: "key_prefix", In: "query", Description: "Only keys (table:pk) that begin so. The DROP of a table passes if any of its keys could."},
	{Name: "table", In: "query", Description: "Only changes of this table."},
	{Name: "timeline", In: "query", Description: "The timeline that from_seq is of, as GET /changefeed/stats tells it. If the database was restored since, the answer is 410 feed_restored."},
}

func (a *API) feedRoutes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "GET", Path: "/changefeed", Role: auth.ReadOnly, ID: "readChanges", Tag: tagFeed,
			Summary:     "Read changes, and wait for them",
			Description: feedNote + "\n\nRead on with from_seq = next_seq. A long poll answers as soon as there is an event, or with an empty page when the time is up.",
			Params: append([]openapi.Param{
				{Name: "from_seq", In: "query", Of: uint64(0), Default: "0", Description: "The last sequence seen; events after it are returned."},
				limitParam,
				{Name: "long_poll_ms", In: "query", Of: 0, Default: "0", Description: "How long to wait when there is nothing to read, 0 to 60000."},
			}, feedParams...),
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[changePage](
				`{"events":[` + exampleChange + `],"count":1,"latest_sequence":7,"next_seq":7}`)}}},
		}, Handle: a.readChanges},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/changefeed/stream", Role: auth.ReadOnly, ID: "streamChanges", Tag: tagFeed,
			Summary: "Follow changes as server-sent events",
			Description: feedNote + "\n\nEach event's id is its sequence and its data the change, as in GET /changefeed. A client that reconnects with Last-Event-ID, " +
				"as browsers do by themselves, goes on where it was. Without that and without from_seq the stream begins with the next change. " +
				"Heartbeats are comments; they carry an id when a filter has skipped changes.\n\nA stream that ends for a reason says so in an event named cut " +
				"whose data is a problem: feed_trimmed for a reader so slow that what it was to read next isn't kept any more, feature_disabled when the feed was switched off. A reader that takes nothing " +
				"is disconnected. Either may come back with Last-Event-ID and has missed nothing that is kept.",
			Params: append([]openapi.Param{
				{Name: "from_seq", In: "query", Of: uint64(0), Description: "The last sequence seen; absent: the newest one."},
				{Name: "Last-Event-ID", In: "header", Of: uint64(0), Description: "The last sequence seen. It wins over from_seq."},
			}, feedParams...),
			Answers: []openapi.Answer{{Status: 200, Description: "The stream.",
				Media: []openapi.Media{{Type: "text/event-stream", Example: "retry: 2000\nid: 6\n\nid: 7\ndata: " + exampleChange + "\n\n"}}}},
		}, Handle: a.streamChanges},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/changefeed/stats", Role: auth.ReadOnly, ID: "feedStats", Tag: tagFeed,
			Summary: "What the change feed holds and who reads it",
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[feedStats](exampleFeedStats)}}},
		}, Handle: a.feedStats},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/changefeed/retention", Role: auth.Admin, ID: "trimChanges", Tag: tagFeed,
			Summary:     "Remove old changes",
			Description: "Removes the events with sequences below before_sequence at once, whatever cdc_retention_hours says. It costs the same for any number of them.",
			Body:        []openapi.Media{openapi.JSON[trimRequest](`{"before_sequence":5}`)},
			Answers:     []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[trimmed](`{"removed":4,"oldest_sequence":5,"latest_sequence":7}`)}}},
		}, Handle: a.trimChanges},
	}
}

// querySequence reads an optional sequence.
func querySequence(name, text string) (seq uint64, given bool, err error) {
	if text == "" {
		return 0, false, nil
	}
	seq, err = strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false, errs.New(errs.Invalid, "invalid_parameter", "%s must be a sequence, a whole number from 0, not %q", name, text)
	}
	return seq, true, nil
}

func feedFilter(c fiber.Ctx) (engine.FeedFilter, error) {
	f := engine.FeedFilter{Table: rest.QueryText(c, "table"), KeyPrefix: rest.QueryText(c, "key_prefix")}
	if f.Table != "" {
		return f, engine.ValidateTable(f.Table)
	}
	return f, nil
}

// checkTimeline holds the reader's timeline, if it gives one, against the
// database's.
func (a *API) checkTimeline(c fiber.Ctx) error {
	given := rest.QueryText(c, "timeline")
	if given == "" {
		return nil
	}
	timeline, err := a.db.FeedTimeline()
	if err != nil || given == timeline {
		return err
	}
	return errs.New(errs.Gone, "feed_restored",
		"The database was restored and has begun the timeline %s; sequences of %q mean other changes. Read the data anew and follow the feed from there.", timeline, given)
}

func (a *API) readChanges(c fiber.Ctx) error {
	if err := a.checkTimeline(c); err != nil {
		return err
	}
	from, _, err := querySequence("from_seq", rest.QueryText(c, "from_seq"))
	if err != nil {
		return err
	}
	limit, err := queryLimit(c)
	if err != nil {
		return err
	}
	wait, err := queryPoll(c)
	if err != nil {
		return err
	}
	filter, err := feedFilter(c)
	if err != nil {
		return err
	}
	page, err := a.db.ReadFeed(c.Context(), from, limit, filter)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	if wait == 0 || len(page.Events) > 0 || page.Next < page.Latest {
		return rest.Send(c, http.StatusOK, appendChanges(nil, &page))
	}
	// The wait is a part of the answer: so it holds none of the places for requests
	// at work, and the deadline of those isn't its own.
	leave, err := a.enterFeed()
	if err != nil {
		return err
	}
	ctx := untilClosed{context.Background(), request.Closing(c)}
	c.Set(fiber.HeaderContentType, rest.JSONType)
	return request.Stream(c, func(w *bufio.Writer) {
		defer leave()
		page := a.awaitChanges(ctx, page, limit, filter, time.Now().Add(wait))
		_, _ = w.Write(appendChanges(nil, &page)) // a client that is gone needs no answer
	})
}

func queryPoll(c fiber.Ctx) (time.Duration, error) {
	text := rest.QueryText(c, "long_poll_ms")
	if text == "" {
		return 0, nil
	}
	ms, err := strconv.Atoi(text)
	if most := int(longestPoll.Milliseconds()); err != nil || ms < 0 || ms > most {
		return 0, errs.New(errs.Invalid, "invalid_parameter", "long_poll_ms must be 0 to %d, not %q", most, text)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// awaitChanges returns the first page after an empty one that has events, or an
// empty one at the deadline. What fails meanwhile, the next request will tell.
func (a *API) awaitChanges(ctx context.Context, page engine.FeedPage, limit int, filter engine.FeedFilter, until time.Time) engine.FeedPage {
	for len(page.Events) == 0 {
		news, err := a.db.WaitFeed(ctx, page.Next, time.Until(until))
		if !news || err != nil {
			return page
		}
		next, err := a.db.ReadFeed(ctx, page.Next, limit, filter)
		if err != nil {
			return page
		}
		page = next
	}
	return page
}

// enterFeed takes one of the places for streams and long polls.
func (a *API) enterFeed() (leave func(), err error) {
	if a.feedReaders.Add(1) > int64(a.opts.MaxFeedReaders) {
		a.feedReaders.Add(-1)
		return nil, errs.New(errs.Unavailable, "too_many_streams",
			"The change feed has %d streams and long polls already. Try again later.", a.opts.MaxFeedReaders)
	}
	return func() { a.feedReaders.Add(-1) }, nil
}

func (a *API) feedStats(c fiber.Ctx) error {
	s, err := a.enabledFeed()
	if err != nil {
		return err
	}
	timeline, err := a.db.FeedTimeline()
	if err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, feedStats{
		Enabled: s.Enabled, Timeline: timeline, OldestSequence: s.Oldest, LatestSequence: s.Latest, Events: s.Events, Bytes: s.Bytes,
		RetentionSeconds: s.Retention.Seconds(), Streams: s.Streams, Waiting: s.Waiting,
		SlowReadersCut: s.SlowReadersCut, EventsRead: s.EventsRead, EventsTrimmed: s.EventsTrimmed,
	})
}

// enabledFeed returns the figures of the feed, and its own error when it is off.
func (a *API) enabledFeed() (engine.FeedStats, error) {
	s, err := a.db.FeedStats()
	if err == nil && !s.Enabled {
		err = engine.ErrFeedDisabled()
	}
	return s, err
}

func (a *API) trimChanges(c fiber.Ctx) error {
	r, err := rest.Decode[trimRequest](c.BodyRaw())
	if err != nil {
		return err
	}
	removed, err := a.db.TrimFeed(r.BeforeSequence)
	if err != nil {
		return err
	}
	s, err := a.db.FeedStats()
	if err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, trimmed{Removed: removed, OldestSequence: s.Oldest, LatestSequence: s.Latest})
}

// appendChanges writes a changePage.
func appendChanges(b []byte, page *engine.FeedPage) []byte {
	b = append(b, `{"events":[`...)
	for i := range page.Events {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendChange(b, &page.Events[i])
	}
	b = append(b, `],"count":`...)
	b = strconv.AppendInt(b, int64(len(page.Events)), 10)
	b = append(b, `,"latest_sequence":`...)
	b = strconv.AppendUint(b, page.Latest, 10)
	b = append(b, `,"next_seq":`...)
	return append(strconv.AppendUint(b, page.Next, 10), '}')
}

// appendChange writes a change, on one line: documents are stored compact.
func appendChange(b []byte, ev *engine.FeedEvent) []byte {
	b = append(b, `{"sequence":`...)
	b = strconv.AppendUint(b, ev.Seq, 10)
	b = append(b, `,"type":"`...)
	b = append(b, ev.Type...)
	b = append(b, `","key":`...)
	b = appendString(b, ev.Key.String())
	b = append(b, `,"value":`...)
	if ev.Doc == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, ev.Doc...)
	}
	b = append(b, `,"timestamp_ms":`...)
	b = strconv.AppendInt(b, ev.Time.UnixMilli(), 10)
	b = append(b, `,"metadata":{"table":`...)
	b = appendString(b, ev.Key.Table)
	b = append(b, `,"pk":`...)
	b = appendString(b, ev.Key.PK)
	b = append(b, `,"version":`...)
	return append(strconv.AppendUint(b, ev.Version, 10), '}', '}')
}
