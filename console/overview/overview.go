// Package overview is the console's first page: what needs attention, with the way
// to mend it; then how the server does, in figures and in charts of the last hour;
// then the largest tables and the latest jobs.
//
// Facts are gathered for each request, and everything on the page is worked out of
// them by functions without side effects. The page's figures are fetched anew every
// few seconds; its charts follow a stream. The package owns no goroutines and no
// locks.
package overview

import (
	"context"
	"hash/fnv"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/charts"
	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/recent"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

// Database is what is asked for; *engine.Engine is one.
type Database interface {
	Tables(context.Context) ([]engine.TableInfo, error)
	Jobs() *jobs.Registry
	SlowQueries() *recent.List[*engine.SlowQuery]
}

// Options are what the page shows.
type Options struct {
	Database Database
	Ops      *ops.Ops
	History  *history.History
	// Config is the live configuration; nil leaves it out.
	Config *config.Live
}

// Overview serves the page. Make one with New.
type Overview struct {
	frame *page.Frame
	o     Options
}

// New returns the page.
func New(f *page.Frame, o Options) *Overview {
	return &Overview{f, o}
}

// Routes lists every route.
func (o *Overview) Routes() []rest.Route {
	f := o.frame
	return []rest.Route{
		f.Route(http.MethodGet, "", auth.ReadOnly, o.show),
		f.Route(http.MethodGet, "overview/figures", auth.ReadOnly, o.figures),
		f.Route(http.MethodGet, "overview/attention", auth.ReadOnly, o.attention),
		f.Route(http.MethodGet, "overview/stream", auth.ReadOnly, o.stream),
	}
}

// View is the page.
type View struct {
	Ready bool
	// State is the readiness in a word or two.
	State, Version string
	Uptime         time.Duration
	Tables         int
	Entities       uint64
	Attention      []Item
	Figures        []Figure
	Charts         []components.Chart
	Largest        []TableRow
	Jobs           []jobs.Status
}

// build makes the page of the facts.
func build(f *Facts) View {
	v := View{
		Ready: f.Ready.Ready, State: "Ready", Version: f.Health.Version,
		Uptime: time.Duration(f.Health.UptimeSeconds) * time.Second,
		Tables: len(f.Tables), Attention: attention(f), Figures: figures(f), Charts: charts.Fill(chartsOf(&f.Stats), f.Samples, "overview/stream"),
		Largest: largest(f.Tables), Jobs: f.Jobs[:min(len(f.Jobs), listed)],
	}
	if !v.Ready {
		v.State = "Not ready"
	}
	for _, t := range f.Tables {
		v.Entities += t.Entities
	}
	return v
}

func (o *Overview) show(c fiber.Ctx) error {
	f, err := o.allFacts(c)
	if err != nil {
		return err
	}
	if f.Tables, err = o.o.Database.Tables(c.Context()); err != nil {
		return err
	}
	v := build(f)
	return o.frame.Show(c, page.Page{Title: "Overview", Nav: "overview", Actions: state(v)}, content(v))
}

func (o *Overview) figures(c fiber.Ctx) error {
	f, err := o.facts(c.Context())
	if err != nil {
		return err
	}
	return o.frame.Part(c, figureTiles(figures(f)))
}

// attention leaves the list alone while it is what the page shows already: whoever
// is about to press a link in it shouldn't lose it.
func (o *Overview) attention(c fiber.Ctx) error {
	f, err := o.allFacts(c)
	if err != nil {
		return err
	}
	items := attention(f)
	if page.Query(c, "shown") == fingerprint(items) {
		return c.SendStatus(http.StatusNoContent)
	}
	return o.frame.Part(c, attentionList(items))
}

// fingerprint tells lists apart.
func fingerprint(items []Item) string {
	h := fnv.New64a()
	for _, i := range items {
		for _, text := range []string{i.Kind, i.Title, i.Detail} {
			h.Write([]byte(text))
			h.Write([]byte{0})
		}
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// facts gathers what the figures are made from.
func (o *Overview) facts(ctx context.Context) (*Facts, error) {
	stats, err := o.o.Ops.Stats(ctx)
	if err != nil {
		return nil, err
	}
	return &Facts{
		Now: time.Now(), Health: o.o.Ops.Health(), Ready: o.o.Ops.Readiness(), Stats: stats, Samples: o.o.History.Samples(),
	}, nil
}

// allFacts gathers all but the tables. The configuration is for admins, as it is
// over REST.
func (o *Overview) allFacts(c fiber.Ctx) (*Facts, error) {
	f, err := o.facts(c.Context())
	if err != nil {
		return nil, err
	}
	f.Jobs = o.o.Database.Jobs().List()
	slow, _ := o.o.Database.SlowQueries().Before(0, math.MaxInt, func(q *engine.SlowQuery) bool { return f.Now.Sub(q.Began) < time.Hour })
	f.SlowQueries = len(slow)
	if o.o.Config == nil || request.Principal(c).Role < auth.Admin {
		return f, nil
	}
	changes, err := o.o.Config.AfterRestart()
	if err != nil {
		f.RestartError = err.Error()
	}
	for _, change := range changes {
		f.Restart = append(f.Restart, change.Key)
	}
	return f, nil
}

func (o *Overview) stream(c fiber.Ctx) error {
	stats, err := o.o.Ops.Stats(c.Context())
	if err != nil {
		return err
	}
	return charts.Follow(o.frame, c, o.o.History, chartsOf(&stats))
}
