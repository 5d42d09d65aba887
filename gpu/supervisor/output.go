package supervisor

import (
	"bufio"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// outputLine is how much of a line is kept, outputLines how many are.
	outputLine  = 1000
	outputLines = 20
	// finishWait is how long a worker's output is read after its end.
	finishWait = 200 * time.Millisecond
)

// output reads what a worker prints: for the log, and for the reason of its end.
type output struct {
	logger *slog.Logger
	from   *os.File
	ended  chan struct{}
	mu     struct {
		sync.Mutex
		last []string
		// fatal is the first line that says why a program ends: a trace follows it.
		fatal string
	}
}

// newOutput returns an output, and the end of a pipe for the worker.
func newOutput(logger *slog.Logger) (*output, *os.File, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	out := &output{logger: logger, from: from, ended: make(chan struct{})}
	go out.read()
	return out, to, nil
}

// read takes line after line until the pipe is closed.
func (o *output) read() {
	defer close(o.ended)
	defer o.from.Close()
	lines := bufio.NewReaderSize(o.from, outputLine)
	for {
		line, more, err := lines.ReadLine()
		if err != nil {
			return
		}
		o.add(strings.ToValidUTF8(string(line), "?"))
		for more && err == nil { // the rest of a long line
			_, more, err = lines.ReadLine()
		}
	}
}

func (o *output) add(line string) {
	o.logger.Log(context.Background(), slog.LevelDebug, "the GPU worker says", "line", line)
	line = strings.TrimSpace(line)
	if line == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, sign := range []string{"panic: ", "fatal error: ", "SIGSEGV: ", "SIGABRT: "} {
		if o.mu.fatal == "" && strings.HasPrefix(line, sign) {
			o.mu.fatal = line
		}
	}
	if o.mu.last = append(o.mu.last, line); len(o.mu.last) > outputLines {
		o.mu.last = o.mu.last[1:]
	}
}

// finish ends the reading, once the process has ended.
func (o *output) finish() {
	o.from.SetReadDeadline(time.Now().Add(finishWait))
	<-o.ended
}

// words are what the worker said about its end.
func (o *output) words() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.fatal != "" || len(o.mu.last) == 0 {
		return o.mu.fatal
	}
	return o.mu.last[len(o.mu.last)-1]
}

// tail is the last of what it printed.
func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.mu.last, "\n")
}
