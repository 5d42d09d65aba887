package admin

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of maintenance.
type (
	flushed struct {
		TookMs float64 `json:"took_ms"`
	}
	compaction struct {
		Job jobs.Status `json:"job"`
	}
)

func (a *Admin) maintenanceRoutes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "POST", Path: "/admin/flush", Role: auth.Admin, ID: "flush", Tag: tag,
			Summary:     "Write what is in memory to table files",
			Description: "Nothing needs it: what was acknowledged is in the write-ahead log. It makes the next start quicker.",
			Answers:     []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[flushed](`{"took_ms":12.5}`)}}},
		}, Handle: a.flush},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/admin/compact", Role: auth.Admin, ID: "compact", Tag: tag,
			Summary:     "Rewrite all data, which frees the space of what was deleted",
			Description: "It takes minutes on big data and as much free space as the largest part. " + waitNote,
			Params:      []openapi.Param{waitParam},
			Answers:     workAnswers[compaction]("compact", "", `{"job":JOB}`, `{"job":JOB}`),
		}, Handle: a.compact},
	}
}

func (a *Admin) flush(c fiber.Ctx) error {
	started := time.Now()
	if err := a.o.Database.Flush(); err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, flushed{float64(time.Since(started).Microseconds()) / 1e3})
}

func (a *Admin) compact(c fiber.Ctx) error {
	wait, err := rest.QueryBool(c, "wait", true)
	if err != nil {
		return err
	}
	job, err := a.o.Database.StartCompaction()
	if err != nil {
		return err
	}
	status, err := waitFor(c, wait, job)
	if err != nil {
		return err
	}
	return rest.Answer(c, status, compaction{job.Status()})
}

// waitFor waits for a job if asked to and returns the status of the answer. Only
// the waiting ends with the request; the job has an owner of its own.
func waitFor(c fiber.Ctx, wait bool, job *jobs.Job) (status int, err error) {
	c.Set(fiber.HeaderLocation, "/jobs/"+url.PathEscape(job.Status().ID))
	if !wait {
		return http.StatusAccepted, nil
	}
	err = job.Wait(c.Context())
	switch {
	case err == nil:
		return http.StatusOK, nil
	case !errors.Is(err, c.Context().Err()) || job.Status().State != jobs.Running:
		return 0, err
	}
	return http.StatusAccepted, nil
}

func answerVerification(c fiber.Ctx, work *engine.Work[[]string]) error {
	wait, err := rest.QueryBool(c, "wait", true)
	if err != nil {
		return err
	}
	status, err := waitFor(c, wait, work.Job)
	if err != nil {
		return err
	}
	answer := verification{Findings: []string{}, Job: work.Job.Status()}
	if status == http.StatusOK {
		answer.Findings = append(answer.Findings, work.Result()...)
		answer.Sound = len(answer.Findings) == 0
	}
	return rest.Answer(c, status, answer)
}
