// Package settings is the console's page of the configuration: every setting with
// what there is to know about it, a form to change those that can change while the
// server runs, and the history of changes with a way back.
//
// A change goes through three steps, of which scripts make one: the form is checked
// (a dry run, as one types), the differences are shown, and they are applied. Each
// field travels with the value that it was filled with, so that only what the reader
// edited is changed, and what somebody else changed meanwhile isn't undone.
//
// All of it goes through the live configuration, as POST /config does. The package
// owns no goroutines and no locks.
package settings

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

// Options are what the pages show.
type Options struct {
	Config *config.Live
}

// Settings serves the pages. Make one with New.
type Settings struct {
	frame *page.Frame
	live  *config.Live
}

// New returns the pages.
func New(f *page.Frame, o Options) *Settings { return &Settings{f, o.Config} }

// Routes lists every route.
func (s *Settings) Routes() []rest.Route {
	f := s.frame
	return []rest.Route{
		f.Route(http.MethodGet, "settings", auth.Admin, s.show),
		f.Route(http.MethodGet, "settings/check", auth.Admin, s.check),
		f.Route(http.MethodPost, "settings/review", auth.Admin, s.review),
		f.Route(http.MethodPost, "settings/apply", auth.Admin, s.apply),
		f.Route(http.MethodGet, "settings/history", auth.Admin, s.history),
		f.Route(http.MethodGet, "settings/revert", auth.Admin, s.revert),
	}
}

var (
	mainPage   = page.Page{Title: "Configuration", Nav: "settings"}
	reviewPage = page.Page{Title: "Review changes", Nav: "settings", Crumbs: []page.Crumb{{Title: "Configuration", Path: "settings"}}}
	revertPage = page.Page{Title: "Revert a change", Nav: "settings", Crumbs: []page.Crumb{{Title: "Configuration", Path: "settings"}, {Title: "History", Path: "settings/history"}}}
)

func (s *Settings) show(c fiber.Ctx) error {
	return s.frame.Show(c, mainPage, list(s.list(page.Query(c, "q"), page.Query(c, "show"))))
}

// list is the page of all settings that a search leaves.
func (s *Settings) list(search, show string) List {
	l := newList(s.live.View().Settings, search, show)
	l.Pending = pending(s.live)
	return l
}

// check answers what a form as it is would do, for scripts. It changes nothing, so
// the fields come in the query.
func (s *Settings) check(c fiber.Ctx) error {
	fields, err := page.Values(c)
	if err != nil {
		return err
	}
	d := s.draft(page.Form{Values: fields})
	s.dryRun(c, d)
	return s.frame.Part(c, checked(d))
}

// review shows what a form would change.
func (s *Settings) review(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	d := s.draft(form)
	s.dryRun(c, d)
	if d.failed() {
		return s.again(c, d)
	}
	return s.frame.Show(c, reviewPage, review(d))
}

// again shows the form with what is wrong with it.
func (s *Settings) again(c fiber.Ctx, d *draft) error {
	l := s.list("", "")
	l.fill(d)
	status := http.StatusBadRequest
	if d.Stale {
		status = http.StatusConflict
	}
	return s.frame.ShowStatus(c, status, mainPage, list(l))
}

func (s *Settings) apply(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	d := s.draft(form)
	if d.Stale || len(d.Edits) == 0 {
		s.dryRun(c, d)
		if d.failed() {
			return s.again(c, d)
		}
		return s.frame.Done(c, "Nothing was changed: the settings have these values already.", "settings")
	}
	outcome, err := s.edit(c, d, false)
	if err != nil {
		if d.explain(err); d.failed() {
			return s.again(c, d)
		}
		return err
	}
	return s.frame.Done(c, notice(outcome), "settings")
}

// notice says what a change did.
func notice(o *config.Outcome) string {
	text := format.Plural(len(o.Changes), "setting was", "settings were") + " changed"
	if len(o.Changes) == 1 {
		text = o.Changes[0].Key + " is " + shown(o.Changes[0].To) + " now"
	}
	switch {
	case o.Persisted && len(o.Changes) == 0:
		text = "The values are kept after a restart now"
	case o.Persisted:
		text += ", also after a restart"
	default:
		text += ", until the next restart"
	}
	return strings.Join(append([]string{text + "."}, o.Notes...), " ")
}

func (s *Settings) history(c fiber.Ctx) error {
	return s.frame.Show(c, mainPage, history(newHistory(s.live.History(), s.live.View().Settings)))
}

// revert shows what it would change to take back an entry of the history.
func (s *Settings) revert(c fiber.Ctx) error {
	at, err := time.Parse(time.RFC3339Nano, page.Query(c, "at"))
	if err != nil {
		return errs.New(errs.Invalid, "invalid_parameter", "at must be the time of a change as the history has it, not %q.", page.Query(c, "at"))
	}
	entries := s.live.History()
	i := slices.IndexFunc(entries, func(e config.Entry) bool { return e.Time.Equal(at) })
	if i < 0 {
		return errs.New(errs.NotFound, "change_not_found", "The history has no change of %s; the last 200 are kept.", at.Format(time.RFC3339))
	}
	d := revertOf(&entries[i], s.live.View().Settings)
	s.dryRun(c, d)
	return s.frame.Show(c, revertPage, review(d))
}

// dryRun finds out what the edits would do.
func (s *Settings) dryRun(c fiber.Ctx, d *draft) {
	if len(d.Edits) == 0 || d.Stale {
		return
	}
	outcome, err := s.edit(c, d, true)
	if err != nil {
		d.explain(err)
		if !d.failed() {
			d.Problem = problem.Of(err).Detail
		}
		return
	}
	d.Notes = append(d.Notes, outcome.Notes...)
	d.take(outcome.Changes)
}

func (s *Settings) edit(c fiber.Ctx, d *draft, dryRun bool) (*config.Outcome, error) {
	document, err := d.document(dryRun)
	if err != nil {
		return nil, err
	}
	return s.live.Edit(request.Principal(c).Name, document)
}

func (s *Settings) draft(form page.Form) *draft { return newDraft(form, s.live.View().Settings) }
