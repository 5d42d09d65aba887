// Package logs is what the console tells of the past: the log, the audit log and
// the slow queries, each of which the server keeps the newest of in memory.
//
// Pages show a part of what is kept, newest first, and follow what comes by a
// stream. A reader that is too slow for that misses entries and is told how many;
// nobody who logs ever waits. The package owns no goroutines and no locks.
package logs

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/recent"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/rest"
)

// Database is what is asked for; *engine.Engine is one.
type Database interface {
	SlowQueries() *recent.List[*engine.SlowQuery]
	SlowThreshold() time.Duration
	IndexStats(ctx context.Context, table string) ([]engine.IndexInfo, error)
}

// Options are what the pages show.
type Options struct {
	Database Database
	Config   *config.Live
	// Entries are of the log.
	Entries *logging.Entries
	// Audit are of the audit log, nil while there is none.
	Audit *logging.Entries
}

// Logs serves the pages. Make one with New.
type Logs struct {
	frame *page.Frame
	o     Options
	// epoch tells this process from those before: sequences begin anew in each.
	epoch string
}

// New returns the pages.
func New(f *page.Frame, o Options) *Logs {
	return &Logs{frame: f, o: o, epoch: strconv.FormatInt(time.Now().UnixNano(), 36)}
}

// Routes lists every route.
func (l *Logs) Routes() []rest.Route {
	f := l.frame
	return []rest.Route{
		f.Route(http.MethodGet, "logs", auth.Admin, l.showLog),
		f.Route(http.MethodGet, "logs/stream", auth.Admin, l.followLog),
		f.Route(http.MethodGet, "logs/download", auth.Admin, l.download),
		f.Route(http.MethodPost, "logs/level", auth.Admin, l.setLevel),
		f.Route(http.MethodGet, "audit", auth.Admin, l.showAudit),
		f.Route(http.MethodGet, "audit/stream", auth.Admin, l.followAudit),
		f.Route(http.MethodGet, "slow", auth.Admin, l.showSlow),
		f.Route(http.MethodPost, "slow/threshold", auth.Admin, l.setThreshold),
		f.Route(http.MethodPost, "slow/clear", auth.Admin, l.clearSlow),
		f.Route(http.MethodGet, "slow/{sequence}", auth.Admin, l.showSlowQuery),
	}
}

const (
	// shown is how many entries a page has.
	shown = 200
	// streamPage is how many a stream sends at a time, and streamPause how long it
	// rests then, so that a flood of entries doesn't busy the browser.
	streamPage  = 100
	streamPause = 250 * time.Millisecond
)

// mark is the id of an event: where a browser that lost its connection goes on.
func (l *Logs) mark(seq uint64) string { return l.epoch + "-" + strconv.FormatUint(seq, 10) }

// parseMark reads a mark. One of another process is from before all entries.
func (l *Logs) parseMark(mark string) uint64 {
	text, ok := strings.CutPrefix(mark, l.epoch+"-")
	if !ok {
		return 0
	}
	seq, _ := strconv.ParseUint(text, 10, 64) // what isn't a number is from before too
	return seq
}

// since is where a stream begins: where the browser was, or where the page ends.
func (l *Logs) since(c fiber.Ctx) uint64 {
	if id := c.Get("Last-Event-ID"); id != "" {
		return l.parseMark(id)
	}
	return l.parseMark(page.Query(c, "after"))
}

// number is a sequence in a URL, 0 if there is none.
func number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64) // what isn't a number isn't there
	return n
}

// follow sends the entries that keep lets pass as they come.
func (l *Logs) follow(ctx context.Context, s *page.Stream, list *logging.Entries, seq uint64, keep func(*logging.Entry) bool, render func([]recent.Item[*logging.Entry], uint64) templ.Component) error {
	rest := time.NewTimer(streamPause)
	defer rest.Stop()
	for {
		if err := list.Wait(ctx, seq); err != nil {
			return err
		}
		p := list.After(seq, streamPage, keep)
		seq = p.Next
		if len(p.Items) > 0 || p.Missed > 0 {
			if err := s.Send("entries", l.mark(seq), render(p.Items, p.Missed)); err != nil {
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
