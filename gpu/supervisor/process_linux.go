package supervisor

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vccdb/vccdb/gpu/wire"
)

// process is a worker that is a process.
type process struct {
	conn  net.Conn
	arena *wire.Arena
	pid   int
	out   *output
	ended chan struct{}
	mu    struct {
		sync.Mutex
		// state is set when it was waited for; nobody may signal its number then.
		state *os.ProcessState
	}
}

// arguments are what the worker is told on its command line.
func arguments(o Options) []string {
	args := append([]string(nil), o.Command[1:]...)
	args = append(args, "--device="+strconv.Itoa(o.Device))
	if o.MemoryLimit > 0 {
		args = append(args, "--memory-limit="+strconv.FormatInt(o.MemoryLimit, 10))
	}
	if o.MaxBatch > 0 {
		args = append(args, "--max-batch="+strconv.Itoa(o.MaxBatch))
	}
	if o.LatencyCap > 0 {
		args = append(args, "--latency-cap="+o.LatencyCap.String())
	}
	return args
}

// startProcess starts a worker with its end of the connection as file 3 and the shared
// memory as file 4. It is in a process group of its own, so that it doesn't get the
// terminal's signals, and is killed when this process dies.
func startProcess(o Options) (Worker, error) {
	if len(o.Command) == 0 {
		return nil, fmt.Errorf("no program is set")
	}
	arena, memory, err := wire.NewArena(o.ArenaBytes)
	if err != nil {
		return nil, err
	}
	defer memory.Close()
	conn, theirs, err := connection()
	if err != nil {
		arena.Close()
		return nil, err
	}
	defer theirs.Close()
	out, writer, err := newOutput(o.Logger)
	if err == nil {
		defer writer.Close()
		cmd := exec.Command(o.Command[0], arguments(o)...)
		cmd.Env = append(cmd.Environ(), o.Env...)
		cmd.Stdout, cmd.Stderr = writer, writer
		cmd.ExtraFiles = []*os.File{theirs, memory}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		p := &process{conn: conn, arena: arena, out: out, ended: make(chan struct{})}
		started := make(chan error, 1)
		go p.own(cmd, started)
		if err = <-started; err == nil {
			return p, nil
		}
		writer.Close()
		out.finish()
	}
	conn.Close()
	arena.Close()
	return nil, err
}

// own starts the process and waits for it, bound to one thread from start to end: the
// system kills the process when the thread that started it ends.
func (p *process) own(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	if err == nil {
		p.pid = cmd.Process.Pid
	}
	started <- err
	if err != nil {
		return
	}
	for unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	p.mu.Lock()
	unix.Kill(-p.pid, unix.SIGKILL) // whatever it started itself
	cmd.Wait()                      // its error is in the state
	p.mu.state = cmd.ProcessState
	p.mu.Unlock()
	p.out.finish()
	close(p.ended)
}

// connection makes both ends of a connection: ours, and the worker's as a file.
func connection() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("the connection with the GPU worker: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "gpu-worker"), os.NewFile(uintptr(fds[1]), "server")
	defer ours.Close() // a net.Conn has a copy
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("the connection with the GPU worker: %w", err)
	}
	return conn, theirs, nil
}

func (p *process) Conn() net.Conn         { return p.conn }
func (p *process) Arena() *wire.Arena     { return p.arena }
func (p *process) PID() int               { return p.pid }
func (p *process) Ended() <-chan struct{} { return p.ended }
func (p *process) Terminate()             { p.signal(unix.SIGTERM) }
func (p *process) Kill()                  { p.signal(unix.SIGKILL) }

// Output is the last of what the worker printed.
func (p *process) Output() string { return p.out.tail() }

// signal reaches the whole process group, while the number is still the process's.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.state == nil {
		unix.Kill(-p.pid, s)
	}
}

// Cause says how the process ended, with its last words.
func (p *process) Cause() string {
	<-p.ended
	how := describe(p.mu.state)
	if words := p.out.words(); words != "" {
		how += ": " + words
	}
	return how
}

// describe says how a process ended.
func describe(state *os.ProcessState) string {
	if state == nil {
		return "nobody knows how"
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return fmt.Sprintf("signal %d (%s)", status.Signal(), unix.SignalName(status.Signal()))
	}
	return fmt.Sprintf("exit status %d", state.ExitCode())
}
