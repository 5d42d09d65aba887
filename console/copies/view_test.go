package copies

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/server/schedule"
)

func TestCheckOf(t *testing.T) {
	now := time.Now()
	at := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	job := func(subject string, state jobs.State, started int, result string) jobs.Status {
		end := at(started + 1)
		return jobs.Status{Kind: engine.SnapshotVerifyKind, Subject: subject, State: state, Started: at(started), Finished: &end, Result: jsontext.Value(result)}
	}
	all := []jobs.Status{ // newest first
		job("other", jobs.Done, 5, `{"sound":false,"findings":["x"]}`),
		job("s", jobs.Canceled, 4, ""),
		job("s", jobs.Done, 3, `{"sound":true,"findings":[]}`),
		job("s", jobs.Done, 1, `{"sound":false,"findings":["x"]}`),
	}
	find := func(name string, made int) *Check { return checkOf(all, engine.SnapshotVerifyKind, name, at(made)) }
	if c := find("s", 2); c == nil || !c.Sound || !c.Ended.Equal(at(4)) {
		t.Errorf("%+v", c)
	}
	if c := find("other", 2); c == nil || c.Sound || len(c.Findings) != 1 {
		t.Errorf("%+v", c)
	}
	// What was verified before it was made is another one.
	if c := find("s", 4); c != nil {
		t.Errorf("%+v", c)
	}
	all[1].State = jobs.Running
	if c := find("s", 2); c == nil || !c.Running {
		t.Errorf("%+v", c)
	}
	all[1].State, all[1].Error = jobs.Failed, "gone"
	if c := find("s", 2); c == nil || c.Failed != "gone" || c.Sound {
		t.Errorf("%+v", c)
	}
}

// TestListed: running jobs of copies are shown, and those that failed lately.
func TestListed(t *testing.T) {
	now := time.Now()
	long, lately := now.Add(-time.Hour), now.Add(-time.Minute)
	all := []jobs.Status{
		{ID: "1", Kind: "backup", State: jobs.Running}, {ID: "2", Kind: "index_build", State: jobs.Running},
		{ID: "3", Kind: "snapshot", State: jobs.Failed, Finished: &lately}, {ID: "4", Kind: "snapshot", State: jobs.Failed, Finished: &long},
		{ID: "5", Kind: "backup_verify", State: jobs.Done, Finished: &lately},
	}
	got := listed(all, now)
	if len(got) != 2 || got[0].ID != "1" || got[1].ID != "3" {
		t.Errorf("%+v", got)
	}
}

func TestWord(t *testing.T) {
	for text, want := range map[string]string{
		"/var/lib/vccdb/backups@7": "/var/lib/vccdb/backups@7", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(rm)": "'$(rm)'", "a\nb": "'a\nb'",
	} {
		if got := word(text); got != want {
			t.Errorf("%q becomes %s, want %s", text, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	for minutes, want := range map[int]string{0: "0/60", 1: "1/1", 60: "1/60", 90: "90/1", 1440: "1/1440", 1500: "25/60", 10080: "7/1440"} {
		l := newLine("snapshot", "", "", schedule.Status{Rule: schedule.Rule{Every: time.Duration(minutes) * time.Minute}})
		if got := l.Every + "/" + l.Unit; got != want {
			t.Errorf("%d minutes are %s, want %s", minutes, got, want)
		}
	}
	now := time.Now()
	rule := schedule.Rule{Every: time.Hour}
	for want, s := range map[string]schedule.Status{
		"Off":                           {},
		"On":                            {Rule: rule},
		"One is being made":             {Rule: rule, Job: "j", Next: now},
		"The next one is due now":       {Rule: rule, Next: now.Add(-time.Minute)},
		"The next one is due in 20 min": {Rule: rule, Next: now.Add(20 * time.Minute)},
	} {
		if got := (&Line{Status: s}).state(now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
