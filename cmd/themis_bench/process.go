package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// serverFlags say which server to talk to, and how to start one.
type serverFlags struct {
	url, key string
	start    string
	dir      string
	port     int
}

func (f *serverFlags) register(flags *flag.FlagSet, dir string) {
	flags.StringVar(&f.url, "url", "", "URL of a running server (empty: 127.0.0.1 with -port)")
	flags.StringVar(&f.key, "key", "", "API key, if the server wants one")
	flags.StringVar(&f.start, "start", "", "path of themis_server: start it if none runs at the URL")
	flags.StringVar(&f.dir, "dir", dir, "folder for the data, log and pid of a server that is started")
	flags.IntVar(&f.port, "port", 8765, "port of the server")
}

func (f *serverFlags) address() string {
	if f.url != "" {
		return f.url
	}
	return "http://127.0.0.1:" + strconv.Itoa(f.port)
}

// process is a server that this command started.
type process struct {
	cmd          *exec.Cmd
	log, pidFile string
	// exited gets the outcome when the process ends, and is closed.
	exited chan error
}

// startServer starts a server in a session of its own, so that it outlives this
// command and its terminal unless it is stopped.
func startServer(binary, dir string, port int, env ...string) (*process, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := &process{log: filepath.Join(dir, "server.log"), pidFile: filepath.Join(dir, "server.pid"), exited: make(chan error, 1)}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(binary)
	p.cmd.Env = append(os.Environ(),
		"THEMIS_STORAGE_PATH="+filepath.Join(dir, "rocksdb"), "THEMIS_SERVER_PORT="+strconv.Itoa(port))
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.exited <- p.cmd.Wait()
		close(p.exited)
	}()
	return p, os.WriteFile(p.pidFile, []byte(strconv.Itoa(p.cmd.Process.Pid)+"\n"), 0o644)
}

// ready waits until the server is ready, and fails at once if it ends before.
func (p *process) ready(ctx context.Context, c *client, atMost time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answered := make(chan error, 1)
	go func() { answered <- c.waitReady(ctx, atMost) }()
	select {
	case err := <-answered:
		return err
	case err := <-p.exited:
		cancel(err)
		<-answered
		return fmt.Errorf("the server ended (%v) before it was ready; its log, %s, ends with:\n%s", err, p.log, tail(p.log, 10))
	}
}

// stop asks the server to end, and waits for it.
func (p *process) stop() error {
	defer os.Remove(p.pidFile)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-p.exited:
		return err
	case <-time.After(time.Minute):
		return errors.Join(errors.New("the server did not end within a minute of SIGTERM and was killed"), p.cmd.Process.Kill(), <-p.exited)
	}
}

// tail is the end of a file, a few lines of it.
func tail(name string, lines int) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// connect returns a client for the server that f names. When none runs there
// and f says how, it starts one, which the caller stops.
func (f *serverFlags) connect(ctx context.Context, concurrent int, env ...string) (*client, *process, error) {
	c := newClient(f.address(), f.key, concurrent)
	health, err := call[struct{ Version string }](ctx, c, "GET", "/health", nil)
	switch {
	case err == nil && health.Version != "":
		return c, nil, c.waitReady(ctx, 10*time.Minute)
	case !isRefused(err):
		return nil, nil, fmt.Errorf("something other than Themis answers at %s (%w); choose another -port", c.base, err)
	case f.start == "":
		return nil, nil, fmt.Errorf("no server answers at %s; start one, or say with -start where themis_server is", c.base)
	}
	p, err := startServer(f.start, f.dir, f.port, env...)
	if err != nil {
		return nil, nil, err
	}
	if err := p.ready(ctx, c, 10*time.Minute); err != nil {
		return nil, nil, errors.Join(err, p.stop())
	}
	return c, p, nil
}

// isRefused says whether nobody listens there.
func isRefused(err error) bool {
	var u *url.Error
	return errors.As(err, &u) && errors.Is(err, syscall.ECONNREFUSED)
}

// processorTime is the processor time that a process has used, in ticks of ten
// milliseconds.
func processorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; the state follows it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}
