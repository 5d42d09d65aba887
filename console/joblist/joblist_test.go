package joblist

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
)

func TestMain(m *testing.M) { consoletest.Main(m) }

// site is the pages over jobs that a test makes.
type site struct {
	*consoletest.Site
	jobs *jobs.Registry
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{jobs: jobs.NewRegistry(slog.New(slog.DiscardHandler))}
	t.Cleanup(s.jobs.Close)
	s.Site = consoletest.Serve(t, func(f *page.Frame) console.Group { return New(f, Options{Jobs: s.jobs}) })
	return s
}

// part asks as htmx does on the page of all jobs.
func (s *site) part(method, path string) consoletest.Answer {
	s.Helper()
	return s.Send(method, path, "", "HX-Request", "true", "HX-Current-URL", "http://h/console/jobs")
}

// start runs a job that goes on until it is canceled, or ends with err at once.
func (s *site) start(kind, subject string, err error, forever bool) *jobs.Job {
	s.Helper()
	begun := make(chan struct{})
	job, startErr := s.jobs.Start(kind, subject, func(ctx context.Context, p jobs.Progress) error {
		p.Unit("entities")
		p.Set(250, 1000)
		close(begun)
		if forever {
			<-ctx.Done()
			return ctx.Err()
		}
		p.Result([]byte(`{"deleted":3}`))
		return err
	})
	if startErr != nil {
		s.Fatal(startErr)
	}
	<-begun
	if !forever {
		_ = job.Wait(s.Context()) // its outcome is what the page is to show
	}
	return job
}

func TestList(t *testing.T) {
	s := newSite(t)
	s.Page("jobs", "No job has ended yet")
	s.start("index_build", "t.a (equality)", nil, false)
	s.start("index_build", `t.<b> (range)`, errs.New(errs.Conflict, "duplicate_value", "two have <i>one</i> value"), false)
	running := s.start("reindex", "t", nil, true)
	s.Page("jobs", "Rebuild all indexes", "250 of 1,000 entities", "jobs/"+running.ID()+"/part", "All 2", "Done 1", "Failed 1", "Two have &lt;i&gt;one&lt;/i&gt; value.", "t.&lt;b&gt; (range)")
	if body := s.Page("jobs?state=failed", "t.&lt;b&gt; (range)"); strings.Contains(body, "t.a (equality)") {
		t.Error("the failed ones have a done one among them")
	}
	s.Page("jobs?state=canceled", "None of these")
}

func TestOne(t *testing.T) {
	s := newSite(t)
	job := s.start("delete_where", "t", nil, false)
	s.Page("jobs/"+job.ID(), "Delete where", "badge-ok", "json-key", "deleted", "/jobs/"+job.ID())
	curve := s.start("recall_curve", "t.a.b (vector)", nil, false)
	s.Page("jobs/"+curve.ID(), "Show the curve", "column=a.b&amp;run="+curve.ID()+"&amp;tab=recall&amp;table=t&amp;type=vector")
	if a := s.Get("jobs/none"); a.Status != http.StatusNotFound {
		t.Errorf("no such job: %d", a.Status)
	}
}

// A page polls the part until the job ends and is told so once; a job that isn't
// kept any more ends the polling too.
func TestPart(t *testing.T) {
	s := newSite(t)
	job := s.start("index_build", "t.a (equality)", nil, true)
	a := s.part("GET", "jobs/"+job.ID()+"/part")
	if s.Holds(a, http.StatusOK, "every 1s", "25 %"); a.Header.Get("HX-Trigger") != "" || strings.Contains(a.Body, "<html") {
		t.Errorf("while it runs: %q %s", a.Header.Get("HX-Trigger"), a.Body)
	}
	job.Cancel()
	_ = job.Wait(t.Context()) // it was canceled
	a = s.part("GET", "jobs/"+job.ID()+"/part")
	if s.Holds(a, http.StatusOK, "canceled"); a.Header.Get("HX-Trigger") != "job-ended" || strings.Contains(a.Body, "hx-get") {
		t.Errorf("at its end: %q %s", a.Header.Get("HX-Trigger"), a.Body)
	}
	a = s.part("GET", "jobs/none/part")
	if s.Holds(a, http.StatusOK, "kept any more"); strings.Contains(a.Body, "hx-get") {
		t.Errorf("forgotten: %s", a.Body)
	}
}

func TestCancel(t *testing.T) {
	s := newSite(t)
	job := s.start("index_build", "t.a (equality)", nil, true)
	a := s.Post("jobs/" + job.ID() + "/cancel")
	if a.Status != http.StatusSeeOther || a.Location != "jobs/"+job.ID() || job.Status().State != jobs.Canceled {
		t.Errorf("%d to %q, the job is %s", a.Status, a.Location, job.Status().State)
	}
	job = s.start("index_build", "t.a (equality)", nil, true)
	a = s.part("POST", "jobs/"+job.ID()+"/cancel")
	if s.Holds(a, http.StatusOK, "canceled", `href="./jobs/`); a.Header.Get("HX-Trigger") != "job-ended" {
		t.Errorf("as a part: %q", a.Header.Get("HX-Trigger"))
	}
	if a := s.Post("jobs/none/cancel"); a.Status != http.StatusNotFound {
		t.Errorf("no such job: %d", a.Status)
	}
}
