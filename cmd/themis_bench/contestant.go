package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// contestant is an index under comparison: a process of its own, so that its
// memory can be told, which answers the requests that peers/peer.h describes. It is
// for one goroutine.
type contestant struct {
	name    string
	cmd     *exec.Cmd
	send    io.WriteCloser
	receive *bufio.Reader
}

// startContestant starts a program with env besides our own environment. Its
// complaints go where ours do.
func startContestant(ctx context.Context, name string, env []string, program string, args ...string) (*contestant, error) {
	c := &contestant{name: name, cmd: exec.CommandContext(ctx, program, args...)}
	c.cmd.Env, c.cmd.Stderr = append(os.Environ(), env...), os.Stderr
	var err error
	if c.send, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.receive = bufio.NewReader(out)
	return c, c.cmd.Start()
}

// stop ends the process, which ends when nobody asks any more.
func (c *contestant) stop() error {
	if err := errors.Join(c.send.Close(), c.cmd.Wait()); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// ask sends a request and returns the numbers behind the word that the answer
// begins with.
func (c *contestant) ask(request, word string) ([]int64, error) {
	if _, err := io.WriteString(c.send, request+"\n"); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	line, err := c.receive.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s ended without an answer to %q: %w", c.name, request, err)
	}
	fields := strings.Fields(line)
	if len(fields) == 0 || fields[0] != word {
		return nil, fmt.Errorf("%s answers %q to %q", c.name, line, request)
	}
	var numbers []int64
	for _, field := range fields[1:] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s answers %q to %q", c.name, line, request)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// spent is how long something took, and how much processor time.
type spent struct {
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

func (c *contestant) build() (spent, error) {
	n, err := c.ask("build", "built")
	if err != nil {
		return spent{}, err
	}
	if len(n) != 2 {
		return spent{}, fmt.Errorf("%s says of its build only %v", c.name, n)
	}
	return spent{time.Duration(n[0]).Seconds(), time.Duration(n[1]).Seconds()}, nil
}

// search asks all queries of w once, and goes on for atLeast.
func (c *contestant) search(w *workload, k, ef int, atLeast time.Duration) (searched, error) {
	n, err := c.ask(fmt.Sprintf("search %d %d %d", k, ef, atLeast.Microseconds()), "searched")
	if err != nil {
		return searched{}, err
	}
	if len(n) != 3 || n[1] <= 0 || n[2] <= 0 {
		return searched{}, fmt.Errorf("%s says of its searches only %v", c.name, n)
	}
	found := make([]int32, w.queries.Len()*k)
	if err := binary.Read(c.receive, binary.LittleEndian, found); err != nil {
		return searched{}, fmt.Errorf("%s: %w", c.name, err)
	}
	all := 0
	for i := range w.queries.Len() {
		all += common(found[i*k:(i+1)*k], w.truth[i][:k])
	}
	return searched{
		ef: ef, recall: float64(all) / float64(len(found)),
		qps: float64(n[0]) / time.Duration(n[2]).Seconds(), wallQPS: float64(n[0]) / time.Duration(n[1]).Seconds(),
	}, nil
}

// searched is what came of one series of searches.
type searched struct {
	ef     int
	recall float64
	// qps are searches per second of processor time, which is what one thread does
	// in a second on a machine that has nothing else to do; wallQPS are per second.
	qps, wallQPS float64
}

// common counts what of truth is among found.
func common(found, truth []int32) int {
	ids := make([]uint32, len(found))
	for i, id := range found {
		ids[i] = uint32(id)
	}
	return hits(ids, truth)
}

// memory is what of a process is resident, in bytes.
type memory struct {
	// Anonymous is what only swapping could free, File are pages of files.
	Anonymous int64 `json:"anonymous"`
	File      int64 `json:"file"`
}

// memory asks the system how much the process has resident.
func (c *contestant) memory() (memory, error) { return residentMemory(c.cmd.Process.Pid) }

func residentMemory(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for line := range strings.Lines(string(text)) {
		var kib int64
		switch {
		case scan(line, "RssAnon: %d kB", &kib):
			m.Anonymous = kib << 10
		case scan(line, "RssFile: %d kB", &kib), scan(line, "RssShmem: %d kB", &kib):
			m.File += kib << 10
		}
	}
	return m, nil
}

func scan(line, format string, into ...any) bool {
	n, err := fmt.Sscanf(line, format, into...)
	return err == nil && n == len(into)
}
