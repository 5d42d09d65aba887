package admin

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/vccdb/vccdb/server/schedule"
)

func TestScheduleAnswer(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	if got := copiesOf(schedule.Status{}); !reflect.DeepEqual(got, scheduledCopies{}) {
		t.Errorf("nothing planned: %+v", got)
	}
	got := copiesOf(schedule.Status{
		Rule: schedule.Rule{Every: time.Hour, Keep: 3}, Next: now, Job: "j", Made: 2, Failed: 1,
		Last: &schedule.Outcome{Time: now, Name: "a", Removed: []string{"b"}, Err: errors.New("no room")},
	})
	want := scheduledCopies{IntervalMinutes: 60, Keep: 3, Next: &now, Job: "j", Made: 2, Failed: 1,
		Last: &scheduledCopy{Time: now, Name: "a", Removed: []string{"b"}, Error: "no room"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
