package admin

import (
	"net/http"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/server/schedule"
)

// Wire types of the schedule.
type (
	scheduleAnswer struct {
		Snapshots scheduledCopies `json:"snapshots"`
		Backups   scheduledCopies `json:"backups"`
	}
	scheduledCopies struct {
		IntervalMinutes int            `json:"interval_minutes" doc:"0 makes none."`
		Keep            int            `json:"keep" doc:"How many stay; 0 is all."`
		Next            *time.Time     `json:"next,omitzero" doc:"When the next one is due."`
		Job             string         `json:"job,omitzero" doc:"The job that makes one now."`
		Made            uint64         `json:"made" doc:"Since the server started, as failed."`
		Failed          uint64         `json:"failed"`
		Last            *scheduledCopy `json:"last,omitzero" doc:"How the last try since the server started ended."`
	}
	scheduledCopy struct {
		Time    time.Time `json:"time"`
		Name    string    `json:"name,omitzero" doc:"The snapshot's name or the backup's id; absent if none was made."`
		Removed []string  `json:"removed,omitzero" doc:"Old ones that were removed for it."`
		Error   string    `json:"error,omitzero"`
	}
)

func (a *Admin) scheduleRoutes() []rest.Route {
	if a.o.Schedule == nil {
		return nil
	}
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "GET", Path: "/admin/schedule", Role: auth.Admin, ID: "getSchedule", Tag: tag,
			Summary: "When the server makes snapshots and backups by itself",
			Description: "The next copy is due when the newest one is as old as the interval; for snapshots only the scheduled ones count, which are named scheduled- and the time. " +
				"A copy that failed is tried again after five minutes. Change it with POST /config: storage.snapshot_interval_minutes, storage.snapshot_keep, " +
				"storage.backup_interval_minutes and storage.backup_keep.",
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[scheduleAnswer](
				`{"snapshots":{"interval_minutes":60,"keep":24,"next":"2026-11-22T11:00:00Z","made":1,"failed":0,"last":{"time":"2026-11-22T10:00:00Z","name":"scheduled-20261122T100000Z"}},` +
					`"backups":{"interval_minutes":0,"keep":7,"made":0,"failed":0}}`)}}},
		}, Handle: a.getSchedule},
	}
}

func (a *Admin) getSchedule(c fiber.Ctx) error {
	return rest.Answer(c, http.StatusOK, scheduleAnswer{copiesOf(a.o.Schedule.Snapshots()), copiesOf(a.o.Schedule.Backups())})
}

func copiesOf(s schedule.Status) scheduledCopies {
	out := scheduledCopies{IntervalMinutes: int(s.Every / time.Minute), Keep: s.Keep, Job: s.Job, Made: s.Made, Failed: s.Failed}
	if !s.Next.IsZero() {
		out.Next = &s.Next
	}
	if last := s.Last; last != nil {
		out.Last = &scheduledCopy{Time: last.Time, Name: last.Name, Removed: last.Removed}
		if last.Err != nil {
			out.Last.Error = last.Err.Error()
		}
	}
	return out
}
