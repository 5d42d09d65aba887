package api

import (
	"bufio"
	"context"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

// streamPage is how many events a stream reads at a time.
const streamPage = 256

// feedStream is one client's stream of changes. It has one goroutine, and while
// there is nothing to send no memory but that and the writer's.
type feedStream struct {
	db     Database
	w      *bufio.Writer
	filter engine.FeedFilter
	// stalled tells of a failed write whether the client was too slow for it.
	stalled func() bool
	// at is the last sequence looked at, told the last one the client knows.
	at, told uint64
	// wrote is when the client last got anything.
	wrote time.Time
}

func (a *API) streamChanges(c fiber.Ctx) error {
	if err := a.checkTimeline(c); err != nil {
		return err
	}
	name, text := "from_seq", rest.QueryText(c, "from_seq")
	if id := c.Get("Last-Event-ID"); id != "" {
		name, text = "Last-Event-ID", id
	}
	from, given, err := querySequence(name, text)
	if err != nil {
		return err
	}
	filter, err := feedFilter(c)
	if err != nil {
		return err
	}
	stats, err := a.enabledFeed()
	if err != nil {
		return err
	}
	if !given {
		from = stats.Latest
	}
	// What can't be read is answered with a status, which ends a browser's tries.
	if _, err := a.db.ReadFeed(c.Context(), from, 1, filter); err != nil {
		return err
	}
	leave, err := a.enterFeed()
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "text/event-stream")
	c.Set(fiber.HeaderCacheControl, "no-store, no-transform") // no proxy may compress it, which would hold events back
	c.Set("X-Accel-Buffering", "no")
	ctx := untilClosed{context.Background(), request.Closing(c)}
	stalled := request.Stalled(c)
	return request.Stream(c, func(w *bufio.Writer) {
		defer leave()
		s := &feedStream{db: a.db, w: w, filter: filter, stalled: stalled, at: from, told: from}
		s.run(ctx, a.opts.FeedHeartbeat)
	})
}

// run sends events until ctx ends, the client is gone or the feed can't be read
// on.
func (s *feedStream) run(ctx context.Context, heartbeat time.Duration) {
	done := s.db.FollowFeed()
	slow := false
	defer func() { done(slow) }()
	// The id at the start lets a client resume that is cut off before its first event.
	if s.write("retry: 2000\nid: "+strconv.FormatUint(s.at, 10)+"\n\n") != nil {
		return
	}
	for ctx.Err() == nil {
		page, err := s.db.ReadFeed(ctx, s.at, streamPage, s.filter)
		if err != nil {
			slow = errs.CodeOf(err) == "feed_trimmed"
			s.cut(err)
			return
		}
		if s.send(&page) != nil {
			slow = s.stalled()
			return
		}
		// Also while changes come that the filter skips.
		if time.Since(s.wrote) >= heartbeat && s.beat() != nil {
			slow = s.stalled()
			return
		}
		if page.Next < page.Latest {
			continue
		}
		if _, err := s.db.WaitFeed(ctx, s.at, heartbeat-time.Since(s.wrote)); err != nil {
			return
		}
	}
}

// send writes the events of a page as one piece.
func (s *feedStream) send(page *engine.FeedPage) error {
	s.at = page.Next
	if len(page.Events) == 0 {
		return nil
	}
	var line []byte
	for i := range page.Events {
		ev := &page.Events[i]
		line = append(line[:0], "id: "...)
		line = strconv.AppendUint(line, ev.Seq, 10)
		line = append(line, "\ndata: "...)
		line = append(appendChange(line, ev), "\n\n"...)
		if _, err := s.w.Write(line); err != nil {
			return err
		}
		s.told = ev.Seq
	}
	s.wrote = time.Now()
	return s.w.Flush()
}

// beat keeps proxies from closing a quiet stream. An id without data isn't an
// event for a client, but where it resumes: behind what its filter skipped.
func (s *feedStream) beat() error {
	text := ": still here\n\n"
	if s.told != s.at {
		text = ": still here\nid: " + strconv.FormatUint(s.at, 10) + "\n\n"
		s.told = s.at
	}
	return s.write(text)
}

// cut tells the client why the stream ends.
func (s *feedStream) cut(err error) {
	if data, err := json.Marshal(problem.Of(err)); err == nil {
		_ = s.write("event: cut\ndata: " + string(data) + "\n\n") // it ends anyway
	}
}

func (s *feedStream) write(text string) error {
	s.wrote = time.Now()
	if _, err := s.w.WriteString(text); err != nil {
		return err
	}
	return s.w.Flush()
}
