package page

import (
	"context"
	"time"

	"github.com/vccdb/vccdb/engine/jobs"
)

// soon is how long a form waits for the job that it started.
const soon = 500 * time.Millisecond

// Soon waits a moment for a job, since what is done by then needs no page with its
// progress. It says whether the job has ended, and how.
func Soon(ctx context.Context, job *jobs.Job) (ended bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	err = job.Wait(ctx)
	if job.Status().State == jobs.Running {
		return false, nil
	}
	return true, err
}
