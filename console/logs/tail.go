package logs

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/internal/recent"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/request"
)

// logFilter picks entries; it is the query of the page.
type logFilter struct{ Level, Component, Text string }

func logFilterOf(c fiber.Ctx) logFilter {
	f := logFilter{page.Query(c, "level"), page.Query(c, "component"), strings.TrimSpace(page.Query(c, "q"))}
	if _, err := logging.ParseLevel(f.Level); err != nil {
		f.Level = ""
	}
	return f
}

// query is the filter as names and values, with more of them behind.
func (f logFilter) query(more ...string) []string {
	return append([]string{"level", f.Level, "component", f.Component, "q", f.Text}, more...)
}

func (f logFilter) empty() bool { return f == logFilter{} }

func (f logFilter) keep() func(*logging.Entry) bool {
	least := logging.LevelTrace
	if f.Level != "" {
		least, _ = logging.ParseLevel(f.Level) // it was checked
	}
	text := strings.ToLower(f.Text)
	return func(e *logging.Entry) bool {
		return e.Level >= least && (f.Component == "" || e.Component == f.Component) && (text == "" || e.Contains(text))
	}
}

// logView is the page of the log.
type logView struct {
	Filter     logFilter
	Components []components.Option
	Rows       []logRow
	// Older is the sequence before which there are more, 0 if there are none.
	Older uint64
	// Live is set on the first page, which follows the log from After on.
	Live  bool
	After string
	// Level is the one of the log, File where it goes.
	Level, File string
	Kept        int
}

// logRow is an entry on the page.
type logRow struct {
	Time      time.Time
	Clock     string
	Level     string
	Component string
	Message   string
	Attrs     []logAttr
}

// logAttr is an attribute: one that is long, or has several lines, is shown by its
// beginning, Short, and opens.
type logAttr struct {
	Key, Value string
	Short      string
	// Request leads to all entries of the request.
	Request bool
}

// longAttr is the length from which an attribute opens.
const longAttr = 240

func rowOf(e *logging.Entry, now time.Time) logRow {
	r := logRow{Time: e.Time, Clock: format.Clock(e.Time, now), Level: logging.LevelName(e.Level), Component: e.Component, Message: e.Message}
	if short := shortOf(e.Message); short != "" {
		r.Message = short
		r.Attrs = append(r.Attrs, logAttr{Key: "message", Value: e.Message, Short: short})
	}
	for _, a := range e.Attrs {
		if a.Value != "" {
			r.Attrs = append(r.Attrs, logAttr{Key: a.Key, Value: a.Value, Short: shortOf(a.Value), Request: a.Key == "request_id"})
		}
	}
	return r
}

// shortOf is the beginning of a text that is long or has several lines, empty for
// any other.
func shortOf(text string) string {
	line, _, several := strings.Cut(text, "\n")
	if len(text) > longAttr || several {
		return format.Shorten(line, longAttr/2)
	}
	return ""
}

func rowsOf(items []recent.Item[*logging.Entry], now time.Time) []logRow {
	rows := make([]logRow, len(items))
	for i, item := range items {
		rows[i] = rowOf(item.Value, now)
	}
	return rows
}

func (l *Logs) logView(f logFilter, before uint64) logView {
	logConfig := &l.o.Config.Config().Logging
	v := logView{Filter: f, Live: before == 0, Level: logConfig.Level, File: logConfig.File}
	// The stream begins at what is the newest now: what comes while the page is
	// made is sent twice rather than never.
	v.After = l.mark(l.o.Entries.Last())
	all, _ := l.o.Entries.Before(0, 1<<20, nil)
	v.Kept = len(all)
	v.Components = componentsOf(all, f.Component)
	items, more := l.o.Entries.Before(before, shown, f.keep())
	v.Rows = rowsOf(items, time.Now())
	if more {
		v.Older = items[len(items)-1].Seq
	}
	return v
}

// componentsOf lists who has logged, with how much of it is kept.
func componentsOf(items []recent.Item[*logging.Entry], chosen string) []components.Option {
	counts := map[string]int{}
	if chosen != "" {
		counts[chosen] = 0
	}
	for _, item := range items {
		counts[item.Value.Component]++
	}
	options := []components.Option{{Value: "", Label: "All components"}}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		options = append(options, components.Option{Value: name, Label: fmt.Sprintf("%s (%s)", format.Shorten(name, 40), format.Count(counts[name]))})
	}
	return options
}

func (l *Logs) showLog(c fiber.Ctx) error {
	v := l.logView(logFilterOf(c), number(page.Query(c, "before")))
	return l.frame.Show(c, page.Page{Title: "Logs", Nav: "logs", Actions: levelForm(v.Level), Wide: true}, logPage(v))
}

func (l *Logs) followLog(c fiber.Ctx) error {
	since, keep := l.since(c), logFilterOf(c).keep()
	return l.frame.Stream(c, func(ctx context.Context, s *page.Stream) error {
		return l.follow(ctx, s, l.o.Entries, since, keep, func(items []recent.Item[*logging.Entry], missed uint64) templ.Component {
			slices.Reverse(items) // the newest stands first
			return logRows(rowsOf(items, time.Now()), missed)
		})
	})
}

// setLevel changes the level of the running server, as POST /config does.
func (l *Logs) setLevel(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	level := form.Text("level")
	if _, err := l.o.Config.Edit(request.Principal(c).Name, []byte(`{"logging":{"level":`+strconv.Quote(level)+`}}`)); err != nil {
		return err
	}
	return l.frame.Done(c, "The log level is "+level+" until the next restart.", "logs")
}

// levels are the levels that can be chosen, least severe first.
func levels() []string { return []string{"trace", "debug", "info", "warn", "error"} }

// levelOptions are the levels for the filter.
func levelOptions() []components.Option {
	options := []components.Option{{Value: "", Label: "All levels"}}
	for _, name := range levels()[1:] {
		label := strings.ToUpper(name[:1]) + name[1:]
		if name != logging.LevelName(slog.LevelError) {
			label += " and above"
		}
		options = append(options, components.Option{Value: name, Label: label})
	}
	return options
}
