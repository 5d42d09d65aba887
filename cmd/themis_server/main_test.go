package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/schedule"
	"github.com/vccdb/vccdb/server/session"
)

// asServer makes the test binary be the server.
const asServer = "BE_THEMIS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
	}
	os.Exit(m.Run())
}

// command runs the program to its end.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut strings.Builder
	code = run(context.Background(), args, nil, &out, &errOut)
	return code, out.String(), errOut.String()
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.json"), filepath.Join(dir, "bad.yaml")
	os.WriteFile(good, []byte(`{"storage": {"rocksdb_path": "`+dir+`/data"}, "server": {"port": 0}}`), 0o600)
	os.WriteFile(bad, []byte("server: {prot: 1}\nfeatures: {timeseries: true}\n"), 0o600)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"--version"}, 0, "THEMIS v1.0.0 (build: ", ""},
		{[]string{"-version"}, 0, ", commit: ", ""},
		{[]string{"--help"}, 0, "--set KEY=VALUE", ""},
		{[]string{"--config", good, "--validate"}, 0, "✓ Config file valid\n✓ Storage path accessible: " + dir + "/data\n✓ Port 0 available\n", ""},
		{[]string{"--config", good, "--set", "vector_index.use_gpu=true", "--set", "gpu.device=255", "--validate"}, 0, "✗ GPU 255 not usable: ", ""},
		{[]string{"--config", good, "--set", "vector_index.use_gpu=true", "--set", "gpu.worker_path=" + good, "--validate"}, 0,
			"✗ GPU worker not found: " + good + " (nobody may execute it); until it is there, the CPU answers all searches", ""},
		{[]string{"--config", bad, "--validate"}, 1, "✗ Config file invalid: features.timeseries is true, but time series is not available yet", ""},
		{[]string{"--config", bad}, 1, "", "server.prot is not a known key; the nearest is server.port\n"},
		{[]string{"--config", dir + "/none"}, 1, "", "can't be read"},
		{[]string{"--config", good, "--set", "server.host=127.0.0.1", "--set", fmt.Sprintf("server.port=%d", taken.Addr().(*net.TCPAddr).Port)}, 1, "", "address already in use; stop what listens there or set server.port"},
		{[]string{"--config", good, "--set", "logging.file=/dev/null/x"}, 1, "", "the log file can't be opened"},
		{[]string{"--config", good, "--verify"}, 1, "", "no database"},
		{[]string{"--config", good, "--backup", dir + "/backups"}, 1, "", "There is no database at " + dir + "/data"},
		{[]string{"--config", good, "--restore", dir + "/none", "--target", dir + "/target", "--force"}, 1, "", "neither a snapshot nor a folder of backups"},
		{[]string{"--config", good, "--restore", dir + "/none", "--target", dir + "/target", "--until", "never"}, 1, "", "is neither a sequence"},
		{[]string{"--config", good, "--restore", dir + "/none", "--target", dir + "/target", "--until", "7"}, 1, "", "set storage.wal_archive_path or give --archive"},
		{[]string{"--restore", "x"}, 2, "", "--restore needs --target"},
		{[]string{"--restore", "x", "--target", "y", "--archive", "z"}, 2, "", "--archive belongs to --until"},
		{[]string{"--target", "y"}, 2, "", "belong to --restore"},
		{[]string{"--version", "--verify"}, 2, "", "only one action"},
		{[]string{"--nonsense"}, 2, "", "nonsense"},
		{[]string{"start"}, 2, "", `there is no argument "start"`},
	}
	for _, test := range tests {
		code, stdout, stderr := command(t, test.args...)
		if code != test.code || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%v: exit %d\nstdout %s\nstderr %s\nwant %d\n%s\n%s", test.args, code, stdout, stderr, test.code, test.stdout, test.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); !os.IsNotExist(err) {
		t.Errorf("one of these made the data folder: %v", err)
	}
}

func TestBuildFrom(t *testing.T) {
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc1234def"}, {Key: "vcs.time", Value: "2026-11-22T10:00:00Z"}, {Key: "vcs.modified", Value: "false"},
	}}
	if got := buildFrom(info).String(); got != "THEMIS v1.0.0 (build: 2026-11-22, commit: abc1234)" {
		t.Error(got)
	}
	info.Settings[2].Value = "true"
	if got := buildFrom(info).Commit; got != "abc1234-dirty" {
		t.Error(got)
	}
	if got := buildFrom(&debug.BuildInfo{}).String(); got != "THEMIS v1.0.0 (build: unknown, commit: unknown)" {
		t.Error(got)
	}
}

// TestEveryKeyIsInForce changes every field of the configuration in turn and
// holds that something the server is built from changes with it.
func TestEveryKeyIsInForce(t *testing.T) {
	type inForce struct {
		logging logging.Options
		engine  engine.Options
		worker  supervisor.Options
		server  server.Options
		address string
		threads int
		audit   string
		refused bool
		pprof   int
		overlay string
		copies  schedule.Plan
		console bool
		session session.Options
	}
	outcome := func(c *config.Config) inForce {
		logger, _, err := logging.New(logging.Options{Output: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		options, err := serverOptions(&c.Server, nil, logger)
		o := inForce{loggingOptions(&c.Logging), engineOptions(c, logger), workerOptions(&c.GPU, "bin/themis_server", nil, logger), options, c.Server.Address(), c.Server.WorkerThreads, c.Logging.AuditFile, err != nil,
			c.Server.PprofPort, c.Server.ConfigOverlay, copyPlan(&c.Storage),
			c.Console.Enabled, sessionOptions(&c.Console, "")}
		o.worker.Logger, o.worker.Available = nil, nil
		o.engine.Logger, o.engine.Storage.Logger, o.server.Logger = nil, nil, nil
		return o
	}
	c, err := config.Load(config.Source{})
	if err != nil {
		t.Fatal(err)
	}
	// Or their details have no effect.
	c.Server.EnableAuth, c.Server.EnableTLS, c.Storage.EnableWALArchival, c.Storage.WALArchivePath = true, true, true, "archive"
	before := outcome(c)
	fields := 0
	var walk func(name string, v reflect.Value)
	walk = func(name string, v reflect.Value) {
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(name+"."+v.Type().Field(i).Name, v.Field(i))
			}
			return
		case reflect.Int:
			v.SetInt(v.Int() + 1)
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Slice:
			if name == ".Warnings" {
				return
			}
			v.Set(reflect.Append(v, reflect.New(v.Type().Elem()).Elem()))
		default:
			t.Errorf("Config%s is a %s, which this test doesn't know", name, v.Kind())
		}
		fields++
		if reflect.DeepEqual(outcome(c), before) {
			t.Errorf("Config%s changes nothing", name)
		}
		v.Set(old)
	}
	walk("", reflect.ValueOf(c).Elem())
	if fields < 30 {
		t.Errorf("only %d fields were looked at", fields)
	}
}

// process is a running server of its own.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	base string
	log  *bytes.Buffer
	read chan struct{}
}

var address = regexp.MustCompile(`msg="themis_server runs".* address=(\S+)`)

func serverCommand(dir string, environ ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append([]string{asServer + "=1", "THEMIS_STORAGE_PATH=" + dir, "THEMIS_PORT=0", "THEMIS_STORAGE_BLOCK_CACHE_SIZE_MB=16",
		"THEMIS_STORAGE_MEMTABLE_SIZE_MB=16", "THEMIS_SERVER_MAX_REQUEST_SIZE_MB=1"}, environ...)
	return cmd
}

func startProcess(t *testing.T, dir string, environ ...string) *process {
	t.Helper()
	p := &process{t: t, log: &bytes.Buffer{}, read: make(chan struct{})}
	p.cmd = serverCommand(dir, environ...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	found := make(chan string, 1)
	go func() {
		defer close(p.read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(p.log, lines.Text())
			if m := address.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	select {
	case at := <-found:
		p.base = "http://" + at
	case <-p.read:
		t.Fatalf("the server ended: %s", p.log)
	case <-time.After(30 * time.Second):
		t.Fatal("the server did not start within 30 s")
	}
	return p
}

// end waits for the process and returns its log.
func (p *process) end() string {
	p.t.Helper()
	<-p.read
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the server ended with %v: %s", err, p.log)
	}
	return p.log.String()
}

func (p *process) do(method, path, contentType string, body io.Reader) (int, string) {
	p.t.Helper()
	req, err := http.NewRequest(method, p.base+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

func (p *process) want(method, path, body string, status int, part string) {
	p.t.Helper()
	if got, answer := p.do(method, path, "application/json", strings.NewReader(body)); got != status || !strings.Contains(answer, part) {
		p.t.Errorf("%s %s = %d %s, want %d %s", method, path, got, answer, status, part)
	}
}

// TestLifeOfAServer starts the program, uses it, stops it with requests under
// way, starts it again and verifies its data.
func TestLifeOfAServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := startProcess(t, dir, "THEMIS_LOG_FORMAT_TYPO=1")
	p.want("PUT", "/entities/things:a", `{"n": 1}`, 201, `"created":true`)
	p.want("GET", "/readyz", "", 200, "ready")
	p.want("GET", "/openapi.json", "", 200, `"/readyz"`)
	p.want("GET", "/stats", "", 200, `"estimate_num_keys"`)
	p.want("GET", "/metrics", "", 200, "vccdb_requests_total")
	p.want("PUT", "/entities/things:big", `"`+strings.Repeat("x", 2<<20)+`"`, 413, "body_too_large")

	// An import longer than the size limit is under way when the signal comes.
	body, writer := io.Pipe()
	imported := make(chan string, 1)
	go func() {
		status, answer := p.do("POST", "/entities/batch", "application/x-ndjson", body)
		imported <- fmt.Sprint(status, answer)
	}()
	line := func(i int) string {
		return fmt.Sprintf(`{"op":"put","key":"rows:%d","entity":{"text":%q}}`+"\n", i, strings.Repeat("x", 4000))
	}
	for i := range 500 {
		io.WriteString(writer, line(i))
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	until(t, "the end of being ready", func() bool {
		status, answer := p.do("GET", "/readyz", "", nil)
		return status == 503 && strings.Contains(answer, "shutting down")
	})
	for i := range 500 {
		io.WriteString(writer, line(500+i))
	}
	writer.Close()
	if got := <-imported; !strings.HasPrefix(got, "200") || !strings.Contains(got, `"accepted":1000`) {
		t.Errorf("the import under way: %.300s", got)
	}
	log := p.end()
	for _, want := range []string{"THEMIS_LOG_FORMAT_TYPO is not a variable", "msg=stopped"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q: %s", want, log)
		}
	}

	p = startProcess(t, dir)
	p.want("GET", "/entities/things:a", "", 200, `{"n":1}`)
	p.want("GET", "/tables/rows", "", 200, `"entities":1000`)
	p.cmd.Process.Signal(os.Interrupt)
	p.end()

	code, stdout, stderr := command(t, "--set", "storage.rocksdb_path="+dir, "--verify")
	if code != 0 || !strings.Contains(stdout, "✓ All data is sound: 2 tables, 1001 entities") {
		t.Errorf("--verify: %d %s %s", code, stdout, stderr)
	}
}
