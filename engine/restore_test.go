package engine_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/storage"
)

var (
	snapshotRounds = flag.Int("snapshot.rounds", 2, "how many snapshots TestSnapshotsUnderLoad takes")
	snapshotRate   = flag.Int("snapshot.rate", 0, "writes a second during TestSnapshotsUnderLoad; 0 is as many as possible for a short time")
)

// write is one acknowledged call of Apply, as its writer remembers it.
type write struct {
	// batch names the call in the documents it put.
	batch      string
	keys       []string
	deleted    bool
	start, end time.Time
}

// load writes to a database until stopped. Each writer has keys of its own.
type load struct {
	db      *testkit.DB
	stop    atomic.Bool
	wg      sync.WaitGroup
	mu      sync.Mutex
	written []write
	failed  atomic.Pointer[error]
}

const (
	loadWriters = 6
	loadKeys    = 40
)

func startLoad(db *testkit.DB, rate int) *load {
	l := &load{db: db}
	for w := range loadWriters {
		l.wg.Go(func() { l.run(w, rate) })
	}
	return l
}

func (l *load) run(w, rate int) {
	r := rand.New(rand.NewPCG(1, uint64(w)))
	started := time.Now()
	for n := 0; !l.stop.Load(); n++ {
		if rate > 0 {
			time.Sleep(time.Until(started.Add(time.Duration(n) * time.Second * loadWriters / time.Duration(rate))))
		}
		c := write{batch: fmt.Sprintf("%d/%d", w, n), deleted: r.IntN(5) == 0}
		var ops []engine.Op
		first := r.IntN(loadKeys)
		for i := range 1 + r.IntN(3) {
			key := fmt.Sprintf("t:%d-%d", w, (first+i)%loadKeys)
			c.keys = append(c.keys, key)
			if c.deleted {
				ops = append(ops, engine.Op{Kind: engine.OpDelete, Key: testkit.Key(key)})
				break // a delete carries no batch, so it is one of its own
			}
			ops = append(ops, testkit.Put(key, map[string]any{"batch": c.batch, "n": n % 7, "pad": fmt.Sprintf("%0*d", r.IntN(400), n)}))
		}
		c.start = time.Now()
		results, err := l.db.Apply(context.Background(), ops, true)
		c.end = time.Now()
		if c.deleted && errs.KindOf(err) == errs.NotFound && err != nil {
			continue // it wasn't there
		}
		for _, result := range results {
			if err == nil {
				err = result.Err
			}
		}
		if err != nil {
			l.failed.Store(&err)
			return
		}
		l.mu.Lock()
		l.written = append(l.written, c)
		l.mu.Unlock()
	}
}

// history is everything that happened to a database, by the change feed and by
// what the writers remember.
type history struct {
	events  []engine.FeedEvent
	batches []string // of each event; deletes have one of their own
	written []write
}

// finish stops the writers and returns the history, after holding the feed
// against what they remember.
func (l *load) finish(t *testing.T) *history {
	t.Helper()
	l.stop.Store(true)
	l.wg.Wait()
	if err := l.failed.Load(); err != nil {
		t.Fatal("a writer:", *err)
	}
	h := &history{written: l.written}
	for from := uint64(0); ; {
		page, err := l.db.ReadFeed(context.Background(), from, 1000, engine.FeedFilter{})
		if err != nil {
			t.Fatal(err)
		}
		h.events = append(h.events, page.Events...)
		if from = page.Next; page.Next == page.Latest {
			break
		}
	}
	seen := map[string]int{}
	for i, e := range h.events {
		if e.Seq != uint64(i+1) {
			t.Fatalf("event %d has sequence %d", i, e.Seq)
		}
		batch := fmt.Sprint("delete ", e.Seq)
		if e.Doc != nil {
			batch = batchOf(e.Doc)
			seen[batch]++
		} else {
			seen["deletes"]++
		}
		h.batches = append(h.batches, batch)
	}
	for _, c := range l.written {
		switch {
		case c.deleted:
			seen["deletes"]--
		case seen[c.batch] != len(c.keys):
			t.Fatalf("batch %s has %d events, want %d", c.batch, seen[c.batch], len(c.keys))
		}
	}
	if seen["deletes"] != 0 || len(h.events) < 50 {
		t.Fatalf("%d deletes too many among %d events", seen["deletes"], len(h.events))
	}
	return h
}

func batchOf(doc []byte) string {
	var d struct{ Batch string }
	if err := json.Unmarshal(doc, &d); err != nil {
		return err.Error()
	}
	return d.Batch
}

// at is the state after a sequence.
func (h *history) at(seq uint64) map[string]string {
	state := map[string]string{}
	for _, e := range h.events[:seq] {
		if e.Doc != nil {
			state[e.Key.String()] = string(e.Doc)
		} else {
			delete(state, e.Key.String())
		}
	}
	return state
}

// commitAt is the last end of a commit at or before a sequence.
func (h *history) commitAt(seq uint64) uint64 {
	for seq > 0 && seq < uint64(len(h.events)) && h.batches[seq-1] == h.batches[seq] {
		seq--
	}
	return seq
}

// holds opens a restored database and compares it with the history. testkit runs
// the engine's check.
func (h *history) holds(t *testing.T, path string, seq uint64) {
	t.Helper()
	if seq != h.commitAt(seq) {
		t.Errorf("sequence %d is in the middle of a commit", seq)
	}
	opts := testkit.Options(path)
	opts.Feed.Enabled = true
	opts.Storage.CreateIfMissing = false
	e, err := engine.Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if stats, err := e.Stats(); err != nil || stats.OplogLast != seq {
		t.Errorf("the restored database is at sequence %d, want %d: %v", stats.OplogLast, seq, err)
	}
	want := h.at(seq)
	have := map[string]string{}
	for after := ""; ; {
		page, err := e.Scroll(context.Background(), "t", after, 500, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, entity := range page.Entities {
			have[entity.Key.String()] = string(entity.Doc)
		}
		if after = page.NextCursor; after == "" {
			break
		}
	}
	if len(have) != len(want) {
		t.Errorf("at sequence %d there are %d entities, want %d", seq, len(have), len(want))
	}
	for key, doc := range want {
		if have[key] != doc {
			t.Fatalf("at sequence %d %s is %.80q, want %.80q", seq, key, have[key], doc)
		}
	}
	report, err := e.Check(context.Background())
	if err != nil || report.Total > 0 {
		t.Errorf("check: %v, %v", report, err)
	}
}

func restored(t *testing.T, o engine.RestoreOptions) uint64 {
	t.Helper()
	report, err := engine.Restore(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return uint64(report.Seq)
}

// archived opens a database with an archive of writes and some indexes.
func archived(t *testing.T, dir string) (*testkit.DB, engine.Options) {
	opts := testkit.Options(filepath.Join(dir, "data"))
	opts.Feed.Enabled = true
	opts.Storage.WALArchivePath = filepath.Join(dir, "archive")
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"n"}, Type: schema.Range})
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"batch"}, Type: schema.Equality})
	return db, opts
}

func finish[T any](t *testing.T, work *engine.Work[T], err error) T {
	t.Helper()
	if err == nil {
		err = work.Job.Wait(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	return work.Result()
}

// TestSnapshotsUnderLoad takes snapshots and backups while writers are at work
// and restores each to exactly the state at its sequence; then it rolls the first
// snapshot forward to points in between.
func TestSnapshotsUnderLoad(t *testing.T) {
	dir := t.TempDir()
	db, opts := archived(t, dir)
	started := time.Now()
	l := startLoad(db, *snapshotRate)
	var snapshots []engine.Snapshot
	var backups []engine.Backup
	var moments []time.Time
	for i := range *snapshotRounds {
		time.Sleep(60 * time.Millisecond)
		moments = append(moments, time.Now())
		work, err := db.CreateSnapshot(engine.SnapshotRef{Name: fmt.Sprint("s", i)})
		snapshots = append(snapshots, finish(t, work, err))
		backup, err := db.CreateBackup()
		backups = append(backups, finish(t, backup, err))
		if i == 0 {
			if err := db.Flush(); err != nil { // so that there are table files to share
				t.Fatal(err)
			}
		}
	}
	time.Sleep(60 * time.Millisecond)
	took := time.Since(started)
	h := l.finish(t)
	db.Reopen() // closes the archive
	t.Logf("%d commits of %d changes in %v, %d snapshots and backups", len(h.written), len(h.events), took, len(snapshots))

	for i, s := range snapshots {
		target := filepath.Join(dir, "r", s.Name)
		seq := restored(t, engine.RestoreOptions{Source: s.Path, Target: target})
		if seq != s.Sequence || seq > uint64(len(h.events)) {
			t.Fatalf("%s holds sequence %d, its manifest says %d", s.Name, seq, s.Sequence)
		}
		h.holds(t, target, seq)
		target = filepath.Join(dir, "r", fmt.Sprint("b", i))
		seq = restored(t, engine.RestoreOptions{Source: fmt.Sprintf("%s@%d", filepath.Join(dir, "backups"), backups[i].ID), Target: target})
		if seq < s.Sequence {
			t.Errorf("the backup after %s holds sequence %d, before that", s.Name, seq)
		}
		h.holds(t, target, seq)
	}
	base := engine.RestoreOptions{Source: snapshots[0].Path, Archive: opts.Storage.WALArchivePath}
	t.Run("to a sequence", func(t *testing.T) { rollToSequences(t, h, base, snapshots[0].Sequence) })
	t.Run("to a time", func(t *testing.T) { rollToTimes(t, h, base, moments[1:]) })
	t.Run("refused", func(t *testing.T) { rollRefused(t, h, base, snapshots[0].Sequence) })
}

func rollToSequences(t *testing.T, h *history, base engine.RestoreOptions, first uint64) {
	last := uint64(len(h.events))
	points := []uint64{first, last}
	for range 2 {
		points = append(points, first+rand.Uint64N(last-first))
	}
	for _, want := range points {
		base.Target = filepath.Join(t.TempDir(), "data")
		base.Until = &storage.Until{Seq: storage.Seq(want)}
		seq := restored(t, base)
		if seq != h.commitAt(want) {
			t.Errorf("until %d leads to %d, want %d", want, seq, h.commitAt(want))
		}
		h.holds(t, base.Target, seq)
	}
	base.Target = filepath.Join(t.TempDir(), "data")
	base.Until = &storage.Until{Latest: true}
	if seq := restored(t, base); seq != last {
		t.Errorf("the latest is %d, want %d", seq, last)
	}
}

func rollToTimes(t *testing.T, h *history, base engine.RestoreOptions, moments []time.Time) {
	for _, at := range moments {
		base.Target = filepath.Join(t.TempDir(), "data")
		base.Until = &storage.Until{Time: at}
		seq := restored(t, base)
		h.holds(t, base.Target, seq)
		in := map[string]bool{}
		for _, batch := range h.batches[:seq] {
			in[batch] = true
		}
		for _, c := range h.written {
			switch {
			case c.deleted:
			case c.end.Before(at.Truncate(time.Millisecond)) && !in[c.batch]:
				t.Errorf("batch %s was acknowledged before %s and is missing", c.batch, at)
			case c.start.After(at.Add(time.Millisecond)) && in[c.batch]:
				t.Errorf("batch %s was begun after %s and is there", c.batch, at)
			}
		}
	}
}

func rollRefused(t *testing.T, h *history, base engine.RestoreOptions, first uint64) {
	parent := t.TempDir()
	base.Target = filepath.Join(parent, "data")
	refused := func(name string, o engine.RestoreOptions, kind errs.Kind, code string) {
		t.Helper()
		_, err := engine.Restore(context.Background(), o)
		if errs.KindOf(err) != kind || errs.CodeOf(err) != code {
			t.Errorf("%s: %v (%s), want %s", name, err, errs.CodeOf(err), code)
		}
		if left, _ := os.ReadDir(parent); len(left) > 0 {
			t.Errorf("%s leaves %v", name, left)
		}
	}
	until := func(u storage.Until) engine.RestoreOptions {
		o := base
		o.Until = &u
		return o
	}
	if first > 1 {
		refused("before the base", until(storage.Until{Seq: storage.Seq(first - 1)}), errs.Invalid, "until_before_base")
	}
	refused("a time before the base", until(storage.Until{Time: time.Now().Add(-time.Hour)}), errs.Invalid, "until_before_base")
	refused("beyond the end", until(storage.Until{Seq: storage.Seq(len(h.events) + 1)}), errs.Invalid, "until_after_archive")
	refused("a time beyond the end", until(storage.Until{Time: time.Now().Add(time.Hour)}), errs.Invalid, "until_after_archive")
	segments, _ := filepath.Glob(filepath.Join(base.Archive, "*", "*.wal"))
	if len(segments) == 0 {
		t.Fatal("the archive is empty")
	}
	data, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(segments[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	code, kind := "archive_gap", errs.Conflict
	if len(segments) == 1 { // nothing follows what is damaged: it is the end
		code, kind = "until_after_archive", errs.Invalid
	}
	refused("across a gap", until(storage.Until{Seq: storage.Seq(len(h.events))}), kind, code)
}
