package logs

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
)

// hostile is text that mustn't become a part of a page.
const hostile = `<script>alert(1)</script>"'&lt; ` + "\u202e"

// site is the pages with what they show.
type site struct {
	*consoletest.Site
	db             *testkit.DB
	live           *config.Live
	log, audit     *slog.Logger
	entries, calls *logging.Entries
}

func newSite(t *testing.T, audited bool) *site {
	t.Helper()
	opts := testkit.Options(t.TempDir())
	opts.Query.SlowThreshold = time.Nanosecond
	s := &site{db: testkit.OpenWith(t, opts), entries: logging.NewEntries()}
	var err error
	if s.live, err = config.Open(config.Source{Set: []string{"storage.rocksdb_path=" + t.TempDir()}}); err != nil {
		t.Fatal(err)
	}
	s.live.Subscribe(config.Subscriber{Apply: func(_, after *config.Config) error {
		s.db.SetSlowThreshold(time.Duration(after.Query.SlowThresholdMs) * time.Millisecond)
		return nil
	}})
	silent := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: logging.LevelTrace}))
	s.log = logging.Keep(silent, s.entries)
	if audited {
		s.calls = logging.NewEntries()
		s.audit = logging.Keep(silent, s.calls)
	}
	s.Site = consoletest.Serve(t, func(f *page.Frame) console.Group {
		return New(f, Options{Database: s.db.Engine, Config: s.live, Entries: s.entries, Audit: s.calls})
	})
	return s
}

func TestLog(t *testing.T) {
	s := newSite(t, false)
	s.Reads(s.Page("logs"), []string{"The log is empty"})
	s.log.Info("first "+hostile, "key"+hostile, hostile)
	s.log.With(logging.Component, "storage").Warn("second", "error", "line one\nline two", "empty", "")
	s.log.With(logging.Component, hostile).Debug("third", "request_id", "abc")

	s.Reads(s.Page("logs"), []string{"third", "request_id", `?q=abc"`, "second", "line one", "<pre", "line two", "first &lt;script&gt;", "3 entries of 3 kept"}, "empty")
	s.Reads(s.Page("logs?level=warn"), []string{"second", "1 entry of 3"}, "third")
	s.Reads(s.Page("logs?component=storage"), []string{`<option value="storage" selected`, "storage (1)", "second"}, "third")
	s.Reads(s.Page("logs?q=LINE+TWO"), []string{"second"}, "third")
	s.Reads(s.Page("logs?q="+url.QueryEscape(hostile)), []string{"third", "first"}, "second")
	s.Reads(s.Page("logs?q=nothing"), []string{"No entry matches"})

	s.Reads(s.Page("logs?level=warn"), []string{`href="./logs/download?level=warn" download`})
	lines := strings.Split(s.Page("logs/download"), "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], `"level":"warn","msg":"second","component":"storage","error":"line one\nline two"`) {
		t.Errorf("the download: %q", lines)
	}
	if lines = strings.Split(s.Page("logs/download?level=warn"), "\n"); len(lines) != 2 {
		t.Errorf("the download of warnings: %q", lines)
	}

	for i := range 450 {
		s.log.Info("filler", "i", i)
	}
	first := s.Page("logs?q=filler")
	s.Reads(first, []string{"i</span>=<bdi>449", "200 entries of 453", "Next page"}, "First page")
	older := regexp.MustCompile(`href="\./(logs\?[^"]*before=[^"]*)"`).FindStringSubmatch(first)
	if older == nil {
		t.Fatal("no link to older entries")
	}
	s.Reads(s.Page(strings.ReplaceAll(older[1], "&amp;", "&")), []string{"i</span>=<bdi>249", "First page", "Next page"}, "sse-connect")
}

func TestLogStream(t *testing.T) {
	s := newSite(t, false)
	s.log.Info("on the page")
	next := s.Stream(s.StreamOf(s.Page("logs?level=info")), "")
	s.log.Debug("left out")
	s.log.Info("comes " + hostile)
	e := next()
	s.Reads(e.Data, []string{`<li class="log-row log-info">`, "comes &lt;script&gt;"}, "on the page", "left out")
	if e.Name != "entries" {
		t.Errorf("the event %s", e.Name)
	}
	// A browser that lost its connection goes on where it was; the newest of a batch
	// comes first.
	s.log.Info("then this")
	s.log.Info("then that")
	s.Reads(s.Stream("logs/stream", e.ID)().Data, []string{"then that", "then this"}, "comes")
	// What another process has sent is of no use.
	s.Reads(s.Stream("logs/stream", "other-7")().Data, []string{"then that", "on the page"})
	// Who comes too late is told.
	for i := range 3000 {
		s.log.Info("flood", "i", i)
	}
	var all strings.Builder
	for next := s.Stream("logs/stream", e.ID); !strings.Contains(all.String(), "faster than the page could show"); {
		all.WriteString(next().Data)
	}
}

func TestLevel(t *testing.T) {
	s := newSite(t, false)
	s.Reads(s.Page("logs"), []string{`<option value="info" selected`})
	if a := s.Post("logs/level", "level", "debug"); a.Status != 303 || a.Location != "logs" {
		t.Errorf("%d %s", a.Status, a.Location)
	}
	if level := s.live.Config().Logging.Level; level != "debug" {
		t.Errorf("the level is %s", level)
	}
	if a := s.Post("logs/level", "level", hostile); a.Status != 400 || strings.Contains(a.Body, "<script>alert") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestAudit(t *testing.T) {
	off := newSite(t, false)
	off.Reads(off.Page("audit"), []string{"The audit log is off", "logging.audit_file"}, "sse-connect")
	if a := off.Get("audit/stream"); a.Status == 200 {
		t.Error("there is a stream of nothing")
	}

	s := newSite(t, true)
	s.Reads(s.Page("audit"), []string{"Nothing has been written down yet"})
	call := func(who, method, target string, status int, outcome string) {
		s.audit.Info("audit", "request_id", "r1", "principal", who, "role", "admin", "remote", "10.0.0.1",
			"method", method, "route", "/entities/:key", "target", target, "status", status, "outcome", outcome, "took_ms", 1.5)
	}
	call("ops", "PUT", "/entities/t:1", 200, "ok")
	call(hostile, "DELETE", "/entities/"+hostile, 403, "denied")
	next := s.Stream(s.StreamOf(s.Page("audit?outcome=failed")), "")
	call("shop", "POST", "/query", 500, "failed")
	s.Reads(next().Data, []string{"<tr>", "shop", "POST", "/query", "failed", "500", "?q=r1", "1.5 ms"}, "ops")

	s.Reads(s.Page("audit"), []string{"shop", "&lt;script&gt;", "DELETE", "denied", "ops", "PUT", "/entities/t:1", "3 entries of 3"})
	s.Reads(s.Page("audit?outcome=denied"), []string{"DELETE", "1 entry of 3"}, ">PUT<")
	s.Reads(s.Page("audit?who=ops"), []string{`<option value="ops" selected`, "PUT"}, ">DELETE<")
	s.Reads(s.Page("audit?q=t:1"), []string{"PUT"}, ">DELETE<")
}

// fill makes 2000 entities, of which queries by "s" find few.
func (s *site) fill() {
	var ops []engine.Op
	for i := range 2000 {
		ops = append(ops, testkit.Put(fmt.Sprint("books:", i), map[string]any{"s": fmt.Sprint("s", i%500), "n": i, "v": []float64{float64(i), 1}}))
	}
	s.db.Do(ops...)
	s.db.Index(schema.IndexDef{Table: "books", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Dimension: 2, Metric: "l2"}})
}

func filterOf(t *testing.T, text string) *query.Expr {
	t.Helper()
	e, err := query.ParseFilter(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSlow(t *testing.T) {
	s := newSite(t, false)
	s.fill()
	s.Reads(s.Page("slow"), []string{"No slow queries"})
	ctx := engine.WithCaller(t.Context(), &engine.Caller{Name: hostile, RequestID: "req-7"})
	for i := range 3 {
		if _, err := s.db.Query(ctx, engine.QueryRequest{Table: "books", Filter: filterOf(t, fmt.Sprintf(`{"column":"s","value":"s%d"}`, i)), Order: []query.Order{{Column: "n", Desc: true}}}); err != nil {
			t.Fatal(err)
		}
	}
	key := testkit.Key("books:7")
	if _, err := s.db.Search(ctx, engine.SearchRequest{Table: "books", Key: &key, K: 3, Filter: filterOf(t, `{"column":"n","op":"lt","value":50}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Search(ctx, engine.SearchRequest{Table: "books", Vectors: [][]float32{{1, 2}}, K: 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Query(ctx, engine.QueryRequest{Table: "none", Filter: filterOf(t, `{"column":"x","value":`+strconv.Quote(hostile)+`}`)}); err == nil {
		t.Fatal("there is a table none")
	}

	shapes := s.Page("slow")
	s.Reads(shapes, []string{"where s = ?, order by n descending", "2,000 → 4", `value="books"`, `name="column" value="s"`, `value="equality"`})
	s.Reads(shapes, []string{"nearest to an entity by v, where n &lt; ?", `name="column" value="n"`, `value="range"`})
	s.Reads(shapes, []string{"1 failed"})
	each := s.Page("slow?view=each&table=books")
	s.Reads(each, []string{"nearest by v", "nearest to an entity", "where s = &#34;s2&#34;", "where s = &#34;s0&#34;"}, "where x")

	one := s.Page("slow/3")
	s.Reads(one, []string{"An index would help", "2,000 entities were read to find 4", `indexes/create`, "s = &#34;s2&#34;", "n descending", "&lt;script&gt;", "?q=req-7",
		`href="../query?q=`, "/query", "&#34;explain&#34;:true", "Sort", "Check each entity", "Full scan"})
	search := s.Page("slow/4")
	s.Reads(search, []string{"Nearest to", "books:7", `href="../search?`, "/vector/search", "Exact scan", "Allowed by the filter", "Full scan"})
	s.Reads(s.Page("slow/5"), []string{"The vector isn't kept"}, "/vector/search")
	s.Reads(s.Page("slow/6"), []string{"table_not_found", "It ended before it was planned"})
	for _, path := range []string{"slow/99", "slow/x", "slow/0"} {
		if a := s.Get(path); a.Status != 404 {
			t.Errorf("%s: %d", path, a.Status)
		}
	}

	// The index that was missing has come.
	s.db.Index(schema.IndexDef{Table: "books", Columns: []string{"s"}, Type: schema.Equality})
	s.Reads(s.Page("slow/3"), []string{"The index that would have helped exists now"}, "indexes/create")
	s.Reads(s.Page("slow"), []string{"exists now"})
	if err := s.db.DropTable(t.Context(), "books"); err != nil {
		t.Fatal(err)
	}
	s.Reads(s.Page("slow"), []string{"where s = ?"}, "indexes/create") // which would make the table anew

	if a := s.Post("slow/threshold", "ms", "250"); a.Status != 303 || s.db.SlowThreshold() != 250*time.Millisecond {
		t.Errorf("%d %s, the threshold is %v", a.Status, a.Location, s.db.SlowThreshold())
	}
	for _, ms := range []string{"", "-1", "x", hostile} {
		if a := s.Post("slow/threshold", "ms", ms); a.Status != 400 || strings.Contains(a.Body, "<script>alert") {
			t.Errorf("%q ms: %d %s", ms, a.Status, a.Body)
		}
	}
	if a := s.Post("slow/clear"); a.Status != 303 {
		t.Errorf("clear: %d", a.Status)
	}
	s.Reads(s.Page("slow"), []string{"No slow queries", "took less than 250 ms"})
	if a := s.Post("slow/threshold", "ms", "0"); a.Status != 303 {
		t.Error("off")
	}
	s.Reads(s.Page("slow"), []string{"Slow queries aren&#39;t kept"}, "No slow queries")
}
