package components

import (
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/server/auth"
)

func TestJobProgress(t *testing.T) {
	eta := 12.6
	ended := time.Now()
	running := jobs.Status{ID: "7f", Kind: "index_build", Subject: `t."><script>x</script>`, State: jobs.Running, Done: 1200, Total: 20000, Unit: "entities", EtaSeconds: &eta, Started: ended.Add(-time.Second)}
	fixed := running
	fixed.Kind, fixed.Uncancelable, fixed.Done, fixed.Total, fixed.EtaSeconds = "backup", true, 0, 0, nil
	failed := running
	failed.State, failed.Error, failed.ErrorCode, failed.Finished = jobs.Failed, "two share <b>a</b> value", "duplicate_value", &ended
	for _, c := range []struct {
		name   string
		status jobs.Status
		role   auth.Role
		has    string
		lacks  string
	}{
		{"running", running, auth.ReadWrite, `hx-get="../jobs/7f/part"|every 1s|Build index|value="6.0"|6 %|1,200 of 20,000 entities|about 12 s left|action="../jobs/7f/cancel"|id="job-7f-cancel"`, `<script|disabled`},
		{"running, for a reader", running, auth.ReadOnly, `hx-get=|disabled|needs the role readwrite`, `id="job-7f-cancel"`},
		{"uncancelable", fixed, auth.Admin, `Make backup|disabled|can&#39;t be stopped|<progress`, `value="0"`},
		{"failed", failed, auth.Admin, `>Two share &lt;b&gt;a&lt;/b&gt; value. <code>|duplicate_value|took 1 s|badge-danger`, `hx-get|cancel|<progress`},
	} {
		got := render(t, &view.View{Root: "../", Principal: auth.Principal{Role: c.role}}, JobProgress(c.status))
		for want := range strings.SplitSeq(c.has, "|") {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in %s", c.name, want, got)
			}
		}
		for bad := range strings.SplitSeq(c.lacks, "|") {
			if strings.Contains(got, bad) {
				t.Errorf("%s: %s in %s", c.name, bad, got)
			}
		}
	}
}

func TestJobAmount(t *testing.T) {
	for want, s := range map[string]jobs.Status{
		"":                      {},
		"3 indexes":             {Done: 3, Total: 3, Unit: "indexes"},
		"5":                     {Done: 5},
		"1 KiB of 2 KiB":        {Done: 1024, Total: 2048, Unit: "bytes"},
		"1,000 of 2,000 things": {Done: 1000, Total: 2000, Unit: "things"},
	} {
		if got := JobAmount(s); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}

func TestJobTitle(t *testing.T) {
	for kind, want := range map[string]string{"index_rebuild": "Rebuild index", "delete": "Delete entities", "tidy_up": "Tidy up", "": "Job"} {
		if got := JobTitle(kind); got != want {
			t.Errorf("%s: %q", kind, got)
		}
	}
}
