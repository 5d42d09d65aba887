package api

import (
	"bufio"
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

type jobList struct {
	Jobs []jobs.Status `json:"jobs" doc:"Newest first."`
}

const (
	tagJobs = "Jobs"

	// heartbeatInterval keeps proxies from closing a quiet event stream.
	heartbeatInterval = 15 * time.Second
	// eventInterval bounds the rate of progress events.
	eventInterval = 100 * time.Millisecond
)

var jobParam = openapi.Param{Name: "id", In: "path", Required: true, Description: "The job's id."}

func (a *API) jobRoutes() []rest.Route {
	one := []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[jobs.Status](exampleJob)}}}
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "GET", Path: "/jobs", Role: auth.ReadOnly, ID: "listJobs", Tag: tagJobs,
			Summary: "List running jobs and the last hundred ended ones",
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[jobList](`{"jobs":[` + exampleJob + `]}`)}}},
		}, Handle: a.listJobs},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/jobs/{id}", Role: auth.ReadOnly, ID: "getJob", Tag: tagJobs,
			Summary: "Read a job's state and progress", Params: []openapi.Param{jobParam}, Answers: one,
		}, Handle: a.getJob},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/jobs/{id}/cancel", Role: auth.ReadWrite, ID: "cancelJob", Tag: tagJobs,
			Summary:     "Cancel a job",
			Description: "The job stops at its next step; an index build removes what it had built. The answer is its present state, which may still be running. A job that has ended stays as it is.",
			Params:      []openapi.Param{jobParam}, Answers: one,
		}, Handle: a.cancelJob},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/jobs/{id}/stream", Role: auth.ReadOnly, ID: "streamJob", Tag: tagJobs,
			Summary:     "Follow a job as server-sent events",
			Description: "Each event is named progress and its data is the job as JSON; the last one, named end, has a state other than running. Comments come as heartbeats.",
			Params:      []openapi.Param{jobParam},
			Answers: []openapi.Answer{{Status: 200, Description: "The stream.",
				Media: []openapi.Media{{Type: "text/event-stream", Example: "event: end\ndata: " + exampleJob + "\n\n"}}}},
		}, Handle: a.streamJob},
	}
}

func (a *API) listJobs(c fiber.Ctx) error {
	return rest.Answer(c, http.StatusOK, jobList{a.db.Jobs().List()})
}

func (a *API) job(c fiber.Ctx) (*jobs.Job, error) {
	id, err := rest.PathText(c, "id")
	if err != nil {
		return nil, err
	}
	job, ok := a.db.Jobs().Get(id)
	if !ok {
		return nil, errs.New(errs.NotFound, "job_not_found", "there is no job %q; ended jobs are forgotten after a hundred newer ones", id)
	}
	return job, nil
}

func (a *API) getJob(c fiber.Ctx) error {
	job, err := a.job(c)
	if err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, job.Status())
}

func (a *API) cancelJob(c fiber.Ctx) error {
	job, err := a.job(c)
	if err != nil {
		return err
	}
	job.Cancel()
	return rest.Answer(c, http.StatusOK, job.Status())
}

func (a *API) streamJob(c fiber.Ctx) error {
	job, err := a.job(c)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "text/event-stream")
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set("X-Accel-Buffering", "no")
	ctx := untilClosed{context.Background(), request.Closing(c)}
	return request.Stream(c, func(w *bufio.Writer) { streamEvents(ctx, w, job) })
}

// untilClosed is a context that ends when a channel is closed.
type untilClosed struct {
	context.Context
	closed <-chan struct{}
}

func (u untilClosed) Done() <-chan struct{} { return u.closed }

func (u untilClosed) Err() error {
	select {
	case <-u.closed:
		return context.Canceled
	default:
		return nil
	}
}

// streamEvents writes a job's progress until the job or ctx ends or the client
// is gone, which shows as a failed write.
func streamEvents(ctx context.Context, w *bufio.Writer, job *jobs.Job) {
	var last jobs.Status
	alive := true
	for alive && ctx.Err() == nil {
		quiet, cancel := context.WithTimeout(ctx, heartbeatInterval)
		job.Watch(quiet, func(s jobs.Status) bool {
			if s.State != last.State || s.Done != last.Done || s.Total != last.Total {
				alive = writeEvent(w, s) == nil && s.State == jobs.Running
				last = s
			}
			return alive && pause(quiet, eventInterval)
		})
		cancel()
		if alive {
			_, err := w.WriteString(": still here\n\n")
			alive = err == nil && w.Flush() == nil
		}
	}
}

func writeEvent(w *bufio.Writer, s jobs.Status) error {
	name := "progress"
	if s.State != jobs.Running {
		name = "end"
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if _, err := w.WriteString("event: " + name + "\ndata: " + string(data) + "\n\n"); err != nil {
		return err
	}
	return w.Flush()
}

// pause waits and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
