package docs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// What the guide says beside its commands, held against the real server and the
// files of the release.

// live is a running server.
type live struct {
	t    *testing.T
	base string
}

// startServer runs themis_server until the test ends.
func startServer(t *testing.T, set ...string) *live {
	t.Helper()
	port := freePort(t)
	args := []string{"--set", "storage.rocksdb_path=" + filepath.Join(t.TempDir(), "data"), "--set", "server.port=" + port}
	for _, pair := range set {
		args = append(args, "--set", pair)
	}
	cmd := exec.Command(filepath.Join(programs(t), "themis_server"), args...)
	var log bytes.Buffer
	cmd.Stderr = &log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	l := &live{t, "http://127.0.0.1:" + port}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if res, err := http.Get(l.base + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return l
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the server did not start")
		}
	}
}

// call returns the status and the body.
func (l *live) call(method, path, body string) (int, string) {
	l.t.Helper()
	req, err := http.NewRequest(method, l.base+path, strings.NewReader(body))
	must(l.t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	must(l.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(l.t, err)
	return res.StatusCode, string(answer)
}

func (l *live) want(method, path, body string, status int, parts ...string) {
	l.t.Helper()
	got, answer := l.call(method, path, body)
	for _, part := range parts {
		if !strings.Contains(answer, part) {
			l.t.Errorf("%s %s: the answer lacks %s: %.500s", method, path, part, answer)
		}
	}
	if got != status {
		l.t.Errorf("%s %s: status %d, want %d: %.500s", method, path, got, status, answer)
	}
}

// keyRow is a row of the guide's table of keys.
var keyRow = regexp.MustCompile("(?m)^\\| `([a-z_0-9.]+)` \\| `([^`]*)` \\| (live|reload|) ?\\| .+ \\|$")

// TestTableOfKeys holds the guide's table against the server's own list: every
// key, its default, and how it changes.
func TestTableOfKeys(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("operations.md")
	must(t, err)
	rows := map[string][2]string{}
	for _, m := range keyRow.FindAllStringSubmatch(string(guide), -1) {
		rows[m[1]] = [2]string{m[2], m[3]}
	}
	_, answer := startServer(t).call("GET", "/config", "")
	var config struct {
		Settings []struct {
			Key, Source       string
			Default           json.RawMessage
			Reload, Signal    bool
			Available         bool
			Value             json.RawMessage
			Description, Type string
		}
	}
	must(t, json.Unmarshal([]byte(answer), &config))
	for _, s := range config.Settings {
		row, listed := rows[s.Key]
		delete(rows, s.Key)
		if !s.Available {
			if !strings.Contains(string(guide), "`"+s.Key+"`") {
				t.Errorf("the guide doesn't say that %s isn't available", s.Key)
			}
			continue
		}
		how := map[[2]bool]string{{true, false}: "live", {true, true}: "reload", {false, true}: "reload"}[[2]bool{s.Reload, s.Signal}]
		if want := [2]string{string(s.Default), how}; !listed || row != want {
			t.Errorf("the guide has %q for %s, the server %q", row, s.Key, want)
		}
	}
	for key := range rows {
		t.Errorf("the guide has the key %s, which the server doesn't know", key)
	}
	if len(config.Settings) < 50 {
		t.Errorf("only %d settings were compared", len(config.Settings))
	}
}

// promisedMetrics are those that dashboards and scripts rely on, with their types.
const promisedMetrics = `vccdb_requests_total counter
vccdb_errors_total counter
vccdb_qps gauge
process_uptime_seconds gauge
vccdb_request_duration_seconds histogram
rocksdb_block_cache_usage_bytes gauge
rocksdb_block_cache_capacity_bytes gauge
rocksdb_block_cache_hit counter
rocksdb_block_cache_miss counter
rocksdb_estimate_num_keys gauge
rocksdb_pending_compaction_bytes gauge
rocksdb_memtable_size_bytes gauge
rocksdb_files_level gauge
vccdb_index_hits_total counter
vccdb_full_scan_fallback_total counter
themis_index_rebuild_count counter
themis_index_rebuild_duration_ms_total counter
themis_index_rebuild_entities_processed_total counter
themis_index_cursor_anchor_hits_total counter
themis_index_range_scan_steps_total counter
vccdb_vector_live gauge
vccdb_changefeed_latest_sequence counter
vccdb_gpu_devices gauge`

// TestPromises asks a server for what scripts out there ask for, by the names
// that they use.
func TestPromises(t *testing.T) {
	t.Parallel()
	l := startServer(t, "features.cdc=true")
	l.want("PUT", "/entities/users:alice", `{"name":"Alice","age":30}`, 201)
	l.want("GET", "/entities/users:alice", "", 200, `"name":"Alice"`)
	l.want("POST", "/query", `{"table":"users","predicates":[{"column":"age","value":30}],"explain":true}`, 200, `"full_scan_fallback"`)
	l.want("POST", "/index/create", `{"table":"users","column":"age"}`, 200, `"ready"`)
	l.want("POST", "/query", `{"table":"users","predicates":[{"column":"age","value":30}],"explain":true}`, 200, `"index_optimized"`)
	l.want("GET", "/changefeed?from_seq=0&limit=1", "", 200, `"sequence":1,"type":"PUT","key":"users:alice"`)
	l.want("GET", "/changefeed/stats", "", 200, `"enabled":true`)
	l.want("POST", "/admin/snapshot", "", 200, `"snapshot":{"name":`)
	l.want("POST", "/admin/backup", "", 200, `"backup":{"id":1,`)
	l.want("GET", "/health", "", 200, `"status":"ok"`, `"version":"1.0.0"`, `"database":"ready"`, `"uptime_seconds":`)
	l.want("GET", "/stats", "", 200, `"server":{"uptime_seconds":`, `"total_requests":`, `"queries_per_second":`, `"threads":`,
		`"storage":{"rocksdb":{`, `"estimate_num_keys":`, `"block_cache_usage_bytes":`, `"cache_hit_rate_percent":`, `"files_per_level":`)
	// The other names of settings in the answer, and the bounds of those that
	// change while the server runs.
	l.want("GET", "/config", "", 200, `"threads":`, `"rocksdb":{`, `"db_path":`, `"request_timeout_ms":30000`, `"cdc_retention_hours":168`)
	for _, edit := range []struct {
		body   string
		status int
		names  string
	}{
		{`{"request_timeout_ms":999}`, 400, "request_timeout_ms"}, {`{"request_timeout_ms":1000}`, 200, ""},
		{`{"server":{"request_timeout_ms":300001}}`, 400, "request_timeout_ms"}, {`{"server":{"request_timeout_ms":300000}}`, 200, ""},
		{`{"cdc_retention_hours":0}`, 400, "cdc_retention_hours"}, {`{"cdc_retention_hours":1}`, 200, ""},
		{`{"cdc_retention_hours":8761}`, 400, "cdc_retention_hours"}, {`{"cdc_retention_hours":8760}`, 200, ""},
		{`{"logging":{"level":"trace","format":"json"}}`, 200, ""}, {`{"logging":{"level":"loud"}}`, 400, "logging.level"},
		{`{"features":{"cdc":false}}`, 200, ""}, {`{"vector_index":{"ef_search":99}}`, 200, ""},
		{`{"server":{"port":1}}`, 409, "server.port"}, {`{"server":{"worker_threads":1}}`, 409, "server.worker_threads"},
		{`{"storage":{"block_cache_size_mb":1}}`, 409, "storage.block_cache_size_mb"}, {`{"storage":{"rocksdb_path":"/x"}}`, 409, "storage.rocksdb_path"},
	} {
		l.want("POST", "/config", edit.body, edit.status, edit.names)
	}
	l.want("GET", "/config", "", 200, `"request_timeout_ms":300000`, `"cdc_retention_hours":8760`, `"ef_search":99`)
	_, metrics := l.call("GET", "/metrics", "")
	for line := range strings.Lines(promisedMetrics) {
		name := strings.Fields(line)[0]
		if !strings.Contains(metrics, "# TYPE "+strings.TrimSpace(line)+"\n") || !regexp.MustCompile(`(?m)^`+name+`(_bucket)?[ {]`).MatchString(metrics) {
			t.Errorf("/metrics has no %s", line)
		}
	}
	for level := range 7 {
		if !strings.Contains(metrics, fmt.Sprintf("rocksdb_files_level{level=\"L%d\"} ", level)) {
			t.Errorf("/metrics has no files of level %d", level)
		}
	}
	guide, err := os.ReadFile("operations.md")
	must(t, err)
	for _, m := range regexp.MustCompile("`((?:vccdb|rocksdb|themis_index)_[a-z_]+)`").FindAllStringSubmatch(string(guide), -1) {
		if m[1] == "vccdb_vector_recall" {
			continue // a server measures it a minute after its start at the earliest
		}
		if !strings.Contains(metrics, "# TYPE "+m[1]+" ") {
			t.Errorf("the guide names the metric %s, which /metrics doesn't have", m[1])
		}
	}
	if strings.Contains(metrics, "alice") {
		t.Error("a path is a label")
	}
}

// text is a file of the release.
func text(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, "deploy", filepath.FromSlash(name)))
	must(t, err)
	return string(content)
}

// TestDeployFiles holds what the guide says of the files in deploy/.
func TestDeployFiles(t *testing.T) {
	for name, parts := range map[string][]string{
		"systemd/themis.service": {
			"\nNoNewPrivileges=true\n", "\nPrivateTmp=true\n", "\nProtectSystem=strict\n", "\nProtectHome=true\n",
			"\nReadWritePaths=/var/lib/vccdb\n", "\nLimitNOFILE=65536\n", "\nExecReload=",
		},
		"systemd/themis-backup.service": {"\nEnvironment=KEEP_DAYS=7\n"},
		"systemd/themis-backup.timer":   {"\nOnCalendar="},
		"proxy/nginx.conf":              {"changefeed", "proxy_buffering off;", "proxy_read_timeout 24h;"},
		"proxy/haproxy.cfg":             {"/changefeed", "timeout server 24h", "/readyz"},
		"proxy/web.config":              {`responseBufferLimit:"0"`, "timeout", "http://127.0.0.1:8765/"},
		"docker/Dockerfile":             {"\nUSER ", "\nHEALTHCHECK ", "\nVOLUME /var/lib/vccdb\n"},
		"docker/compose.yml":            {"image: prom/prometheus", "image: grafana/grafana", "../grafana/provisioning:", "../grafana/dashboards:", "../prometheus/alerts.yml:"},
		"prometheus/prometheus.yml":     {"job_name: themis\n", "alerts.yml"},
		"kubernetes/themis.yaml":        {"kind: StatefulSet", "replicas: 1\n", "path: /livez", "path: /readyz", "themis-client: 'true'"},
	} {
		content := text(t, name)
		for _, part := range parts {
			if !strings.Contains(content, part) {
				t.Errorf("%s lacks %q", name, part)
			}
		}
	}
	var alerts struct {
		Groups []struct {
			Rules []struct{ Alert, Expr, For string }
		}
	}
	must(t, yaml.Unmarshal([]byte(text(t, "prometheus/alerts.yml")), &alerts))
	for _, want := range [][3]string{
		{"THEMISHighErrorRate", `rate(vccdb_errors_total[5m]) > 10`, "5m"},
		{"THEMISHighCompactionBacklog", `rocksdb_pending_compaction_bytes > 10 * 1024 * 1024 * 1024`, "15m"},
		{"THEMISDown", `up{job="themis"} == 0`, "1m"},
		{"THEMISLowCacheHitRate", "", "10m"},
	} {
		if !slices.ContainsFunc(alerts.Groups[0].Rules, func(r struct{ Alert, Expr, For string }) bool {
			return r.Alert == want[0] && r.For == want[2] && (want[1] == "" || r.Expr == want[1])
		}) {
			t.Errorf("there is no alert %q", want)
		}
	}
}

// TestNamedTests holds that the tests that reliability.md names are there.
func TestNamedTests(t *testing.T) {
	content, err := os.ReadFile("reliability.md")
	must(t, err)
	named := 0
	for line := range strings.Lines(string(content)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[3], "Test") {
			continue
		}
		dir := ""
		for word := range strings.FieldsSeq(cells[3]) {
			word = strings.Trim(word, ",")
			if name := strings.Trim(word, "`"); name != word {
				dir = name
			}
			if !strings.HasPrefix(word, "Test") {
				continue
			}
			named++
			if !declares(t, filepath.Join(repository, dir), word) {
				t.Errorf("%s has no %s", dir, word)
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d tests are named", named)
	}
}

func declares(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	must(t, err)
	return slices.ContainsFunc(files, func(file string) bool {
		content, err := os.ReadFile(file)
		must(t, err)
		return strings.Contains(string(content), "\nfunc "+test+"(t *testing.T)")
	})
}
