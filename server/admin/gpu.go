package admin

import (
	"net/http"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/rest"
)

// Workers restarts the process that searches on a GPU; *ops.Ops is one.
type Workers interface {
	RestartWorker() (ops.WorkerStats, error)
}

func (a *Admin) gpuRoutes() []rest.Route {
	if a.o.Workers == nil {
		return nil
	}
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "POST", Path: "/gpu/restart", Role: auth.Admin, ID: "restartGpu", Tag: tag,
			Summary: "Start the GPU worker anew",
			Description: "A worker that was given up after three tries gets three more, a wait for the next try is cut short, and one that runs is ended and another started. " +
				"Searches go on meanwhile: the CPU answers them. The answer is the worker's state at once, not that of the new one; /stats has it later. " +
				"409 while no index asks for a GPU, 503 if it can't be restarted.",
			Answers: []openapi.Answer{
				{Status: http.StatusAccepted, Description: "It will be started.", Media: []openapi.Media{openapi.JSON[ops.WorkerStats](restartExample)}},
			},
		}, Handle: a.restartGPU},
	}
}

const restartExample = `{"state":"starting","since":"2026-11-22T10:00:00Z","restarts":1,"failures":{"crash":1},"last_cause":"crash","last_error":"signal: killed",` +
	`"last_end":"2026-11-22T09:59:59Z","answered":40,"batches":4,"queue_seconds":0.0015,"device_seconds":0.0025,"batch_sizes":[{"up_to":1,"count":2},{"count":2}]}`

func (a *Admin) restartGPU(c fiber.Ctx) error {
	s, err := a.o.Workers.RestartWorker()
	if err != nil {
		return err
	}
	return rest.Answer(c, http.StatusAccepted, s)
}
