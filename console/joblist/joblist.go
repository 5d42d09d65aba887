// Package joblist is the console's pages of jobs, the long work of the engine: the
// list of those that run and of the last that ended, and the page of one, with
// progress, outcome and a way to cancel it. components.JobProgress, which any page
// may show, refreshes itself from here.
//
// The package owns no goroutines and no locks.
package joblist

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Options are what the pages work on.
type Options struct {
	Jobs *jobs.Registry
}

// Jobs serves the pages. Make one with New.
type Jobs struct {
	frame *page.Frame
	jobs  *jobs.Registry
}

// New returns the pages.
func New(f *page.Frame, o Options) *Jobs { return &Jobs{f, o.Jobs} }

const nav = "jobs"

// Routes lists every route, with the roles that their REST twins have.
func (j *Jobs) Routes() []rest.Route {
	f := j.frame
	return []rest.Route{
		f.Route(http.MethodGet, "jobs", auth.ReadOnly, j.list),
		f.Route(http.MethodGet, "jobs/{id}", auth.ReadOnly, j.show),
		f.Route(http.MethodGet, "jobs/{id}/part", auth.ReadOnly, j.part),
		f.Route(http.MethodPost, "jobs/{id}/cancel", auth.ReadWrite, j.cancel),
	}
}

// listView is the list: what runs, then what has ended.
type listView struct {
	Running, Ended []jobs.Status
	// State narrows what has ended; empty is any.
	State jobs.State
	// Counts are by state.
	Counts map[jobs.State]int
}

func listOf(known []jobs.Status, state jobs.State) listView {
	v := listView{State: state, Counts: map[jobs.State]int{}}
	for _, s := range known {
		v.Counts[s.State]++
		switch {
		case s.State == jobs.Running:
			v.Running = append(v.Running, s)
		case state == "" || s.State == state:
			v.Ended = append(v.Ended, s)
		}
	}
	return v
}

// ended is how many jobs have.
func (v listView) ended() int {
	return v.Counts[jobs.Done] + v.Counts[jobs.Failed] + v.Counts[jobs.Canceled]
}

func (j *Jobs) list(c fiber.Ctx) error {
	v := listOf(j.jobs.List(), jobs.State(page.Query(c, "state")))
	return j.frame.Show(c, page.Page{Title: "Jobs", Nav: nav}, list(v))
}

// job is the one that the URL names.
func (j *Jobs) job(c fiber.Ctx) (*jobs.Job, error) {
	id, err := rest.PathText(c, "id")
	if err != nil {
		return nil, err
	}
	job, ok := j.jobs.Get(id)
	if !ok {
		return nil, errs.New(errs.NotFound, "job_not_found", "There is no job %q. Jobs that have ended are forgotten after a hundred newer ones, and when the server stops.", id)
	}
	return job, nil
}

func (j *Jobs) show(c fiber.Ctx) error {
	job, err := j.job(c)
	if err != nil {
		return err
	}
	s := job.Status()
	return j.frame.Show(c, page.Page{Title: components.JobTitle(s.Kind), Nav: nav, Crumbs: []page.Crumb{{Title: "Jobs", Path: "jobs"}}}, show(s))
}

// part is a job's progress alone. Where the job has ended, or is known no more, it
// says so to the page.
func (j *Jobs) part(c fiber.Ctx) error {
	job, err := j.job(c)
	if errs.KindOf(err) == errs.NotFound {
		c.Set(trigger, ended)
		return j.frame.Part(c, forgotten())
	}
	if err != nil {
		return err
	}
	s := job.Status()
	if s.State != jobs.Running {
		c.Set(trigger, ended)
	}
	return j.frame.Part(c, components.JobProgress(s))
}

// The event that tells pages to load anew what a job has changed.
const (
	trigger = "HX-Trigger"
	ended   = "job-ended"
)

func (j *Jobs) cancel(c fiber.Ctx) error {
	job, err := j.job(c)
	if err != nil {
		return err
	}
	job.Cancel()
	_, _ = page.Soon(c.Context(), job) // its status says how it ended, if it has
	s := job.Status()
	if page.IsPart(c) {
		if s.State != jobs.Running {
			c.Set(trigger, ended)
		}
		return j.frame.Part(c, components.JobProgress(s))
	}
	return j.frame.Done(c, canceled(s), "jobs/"+job.ID())
}

// canceled says what became of the wish to cancel.
func canceled(s jobs.Status) string {
	switch s.State {
	case jobs.Canceled:
		return "The job was canceled."
	case jobs.Running:
		return "The job will stop at its next step."
	}
	return "The job had ended before it could be canceled."
}

// resultPath leads to where a job's result is shown, empty if that is here.
func resultPath(s jobs.Status) (label, path string, query []string) {
	switch s.Kind {
	case engine.RecallCurveKind:
		if i, ok := indexIn(s.Subject); ok {
			return "Show the curve", i.Path(), append(i.Query(), "tab", "recall", "run", s.ID)
		}
	case engine.IndexBuildKind, engine.IndexRebuildKind:
		if s.State == jobs.Done {
			return "Show the index", "indexes", []string{"q", s.Subject}
		}
	case engine.SnapshotKind, engine.SnapshotVerifyKind, engine.BackupKind, engine.BackupVerifyKind:
		return "Snapshots and backups", "copies", nil
	}
	return "", "", nil
}

// indexIn is the vector index that a subject names: table.column (vector). No
// table has a dot in its name, and a vector index has one column.
func indexIn(subject string) (components.Index, bool) {
	name, ok := strings.CutSuffix(subject, " (vector)")
	table, column, dotted := strings.Cut(name, ".")
	return components.Index{Table: table, Columns: []string{column}, Type: "vector"}, ok && dotted
}
