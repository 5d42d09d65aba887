package feed

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/server/config"
)

// hostile is text that mustn't become a part of a page.
const hostile = `<script>alert(1)</script>"'&lt; ` + "\u202e"

type site struct {
	*consoletest.Site
	db   *testkit.DB
	live *config.Live
}

func newSite(t *testing.T, on bool) *site {
	t.Helper()
	opts := testkit.Options(t.TempDir())
	opts.Feed.Enabled = on
	s := &site{db: testkit.OpenWith(t, opts)}
	var err error
	if s.live, err = config.Open(config.Source{Set: []string{"storage.rocksdb_path=" + t.TempDir()}}); err != nil {
		t.Fatal(err)
	}
	s.live.Subscribe(config.Subscriber{Apply: func(_, after *config.Config) error {
		return s.db.SetFeed(engine.FeedOptions{Enabled: after.Features.CDC})
	}})
	s.Site = consoletest.Serve(t, func(f *page.Frame) console.Group {
		return New(f, Options{Database: s.db.Engine, Config: s.live})
	})
	return s
}

// put makes n changes in a table.
func (s *site) put(table string, n int) {
	var ops []engine.Op
	for i := range n {
		ops = append(ops, testkit.Put(fmt.Sprint(table, ":", i), map[string]any{"n": i}))
	}
	s.db.Do(ops...)
}

func TestOff(t *testing.T) {
	s := newSite(t, false)
	s.Reads(s.Page("feed"), []string{"The change feed is off", "Switch on the change feed"}, "sse-connect")
	for _, path := range []string{"feed/trim", "feed/event/1"} {
		if a := s.Get(path); a.Status == 200 || !strings.Contains(a.Body, "features.cdc") {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
	if a := s.Post("feed/on", "persist", "on"); a.Status != 303 || a.Location != "feed" {
		t.Fatalf("%d %s", a.Status, a.Location)
	}
	if !s.live.Config().Features.CDC {
		t.Error("the setting is off")
	}
	s.Reads(s.Page("feed"), []string{"Newest change", `sse-connect="./feed/stream?from=0"`, "No changes yet"})
}

func TestChanges(t *testing.T) {
	s := newSite(t, true)
	s.put("books", 3)
	s.db.Do(testkit.Put("other:"+hostile, map[string]any{hostile: hostile}), engine.Op{Kind: engine.OpDelete, Key: testkit.Key("books:1")})

	s.Reads(s.Page("feed"), []string{"5", "from 1 on", `feed/event/5"`, "DELETE", "books:1", `feed/event/4"`, "PUT", "other:&lt;script&gt;", `feed/event/1"`, "books:0",
		"5 changes", "/changefeed/stream?from_seq=5"}, "Next page")
	s.Reads(s.Page("feed?table=other"), []string{"other:&lt;", "1 change"}, "books:1")
	s.Reads(s.Page("feed?key_prefix=books:1"), []string{`event/5"`, `event/2"`, "2 changes"}, "books:0")
	s.Reads(s.Page("feed?table=nothing"), []string{"No change matches"})
	// From a sequence on they are in order, and go on with what comes.
	s.Reads(s.Page("feed?from=2"), []string{`sse-connect="./feed/stream?from=5&amp;order=up"`, `event/3"`, `event/4"`, `event/5"`}, `event/2"`)

	s.Reads(s.Page("feed/event/4"), []string{"PUT", "the entity was written", `/entity?pk=%3Cscript`, "Version", "1", "json-key", "&lt;script&gt;", "Change before", "Change after"})
	s.Reads(s.Page("feed/event/5"), []string{"DELETE", "books:1"}, "json-key", "Change after")
	for path, status := range map[string]int{"feed/event/6": 404, "feed/event/0": 404, "feed/event/x": 404, "feed?from=x": 400, "feed?table=" + url.QueryEscape(hostile): 400} {
		if a := s.Get(path); a.Status != status || strings.Contains(a.Body, "<script>alert") {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
	if err := s.db.DropTable(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	s.Reads(s.Page("feed/event/6"), []string{"DROP", "the table was dropped", "table", "other"}, "Version")
}

func TestManyChanges(t *testing.T) {
	s := newSite(t, true)
	for range 3 {
		s.put("books", 2000)
	}
	s.db.Do(testkit.Put("rare:1", map[string]any{}))
	s.Reads(s.Page("feed"), []string{`event/6001"`, `event/5902"`, "100 changes"}, `event/5901"`)
	s.Reads(s.Page("feed?table=rare"), []string{"rare:1", "1 change among the newest 2,000"})
	s.Reads(s.Page("feed?from=0"), []string{`event/1"`, `event/100"`, `href="./feed?from=100"`}, "sse-connect", `event/101"`)
}

func TestStream(t *testing.T) {
	s := newSite(t, true)
	s.put("books", 2)
	next := s.Stream(s.StreamOf(s.Page("feed?key_prefix=books")), "")
	s.db.Do(testkit.Put("other:1", map[string]any{}), testkit.Put("books:"+hostile, map[string]any{}))
	e := next()
	s.Reads(e.Data, []string{"<tr>", `event/4"`, "books:&lt;script&gt;"}, "other", `event/3"`)
	if e.Name != "changes" || e.ID != "4" {
		t.Errorf("the event %s, %s", e.Name, e.ID)
	}
	// Who comes again goes on behind the last event, in the order of the page.
	s.put("books", 2)
	s.Reads(s.Stream("feed/stream?from=0", "4")().Data, []string{`event/6"`, `event/5"`}, `event/4"`)
	s.Reads(s.Stream("feed/stream?order=up&from=0", "")().Data, []string{`event/1"`, `event/2"`, `event/6"`})
	// A flood is left out, and can be read.
	s.put("books", 3000)
	e = s.Stream("feed/stream?from=6", "")()
	s.Reads(e.Data, []string{"2,950 changes came faster than the page could show", `feed?from=56"`, `event/56"`, `event/7"`})
	if e.ID != "3006" {
		t.Errorf("the stream goes on behind %s", e.ID)
	}
	if stats, err := s.db.FeedStats(); err != nil || stats.Streams == 0 {
		t.Errorf("streams aren't counted: %+v, %v", stats, err)
	}
}

func TestTrim(t *testing.T) {
	s := newSite(t, true)
	s.put("books", 20)
	s.Reads(s.Page("feed/trim"), []string{"changes 1 to 20"}, "would be")
	s.Reads(s.Page("feed/trim?before=11"), []string{"10 changes would be removed", `<bdi>11</bdi>`, `name="before" value="11"`})
	s.Reads(s.Page("feed/trim?before=1"), []string{"No change that is kept"})
	s.Reads(s.Page("feed/trim?before=99"), []string{"20 changes would be removed"})
	if a := s.Get("feed/trim?before=" + url.QueryEscape(hostile)); a.Status != 400 || strings.Contains(a.Body, "<script>alert") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	for _, form := range [][]string{{"before", "11"}, {"before", "11", "confirm", "12"}, {"before", hostile, "confirm", hostile}, {}} {
		if a := s.Post("feed/trim", form...); a.Status != 400 || strings.Contains(a.Body, "<script>alert") {
			t.Errorf("%v: %d %s", form, a.Status, a.Body)
		}
	}
	if a := s.Post("feed/trim", "before", "11", "confirm", "11"); a.Status != 303 || a.Location != "feed" {
		t.Errorf("%d %s", a.Status, a.Location)
	}
	s.Reads(s.Page("feed"), []string{"from 11 on", `event/11"`}, `event/10"`)
	// What is gone is told with a way out.
	gone := s.Get("feed?from=3")
	s.Reads(gone.Body, []string{"These changes can&#39;t be read", "sequence 3", `href="./feed?from=10"`}, "sse-connect")
	if gone.Status != 410 {
		t.Errorf("%d", gone.Status)
	}
	if a := s.Get("feed/event/3"); a.Status != 410 || !strings.Contains(a.Body, "the oldest that can be read has sequence 11") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := s.Get("feed?from=21"); a.Status != 410 || !strings.Contains(a.Body, "These changes") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
