package overview

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/gpu/supervisor"
)

// Item is something that needs attention, and where it is mended.
type Item struct {
	// Kind is danger, warn or info.
	Kind string
	// Title says what is the case, Detail what it means or what to do.
	Title, Detail string
	// Action names the link, which leads to Path and Query as for view.URL.
	Action, Path string
	Query        []string
}

// The thresholds are those of the alerts that come with the product, where there
// is one.
const (
	lowDisk      = 0.1
	slowP99Ms    = 1000
	archiveLag   = 5 * time.Minute
	copyAge      = 24 * time.Hour
	manyPending  = 100_000
	recently     = 5 * time.Minute
	failedJobAge = 24 * time.Hour
	// deadShare is the share of tombstones above which a rebuild pays.
	deadShare = 0.3
)

// attention lists what needs attention, the worst first.
func attention(f *Facts) []Item {
	items := slices.Concat(
		f.readiness(), f.storage(), f.exposure(), f.requests(), f.work(), f.copies(), f.settings(), f.feed(), f.vectors(), f.gpu())
	rank := []string{"danger", "warn", "info"}
	slices.SortStableFunc(items, func(a, b Item) int {
		return cmp.Compare(slices.Index(rank, a.Kind), slices.Index(rank, b.Kind))
	})
	return items
}

func (f *Facts) readiness() []Item {
	r := f.Ready
	switch {
	case r.Ready:
		return nil
	case f.Stats.Storage.Health.Code != "": // which storage says better
		return nil
	case r.Failed:
		return []Item{{Kind: "danger", Title: "The database isn't ready", Detail: reason(r.Reason), Action: "Read the log", Path: "logs"}}
	case r.Total > 0:
		return []Item{{Kind: "warn", Title: "The database isn't ready yet",
			Detail: fmt.Sprintf("%s %s of %s are there. Searches are refused until then, everything else works.", reason(r.Reason), format.Count(r.Done), format.Count(r.Total)),
			Action: "See indexes", Path: "indexes"}}
	}
	return []Item{{Kind: "warn", Title: "The database isn't ready", Detail: reason(r.Reason), Action: "Read the log", Path: "logs"}}
}

func reason(known string) string {
	return format.Sentence(cmp.Or(known, "the reason isn't known"))
}

func (f *Facts) storage() (items []Item) {
	h, r, a := &f.Stats.Storage.Health, &f.Stats.Storage.RocksDB, &f.Stats.Storage.Archive
	free := format.Bytes(h.FreeBytes)
	switch last, ok := f.last(); {
	case h.Code == "disk_full":
		items = append(items, Item{Kind: "danger", Title: "The disk is full, so writes are refused",
			Detail: fmt.Sprintf("%s are free; writes go on by themselves at %s. Reads and searches work. Free space on the disk of the data, or delete data here.", free, format.Bytes(h.ResumeBytes)),
			Action: "See tables", Path: "tables"})
	case !h.Writable:
		items = append(items, Item{Kind: "danger", Title: "The storage failed, so writes are refused",
			Detail: "What was acknowledged is safe. The log has the cause; the server has to be restarted once it is mended.", Action: "Read the log", Path: "logs"})
	case ok && last.DiskSize > 0 && last.DiskFree/last.DiskSize < lowDisk:
		items = append(items, Item{Kind: "warn", Title: "The disk is getting full",
			Detail: fmt.Sprintf("%s of %s are free. Writes are refused below %s.", free, format.Bytes(int64(last.DiskSize)), format.Bytes(h.ReserveBytes)),
			Action: "See tables", Path: "tables"})
	}
	if r.IsWriteStopped || r.ActualDelayedWriteRate > 0 {
		items = append(items, Item{Kind: "warn", Title: "Writes wait for compaction",
			Detail: fmt.Sprintf("%s have to be rewritten first. It passes when fewer writes come in.", format.Bytes(r.EstimatePendingCompactionBytes)), Action: "See compactions", Path: "system"})
	}
	if r.BackgroundErrors > 0 {
		items = append(items, Item{Kind: "danger", Title: format.Plural(r.BackgroundErrors, "flush or compaction has failed", "flushes or compactions have failed"),
			Detail: "The log has the cause.", Action: "Read the log", Path: "logs"})
	}
	switch {
	case a.Enabled && a.LastError != "":
		items = append(items, Item{Kind: "danger", Title: "Archiving writes fails",
			Detail: fmt.Sprintf("It is tried again and again; %s rows wait. %s", format.Count(a.LagRows), format.Sentence(a.LastError)), Action: "See the archive", Path: "copies"})
	case a.Enabled && a.LagSeconds > archiveLag.Seconds():
		items = append(items, Item{Kind: "warn", Title: "The archive of writes is behind",
			Detail: fmt.Sprintf("By %s; a restore to a point in time can't reach further.", format.Duration(time.Duration(a.LagSeconds)*time.Second)), Action: "See the archive", Path: "copies"})
	}
	if a.Enabled && a.Gaps > 0 {
		items = append(items, Item{Kind: "warn", Title: "The archive of writes has a gap",
			Detail: "A restore to a point in time behind it needs a newer snapshot; take one.", Action: "Take a snapshot", Path: "copies"})
	}
	return items
}

func (f *Facts) exposure() []Item {
	if len(f.Health.Warnings) == 0 {
		return nil
	}
	return []Item{{Kind: "danger", Title: "Anybody who reaches this server may do everything",
		Detail: "Switch API keys on, or let it listen on this machine only.", Action: "See the setting", Path: "settings", Query: []string{"q", "server.enable_auth"}}}
}

func (f *Facts) requests() (items []Item) {
	var failed, p99 float64
	slow := true
	lately := f.since(recently)
	for i, s := range lately {
		seconds := 5.0
		if i > 0 {
			seconds = s.Time.Sub(lately[i-1].Time).Seconds()
		}
		failed += s.Errors * seconds
		if !math.IsNaN(s.P99) {
			p99 = max(p99, s.P99)
			slow = slow && s.P99 > slowP99Ms
		}
	}
	if n := int64(math.Round(failed)); n > 0 {
		items = append(items, Item{Kind: "warn", Title: format.Plural(n, "request has", "requests have") + " failed in the last 5 minutes",
			Detail: "The server answered with a status from 500 up.", Action: "Read the log", Path: "logs", Query: []string{"level", "warn"}})
	}
	if slow && p99 > 0 {
		items = append(items, Item{Kind: "warn", Title: "Requests are slow",
			Detail: "One in a hundred took more than a second, all the last 5 minutes.", Action: "See slow queries", Path: "slow"})
	} else if f.SlowQueries > 0 {
		items = append(items, Item{Kind: "info", Title: format.Plural(f.SlowQueries, "slow query", "slow queries") + " in the last hour",
			Detail: "Each is listed with its plan and the index that would help.", Action: "See slow queries", Path: "slow"})
	}
	return items
}

func (f *Facts) work() (items []Item) {
	var running, failed []jobs.Status
	for _, j := range f.Jobs {
		switch {
		case j.State == jobs.Running:
			running = append(running, j)
		case j.State == jobs.Failed && j.Finished != nil && f.Now.Sub(*j.Finished) < failedJobAge:
			failed = append(failed, j)
		}
	}
	if n := len(failed); n > 0 {
		items = append(items, Item{Kind: "warn", Title: format.Plural(n, "job has", "jobs have") + " failed since yesterday",
			Detail: fmt.Sprintf("The last one was %s: %s", named(failed[0]), format.Shorten(format.Sentence(failed[0].Error), 200)), Action: "See jobs", Path: "jobs", Query: []string{"state", "failed"}})
	}
	if n := len(running); n > 0 {
		items = append(items, Item{Kind: "info", Title: format.Plural(n, "job is", "jobs are") + " running",
			Detail: named(running[0]) + progress(running[0]) + ".", Action: "See jobs", Path: "jobs"})
	}
	return items
}

// named says what a job does, and to what.
func named(j jobs.Status) string {
	return strings.TrimSpace(components.JobTitle(j.Kind) + " " + format.Shorten(j.Subject, 80))
}

func progress(j jobs.Status) string {
	if j.Total == 0 {
		return ""
	}
	return ", " + format.Percent(float64(j.Done)/float64(j.Total)) + " done"
}

func (f *Facts) copies() []Item {
	if f.Stats.Query.Tables == 0 {
		return nil
	}
	c := &f.Stats.Storage.Copies
	newest := c.LastSnapshot
	if c.LastBackup.After(newest) {
		newest = c.LastBackup
	}
	switch {
	case newest.IsZero():
		return []Item{{Kind: "warn", Title: "There is no copy of the data", Detail: "Take a snapshot, or set up a schedule for it.", Action: "Take a snapshot", Path: "copies"}}
	case f.Now.Sub(newest) > copyAge:
		return []Item{{Kind: "warn", Title: "The newest copy of the data is older than a day",
			Detail: "It was made " + format.Ago(newest, f.Now) + ".", Action: "See copies", Path: "copies"}}
	}
	return nil
}

func (f *Facts) settings() []Item {
	switch {
	case f.RestartError != "":
		return []Item{{Kind: "danger", Title: "A restart would fail", Detail: format.Sentence(f.RestartError), Action: "See the configuration", Path: "settings"}}
	case len(f.Restart) == 0:
		return nil
	}
	return []Item{{Kind: "info", Title: "A restart would change " + format.Plural(len(f.Restart), "setting", "settings"),
		Detail: format.Shorten(strings.Join(f.Restart, ", "), 200) + ": the file says otherwise than what is in force.", Action: "See the configuration", Path: "settings"}}
}

func (f *Facts) feed() []Item {
	first, ok := f.first()
	if !ok || math.IsNaN(first.SlowReaders) {
		return nil
	}
	cut := int64(f.Stats.Feed.SlowReadersCut) - int64(first.SlowReaders)
	if cut <= 0 {
		return nil
	}
	return []Item{{Kind: "warn", Title: "Readers of the change feed don't keep up",
		Detail: fmt.Sprintf("%s in the last hour because they were too slow. They lose nothing when they come back.", format.Plural(cut, "stream was cut", "streams were cut")),
		Action: "See the change feed", Path: "feed"}}
}

func (f *Facts) vectors() (items []Item) {
	v := &f.Stats.Vector
	if v.Pending > manyPending {
		items = append(items, Item{Kind: "info", Title: format.Count(v.Pending) + " vectors wait to be linked into a graph",
			Detail: "They are found all the same, only slower.", Action: "See indexes", Path: "indexes"})
	}
	if v.Tombstones > 1000 && float64(v.Tombstones) > deadShare*float64(v.Live) {
		items = append(items, Item{Kind: "info", Title: "Deleted vectors take much room",
			Detail: fmt.Sprintf("%s dead slots beside %s vectors; a rebuild frees them.", format.Count(v.Tombstones), format.Count(v.Live)), Action: "See indexes", Path: "indexes"})
	}
	return items
}

// gpu leaves out a worker that starts: that passes within seconds.
func (f *Facts) gpu() []Item {
	g := &f.Stats.GPU
	if !g.Wanted || g.Enabled || g.Worker.State == string(supervisor.Starting) {
		return nil
	}
	return []Item{{Kind: "warn", Title: "The GPU isn't used",
		Detail: reason(g.Reason) + " The CPU answers all searches.", Action: "See the GPU", Path: "gpu"}}
}
