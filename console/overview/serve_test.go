package overview

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/pagetest"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/web"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp's clock runs for good, and its pools notice a stop with a delay.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// serve answers with the overview of a new database at the address it returns.
func serve(t *testing.T) (url string, db *engine.Engine) {
	t.Helper()
	assets, err := web.Open()
	if err != nil {
		t.Fatal(err)
	}
	db, err = engine.Open(t.Context(), engine.Options{Storage: storage.Options{Path: t.TempDir(), CreateIfMissing: true, MemtableSizeMB: 8, BlockCacheSizeMB: 8}})
	if err != nil {
		t.Fatal(err)
	}
	past := history.New(history.Options{Database: db, Interval: 5 * time.Millisecond})
	frame := page.New(page.Options{Assets: assets})
	overview := New(frame, Options{Database: db, Ops: ops.New(ops.Options{Database: db, Build: ops.Build{Version: "1.2.3"}}), History: past})
	app := fiber.New(fiber.Config{CaseSensitive: true, StrictRouting: true})
	life, end := context.WithCancel(context.Background())
	rest.Register(app, overview.Routes(), func(_ auth.Role, render problem.Renderer) fiber.Handler {
		return func(c fiber.Ctx) error {
			request.Attach(c, &request.Info{ID: "1", Principal: auth.Principal{Role: auth.ReadOnly}, Lifetime: life})
			problem.RenderWith(c, render)
			return c.Next()
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		end()
		http.DefaultClient.CloseIdleConnections()
		if err := app.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done
		past.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String() + "/console/", db
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// TestAttentionIsSentWhenItChanged: the list stands in the page, is left alone while
// it is the same, and is sent when there is something new.
func TestAttentionIsSentWhenItChanged(t *testing.T) {
	url, db := serve(t)
	status, body := get(t, url)
	for _, part := range []string{"Nothing needs attention.", "Themis 1.2.3", "Store a first entity", `hx-get="./overview/figures"`, "<svg"} {
		if status != http.StatusOK || !strings.Contains(body, part) {
			t.Fatalf("%d, without %q:\n%s", status, part, body)
		}
	}
	again := regexp.MustCompile(`hx-get="\./(overview/attention\?shown=[^"]+)"`).FindStringSubmatch(body)
	if again == nil {
		t.Fatalf("the list doesn't ask for itself:\n%s", body)
	}
	if status, body := get(t, url+again[1]); status != http.StatusNoContent {
		t.Errorf("the list that is shown: %d %s", status, body)
	}
	if _, err := db.Apply(t.Context(), []engine.Op{{Kind: engine.OpPut, Key: engine.Key{Table: "t", PK: "1"}, Doc: []byte(`{}`)}}, true); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, url+again[1]); status != http.StatusOK || !strings.Contains(body, "There is no copy of the data") {
		t.Errorf("after a write: %d %s", status, body)
	}
	if _, body := get(t, url); !strings.Contains(body, `href="./tables/t"`) || strings.Contains(body, "Store a first entity") {
		t.Errorf("the table isn't listed:\n%s", body)
	}
	if status, body := get(t, url+"overview/figures"); status != http.StatusOK || !strings.HasPrefix(body, `<div id="figures"`) {
		t.Errorf("the figures: %d %s", status, body)
	}
}

func TestChartsFollowTheStream(t *testing.T) {
	url, _ := serve(t)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"overview/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	values := map[string]int{}
	lines := bufio.NewScanner(res.Body)
	for event := ""; len(values) < 6 && lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var p struct {
				Time   int64      `json:"time"`
				Values []*float64 `json:"values"`
			}
			if err := json.Unmarshal([]byte(data), &p); err != nil || p.Time == 0 {
				t.Fatalf("%s: %s: %v", event, data, err)
			}
			values[event] = len(p.Values)
		}
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
	db, err := engine.Open(t.Context(), engine.Options{Storage: storage.Options{Path: t.TempDir(), CreateIfMissing: true, MemtableSizeMB: 8, BlockCacheSizeMB: 8}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	past := history.New(history.Options{Database: db})
	defer past.Close()
	site := pagetest.New(t, func(f *page.Frame) []rest.Route {
		return New(f, Options{Database: db, Ops: ops.New(ops.Options{Database: db}), History: past, Config: live}).Routes()
	})
	site.Holds(site.Get(""), http.StatusOK, "A restart would change 1 setting", "server.port")
	site.Role = auth.ReadWrite
	site.Lacks(site.Get(""), "A restart", "server.port")
	site.Lacks(site.Get("overview/attention"), "A restart", "server.port")
}
