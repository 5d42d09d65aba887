package supervisor_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/gpu/wire"
	"github.com/vccdb/vccdb/internal/errs"
)

// starts notes when workers are started, in seconds.
type starts struct {
	local gputest.Local
	mu    sync.Mutex
	began time.Time
	at    []int
}

func (s *starts) install(*gputest.Device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, int(time.Since(s.began)/time.Second))
}

// begin counts from now on.
func (s *starts) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began, s.at = time.Now(), nil
}

// were says whether the starts were at these seconds.
func (s *starts) were(t *testing.T, at ...int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.at, at) {
		t.Errorf("starts at %v, want %v", s.at, at)
	}
}

// TestTries: three workers are started, with growing pauses, and then none until
// Restart says so; one that ran well isn't counted.
func TestTries(t *testing.T) {
	n := &starts{}
	n.local.Device = n.install
	n.local.Set(gputest.Faults{Open: gputest.Fail})
	bubble(t, supervisor.Options{}, &n.local, func(t *testing.T, s *supervisor.Supervisor) {
		n.begin()
		s.Want()
		s.Want()
		synctest.Wait()
		if status := s.Status(); status.State != supervisor.Backoff || status.LastCause != supervisor.CauseStart ||
			!strings.Contains(status.Reason, "the device made a mistake") {
			t.Errorf("%+v", status)
		}
		time.Sleep(time.Hour)
		if status := s.Status(); status.State != supervisor.GaveUp || status.Totals.Failures["start"] != 3 {
			t.Errorf("%+v", status)
		}
		n.were(t, 0, 1, 6)

		// Three new tries, of which the second is good for a while.
		n.begin()
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second / 2)
		n.local.Set(gputest.Faults{})
		time.Sleep(5 * time.Minute)
		x := s.Session()
		if status := s.Status(); x == nil || status.State != supervisor.Running || status.Reason != "" || status.LastError == "" {
			t.Fatalf("%+v", status)
		}
		time.Sleep(time.Second) // it has run for 5 minutes now
		n.local.Set(gputest.Faults{Break: gputest.Deaf})
		time.Sleep(time.Hour)
		n.were(t, 0, 1, 303, 334, 369) // a deaf worker's handshake takes 30 s
		if status := s.Status(); status.State != supervisor.GaveUp {
			t.Errorf("%+v", status)
		}
		if s.Session() != nil || x.Err() == nil {
			t.Error("a session that is over is still given out")
		}
	})
}

// TestRestartCutsShort: Restart ends a pause, and a worker that runs.
func TestRestartCutsShort(t *testing.T) {
	n := &starts{}
	n.local.Device = n.install
	bubble(t, supervisor.Options{Backoff: time.Hour}, &n.local, func(t *testing.T, s *supervisor.Supervisor) {
		if err := s.Restart(); errs.CodeOf(err) != "gpu_not_wanted" {
			t.Errorf("%v", err)
		}
		n.begin()
		x := gputest.Session(t, s)
		index := filled(t, x, 1)
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		next := gputest.After(t, s, x)
		if _, err := search(t.Context(), x, index); cause(err) != supervisor.CauseRequested {
			t.Errorf("%v", err)
		}
		n.local.Set(gputest.Faults{Break: gputest.Garbage, Open: gputest.Fail})
		<-next.Done()
		for range 5 { // each begins three new tries
			time.Sleep(10 * time.Second)
			if status := s.Status(); status.State != supervisor.Backoff {
				t.Fatalf("%+v", status)
			}
			s.Restart()
			synctest.Wait()
		}
		n.were(t, 0, 0, 10, 20, 30, 40, 50)
	})
}

// TestUnavailable: what can't be started isn't, until it can.
func TestUnavailable(t *testing.T) {
	var mu sync.Mutex
	asked, reason := 0, "no driver"
	var log bytes.Buffer
	o := supervisor.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Available: func(context.Context) string {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return reason
	}}
	local := &gputest.Local{}
	bubble(t, o, local, func(t *testing.T, s *supervisor.Supervisor) {
		s.Want()
		time.Sleep(time.Minute + time.Second)
		mu.Lock()
		if status := s.Status(); status.State != supervisor.Unavailable || status.Reason != "no driver" || asked != 3 || local.Starts() != 0 ||
			time.Since(status.Since) < time.Minute {
			t.Errorf("asked %d times: %+v", asked, status)
		}
		reason = ""
		mu.Unlock()
		s.Restart() // asks at once
		gputest.After(t, s, nil)
		synctest.Wait()
		if text := log.String(); strings.Count(text, "reason=\"no driver\"") != 1 || strings.Count(text, "can be used now") != 1 {
			t.Errorf("the log:\n%s", text)
		}
	})
}

// TestVersion: a worker of another version isn't tried again.
func TestVersion(t *testing.T) {
	local := &gputest.Local{}
	local.Set(gputest.Faults{Break: gputest.OldVersion})
	bubble(t, supervisor.Options{}, local, func(t *testing.T, s *supervisor.Supervisor) {
		s.Want()
		time.Sleep(time.Minute)
		status := s.Status()
		if status.State != supervisor.GaveUp || status.LastCause != supervisor.CauseVersion || local.Starts() != 1 ||
			!strings.Contains(status.Reason, "different releases (protocol 1 here, 2 there)") {
			t.Errorf("%+v", status)
		}
	})
}

// TestStart: each way in which a start can fail is named.
func TestStart(t *testing.T) {
	for name, c := range map[string]struct {
		faults gputest.Faults
		cause  supervisor.Cause
		text   string
	}{
		"hangs":         {gputest.Faults{Open: gputest.Hang}, supervisor.CauseStart, "did not open its device within 30s"},
		"crashes":       {gputest.Faults{Open: gputest.Crash}, supervisor.CauseStart, "did not start: signal 9 (SIGKILL)"},
		"out of memory": {gputest.Faults{Open: gputest.OutOfMemory}, supervisor.CauseStart, "can't use the device: the device has no memory left"},
		"is none":       {gputest.Faults{Break: gputest.NoWorker}, supervisor.CauseProtocol, "no Themis"},
		"says garbage":  {gputest.Faults{Break: gputest.Garbage}, supervisor.CauseProtocol, "a frame of"},
		"is deaf":       {gputest.Faults{Break: gputest.Deaf}, supervisor.CauseStart, "within 30s"},
	} {
		t.Run(name, func(t *testing.T) {
			local := &gputest.Local{}
			local.Set(c.faults)
			bubble(t, supervisor.Options{Tries: 1}, local, func(t *testing.T, s *supervisor.Supervisor) {
				s.Want()
				time.Sleep(time.Minute)
				status := s.Status()
				if status.State != supervisor.GaveUp || status.LastCause != c.cause || !strings.Contains(status.Reason, c.text) {
					t.Errorf("%+v", status)
				}
			})
		})
	}
}

// TestCloseAnytime: Close ends whatever goes on, and a call under way.
func TestCloseAnytime(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, s *supervisor.Supervisor, l *gputest.Local){
		"never wanted": func(*testing.T, *supervisor.Supervisor, *gputest.Local) {},
		"starting": func(_ *testing.T, s *supervisor.Supervisor, l *gputest.Local) {
			l.Set(gputest.Faults{Open: gputest.Hang})
			s.Want()
		},
		"pausing": func(_ *testing.T, s *supervisor.Supervisor, l *gputest.Local) {
			l.Set(gputest.Faults{Open: gputest.Fail})
			s.Want()
		},
		"gave up": func(_ *testing.T, s *supervisor.Supervisor, l *gputest.Local) {
			l.Set(gputest.Faults{Open: gputest.Fail})
			s.Want()
			time.Sleep(time.Minute)
		},
		"searching": func(t *testing.T, s *supervisor.Supervisor, l *gputest.Local) {
			x := gputest.Session(t, s)
			index := filled(t, x, 10)
			l.Set(gputest.Faults{Search: gputest.Hang})
			for range 5 {
				go func() {
					if _, err := search(context.Background(), x, index); cause(err) != supervisor.CauseRequested {
						t.Errorf("a search when the server closes: %v", err)
					}
				}()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			local := &gputest.Local{}
			bubble(t, supervisor.Options{}, local, func(t *testing.T, s *supervisor.Supervisor) {
				prepare(t, s, local)
				synctest.Wait()
				began := time.Now()
				if err := s.Close(); err != nil || time.Since(began) > time.Second {
					t.Errorf("closed after %v: %v", time.Since(began), err)
				}
				s.Want()
				if err := s.Restart(); errs.CodeOf(err) != "shutting_down" || s.Status().State != supervisor.Off {
					t.Errorf("%v, %+v", err, s.Status())
				}
			})
		})
	}
}

// undying is a worker that no signal ends until it is let go.
type undying struct {
	supervisor.Worker
	let   chan struct{}
	ended chan struct{}
}

func (u undying) Terminate()             {}
func (u undying) Kill()                  {}
func (u undying) Ended() <-chan struct{} { return u.ended }

// TestUndying: a process that SIGKILL doesn't end holds nothing up but the next start,
// and Close leaves it behind with an error.
func TestUndying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := &gputest.Local{}
		started := 0
		s := supervisor.New(supervisor.Options{Start: func(ctx context.Context, o supervisor.Options) (supervisor.Worker, error) {
			w, err := local.Start(ctx, o)
			started++
			return undying{w, nil, make(chan struct{})}, err
		}})
		x := gputest.Session(t, s)
		index := filled(t, x, 1)
		local.Set(gputest.Faults{Search: gputest.Lost})
		if _, err := search(t.Context(), x, index); code(t, err) != wire.Lost {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if status := s.Status(); started != 1 || s.Session() != nil || !strings.Contains(status.Reason, "doesn't end") {
			t.Errorf("%d starts, %+v", started, status)
		}
		if err := s.Close(); errs.CodeOf(err) != "gpu_worker_left" {
			t.Errorf("close: %v", err)
		}
	})
}

// TestStubborn: a process that ignores SIGTERM is killed after Grace, and no zombie is
// left.
func TestStubborn(t *testing.T) {
	t.Parallel()
	process := gputest.NewProcess(t, gputest.Faults{Stubborn: true})
	s := open(t, patient(supervisor.Options{Command: process.Command(), Grace: 50 * time.Millisecond}))
	x := gputest.Session(t, s)
	process.Set(gputest.Faults{Stubborn: true, Search: gputest.Hang})
	index := filled(t, x, 1)
	go search(context.Background(), x, index)
	pid := s.Status().PID
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("the worker is in the process group %d: %v", group, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the worker is still there: %v", err)
	}
}

// TestStopped: a process that doesn't run any more is noticed by its heartbeat, and
// killed.
func TestStopped(t *testing.T) {
	t.Parallel()
	process := gputest.NewProcess(t, gputest.Faults{})
	s := open(t, supervisor.Options{Command: process.Command(), Misses: 20, Backoff: time.Hour})
	x := gputest.Session(t, s)
	index := filled(t, x, 1)
	pid := s.Status().PID
	syscall.Kill(pid, syscall.SIGSTOP)
	var err error
	for err == nil { // a signal takes its time
		_, err = search(t.Context(), x, index)
	}
	if cause(err) != supervisor.CauseHang {
		t.Errorf("%v", err)
	}
	for s.Status().PID != 0 {
		time.Sleep(time.Millisecond)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the worker is still there: %v", err)
	}
}

// TestOutput: what a worker prints is in the log, and its last words in the reason.
func TestOutput(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(writer(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(b)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := open(t, supervisor.Options{
		Command: []string{"/bin/sh", "-c", "echo one; yes x | head -c 100000 | tr -d '\\n' >&2; echo; echo last words; exit 7"},
		Tries:   1, Logger: logger,
	})
	s.Want()
	for s.Status().State != supervisor.GaveUp {
		time.Sleep(time.Millisecond)
	}
	if status := s.Status(); status.LastError != "the worker did not start: exit status 7: last words" {
		t.Errorf("%+v", status)
	}
	mu.Lock()
	defer mu.Unlock()
	if text := log.String(); !strings.Contains(text, "line=one") || !strings.Contains(text, "cause=start") || len(text) > 20000 {
		t.Errorf("the log of %d bytes:\n%.2000s", len(text), text)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// TestNoProgram: a program that isn't there is a failed start.
func TestNoProgram(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{{"/nonexistent/themis_gpu"}, nil} {
		s := open(t, supervisor.Options{Command: command, Tries: 1})
		s.Want()
		for s.Status().State != supervisor.GaveUp {
			time.Sleep(time.Millisecond)
		}
		if status := s.Status(); status.LastCause != supervisor.CauseStart || !strings.Contains(status.Reason, "can't be started") {
			t.Errorf("%+v", status)
		}
	}
}

// TestNothingLeft: workers that fail at their start leave no files open.
func TestNothingLeft(t *testing.T) {
	files := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(open)
	}
	before := 0
	for round := range 3 {
		s := supervisor.New(supervisor.Options{Command: []string{"/bin/false"}, Tries: 1})
		s.Want()
		for s.Status().State != supervisor.GaveUp {
			time.Sleep(time.Millisecond)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if round == 0 { // the first opens what the runtime keeps
			before = files()
		}
	}
	if after := files(); after > before {
		t.Errorf("%d files are open, and %d were", after, before)
	}
}

// orphanServer is the argument of a process that plays the server for TestOrphan.
const orphanServer = "orphan-server"

// serveOrphan starts a worker, says its number, and waits to be killed.
func serveOrphan(faults string) int {
	s := supervisor.New(patient(supervisor.Options{Command: []string{os.Args[0], "gputest-worker", faults}}))
	s.Want()
	for s.Status().PID == 0 {
		time.Sleep(time.Millisecond)
	}
	os.Stdout.WriteString(strconv.Itoa(s.Status().PID) + "\n")
	select {}
}

// TestOrphan: when the server is killed its worker is gone too, even one that doesn't see
// that the connection was closed.
func TestOrphan(t *testing.T) {
	t.Parallel()
	command := gputest.NewProcess(t, gputest.Faults{Break: gputest.Deaf}).Command()
	server := exec.Command(command[0], orphanServer, command[2])
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	server.Process.Kill()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		// Nobody may be there to reap it.
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("the worker outlived its server: %s", stat)
		}
	}
}
