package overview

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
)

func TestMain(m *testing.M) { consoletest.Main(m) }

// newSite is the overview of a database, which history looks at every few
// milliseconds.
func newSite(t *testing.T, live *config.Live) (*consoletest.Site, *testkit.DB) {
	t.Helper()
	db := testkit.Open(t)
	past := history.New(history.Options{Database: db.Engine, Interval: 5 * time.Millisecond})
	t.Cleanup(past.Close)
	return consoletest.Serve(t, func(f *page.Frame) console.Group {
		return New(f, Options{Database: db.Engine, Ops: ops.New(ops.Options{Database: db.Engine, Build: ops.Build{Version: "1.2.3"}}), History: past, Config: live})
	}), db
}

// TestAttentionIsSentWhenItChanged: the list stands in the page, is left alone while
// it is the same, and is sent when there is something new.
func TestAttentionIsSentWhenItChanged(t *testing.T) {
	s, db := newSite(t, nil)
	body := s.Page("", "Nothing needs attention.", "Themis 1.2.3", "Store a first entity", `hx-get="./overview/figures"`, "<svg")
	again := regexp.MustCompile(`hx-get="\./(overview/attention\?shown=[^"]+)"`).FindStringSubmatch(body)
	if again == nil {
		t.Fatalf("the list doesn't ask for itself:\n%s", body)
	}
	s.Holds(s.Get(again[1]), http.StatusNoContent)
	db.Put("t:1", map[string]any{})
	s.Holds(s.Get(again[1]), http.StatusOK, "There is no copy of the data")
	all := s.Get("")
	s.Holds(all, http.StatusOK, `href="./tables/t"`)
	s.Lacks(all, "Store a first entity")
	if a := s.Get("overview/figures"); a.Status != http.StatusOK || !strings.HasPrefix(a.Body, `<div id="figures"`) {
		t.Errorf("the figures: %d %s", a.Status, a.Body)
	}
}

func TestChartsFollowTheStream(t *testing.T) {
	s, _ := newSite(t, nil)
	next := s.Stream("overview/stream", "")
	values := map[string]int{}
	for len(values) < 6 {
		e := next()
		var p struct {
			Time   int64      `json:"time"`
			Values []*float64 `json:"values"`
		}
		if err := json.Unmarshal([]byte(e.Data), &p); err != nil || p.Time == 0 {
			t.Fatalf("%+v: %v", e, err)
		}
		values[e.Name] = len(p.Values)
	}
	for event, want := range map[string]int{"traffic": 2, "latency": 3, "errors": 1, "cpu": 1, "memory": 5, "disk": 2} {
		if values[event] != want {
			t.Errorf("%d values of %s, want %d (all: %v)", values[event], event, want, values)
		}
	}
}

// TestTheConfigurationIsForAdmins: what a restart would change is told to those only
// who may read the configuration over REST.
func TestTheConfigurationIsForAdmins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "themis.json")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"server":{"port":9000}}`)
	live, err := config.Open(config.Source{File: file})
	if err != nil {
		t.Fatal(err)
	}
	write(`{"server":{"port":9001}}`)
	site, _ := newSite(t, live)
	site.Holds(site.Get(""), http.StatusOK, "A restart would change 1 setting", "server.port")
	site.Role = auth.ReadWrite
	site.Lacks(site.Get(""), "A restart", "server.port")
	site.Lacks(site.Get("overview/attention"), "A restart", "server.port")
}
