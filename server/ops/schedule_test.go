package ops

import (
	"errors"
	"testing"

	"github.com/vccdb/vccdb/server/schedule"
)

type fakeSchedule struct{ snapshots, backups schedule.Status }

func (f fakeSchedule) Snapshots() schedule.Status { return f.snapshots }
func (f fakeSchedule) Backups() schedule.Status   { return f.backups }

func TestSchedule(t *testing.T) {
	f := newFixture().with(func(o *Options) {
		o.Schedule = fakeSchedule{
			snapshots: schedule.Status{Made: 3, Failed: 1, Last: &schedule.Outcome{Name: "s"}},
			backups:   schedule.Status{Made: 2, Failed: 4, Last: &schedule.Outcome{Err: errors.New("no room")}},
		}
	})
	_, body := f.get(t, "/metrics")
	samples := parse(t, body)
	for name, want := range map[string]float64{
		`vccdb_scheduled_copies_total{kind="snapshot"}`: 3, `vccdb_schedule_failures_total{kind="snapshot"}`: 1, `vccdb_schedule_failing{kind="snapshot"}`: 0,
		`vccdb_scheduled_copies_total{kind="backup"}`: 2, `vccdb_schedule_failures_total{kind="backup"}`: 4, `vccdb_schedule_failing{kind="backup"}`: 1,
	} {
		if got, ok := samples[name]; !ok || got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	_, body = newFixture().get(t, "/metrics")
	if got, ok := parse(t, body)[`vccdb_schedule_failing{kind="backup"}`]; !ok || got != 0 {
		t.Errorf("without a schedule: %v", got)
	}
}
