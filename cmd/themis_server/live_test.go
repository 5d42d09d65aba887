package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/server/schedule"
	"github.com/vccdb/vccdb/server/session"
)

// until waits for something that another process does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

// startLogging is startProcess for a server that logs into a file.
func startLogging(t *testing.T, dir, log string, args ...string) *process {
	t.Helper()
	p := &process{t: t, log: &bytes.Buffer{}, read: make(chan struct{})}
	close(p.read)
	p.cmd = serverCommand(dir, "THEMIS_LOGGING_FILE="+log, "THEMIS_STORAGE_DURABILITY=none")
	p.cmd.Args = append(p.cmd.Args, args...)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	until(t, "the start", func() bool {
		content, _ := os.ReadFile(log)
		m := address.FindSubmatch(content)
		if m != nil {
			p.base = "http://" + string(m[1])
		}
		return m != nil
	})
	return p
}

// TestNoRequestFailsWhileSettingsChange keeps clients busy while every setting
// that reloads is changed back and forth, by requests and by signals.
func TestNoRequestFailsWhileSettingsChange(t *testing.T) {
	p := startProcess(t, filepath.Join(t.TempDir(), "data"), "THEMIS_STORAGE_DURABILITY=none")
	var clients sync.WaitGroup
	var stop atomic.Bool
	var sent atomic.Int64
	for client := range 4 {
		clients.Go(func() {
			for i := 0; !stop.Load(); i++ {
				method, path, body := "PUT", fmt.Sprintf("/entities/load:%d-%d", client, i%50), `{"n":1}`
				if i%2 == 1 {
					method, path, body = "GET", "/entities/load:"+fmt.Sprintf("%d-%d", client, (i-1)%50), ""
				}
				req, _ := http.NewRequest(method, p.base+path, strings.NewReader(body))
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Errorf("%s %s: %v", method, path, err)
					return
				}
				answer, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode >= 300 {
					t.Errorf("%s %s: %d %s %v", method, path, res.StatusCode, answer, err)
					return
				}
				sent.Add(1)
			}
		})
	}
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	for i := range rounds {
		on := i%2 == 0
		pick := func(one, other string) string {
			if on {
				return one
			}
			return other
		}
		p.want("POST", "/config", fmt.Sprintf(
			`{"logging":{"level":%q,"format":%q},"request_timeout_ms":%s,"features":{"cdc":%t,"timeseries":false},"cdc_retention_hours":%s,
			"vector_index":{"ef_search":%s},"server":{"rate_limit_per_key":%[7]s,"rate_limit_per_address":%[7]s,"rate_limit_burst":%[7]s},"persist":%t}`,
			pick("trace", "error"), pick("json", "text"), pick("300000", "5000"), on, pick("1", "8760"), pick("10000", "1"), pick("1000000", "0"), i%4 < 2),
			200, `"changes":[`)
		if i%5 == 4 {
			p.cmd.Process.Signal(syscall.SIGHUP)
		}
	}
	stop.Store(true)
	clients.Wait()
	if sent.Load() < int64(rounds) {
		t.Errorf("only %d requests were sent", sent.Load())
	}
	p.want("GET", "/config/history", "", 200, `"key":"features.cdc"`)
	p.cmd.Process.Signal(os.Interrupt)
	p.end()
}

// TestReloadableSettingsTakeEffect looks at the effect of each.
func TestReloadableSettingsTakeEffect(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "themis.log")
	p := startLogging(t, filepath.Join(dir, "data"), log)
	lines := func() []string {
		content, _ := os.ReadFile(log)
		return strings.Split(strings.TrimSpace(string(content)), "\n")
	}
	p.want("GET", "/tables", "", 200, "")
	if got := strings.Join(lines(), "\n"); strings.Contains(got, "route=/tables") {
		t.Errorf("a request is logged at info: %s", got)
	}
	p.want("POST", "/config", `{"logging":{"level":"debug","format":"json"}}`, 200, `"key":"logging.level","from":"info","to":"debug"`)
	p.want("GET", "/tables", "", 200, "")
	if last := lines()[len(lines())-1]; !strings.HasPrefix(last, "{") || !strings.Contains(last, `"route":"/tables"`) {
		t.Errorf("the last line is %s", last)
	}
	p.want("POST", "/config", `{"logging":{"level":"info"}}`, 200, "")

	p.want("GET", "/changefeed?from_seq=0&limit=1", "", 422, "set features.cdc to true")
	p.want("POST", "/config", `{"features":{"cdc":true},"cdc_retention_hours":24}`, 200, `"changes":[{"key":"features.cdc"`)
	p.want("PUT", "/entities/t:a", `{"n":1}`, 201, "")
	p.want("GET", "/changefeed?from_seq=0&limit=1", "", 200, "")
	p.want("GET", "/changefeed/stats", "", 200, `"retention_seconds":86400`)

	p.want("POST", "/index/create", `{"table":"v","column":"e","type":"vector","config":{"dimension":2}}`, 200, `"state":"ready"`)
	p.want("GET", "/vector/index/config?table=v&column=e", "", 200, `"ef":64`)
	p.want("POST", "/config", `{"vector_index":{"ef_search":99}}`, 200, "")
	p.want("GET", "/vector/index/config?table=v&column=e", "", 200, `"ef":99`)

	p.want("GET", "/admin/slow", "", 200, `"threshold_ms":100,`)
	p.want("POST", "/config", `{"query":{"slow_threshold_ms":7}}`, 200, "")
	p.want("GET", "/admin/slow", "", 200, `"threshold_ms":7,`)

	p.want("POST", "/config", `{"server":{"rate_limit_per_address":1,"rate_limit_burst":1}}`, 200, "")
	until(t, "a 429", func() bool { status, _ := p.do("GET", "/tables", "", nil); return status == 429 })
	until(t, "the way back", func() bool {
		status, _ := p.do("POST", "/config", "application/json", strings.NewReader(`{"server.rate_limit_per_address":0}`))
		return status == 200
	})
	for range 5 {
		p.want("GET", "/tables", "", 200, "")
	}

	// What is wrong changes nothing, and says what it is.
	p.want("POST", "/config", `{"logging":{"level":"debug"},"server":{"port":1}}`, 409, `"pointer":"/server/port"`)
	p.want("POST", "/config", `{"logging":{"level":"debug"},"request_timeout_ms":999}`, 400, `"pointer":"/request_timeout_ms"`)
	p.want("POST", "/config", `{"logging":{"levle":"debug"}}`, 400, `the nearest is logging.level`)
	p.want("GET", "/config", "", 200, `"logging":{"audit_file":"","file":"`+log+`","format":"json","level":"info"`)

	// Rotation by another program: SIGUSR1 opens a new file.
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	p.cmd.Process.Signal(syscall.SIGUSR1)
	until(t, "a new log file", func() bool {
		p.want("POST", "/config", `{"cdc_retention_hours":1}`, 200, "")
		p.want("POST", "/config", `{"cdc_retention_hours":2}`, 200, "") // a change is a line
		_, err := os.Stat(log)
		return err == nil
	})
	p.cmd.Process.Signal(os.Interrupt)
	if stderr := p.end(); stderr != "" {
		t.Errorf("standard error has %s", stderr)
	}
}

// untilDeadline is a route that works until its time is up.
type untilDeadline struct{}

func (untilDeadline) Routes() []rest.Route {
	return []rest.Route{{Operation: openapi.Operation{Method: "GET", Path: "/work", Role: auth.Public}, Handle: func(c fiber.Ctx) error {
		<-c.Context().Done()
		return context.Cause(c.Context())
	}}}
}

func TestRequestTimeoutTakesEffect(t *testing.T) {
	live, err := config.Open(config.Source{Set: []string{"storage.rocksdb_path=" + t.TempDir(), "server.request_timeout_ms=300000"}})
	if err != nil {
		t.Fatal(err)
	}
	logger, log, err := logging.New(logging.Options{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	db, err := engine.Open(t.Context(), engineOptions(live.Config(), logger))
	if err != nil {
		t.Fatal(err)
	}
	options, err := serverOptions(&live.Config().Server, nil, logger)
	if err != nil {
		t.Fatal(err)
	}
	var ahead time.Duration
	now := time.Now()
	sessionLimits := sessionOptions(&live.Config().Console, "test")
	sessionLimits.Now = func() time.Time { return now.Add(ahead) }
	options.Sessions = session.New(sessionLimits)
	app := server.New(options, readyzOnly{}, untilDeadline{})
	copies := schedule.New(schedule.Options{Database: db})
	defer copies.Close()
	follow(live, db, app, copies, log)
	followsSessionLimits(t, live, options.Sessions, &ahead)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Serve(listener) }()
	if _, err := live.Edit("test", []byte(`{"request_timeout_ms":1000,"storage":{"snapshot_keep":3}}`)); err != nil {
		t.Fatal(err)
	}
	if keep := copies.Snapshots().Keep; keep != 3 {
		t.Errorf("the schedule keeps %d snapshots", keep)
	}
	res, err := http.Get("http://" + listener.Addr().String() + "/work")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("it is answered with %d", res.StatusCode)
	}
	if err := errors.Join(app.Shutdown(context.Background()), <-served, db.Close()); err != nil {
		t.Error(err)
	}
}

// followsSessionLimits lets time pass for sessions, before and after their limits
// change.
func followsSessionLimits(t *testing.T, live *config.Live, sessions *session.Sessions, ahead *time.Duration) {
	t.Helper()
	key := auth.NewKey()
	keys, err := auth.NewKeys([]auth.Key{{Key: key, Role: auth.Admin, Name: "ops"}})
	if err != nil {
		t.Fatal(err)
	}
	principal, _ := keys.Authenticate(key)
	for _, c := range []struct {
		edit  string
		idle  time.Duration
		lasts bool
	}{
		{`{"console": {"session_idle_minutes": 30}}`, 29 * time.Minute, true},
		{`{"console": {"session_idle_minutes": 30}}`, 31 * time.Minute, false},
		{`{"console": {"session_idle_minutes": 2}}`, 3 * time.Minute, false},
		{`{"console": {"session_idle_minutes": 1440, "session_max_hours": 1}}`, 59 * time.Minute, true},
		{`{"console": {"session_idle_minutes": 1440, "session_max_hours": 1}}`, 61 * time.Minute, false},
	} {
		if _, err := live.Edit("test", []byte(c.edit)); err != nil {
			t.Fatal(err)
		}
		token := sessions.Start(auth.DigestOf(key), principal)
		*ahead += c.idle
		if _, lasts := sessions.Resume(token, keys, true); lasts != c.lasts {
			t.Errorf("after %s and %v a session lasts: %v", c.edit, c.idle, lasts)
		}
	}
}

// TestPersistedSettingsOutlastARestart holds that --validate, a restart and SIGHUP
// agree on what is in force.
func TestPersistedSettingsOutlastARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := startProcess(t, dir)
	p.want("POST", "/config", `{"persist":true,"vector_index":{"ef_search":99},"logging":{"format":"text"},"query":{"slow_threshold_ms":7},`+
		`"storage":{"snapshot_interval_minutes":60,"snapshot_keep":3,"backup_interval_minutes":90,"backup_keep":4}}`, 200, `"persisted":true`)
	schedule := func() {
		t.Helper()
		p.want("GET", "/admin/schedule", "", 200, `"snapshots":{"interval_minutes":60,"keep":3,`)
		p.want("GET", "/admin/schedule", "", 200, `"backups":{"interval_minutes":90,"keep":4,`)
		for _, list := range []string{"snapshots", "backups"} {
			until(t, "a scheduled copy", func() bool {
				_, answer := p.do("GET", "/admin/"+list, "", nil)
				return strings.Contains(answer, `"created":`)
			})
		}
	}
	schedule()
	p.want("POST", "/config", `{"cdc_retention_hours":1}`, 200, `"persisted":false`)
	p.cmd.Process.Signal(syscall.SIGHUP)
	until(t, "the reload", func() bool {
		_, answer := p.do("GET", "/config/history", "", nil)
		return strings.Contains(answer, `"who":"SIGHUP"`)
	})
	p.want("GET", "/config", "", 200, `"cdc_retention_hours":168`)
	p.cmd.Process.Kill()
	<-p.read
	p.cmd.Wait()

	p = startProcess(t, dir)
	p.want("GET", "/config", "", 200, `"value":99`)
	p.want("GET", "/config", "", 200, `"source":"overlay"`)
	p.want("GET", "/admin/slow", "", 200, `"threshold_ms":7,`)
	schedule()
	p.want("GET", "/config/history", "", 200, `"who":"anonymous"`)
}

// TestKeysChangeAtHangup takes a key out of the file and puts another in.
func TestKeysChangeAtHangup(t *testing.T) {
	dir := t.TempDir()
	file, log := filepath.Join(dir, "themis.yaml"), filepath.Join(dir, "themis.log")
	keys := func(key, extra string) {
		content := "server: {host: 127.0.0.1, enable_auth: true, api_keys: [{key: " + key + ", role: admin, name: ops}]}\n" + extra
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, second := "the-first-key-0123456789", "the-second-key-0123456789"
	keys(first, "")
	p := startLogging(t, filepath.Join(dir, "data"), log, "--config", file)
	status := func(key string) int {
		req, _ := http.NewRequest("GET", p.base+"/config", nil)
		req.Header.Set("Api-Key", key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	logged := func(what string) func() bool {
		return func() bool {
			content, _ := os.ReadFile(log)
			return strings.Contains(string(content), what)
		}
	}
	// A reload that is refused keeps the keys as they are.
	keys(second, "query: {batch_size: 7}\n")
	p.cmd.Process.Signal(syscall.SIGHUP)
	until(t, "the refusal", logged("query.batch_size can't change while the server runs"))
	if a, b := status(first), status(second); a != 200 || b != 401 {
		t.Errorf("before: %d and %d", a, b)
	}
	keys(second, "")
	p.cmd.Process.Signal(syscall.SIGHUP)
	until(t, "the reload", logged("the configuration was reloaded"))
	if a, b := status(first), status(second); a != 401 || b != 200 {
		t.Errorf("after: %d and %d", a, b)
	}
	for _, key := range []string{first, second} {
		if logged(key)() {
			t.Error("the log tells a key")
		}
	}
	p.cmd.Process.Signal(os.Interrupt)
	if stderr := p.end(); stderr != "" {
		t.Errorf("standard error has %s", stderr)
	}
}

// TestOpenServerSaysSo starts without keys where others can connect.
func TestOpenServerSaysSo(t *testing.T) {
	const said = "THE SERVER IS OPEN: it listens on 0.0.0.0 and asks for no key"
	p := startProcess(t, filepath.Join(t.TempDir(), "data"), "THEMIS_SERVER_HOST=0.0.0.0")
	p.want("GET", "/health", "", 200, said)
	p.want("GET", "/readyz", "", 200, "ready")
	p.cmd.Process.Signal(os.Interrupt)
	if log := p.end(); !strings.Contains(log, `level=WARN msg="`+said) {
		t.Errorf("the log says nothing of it: %s", log)
	}
}

// TestForeignNames holds that the default server, which asks for no key, is not
// reached by a web page under a name of its own.
func TestForeignNames(t *testing.T) {
	dir := t.TempDir()
	p := startLogging(t, filepath.Join(dir, "data"), filepath.Join(dir, "themis.log"), "--set", "server.allowed_hosts=DB.example")
	for host, want := range map[string]int{"localhost": 200, "127.0.0.1": 200, "db.example:80": 200, "evil.example": 403} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", p.base+"/tables", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != want || want == 403 && !strings.Contains(string(body), "server.allowed_hosts") {
			t.Errorf("%s: %d %s", host, res.StatusCode, body)
		}
	}
	p.cmd.Process.Signal(os.Interrupt)
	p.end()
}

func TestSystemdIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	socket.SetReadDeadline(time.Now().Add(30 * time.Second))
	p := startProcess(t, filepath.Join(t.TempDir(), "data"), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=20000")
	next := func() string {
		message := make([]byte, 64)
		n, err := socket.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return string(message[:n])
	}
	if got := next() + " " + next(); got != "READY=1 WATCHDOG=1" {
		t.Errorf("it says %s", got)
	}
	p.cmd.Process.Signal(os.Interrupt)
	for got := ""; got != "STOPPING=1"; {
		if got = next(); got != "WATCHDOG=1" && got != "STOPPING=1" {
			t.Fatalf("it says %s", got)
		}
	}
	p.end()
	// Without a manager, nobody is told.
	none := newSystemd(nil)
	none.ready()
	if ticks, _ := none.watchdog(); ticks != nil {
		t.Error("it ticks")
	}
	if s := newSystemd([]string{"NOTIFY_SOCKET=x", "WATCHDOG_USEC=1000000", "WATCHDOG_PID=1"}); s.interval != 0 {
		t.Error("it takes the watchdog of another process for its own")
	}
}

// freePort is a port that nothing listens on, and none of those that systems give to
// connections by themselves.
func freePort(t *testing.T) int {
	t.Helper()
	for {
		port := 16000 + rand.IntN(2000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return port
		}
	}
}

func TestProfiles(t *testing.T) {
	port := freePort(t)
	p := startProcess(t, filepath.Join(t.TempDir(), "data"), fmt.Sprintf("THEMIS_SERVER_PPROF_PORT=%d", port))
	p.want("GET", "/debug/pprof/", "", 404, "")
	at := fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/goroutine?debug=1", port)
	for host, want := range map[string]int{"": 200, "localhost": 200, "evil.example": 403} {
		req, _ := http.NewRequest("GET", at, nil)
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("for host %q: %d, want %d", host, res.StatusCode, want)
		}
	}
	if _, err := startProfiles(port, nil); err == nil || !strings.Contains(err.Error(), "server.pprof_port") {
		t.Errorf("a port that is taken: %v", err)
	}
}
