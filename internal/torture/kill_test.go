package torture

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

var cycles = flag.Int("cycles", 2, "how often TestKill kills the server")

// killReport is what TestKill measured.
type killReport struct {
	Cycles               int     `json:"cycles"`
	Writes               int     `json:"acknowledged_writes"`
	Deletes              int     `json:"acknowledged_deletes"`
	Lost                 int     `json:"lost"`
	Undone               int     `json:"deletes_undone"`
	Half                 int     `json:"half_there"`
	Findings             int     `json:"verify_findings"`
	Snapshots            int     `json:"snapshots"`
	Backups              int     `json:"backups"`
	IndexChanges         int     `json:"index_changes"`
	ConfigChanges        int     `json:"config_changes"`
	FeedEvents           int     `json:"feed_events_read"`
	RecoveryMedianMillis float64 `json:"recovery_median_ms"`
	RecoveryMaxMillis    float64 `json:"recovery_max_ms"`
}

// TestKill kills a server under everything it can do, again and again on the
// same data.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHome(t, dir)
	l := newLoad(t, 6)
	side := &sideWork{t: t}
	var report killReport
	var recoveries []time.Duration
	for cycle := range *cycles {
		s := h.start(t)
		recovery := s.ready()
		if cycle > 0 {
			recoveries = append(recoveries, recovery)
			found, actual := l.compare(s)
			report.Lost, report.Undone, report.Half = report.Lost+found.lost, report.Undone+found.undone, report.Half+found.half
			side.compare(s, actual)
		} else {
			createIndexes(s)
		}
		if t.Failed() {
			t.Fatalf("cycle %d; the folder was %s\n%s", cycle, dir, s.logTail())
		}
		l.begin(s)
		side.begin(s)
		time.Sleep(time.Duration(150+rand.IntN(250)) * time.Millisecond)
		s.kill()
		l.end()
		side.end()
		s.noPanic()
		before := t.Failed()
		h.verify(t)
		if t.Failed() && !before {
			report.Findings++
		}
		report.Cycles++
	}
	s := h.start(t)
	recoveries = append(recoveries, s.ready())
	found, actual := l.compare(s)
	report.Lost, report.Undone, report.Half = report.Lost+found.lost, report.Undone+found.undone, report.Half+found.half
	side.compare(s, actual)
	side.restoreOne(s, h)
	s.stop()
	h.verify(t)

	report.Writes, report.Deletes, _ = l.totals()
	report.Snapshots, report.Backups, report.IndexChanges, report.ConfigChanges, report.FeedEvents =
		side.snapshots, side.backups, side.indexChanges, side.configChanges, side.feedEvents
	slices.Sort(recoveries)
	report.RecoveryMedianMillis = milliseconds(recoveries[len(recoveries)/2])
	report.RecoveryMaxMillis = milliseconds(recoveries[len(recoveries)-1])
	if report.Writes == 0 || report.Deletes == 0 {
		t.Error("nothing was acknowledged; the test proved nothing")
	}
	publish(t, report)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// publish prints a report, for docs/reliability.md.
func publish(t *testing.T, report any) {
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figures: %s", text)
}

// createIndexes makes the indexes that every entity is in.
func createIndexes(s *server) {
	s.t.Helper()
	for _, body := range []string{
		fmt.Sprintf(`{"table":%q,"column":"owner","type":"equality","unique":true}`, table),
		fmt.Sprintf(`{"table":%q,"column":"n","type":"range"}`, table),
		fmt.Sprintf(`{"table":%q,"column":"tags","type":"equality"}`, table),
		fmt.Sprintf(`{"table":%q,"column":"v","type":"vector","config":{"dimension":3,"metric":"l2"}}`, table),
		fmt.Sprintf(`{"table":%q,"column":"expires","type":"ttl"}`, expiring),
	} {
		s.must("POST", "/index/create", body, nil)
	}
}

// sideWork is what goes on beside the writes: indexes come and go, snapshots and
// backups are taken, settings change, the change feed is read, searches run.
type sideWork struct {
	t    *testing.T
	wg   sync.WaitGroup
	halt chan struct{}

	// extra says whether the index that comes and goes is there; extraDoubt that
	// it isn't known.
	extra, extraDoubt bool
	// fromSeq is the last sequence that the feed's reader saw, feed the state of
	// each key as of then.
	fromSeq uint64
	feed    map[string]state
	// keep is how many events the feed is trimmed to now and then, 0 for all;
	// trimmed is how far that went.
	keep, trimmed uint64

	snapshots, backups, indexChanges, configChanges, feedEvents int
}

// every calls work on s, with a pause, until it returns false or the side work
// ends.
func (w *sideWork) every(pause time.Duration, work func() bool) {
	w.wg.Go(func() {
		for work() {
			select {
			case <-w.halt:
				return
			case <-time.After(pause):
			}
		}
	})
}

func (w *sideWork) begin(s *server) {
	w.halt = make(chan struct{})
	w.every(10*time.Millisecond, func() bool { return w.changeIndexes(s) })
	w.every(50*time.Millisecond, func() bool { return w.snapshot(s) })
	w.every(20*time.Millisecond, func() bool { return w.changeConfig(s) })
	w.every(10*time.Millisecond, func() bool { return w.saveVectors(s) })
	w.every(5*time.Millisecond, func() bool { return w.readFeed(s) })
	w.every(time.Millisecond, func() bool { return w.search(s) })
}

func (w *sideWork) end() {
	close(w.halt)
	w.wg.Wait()
}

// fine reports whether the server answered, and fails the test on an answer that
// is a fault of the server's.
func (w *sideWork) fine(what string, status int, answer []byte, err error) bool {
	if err != nil {
		return false
	}
	if status/100 == 5 && status != 503 && status != 507 {
		w.t.Errorf("%s: %d %s", what, status, answer)
	}
	return true
}

// changeIndexes creates or drops an index, and rebuilds others.
func (w *sideWork) changeIndexes(s *server) bool {
	path, body := "/index/create?wait=false", fmt.Sprintf(`{"table":%q,"column":"group","type":"range"}`, table)
	if w.extra {
		path = "/index/drop"
	}
	status, answer, err := s.post(path, body)
	w.extraDoubt = err != nil
	if err == nil && status/100 == 2 {
		w.extra = !w.extra
		w.indexChanges++
	}
	if !w.fine(path, status, answer, err) {
		return false
	}
	column := []string{"n", "tags", "owner", "v"}[rand.IntN(4)]
	status, answer, err = s.post("/index/rebuild?wait=false", fmt.Sprintf(`{"table":%q,"column":%q}`, table, column))
	if err == nil && status/100 == 2 {
		w.indexChanges++
	}
	return w.fine("rebuild", status, answer, err)
}

// snapshot takes a snapshot or a backup, and keeps a few of them.
func (w *sideWork) snapshot(s *server) bool {
	status, answer, err := s.post("/admin/snapshot", "{}")
	if err == nil && status == 200 {
		w.snapshots++
	}
	if !w.fine("snapshot", status, answer, err) {
		return false
	}
	if rand.IntN(3) == 0 {
		status, answer, err = s.post("/admin/backup", "{}")
		if err == nil && status == 200 {
			w.backups++
		}
		if !w.fine("backup", status, answer, err) {
			return false
		}
		status, answer, err = s.post("/admin/backups/purge", `{"keep":3}`)
		if !w.fine("purge", status, answer, err) {
			return false
		}
	}
	status, answer, err = s.call("GET", "/admin/snapshots", "", nil)
	if !w.fine("snapshots", status, answer, err) || status != 200 {
		return err == nil
	}
	var list struct{ Snapshots []struct{ Name string } }
	_ = json.Unmarshal(answer, &list)
	if len(list.Snapshots) > 3 {
		status, answer, err = s.call("DELETE", "/admin/snapshots/"+list.Snapshots[0].Name, "", nil)
	}
	return w.fine("delete a snapshot", status, answer, err)
}

// saveVectors makes checkpoints, so that many a kill comes in the middle of one.
func (w *sideWork) saveVectors(s *server) bool {
	status, answer, err := s.post("/vector/index/save", "")
	return w.fine("save", status, answer, err)
}

func (w *sideWork) changeConfig(s *server) bool {
	status, answer, err := s.post("/config", fmt.Sprintf(`{"server":{"request_timeout_ms":%d},"persist":true}`, 20_000+rand.IntN(10_000)))
	if err == nil && status == 200 {
		w.configChanges++
	}
	return w.fine("config", status, answer, err)
}

// readFeed reads on, and wants every sequence.
func (w *sideWork) readFeed(s *server) bool {
	status, answer, err := s.call("GET", fmt.Sprintf("/changefeed?from_seq=%d&limit=1000", w.fromSeq), "", nil)
	if !w.fine("changefeed", status, answer, err) {
		return false
	}
	if status != 200 {
		w.t.Errorf("changefeed: %d %s", status, answer)
		return false
	}
	var page struct {
		Events []struct {
			Sequence uint64
			Type     string
			Key      string
			Value    json.RawMessage
		}
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		w.t.Errorf("changefeed: %v in %s", err, answer)
		return false
	}
	if w.feed == nil {
		w.feed = map[string]state{}
	}
	for _, e := range page.Events {
		if e.Sequence != w.fromSeq+1 {
			w.t.Errorf("after sequence %d the feed goes on with %d", w.fromSeq, e.Sequence)
		}
		w.fromSeq = e.Sequence
		w.feedEvents++
		if len(e.Key) < len(table)+1 || e.Key[:len(table)+1] != table+":" {
			continue
		}
		st, err := stateOf(e.Key, e.Value)
		if err != nil {
			w.t.Errorf("changefeed: %v", err)
		}
		w.feed[e.Key] = st
	}
	return w.trimFeed(s)
}

// trimFeed removes events that were read.
func (w *sideWork) trimFeed(s *server) bool {
	if w.keep == 0 || w.fromSeq < w.trimmed+2*w.keep {
		return true
	}
	w.trimmed = w.fromSeq - w.keep
	status, answer, err := s.post("/changefeed/retention", fmt.Sprintf(`{"before_sequence":%d}`, w.trimmed+1))
	return w.fine("retention", status, answer, err)
}

// search wants right answers while everything changes.
func (w *sideWork) search(s *server) bool {
	n := rand.IntN(11)
	status, answer, err := s.post("/vector/search", fmt.Sprintf(`{"table":%q,"column":"v","vector":[%d,%d,1],"k":5}`, table, n, n))
	if !w.fine("search", status, answer, err) {
		return false
	}
	group := rand.IntN(7)
	status, answer, err = s.post("/query", fmt.Sprintf(`{"table":%q,"predicates":[{"column":"group","value":%d}]}`, table, group))
	if !w.fine("query", status, answer, err) || status != 200 {
		return err == nil
	}
	var page struct {
		Entities []struct {
			Key    string
			Entity json.RawMessage
		}
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		w.t.Errorf("query: %v in %s", err, answer)
		return false
	}
	for _, r := range page.Entities {
		st, err := stateOf(r.Key, r.Entity)
		if err != nil || st.N%7 != group {
			w.t.Errorf("a query for group %d found %s: %s (%v)", group, r.Key, r.Entity, err)
		}
	}
	return true
}

// compare holds the feed and the index that comes and goes against what is there.
func (w *sideWork) compare(s *server, actual map[string]state) {
	w.t.Helper()
	for before := ^uint64(0); before != w.fromSeq; {
		before = w.fromSeq
		if !w.readFeed(s) {
			w.t.Fatal("the feed can't be read")
		}
	}
	for key, now := range actual {
		if w.feed[key] != now {
			w.t.Errorf("the feed's last word on %s is %+v, but it is %+v", key, w.feed[key], now)
		}
	}
	var stats struct{ Indexes []struct{ Column string } }
	s.must("GET", "/index/stats?table="+table, "", &stats)
	there := false
	for _, ix := range stats.Indexes {
		there = there || ix.Column == "group"
	}
	if there != w.extra && !w.extraDoubt {
		w.t.Errorf("the index on group: there %v, acknowledged %v", there, w.extra)
	}
	w.extra, w.extraDoubt = there, false
}

// restoreOne verifies every snapshot and restores the newest beside the data.
func (w *sideWork) restoreOne(s *server, h home) {
	w.t.Helper()
	var list struct {
		Snapshots []struct{ Name, Path, Damaged string }
	}
	s.must("GET", "/admin/snapshots", "", &list)
	whole := ""
	for _, snap := range list.Snapshots {
		var v struct {
			Sound    bool
			Findings []string
		}
		s.must("POST", "/admin/snapshots/"+snap.Name+"/verify", "", &v)
		if snap.Damaged != "" || !v.Sound {
			w.t.Errorf("the snapshot %s: %s %v", snap.Name, snap.Damaged, v.Findings)
		}
		whole = snap.Path
	}
	if whole == "" {
		return
	}
	target := filepath.Join(h.dir, "restored")
	out, exit := h.run("--restore", whole, "--target", target)
	if exit != 0 {
		w.t.Errorf("--restore %s: exit %d\n%s", whole, exit, out)
		return
	}
	out, exit = h.run("--set", "storage.rocksdb_path="+target, "--verify")
	if exit != 0 {
		w.t.Errorf("--verify of what %s was restored to: exit %d\n%s", whole, exit, out)
	}
	_ = os.RemoveAll(target)
}
