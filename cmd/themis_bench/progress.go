package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress is a bar: redrawn in place on a terminal, a line every ten seconds
// elsewhere. It is for one goroutine.
type progress struct {
	out      io.Writer
	what     string
	total    int
	done     int
	begin    time.Time
	drawn    time.Time
	shown    int // done when last drawn
	terminal bool
}

func newProgress(out io.Writer, what string, total int) *progress {
	now := time.Now()
	return &progress{out: out, what: what, total: total, begin: now, drawn: now, terminal: isTerminal(out)}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// at says how much is done.
func (p *progress) at(done int) {
	p.done = done
	every := 10 * time.Second
	if p.terminal {
		every = 100 * time.Millisecond
	}
	if now := time.Now(); now.Sub(p.drawn) >= every {
		p.drawn = now
		p.draw()
	}
}

// end draws the last state, unless it stands there.
func (p *progress) end() {
	if p.terminal || p.shown != p.done {
		p.draw()
	}
	if p.terminal {
		fmt.Fprintln(p.out)
	}
}

func (p *progress) draw() {
	p.shown = p.done
	if p.terminal {
		fmt.Fprint(p.out, "\r"+p.line()+"\x1b[K")
	} else {
		fmt.Fprintln(p.out, p.line())
	}
}

func (p *progress) line() string {
	const width = 30
	share := 1.0
	if p.total > 0 {
		share = min(float64(p.done)/float64(p.total), 1)
	}
	full := int(share * width)
	elapsed := time.Since(p.begin)
	return fmt.Sprintf("%-9s [%s%s] %3.0f %%  %d of %d, %.0f/s, %s",
		p.what, strings.Repeat("#", full), strings.Repeat(".", width-full), share*100, p.done, p.total,
		float64(p.done)/max(elapsed.Seconds(), 1e-3), elapsed.Round(time.Second))
}
