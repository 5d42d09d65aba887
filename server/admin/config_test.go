package admin

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/rest"
)

// nothing serves nothing.
type nothing struct{}

func (nothing) Routes() []rest.Route { return nil }

// configServer serves a live configuration, and a GPU's worker, to callers with the
// keys of each role.
type configServer struct {
	t       *testing.T
	base    string
	live    *config.Live
	workers *workers
	audit   *audited
}

func newConfigServer(t *testing.T) *configServer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "themis.yaml")
	content := "server: {enable_auth: true, port: 1234, api_keys: [{key: key-of-the-admin, role: admin, name: ops}, {key: key-of-the-writer, role: readwrite}]}\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	live, err := config.Open(config.Source{File: file, Set: []string{"storage.rocksdb_path=" + filepath.Dir(file)}, Environ: []string{"THEMIS_LOG_LEVEL=warn"}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := auth.NewKeys(live.Config().Server.AuthKeys())
	if err != nil {
		t.Fatal(err)
	}
	gpu, audit := &workers{}, &audited{}
	app := server.New(server.Options{Keys: keys, Audit: slog.New(slog.NewTextHandler(audit, nil))}, nothing{}, New(Options{Config: live, Workers: gpu}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Serve(listener) }()
	t.Cleanup(func() {
		if err := app.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &configServer{t, "http://" + listener.Addr().String(), live, gpu, audit}
}

func (s *configServer) call(method, path, body, key string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.base+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Api-Key", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if strings.Contains(string(answer), "key-of-the") {
		s.t.Errorf("%s %s tells a key: %s", method, path, answer)
	}
	return res.StatusCode, string(answer)
}

func TestConfigIsForAdmins(t *testing.T) {
	s := newConfigServer(t)
	for _, route := range New(Options{Config: s.live}).configRoutes() {
		for key, want := range map[string]int{"": 401, "key-of-nobody-at-all": 401, "key-of-the-writer": 403} {
			if status, answer := s.call(route.Method, route.Path, `{"logging":{"level":"debug"}}`, key); status != want {
				t.Errorf("%s %s with %q: %d %s", route.Method, route.Path, key, status, answer)
			}
		}
	}
	if s.live.Config().Logging.Level != "warn" {
		t.Error("a caller without the role changed something")
	}
}

func TestConfigAnswers(t *testing.T) {
	s := newConfigServer(t)
	status, answer := s.call("GET", "/config", "", "key-of-the-admin")
	var got map[string]any
	if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	at := func(path ...string) any {
		var v any = got
		for _, name := range path {
			section, _ := v.(map[string]any)
			v = section[name]
		}
		return v
	}
	for _, same := range []struct {
		got, want any
	}{
		{at("server", "port"), 1234.0},
		{at("server", "threads"), float64(runtime.GOMAXPROCS(0))},
		{at("rocksdb", "memtable_size_mb"), 256.0},
		{at("rocksdb", "db_path"), at("storage", "rocksdb_path")},
		{at("storage", "compression", "default"), "lz4"},
		{at("request_timeout_ms"), 30000.0},
		{at("cdc_retention_hours"), 168.0},
		{at("features", "cdc"), false},
		{at("logging", "level"), "warn"},
		{at("server", "api_keys"), []any{
			map[string]any{"name": "ops", "role": "admin", "key": "***"}, map[string]any{"name": "key-2", "role": "readwrite", "key": "***"}}},
	} {
		if !reflect.DeepEqual(same.got, same.want) {
			t.Errorf("got %v, want %v", same.got, same.want)
		}
	}
	// Every section of the configuration is there, whatever is added to it.
	for name := range s.live.View().Values {
		if got[name] == nil {
			t.Errorf("the answer has no %s", name)
		}
	}
	sources := map[string]bool{}
	for _, setting := range s.live.View().Settings {
		sources[setting.Source] = true
		if !strings.Contains(answer, `"key":"`+setting.Key+`"`) {
			t.Errorf("the answer has no setting %s", setting.Key)
		}
	}
	if !sources["default"] || !sources["file"] || !sources["flag"] || !sources["env THEMIS_LOG_LEVEL"] {
		t.Errorf("the sources are %v", sources)
	}
}

func TestConfigChangesAndHistory(t *testing.T) {
	s := newConfigServer(t)
	if status, answer := s.call("GET", "/config/history", "", "key-of-the-admin"); status != 200 || answer != `{"history":[]}` {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := s.call("POST", "/config", `{"dry_run":true,"logging":{"level":"debug"}}`, "key-of-the-admin"); status != 200 ||
		!strings.Contains(answer, `"changes":[{"key":"logging.level","from":"warn","to":"debug"}],"persisted":false,"dry_run":true`) || s.live.Config().Logging.Level != "warn" {
		t.Errorf("%d %s", status, answer)
	}
	status, answer := s.call("POST", "/config", `{"persist":true,"logging":{"level":"debug"}}`, "key-of-the-admin")
	if status != 200 || !strings.Contains(answer, `"persisted":true,"dry_run":false`) || !strings.Contains(answer, `"level":"debug"`) || s.live.Config().Logging.Level != "debug" {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := s.call("GET", "/config/history", "", "key-of-the-admin"); status != 200 || !strings.Contains(answer, `"who":"ops","persisted":true,"changes":[{`) {
		t.Errorf("%d %s", status, answer)
	}
	for document, want := range map[string]string{
		`{"logging":{"level":"info"},"server":{"port":1}}`:           `409 /server/port`,
		`{"logging":{"level":"info"},"storage.rocksdb_path":"x"}`:    `409 /storage.rocksdb_path`,
		`{"logging":{"level":"info"},"request_timeout_ms":300001}`:   `400 /request_timeout_ms`,
		`{"logging":{"level":"info"},"request_timeout":1}`:           `400 server.request_timeout_ms`,
		`{"logging":{"level":"info"}}x`:                              `400 invalid_json`,
		`{"server":{"api_keys":[{"key":"key-of-the-intruder-00"}]}}`: `409 /server/api_keys`,
	} {
		status, answer := s.call("POST", "/config", document, "key-of-the-admin")
		code, part, _ := strings.Cut(want, " ")
		if strconv.Itoa(status) != code || !strings.Contains(answer, part) {
			t.Errorf("%s: %d %s, want %s", document, status, answer, want)
		}
	}
	if s.live.Config().Logging.Level != "debug" {
		t.Error("a refused change changed something")
	}
}
