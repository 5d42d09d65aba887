package components

import (
	"strings"
	"time"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
)

// JobTitle says what a kind of job does: Build index, Delete entities.
func JobTitle(kind string) string {
	switch kind {
	case engine.IndexBuildKind:
		return "Build index"
	case engine.IndexRebuildKind:
		return "Rebuild index"
	case engine.ReindexKind:
		return "Rebuild all indexes"
	case engine.RecallCurveKind:
		return "Measure recall"
	case engine.SnapshotKind:
		return "Make snapshot"
	case engine.SnapshotVerifyKind:
		return "Verify snapshot"
	case engine.BackupKind:
		return "Make backup"
	case engine.BackupVerifyKind:
		return "Verify backup"
	case engine.DeleteKind:
		return "Delete entities"
	case engine.CompactKind:
		return "Compact"
	}
	title := strings.ReplaceAll(kind, "_", " ")
	if title == "" {
		return "Job"
	}
	return strings.ToUpper(title[:1]) + title[1:]
}

// JobBadge is the kind of badge for a state.
func JobBadge(state jobs.State) string {
	switch state {
	case jobs.Running:
		return "info"
	case jobs.Done:
		return "ok"
	case jobs.Failed:
		return "danger"
	}
	return ""
}

// jobElement is the id of a job's element; a job's id is a UUID.
func jobElement(s jobs.Status) string { return "job-" + s.ID }

// jobShare is how much of it is done, at most all.
func jobShare(s jobs.Status) float64 {
	if s.Total == 0 {
		return 0
	}
	return min(1, float64(s.Done)/float64(s.Total))
}

// JobAmount says how much is done: 1,200 of 20,000 entities.
func JobAmount(s jobs.Status) string {
	write := func(n uint64) string {
		if s.Unit == "bytes" {
			return format.Bytes(n)
		}
		return format.Count(n)
	}
	unit := ""
	if s.Unit != "" && s.Unit != "bytes" {
		unit = " " + s.Unit
	}
	switch {
	case s.Done == 0 && s.Total == 0:
		return ""
	case s.Total == 0 || s.Done == s.Total:
		return write(s.Done) + unit
	}
	return write(s.Done) + " of " + write(s.Total) + unit
}

// JobTook is how long a job has run, or ran.
func JobTook(s jobs.Status, now time.Time) time.Duration {
	if s.Finished != nil {
		now = *s.Finished
	}
	return max(0, now.Sub(s.Started))
}

// jobFacts are what stands below the bar.
func jobFacts(s jobs.Status) []string {
	var facts []string
	if amount := JobAmount(s); amount != "" {
		facts = append(facts, amount)
	}
	took := format.Duration(JobTook(s, time.Now()))
	switch {
	case s.State != jobs.Running:
		facts = append(facts, "took "+took)
	case s.EtaSeconds != nil:
		facts = append(facts, "about "+format.Duration(roughly(*s.EtaSeconds))+" left")
	default:
		facts = append(facts, "since "+took)
	}
	return facts
}

// roughly is a time to go in whole seconds; more would be no better than a guess.
func roughly(seconds float64) time.Duration {
	const longest = 100 * 24 * 3600
	return time.Duration(min(max(seconds, 1), longest)) * time.Second
}
