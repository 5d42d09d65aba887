package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vccdb/vccdb/internal/dataset"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/hnsw"
)

// ourPeer is the subcommand peer: our index in the place of a peer.
type ourPeer struct {
	base, queries string
	metric        string
	quantization  string
	options       hnsw.Options

	questions dataset.Matrix
	index     *hnsw.Index
	hits      []vecindex.Hit
}

func setupPeer(flags *flag.FlagSet) func(context.Context, output) error {
	var p ourPeer
	flags.StringVar(&p.base, "base", "", "fvecs file with the vectors to index")
	flags.StringVar(&p.queries, "queries", "", "fvecs file with the queries")
	flags.StringVar(&p.metric, "metric", "cosine", "cosine, l2 or dot")
	flags.StringVar(&p.quantization, "quantization", "none", "none, int8 or fastscan")
	flags.IntVar(&p.options.M, "m", 16, "links per node")
	flags.IntVar(&p.options.EfConstruction, "efc", 200, "efConstruction")
	flags.IntVar(&p.options.Workers, "threads", 2, "threads that build")
	flags.StringVar(&p.options.Dir, "cold", "", "folder for the vectors that a quantized index keeps in a file; memory when empty")
	return func(ctx context.Context, out output) error {
		if err := p.prepare(); err != nil {
			return err
		}
		return errors.Join(p.serve(ctx, os.Stdin, out.results), p.close())
	}
}

func (p *ourPeer) prepare() error {
	var ok bool
	if p.options.Metric, ok = vecindex.ParseMetric(p.metric); !ok {
		return fmt.Errorf("-metric is %q; it can be cosine, l2 or dot", p.metric)
	}
	if p.options.Quantization, ok = vecindex.ParseQuantization(p.quantization); !ok {
		return fmt.Errorf("-quantization is %q; it can be none, int8 or fastscan", p.quantization)
	}
	var err error
	p.questions, err = readFile(p.queries, 0, dataset.ReadFvecs)
	return err
}

func (p *ourPeer) close() error {
	if p.index == nil {
		return nil
	}
	return p.index.Close()
}

// serve answers the requests of in until it ends.
func (p *ourPeer) serve(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	answers := bufio.NewWriter(out)
	for lines.Scan() {
		if err := p.answer(ctx, lines.Text(), answers); err != nil {
			return err
		}
		if err := answers.Flush(); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (p *ourPeer) answer(ctx context.Context, line string, out io.Writer) error {
	var k, ef int
	var micros int64
	switch {
	case line == "build":
		return p.build(ctx, out)
	case scan(line, "search %d %d %d", &k, &ef, &micros) && p.index != nil:
		return p.search(ctx, k, ef, time.Duration(micros)*time.Microsecond, out)
	}
	return fmt.Errorf("unknown request %q", line)
}

func (p *ourPeer) build(ctx context.Context, out io.Writer) error {
	base, err := readFile(p.base, 0, dataset.ReadFvecs)
	if err != nil {
		return err
	}
	p.options.Dimension = base.Dim
	watch, err := startWatch()
	if err != nil {
		return err
	}
	if p.index, err = hnsw.New(p.options); err != nil {
		return err
	}
	if err := fill(ctx, p.index, &workload{base: base}, silentOutput); err != nil {
		return err
	}
	wall, cpu, err := watch.elapsed()
	if err != nil {
		return err
	}
	base = dataset.Matrix{}
	debug.FreeOSMemory()
	_, err = fmt.Fprintf(out, "built %d %d\n", wall, cpu)
	return err
}

func (p *ourPeer) search(ctx context.Context, k, ef int, atLeast time.Duration, out io.Writer) error {
	found := make([]int32, 0, p.questions.Len()*k)
	watch, err := startWatch()
	if err != nil {
		return err
	}
	count := 0
	for ; count < p.questions.Len() || time.Since(watch.begin) < atLeast; count++ {
		query := vecindex.Query{Vector: p.questions.Row(count % p.questions.Len()), K: k, Ef: ef}
		if p.hits, _, err = p.index.Search(ctx, query, p.hits[:0]); err != nil {
			return err
		}
		if count >= p.questions.Len() {
			continue
		}
		for i := range k {
			id := int32(-1)
			if i < len(p.hits) {
				id = int32(p.hits[i].ID)
			}
			found = append(found, id)
		}
	}
	wall, cpu, err := watch.elapsed()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "searched %d %d %d\n", count, wall, cpu); err != nil {
		return err
	}
	return binary.Write(out, binary.LittleEndian, found)
}

// watch measures time and the processor time of this process.
type watch struct {
	begin time.Time
	used  time.Duration
}

func startWatch() (watch, error) {
	used, err := processTime()
	return watch{time.Now(), used}, err
}

func (w watch) elapsed() (wall, cpu time.Duration, err error) {
	used, err := processTime()
	return time.Since(w.begin), used - w.used, err
}

// processTime is the processor time that all threads of this process have used,
// threadTime what the calling one has.
func processTime() (time.Duration, error) { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }
func threadTime() (time.Duration, error)  { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

func clock(id int32) (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(id, &t)
	return time.Duration(t.Nano()), err
}
