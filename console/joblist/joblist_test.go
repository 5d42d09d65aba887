package joblist

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/web"
)

// site is the pages over jobs that a test makes.
type site struct {
	*testing.T
	jobs *jobs.Registry
	app  *fiber.App
}

func newSite(t *testing.T) *site {
	t.Helper()
	assets, err := web.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{T: t, jobs: jobs.NewRegistry(slog.New(slog.DiscardHandler)), app: fiber.New(fiber.Config{CaseSensitive: true, StrictRouting: true})}
	t.Cleanup(s.jobs.Close)
	step := func(_ auth.Role, render problem.Renderer) fiber.Handler {
		return func(c fiber.Ctx) error {
			request.Attach(c, &request.Info{ID: "1", Principal: auth.Principal{Name: "ops", Role: auth.Admin}})
			problem.RenderWith(c, render)
			return c.Next()
		}
	}
	rest.Register(s.app, New(page.New(page.Options{Assets: assets}), Options{Jobs: s.jobs}).Routes(), step)
	return s
}

func (s *site) do(method, path string, header ...string) (*http.Response, string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, "http://h/console/"+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.app.Test(req, fiber.TestConfig{Timeout: 20 * time.Second})
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res, string(body)
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

func (s *site) wants(body string, texts ...string) {
	s.Helper()
	for _, text := range texts {
		if !strings.Contains(body, text) {
			_, content, _ := strings.Cut(body, "<main")
			s.Errorf("no %s in %s", text, content)
		}
	}
}

func TestList(t *testing.T) {
	s := newSite(t)
	_, body := s.do("GET", "jobs")
	s.wants(body, "No job has ended yet")
	s.start("index_build", "t.a (equality)", nil, false)
	s.start("index_build", `t.<b> (range)`, errs.New(errs.Conflict, "duplicate_value", "two have <i>one</i> value"), false)
	running := s.start("reindex", "t", nil, true)
	_, body = s.do("GET", "jobs")
	s.wants(body, "Rebuild all indexes", "250 of 1,000 entities", "jobs/"+running.ID()+"/part", "All 2", "Done 1", "Failed 1", "Two have &lt;i&gt;one&lt;/i&gt; value.", "t.&lt;b&gt; (range)")
	_, body = s.do("GET", "jobs?state=failed")
	if s.wants(body, "t.&lt;b&gt; (range)"); strings.Contains(body, "t.a (equality)") {
		t.Error("the failed ones have a done one among them")
	}
	_, body = s.do("GET", "jobs?state=canceled")
	s.wants(body, "None of these")
}

func TestOne(t *testing.T) {
	s := newSite(t)
	job := s.start("delete_where", "t", nil, false)
	_, body := s.do("GET", "jobs/"+job.ID())
	s.wants(body, "Delete where", "badge-ok", "json-key", "deleted", "/jobs/"+job.ID())
	curve := s.start("recall_curve", "t.a.b (vector)", nil, false)
	_, body = s.do("GET", "jobs/"+curve.ID())
	s.wants(body, "Show the curve", "column=a.b&amp;run="+curve.ID()+"&amp;tab=recall&amp;table=t&amp;type=vector")
	if res, _ := s.do("GET", "jobs/none"); res.StatusCode != http.StatusNotFound {
		t.Errorf("no such job: %d", res.StatusCode)
	}
}

// A page polls the part until the job ends and is told so once; a job that isn't
// kept any more ends the polling too.
func TestPart(t *testing.T) {
	s := newSite(t)
	job := s.start("index_build", "t.a (equality)", nil, true)
	res, body := s.do("GET", "jobs/"+job.ID()+"/part", "HX-Request", "true")
	if s.wants(body, "every 1s", "25 %"); res.Header.Get("HX-Trigger") != "" || strings.Contains(body, "<html") {
		t.Errorf("while it runs: %q %s", res.Header.Get("HX-Trigger"), body)
	}
	job.Cancel()
	_ = job.Wait(t.Context()) // it was canceled
	res, body = s.do("GET", "jobs/"+job.ID()+"/part", "HX-Request", "true")
	if s.wants(body, "canceled"); res.Header.Get("HX-Trigger") != "job-ended" || strings.Contains(body, "hx-get") {
		t.Errorf("at its end: %q %s", res.Header.Get("HX-Trigger"), body)
	}
	res, body = s.do("GET", "jobs/none/part", "HX-Request", "true")
	if s.wants(body, "kept any more"); res.StatusCode != 200 || strings.Contains(body, "hx-get") {
		t.Errorf("forgotten: %d %s", res.StatusCode, body)
	}
}

func TestCancel(t *testing.T) {
	s := newSite(t)
	job := s.start("index_build", "t.a (equality)", nil, true)
	res, _ := s.do("POST", "jobs/"+job.ID()+"/cancel")
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "../../jobs/"+job.ID() || job.Status().State != jobs.Canceled {
		t.Errorf("%d to %q, the job is %s", res.StatusCode, res.Header.Get("Location"), job.Status().State)
	}
	job = s.start("index_build", "t.a (equality)", nil, true)
	res, body := s.do("POST", "jobs/"+job.ID()+"/cancel", "HX-Request", "true", "HX-Current-URL", "http://h/console/jobs")
	if s.wants(body, "canceled", `href="./jobs/`); res.StatusCode != 200 || res.Header.Get("HX-Trigger") != "job-ended" {
		t.Errorf("as a part: %d %q", res.StatusCode, res.Header.Get("HX-Trigger"))
	}
	if res, _ := s.do("POST", "jobs/none/cancel"); res.StatusCode != http.StatusNotFound {
		t.Errorf("no such job: %d", res.StatusCode)
	}
}
