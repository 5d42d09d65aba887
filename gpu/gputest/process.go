package gputest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vccdb/vccdb/gpu/serve"
)

// argument is the first argument of a test binary that is to be a worker.
const argument = "gputest-worker"

// Process makes fake workers that are processes: the test binary, started again. The
// binary's TestMain has to begin with
//
//	if gputest.IsWorker() {
//		os.Exit(gputest.Work())
//	}
type Process struct {
	t    testing.TB
	file string
}

// NewProcess returns a Process whose workers have faults.
func NewProcess(t testing.TB, f Faults) *Process {
	t.Helper()
	p := &Process{t: t, file: filepath.Join(t.TempDir(), "faults")}
	p.Set(f)
	return p
}

// Command is for supervisor.Options.Command.
func (p *Process) Command() []string {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	return []string{self, argument, p.file}
}

// Set changes the faults of workers that run and of those to come.
func (p *Process) Set(f Faults) {
	p.t.Helper()
	content, err := json.Marshal(f)
	if err == nil {
		err = os.WriteFile(p.file+".new", content, 0o600)
	}
	if err == nil {
		err = os.Rename(p.file+".new", p.file)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// IsWorker says whether this process was started as a worker.
func IsWorker() bool { return len(os.Args) > 2 && os.Args[1] == argument }

// Work is the worker's main. It returns the status to exit with.
func Work() int {
	faults := func() Faults {
		var f Faults
		if content, err := os.ReadFile(os.Args[2]); err == nil {
			json.Unmarshal(content, &f) // the file is replaced as a whole
		}
		return f
	}
	if line := faults().Print; line != "" {
		fmt.Fprintln(os.Stderr, line)
	}
	if faults().Stubborn {
		signal.Ignore(syscall.SIGTERM)
	}
	o, err := serve.Inherited()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	device := newDevice(faults, func(f Fault) {
		if f == Panic {
			panic("the fake worker was told to panic")
		}
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	})
	for _, arg := range os.Args[3:] {
		if value, ok := strings.CutPrefix(arg, "--memory-limit="); ok {
			device.Limit, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	o.Conn = newConn(o.Conn, faults)
	o.Open = func() (serve.Device, error) {
		return device, device.begin(Call{Op: "open"}, func(f Faults) Fault { return f.Open })
	}
	if err := serve.Run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return serve.ExitStatus(err)
	}
	return 0
}
