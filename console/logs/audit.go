package logs

import (
	"context"
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
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/recent"
	"github.com/vccdb/vccdb/server/logging"
)

// auditFilter picks entries; it is the query of the page.
type auditFilter struct{ Outcome, Who, Text string }

func auditFilterOf(c fiber.Ctx) auditFilter {
	return auditFilter{page.Query(c, "outcome"), page.Query(c, "who"), strings.TrimSpace(page.Query(c, "q"))}
}

func (f auditFilter) query(more ...string) []string {
	return append([]string{"outcome", f.Outcome, "who", f.Who, "q", f.Text}, more...)
}

func (f auditFilter) empty() bool { return f == auditFilter{} }

func (f auditFilter) keep() func(*logging.Entry) bool {
	text := strings.ToLower(f.Text)
	return func(e *logging.Entry) bool {
		return (f.Outcome == "" || e.Get("outcome") == f.Outcome) && (f.Who == "" || e.Get("principal") == f.Who) && (text == "" || e.Contains(text))
	}
}

// auditView is the page of the audit log.
type auditView struct {
	// Off says that nothing is written down.
	Off    bool
	Filter auditFilter
	Who    []components.Option
	Rows   []auditRow
	Older  uint64
	Live   bool
	After  string
	// File is the audit log's, empty where it is a part of the log.
	File string
	Kept int
}

// auditRow is a call on the page.
type auditRow struct {
	Time                      time.Time
	Clock                     string
	Who, Role, Remote         string
	Method, Target, RequestID string
	Status, Outcome           string
	Took                      string
}

func auditRowOf(e *logging.Entry, now time.Time) auditRow {
	r := auditRow{
		Time: e.Time, Clock: format.Clock(e.Time, now), Who: e.Get("principal"), Role: e.Get("role"), Remote: e.Get("remote"),
		Method: e.Get("method"), Target: e.Get("target"), RequestID: e.Get("request_id"), Status: e.Get("status"), Outcome: e.Get("outcome"),
	}
	if ms, err := strconv.ParseFloat(e.Get("took_ms"), 64); err == nil {
		r.Took = format.Millis(ms)
	}
	return r
}

// badge is the kind of the outcome's badge.
func (r auditRow) badge() string {
	switch r.Outcome {
	case "ok":
		return "ok"
	case "denied":
		return "danger"
	case "failed":
		return "warn"
	}
	return ""
}

// logged says that the log has the cause: of what failed through the server's
// fault.
func (r auditRow) logged() bool { return strings.HasPrefix(r.Status, "5") && r.RequestID != "" }

func auditRowsOf(items []recent.Item[*logging.Entry], now time.Time) []auditRow {
	rows := make([]auditRow, len(items))
	for i, item := range items {
		rows[i] = auditRowOf(item.Value, now)
	}
	return rows
}

func (l *Logs) auditView(f auditFilter, before uint64) auditView {
	v := auditView{Off: l.o.Audit == nil, Filter: f, Live: before == 0, File: l.o.Config.Config().Logging.AuditFile}
	if v.Off {
		return v
	}
	v.After = l.mark(l.o.Audit.Last())
	all, _ := l.o.Audit.Before(0, 1<<20, nil)
	v.Kept = len(all)
	v.Who = callersOf(all, f.Who)
	items, more := l.o.Audit.Before(before, shown, f.keep())
	v.Rows = auditRowsOf(items, time.Now())
	if more {
		v.Older = items[len(items)-1].Seq
	}
	return v
}

// callersOf lists who has called.
func callersOf(items []recent.Item[*logging.Entry], chosen string) []components.Option {
	names := map[string]bool{}
	for _, item := range items {
		names[item.Value.Get("principal")] = true
	}
	names[chosen] = true
	delete(names, "")
	options := []components.Option{{Value: "", Label: "Everybody"}}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		options = append(options, components.Option{Value: name, Label: format.Shorten(name, 60)})
	}
	return options
}

func (l *Logs) showAudit(c fiber.Ctx) error {
	v := l.auditView(auditFilterOf(c), number(page.Query(c, "before")))
	return l.frame.Show(c, page.Page{Title: "Audit log", Nav: "audit", Wide: true}, auditPage(v))
}

func (l *Logs) followAudit(c fiber.Ctx) error {
	if l.o.Audit == nil {
		return errAuditOff()
	}
	since, keep := l.since(c), auditFilterOf(c).keep()
	return l.frame.Stream(c, func(ctx context.Context, s *page.Stream) error {
		return l.follow(ctx, s, l.o.Audit, since, keep, func(items []recent.Item[*logging.Entry], missed uint64) templ.Component {
			slices.Reverse(items)
			return auditRows(auditRowsOf(items, time.Now()), missed)
		})
	})
}

func errAuditOff() error {
	return errs.New(errs.NotSupported, "audit_off", "The audit log is off; set server.enable_auth or logging.audit_file and restart the server.")
}
