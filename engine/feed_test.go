package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
)

// feedOptions are those of a small database with a feed and a clock that only
// the test moves.
func feedOptions(t *testing.T) (opts engine.Options, clock *atomic.Int64) {
	clock = &atomic.Int64{}
	clock.Store(1_700_000_000_000)
	opts = testkit.Options(t.TempDir())
	opts.Feed.Enabled = true
	opts.Now = func() time.Time { return time.UnixMilli(clock.Load()) }
	return opts, clock
}

// readAll reads the feed to its end.
func readAll(t testing.TB, db *testkit.DB, from uint64, limit int, filter engine.FeedFilter) []engine.FeedEvent {
	t.Helper()
	var all []engine.FeedEvent
	for {
		page, err := db.ReadFeed(t.Context(), from, limit, filter)
		if err != nil {
			t.Fatalf("read after %d: %v", from, err)
		}
		if len(page.Events) > limit || page.Next < from || page.Latest < page.Next {
			t.Fatalf("page of %d at limit %d, next %d after %d, latest %d", len(page.Events), limit, page.Next, from, page.Latest)
		}
		all = append(all, page.Events...)
		if page.Next == page.Latest {
			return all
		}
		if page.Next == from {
			t.Fatalf("the page after %d makes no progress", from)
		}
		from = page.Next
	}
}

// mirror is what a consumer builds from the feed.
type mirror struct {
	docs     map[string]string
	versions map[string]uint64
	at       uint64
}

func newMirror() *mirror { return &mirror{docs: map[string]string{}, versions: map[string]uint64{}} }

func (m *mirror) apply(t testing.TB, events []engine.FeedEvent) {
	t.Helper()
	for _, ev := range events {
		if ev.Seq != m.at+1 {
			t.Fatalf("event %d came after %d", ev.Seq, m.at)
		}
		m.at = ev.Seq
		key := ev.Key.String()
		switch ev.Type {
		case engine.FeedPut:
			m.docs[key], m.versions[key] = string(ev.Doc), ev.Version
		case engine.FeedDelete:
			if ev.Doc != nil || m.versions[key] != ev.Version {
				t.Fatalf("delete of %s has version %d and document %q; the last put had %d", key, ev.Version, ev.Doc, m.versions[key])
			}
			delete(m.docs, key)
			delete(m.versions, key)
		case engine.FeedDrop:
			maps.DeleteFunc(m.docs, func(k, _ string) bool { return strings.HasPrefix(k, key) })
			maps.DeleteFunc(m.versions, func(k string, _ uint64) bool { return strings.HasPrefix(k, key) })
		}
	}
}

// compare holds the mirror against all that is stored. Entities whose time is up
// must have been swept.
func (m *mirror) compare(t testing.TB, db *testkit.DB) {
	t.Helper()
	stored := map[string]string{}
	tables, err := db.Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		for cursor := ""; ; {
			page, err := db.Scroll(t.Context(), table.Name, cursor, 100, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Entities {
				stored[e.Key.String()] = string(e.Doc)
				if m.versions[e.Key.String()] != e.Version {
					t.Errorf("%s has version %d, the feed says %d", e.Key, e.Version, m.versions[e.Key.String()])
				}
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
	}
	if !maps.Equal(stored, m.docs) {
		t.Fatalf("the feed leads to\n%v\nstored is\n%v", m.docs, stored)
	}
}

// TestFeedReplay carries out a random history and follows it through the feed,
// from the start and bit by bit: both lead to the state of the database.
func TestFeedReplay(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	opts, clock := feedOptions(t)
	db := testkit.OpenWith(t, opts)
	follower := newMirror()
	tables := []string{"a", "b", "c"}
	key := func() engine.Key {
		return engine.Key{Table: tables[r.IntN(3)], PK: fmt.Sprint(r.IntN(30))}
	}
	op := func() engine.Op {
		op := engine.Op{Kind: engine.OpKind(r.IntN(3)), Key: key()}
		doc := testkit.RandomDoc(r)
		if r.IntN(4) == 0 {
			doc["ttl"] = clock.Load()/1000 + int64(r.IntN(10)) - 2
		}
		if op.Kind != engine.OpDelete {
			op.Doc = testkit.JSON(doc)
		}
		return op
	}
	steps := 3000
	if testing.Short() {
		steps = 300
	}
	for i := range steps {
		switch n := r.IntN(100); {
		case n < 55:
			// What is refused must leave no trace in the feed, or the mirror differs.
			_, _ = db.Apply(t.Context(), []engine.Op{op()}, false)
		case n < 75:
			ops := make([]engine.Op, r.IntN(12))
			for i := range ops {
				ops[i] = op()
			}
			_, _ = db.Apply(t.Context(), ops, r.IntN(2) == 0)
		case n < 80:
			clock.Add(int64(r.IntN(4000)))
		case n < 84:
			if err := engine.Sweep(db.Engine); err != nil {
				t.Fatal(err)
			}
		case n < 87:
			if err := db.DropTable(t.Context(), key().Table); err != nil && errs.KindOf(err) != errs.NotFound {
				t.Fatal(err)
			}
		case n < 89:
			job, err := db.CreateIndex(t.Context(), schema.IndexDef{Table: key().Table, Columns: []string{"ttl"}, Type: schema.TTL})
			if err == nil {
				err = job.Wait(t.Context())
			}
			if err != nil && errs.CodeOf(err) != "index_exists" {
				t.Fatal(err)
			}
		case n < 91:
			filter, err := query.ParseFilter(nil, []byte(testkit.RandomFilter(r, 2).String()))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.DeleteWhere(t.Context(), key().Table, filter); err != nil && errs.KindOf(err) != errs.NotFound {
				t.Fatal(err)
			}
		case n < 92:
			db.Reopen()
		default:
			page, err := db.ReadFeed(t.Context(), follower.at, 1+r.IntN(50), engine.FeedFilter{})
			if err != nil {
				t.Fatal(err)
			}
			follower.apply(t, page.Events)
		}
		if i%200 == 199 {
			if err := engine.Sweep(db.Engine); err != nil {
				t.Fatal(err)
			}
			follower.apply(t, readAll(t, db, follower.at, 7, engine.FeedFilter{}))
			follower.compare(t, db)
		}
	}
	if err := engine.Sweep(db.Engine); err != nil {
		t.Fatal(err)
	}
	whole := newMirror()
	whole.apply(t, readAll(t, db, 0, 1000, engine.FeedFilter{}))
	whole.compare(t, db)
}

// TestFeedFilters compares pages with a filter of the test's own, from every
// start, read from storage and from the tail.
func TestFeedFilters(t *testing.T) {
	opts, _ := feedOptions(t)
	db := testkit.OpenWith(t, opts)
	done := db.FollowFeed() // so that there is a tail
	defer done(false)
	for i := range 60 {
		table := []string{"users", "user", "x"}[i%3]
		db.Put(fmt.Sprintf("%s:%c%d", table, 'a'+i%4, i%7), `{}`)
		if i%10 == 9 {
			if err := db.DropTable(t.Context(), table); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := uint64(66)
	if news, err := db.WaitFeed(t.Context(), last-1, time.Minute); !news || err != nil {
		t.Fatal(news, err)
	}
	all := readAll(t, db, 0, 1000, engine.FeedFilter{})
	if len(all) != int(last) {
		t.Fatalf("%d events, want %d", len(all), last)
	}
	for _, f := range []engine.FeedFilter{
		{}, {Table: "user"}, {Table: "none"}, {KeyPrefix: "us"}, {KeyPrefix: "user"}, {KeyPrefix: "user:"}, {KeyPrefix: "users:a"},
		{KeyPrefix: "users:a0"}, {KeyPrefix: "users:a00"}, {KeyPrefix: ":"}, {Table: "users", KeyPrefix: "users:b"}, {Table: "x", KeyPrefix: "users"},
	} {
		passes := func(ev engine.FeedEvent) bool {
			key := ev.Key.String()
			inPrefix := strings.HasPrefix(key, f.KeyPrefix) || ev.Type == engine.FeedDrop && strings.HasPrefix(f.KeyPrefix, key)
			return (f.Table == "" || ev.Key.Table == f.Table) && inPrefix
		}
		for from := range last + 1 {
			var want []uint64
			for _, ev := range all[from:] {
				if passes(ev) {
					want = append(want, ev.Seq)
				}
			}
			for _, limit := range []int{1, 3, 1000} {
				var have []uint64
				for _, ev := range readAll(t, db, from, limit, f) {
					have = append(have, ev.Seq)
				}
				if !slices.Equal(have, want) {
					t.Fatalf("%+v after %d, %d at a time: %v, want %v", f, from, limit, have, want)
				}
			}
		}
	}
}

// TestFeedPageIsBounded: neither big documents nor a filter that finds nothing
// make a page costly.
func TestFeedPageIsBounded(t *testing.T) {
	opts, _ := feedOptions(t)
	db := testkit.OpenWith(t, opts)
	for i := range 6 {
		ops := make([]engine.Op, 1000)
		for j := range ops {
			ops[j] = testkit.Put(fmt.Sprintf("small:%d-%d", i, j), `{}`)
		}
		db.Do(ops...)
	}
	for i := range 6 {
		db.Put(fmt.Sprintf("big:%d", i), map[string]string{"pad": strings.Repeat("x", 1_500_000)})
	}
	page, err := db.ReadFeed(t.Context(), 0, 10, engine.FeedFilter{Table: "big"})
	if err != nil || len(page.Events) != 0 || page.Next != 5000 || page.Latest != 6006 {
		t.Errorf("the first page: %d events, next %d of %d, %v", len(page.Events), page.Next, page.Latest, err)
	}
	page, err = db.ReadFeed(t.Context(), page.Next, 10, engine.FeedFilter{Table: "big"})
	if err != nil || len(page.Events) != 3 || page.Next != 6003 {
		t.Errorf("the second page: %d events, next %d, %v", len(page.Events), page.Next, err)
	}
}

// TestFeedSwitched holds what can be read after the feed was off for a while.
func TestFeedSwitched(t *testing.T) {
	opts, _ := feedOptions(t)
	db := testkit.OpenWith(t, opts)
	read := func(from uint64) string {
		page, err := db.ReadFeed(t.Context(), from, 100, engine.FeedFilter{})
		if err != nil {
			return errs.CodeOf(err)
		}
		var seqs []uint64
		for _, ev := range page.Events {
			seqs = append(seqs, ev.Seq)
		}
		return fmt.Sprint(seqs, page.Next)
	}
	expect := func(when string, from uint64, want string) {
		t.Helper()
		if got := read(from); got != want {
			t.Errorf("%s, after %d: %s, want %s", when, from, got, want)
		}
	}
	set := func(on bool) {
		t.Helper()
		if err := db.SetFeed(engine.FeedOptions{Enabled: on}); err != nil {
			t.Fatal(err)
		}
	}
	db.Put("t:a", `{}`)
	expect("on", 0, "[1] 1")
	expect("ahead", 2, "feed_ahead")
	set(false)
	expect("off", 0, "feature_disabled")
	if s, err := db.FeedStats(); err != nil || s.Enabled || s.Events != 1 || s.Oldest != 1 {
		t.Errorf("off: %+v, %v", s, err)
	}
	if _, err := db.TrimFeed(1); errs.CodeOf(err) != "feature_disabled" {
		t.Errorf("trimming while off: %v", err)
	}
	set(true)
	expect("on again, nothing was missed", 0, "[1] 1")
	set(false)
	db.Put("t:b", `{}`)
	set(true)
	db.Put("t:c", `{}`)
	expect("on again, one was missed", 0, "feed_trimmed")
	expect("on again, one was missed", 1, "feed_trimmed")
	expect("on again, one was missed", 2, "[3] 3")
	reopen := func(on bool) {
		t.Helper()
		db.SetOptions(func(o *engine.Options) { o.Feed.Enabled = on })
		db.Reopen()
	}
	reopen(true)
	expect("restarted", 2, "[3] 3")
	reopen(false)
	expect("restarted without", 2, "feature_disabled")
	reopen(true)
	expect("restarted without a change between", 2, "[3] 3")
	reopen(false)
	db.Put("t:d", `{}`)
	reopen(true)
	expect("a restart missed one", 2, "feed_trimmed")
	expect("a restart missed one", 3, "feed_trimmed")
	expect("a restart missed one", 4, "[] 4")
}

// A waiting reader is told when the feed is switched off, and when the database
// closes.
func TestFeedWait(t *testing.T) {
	opts, _ := feedOptions(t)
	db := testkit.OpenWith(t, opts)
	type outcome struct {
		news bool
		err  error
	}
	wait := func(ctx context.Context, from uint64) <-chan outcome {
		out := make(chan outcome, 1)
		go func() {
			news, err := db.WaitFeed(ctx, from, time.Hour)
			out <- outcome{news, err}
		}()
		for s, _ := db.FeedStats(); s.Waiting == 0; s, _ = db.FeedStats() {
			time.Sleep(time.Millisecond)
		}
		return out
	}
	ctx, cancel := context.WithCancel(t.Context())
	first := wait(ctx, 0)
	db.Put("t:a", `{}`)
	if got := <-first; !got.news || got.err != nil {
		t.Errorf("after a write: %+v", got)
	}
	second := wait(ctx, 1)
	cancel()
	if got := <-second; !errors.Is(got.err, context.Canceled) {
		t.Errorf("canceled: %+v", got)
	}
	if news, err := db.WaitFeed(t.Context(), 1, time.Millisecond); news || err != nil {
		t.Errorf("time is up: %t, %v", news, err)
	}
	third := wait(t.Context(), 1)
	if err := db.SetFeed(engine.FeedOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := <-third; !got.news || got.err != nil {
		t.Errorf("switched off: %+v", got)
	}
	if err := db.SetFeed(engine.FeedOptions{Enabled: true}); err != nil {
		t.Fatal(err)
	}
	fourth := wait(t.Context(), 1)
	db.Reopen()
	if got := <-fourth; errs.KindOf(got.err) != errs.Unavailable {
		t.Errorf("closed: %+v", got)
	}
}

// TestFeedRetention lets time pass under writers. Nothing younger than the
// retention is lost, all that is older goes, and a reader either gets every
// event or is told that it came too late.
func TestFeedRetention(t *testing.T) {
	opts, clock := feedOptions(t)
	opts.Feed.Retention = time.Hour
	db := testkit.OpenWith(t, opts)
	const minute = 60_000
	stop := make(chan struct{})
	var writers, reader sync.WaitGroup
	var wrote [3]atomic.Int64
	for w := range wrote {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					op := testkit.Put(fmt.Sprintf("t:%d-%d", w, i%50), `{"a":1}`)
					if _, err := db.Apply(t.Context(), []engine.Op{op}, true); err != nil {
						t.Error(err)
						return
					}
					wrote[w].Add(1)
				}
			}
		})
	}
	reader.Go(func() {
		for from := uint64(0); ; {
			page, err := db.ReadFeed(t.Context(), from, 500, engine.FeedFilter{})
			if errs.KindOf(err) == errs.Gone {
				var e *errs.Error
				errors.As(err, &e)
				from = e.Numbers["oldest_sequence"] - 1
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
			for _, ev := range page.Events {
				if from++; ev.Seq != from {
					t.Errorf("event %d came after %d", ev.Seq, from-1)
					return
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 90 {
		now := clock.Add(2 * minute)
		before, err := db.FeedStats()
		if err != nil {
			t.Fatal(err)
		}
		// A second one of each writer began after the clock was moved. If one stood still for
		// several steps, what it writes then would be older than what is there.
		for w := range wrote {
			for seen := wrote[w].Load(); wrote[w].Load() < seen+2 && !t.Failed(); {
				time.Sleep(100 * time.Microsecond)
			}
		}
		if err := engine.Sweep(db.Engine); err != nil {
			t.Fatal(err)
		}
		s, err := db.FeedStats()
		if err != nil {
			t.Fatal(err)
		}
		page, err := db.ReadFeed(t.Context(), s.Oldest-1, 1, engine.FeedFilter{})
		if err != nil || len(page.Events) != 1 {
			t.Fatalf("the oldest, %d: %+v, %v", s.Oldest, page, err)
		}
		// Writes under way together may stand up to one step of the clock apart.
		age := now - page.Events[0].Time.UnixMilli()
		if age > 60*minute+60*minute/64+2*minute {
			t.Fatalf("an event of %d minutes is kept", age/minute)
		}
		if removed := s.EventsTrimmed - before.EventsTrimmed; removed > 0 && age < 56*minute {
			t.Fatalf("the oldest event kept has %d minutes", age/minute)
		}
	}
	close(stop)
	writers.Wait()
	reader.Wait()
	if s, err := db.FeedStats(); err != nil || s.EventsTrimmed == 0 || s.Latest-s.Oldest+1 != s.Events || s.Retention != time.Hour {
		t.Errorf("%+v, %v", s, err)
	}
	// Shortened live, and by sequence.
	if err := db.SetFeed(engine.FeedOptions{Enabled: true, Retention: time.Minute}); err != nil {
		t.Fatal(err)
	}
	db.Put("t:last", `{}`)
	clock.Add(minute / 2)
	db.Put("t:next", `{}`)
	clock.Add(minute * 3 / 4)
	if err := engine.Sweep(db.Engine); err != nil {
		t.Fatal(err)
	}
	if all, err := db.FeedStats(); err != nil || all.Events != 1 {
		t.Errorf("after shortening: %+v, %v", all, err)
	}
	if removed, err := db.TrimFeed(1 << 60); err != nil || removed != 1 {
		t.Errorf("trim of all removed %d, %v", removed, err)
	}
	if err := db.SetFeed(engine.FeedOptions{Enabled: true, Retention: -1}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a negative retention: %v", err)
	}
}

// A dropped table's events keep its name as long as they are there, over
// restarts too, and no longer.
func TestFeedDroppedNames(t *testing.T) {
	opts, _ := feedOptions(t)
	db := testkit.OpenWith(t, opts)
	db.Put("gone:a", `{}`)
	db.Put("stays:a", `{}`)
	if err := db.DropTable(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	db.Put("gone:b", `{}`) // another table of that name
	db.Reopen()
	var have []string
	for _, ev := range readAll(t, db, 0, 10, engine.FeedFilter{Table: "gone"}) {
		have = append(have, string(ev.Type)+" "+ev.Key.String())
	}
	if want := []string{"PUT gone:a", "DROP gone:", "PUT gone:b"}; !slices.Equal(have, want) {
		t.Errorf("%v, want %v", have, want)
	}
	for _, step := range []struct {
		before uint64
		names  int
	}{{2, 1}, {3, 0}} { // the drop itself, the third event, brings the name along
		if _, err := db.TrimFeed(step.before); err != nil {
			t.Fatal(err)
		}
		if err := engine.Sweep(db.Engine); err != nil {
			t.Fatal(err)
		}
		if n, err := engine.KeptNames(db.Engine); err != nil || n != step.names {
			t.Errorf("trimmed before %d: %d names, %v; want %d", step.before, n, err, step.names)
		}
	}
	if all := readAll(t, db, 2, 10, engine.FeedFilter{}); len(all) != 2 || all[0].Key.Table != "gone" {
		t.Errorf("what is left: %+v", all)
	}
}

// TestFeedTail reads while writers run and streams are there: what comes from
// the tail is what comes from storage.
func TestFeedTail(t *testing.T) {
	opts, _ := feedOptions(t)
	db := testkit.OpenWith(t, opts)
	const each = 400
	var all sync.WaitGroup
	for w := range 3 {
		all.Go(func() {
			for i := range each {
				op := testkit.Put(fmt.Sprintf("t:%d", w), fmt.Sprintf(`{"i":%d,"pad":%q}`, i, strings.Repeat("x", i*5)))
				if _, err := db.Apply(t.Context(), []engine.Op{op}, true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	mirrors := make([]*mirror, 4)
	for i := range mirrors {
		m := newMirror()
		mirrors[i] = m
		all.Go(func() {
			done := db.FollowFeed()
			defer done(false)
			for m.at < 3*each {
				if _, err := db.WaitFeed(t.Context(), m.at, time.Minute); err != nil {
					t.Error(err)
					return
				}
				page, err := db.ReadFeed(t.Context(), m.at, 1+17*i, engine.FeedFilter{})
				if err != nil {
					t.Error(err)
					return
				}
				m.apply(t, page.Events)
			}
		})
	}
	all.Wait()
	for _, m := range mirrors {
		m.compare(t, db)
	}
	if s, err := db.FeedStats(); err != nil || s.Streams != 0 || s.Waiting != 0 || s.EventsRead != 4*3*each {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestCheckSeesTheFeed(t *testing.T) {
	opts, _ := feedOptions(t)
	e, err := engine.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for i := range 3 {
		if _, err := e.Apply(t.Context(), []engine.Op{testkit.Put(fmt.Sprint("t:", i), `{}`)}, true); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := e.Check(t.Context()); err != nil || r.Total != 0 || r.FeedEvents != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	engine.DamageFeed(e, "t")
	if r, err := e.Check(t.Context()); err != nil || r.Total != 3 || !strings.Contains(r.Findings[0], "event 1 of the change feed") {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestDefaultEf: only an index without an ef of its own follows the default.
func TestDefaultEf(t *testing.T) {
	db := testkit.Open(t)
	for column, ef := range map[string]int{"own": 33, "free": 0} {
		db.Index(schema.IndexDef{Table: "t", Columns: []string{column}, Type: schema.Vector, Vector: &schema.VectorConfig{Dimension: 2, Ef: ef}})
	}
	efs := func() (own, free int) {
		t.Helper()
		for column, ef := range map[string]*int{"own": &own, "free": &free} {
			def, err := db.VectorConfig(t.Context(), "t", column)
			if err != nil {
				t.Fatal(err)
			}
			db.Put("t:a", `{"own":[1,2],"free":[1,2]}`)
			found, err := db.Search(t.Context(), engine.SearchRequest{Table: "t", Column: column, Vectors: [][]float32{{1, 2}}, Explain: true})
			if err != nil || found[0].Plan.Ef != def.Vector.Ef {
				t.Fatalf("%s: the plan says %+v, the index %+v, %v", column, found, def.Vector, err)
			}
			*ef = def.Vector.Ef
		}
		return own, free
	}
	expect := func(when string, own, free int) {
		t.Helper()
		if o, f := efs(); o != own || f != free {
			t.Errorf("%s: %d and %d, want %d and %d", when, o, f, own, free)
		}
	}
	expect("at first", 33, 64)
	if err := db.SetDefaultEf(128); err != nil {
		t.Fatal(err)
	}
	expect("changed", 33, 128)
	job, err := db.Reindex(t.Context(), "t")
	if err == nil {
		err = job.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	expect("rebuilt", 33, 128)
	if _, err := db.SetVectorConfig(t.Context(), "t", "free", schema.VectorConfig{Ef: 50}); err != nil {
		t.Fatal(err)
	}
	expect("given one", 33, 50)
	for _, ef := range []int{0, -1, engine.MaxK + 1} {
		if err := db.SetDefaultEf(ef); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%d: %v", ef, err)
		}
	}
	db.Reopen()
	expect("restarted", 33, 50)
}

// BenchmarkFeed measures what the feed costs writers: compare off with on. The
// time of the processor says more than the clock's where others use it too.
func BenchmarkFeed(b *testing.B) {
	for _, durability := range []string{"sync", "none"} {
		for _, on := range []bool{false, true} {
			b.Run(fmt.Sprintf("durability=%s/feed=%t", durability, on), func(b *testing.B) {
				opts := testkit.Options(b.TempDir())
				opts.Storage.MemtableSizeMB = 64
				opts.Feed.Enabled = on
				if durability == "sync" {
					opts.Storage.Durability = "sync"
				}
				e, err := engine.Open(b.Context(), opts)
				if err != nil {
					b.Fatal(err)
				}
				defer e.Close()
				pad := strings.Repeat("abcdefgh ", 100)
				var n atomic.Int64
				b.SetParallelism(8)
				before := processorTime(b)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						i := n.Add(1)
						op := testkit.Put(fmt.Sprintf("t:%d", i), fmt.Sprintf(`{"i":%d,"pad":%q}`, i, pad))
						if _, err := e.Apply(b.Context(), []engine.Op{op}, true); err != nil {
							b.Error(err)
						}
					}
				})
				b.StopTimer()
				b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
