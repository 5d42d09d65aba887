package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/vccdb/vccdb/vecindex"
)

// servingFlags are the flags of the subcommand serving.
type servingFlags struct {
	scenarioFlags
	server         serverFlags
	batch, loaders int
	clients        string
	recall         float64
	base64         bool
	atLeast        time.Duration
	rounds         int
	phase          time.Duration
	besideRounds   int
}

func setupServing(flags *flag.FlagSet) func(context.Context, output) error {
	var f servingFlags
	f.register(flags)
	f.server.register(flags, "data/serving")
	flags.IntVar(&f.batch, "batch", 1000, "entities per request of the load")
	flags.IntVar(&f.loaders, "loaders", 2, "concurrent requests of the load")
	flags.StringVar(&f.clients, "clients", "1,8", "numbers of concurrent clients that search")
	flags.Float64Var(&f.recall, "recall", 0.95, "search with the smallest width that finds so much in this process; 0 takes -ef")
	flags.BoolVar(&f.base64, "b64", false, "send vectors as base64 instead of arrays of numbers")
	flags.DurationVar(&f.atLeast, "time", 5*time.Second, "how long to measure each row at least, all rounds together")
	flags.IntVar(&f.rounds, "rounds", 3, "how often each row is measured, in turn with the same searches in this process")
	flags.DurationVar(&f.phase, "phase", 3*time.Second, "how long to read alone and beside writers, each; 0 leaves that out")
	flags.IntVar(&f.besideRounds, "phases", 5, "how often")
	return f.run
}

// servingReport is what serving costs beside the same searches in this process.
type servingReport struct {
	Set          string  `json:"set"`
	Vectors      int     `json:"vectors"`
	Dimension    int     `json:"dimension"`
	Quantization string  `json:"quantization"`
	Ef           int     `json:"ef"`
	InProcess    inHouse `json:"in_process"`
	// AcknowledgedSeconds is when the last batch was durable and searchable,
	// IndexedSeconds when all was linked into the graph.
	AcknowledgedSeconds float64 `json:"acknowledged_seconds"`
	IndexedSeconds      float64 `json:"indexed_seconds"`
	// PrepareCPUSeconds is processor time of writing the requests, before the load;
	// IngestServerCPUSeconds and IngestClientCPUSeconds are that of the load.
	PrepareCPUSeconds      float64      `json:"prepare_cpu_seconds"`
	IngestServerCPUSeconds float64      `json:"ingest_server_cpu_seconds"`
	IngestClientCPUSeconds float64      `json:"ingest_client_cpu_seconds"`
	Rows                   []servingRow `json:"rows"`
	Beside                 []besideRow  `json:"beside"`
	// Batch, Writers and Clients are those of Beside.
	Batch   int `json:"batch"`
	Writers int `json:"writers"`
	Clients int `json:"clients"`
}

// inHouse is the index in this process, without a database around it.
type inHouse struct {
	BuildSeconds    float64 `json:"build_seconds"`
	BuildCPUSeconds float64 `json:"build_cpu_seconds"`
	Recall          float64 `json:"recall"`
	// CPUMicros is processor time of a search without a filter.
	CPUMicros float64 `json:"cpu_micros"`
}

func (f *servingFlags) run(ctx context.Context, out output) error {
	if f.server.start == "" {
		return errors.New("say with -start where themis_server is: its processor time is measured")
	}
	clients, err := numbers("clients", f.clients)
	if err != nil {
		return err
	}
	w, err := f.load()
	if err != nil {
		return err
	}
	if len(w.truth) == 0 {
		if w.truth, err = exactNeighbours(ctx, w, f.k); err != nil {
			return err
		}
	}
	r := &servingReport{
		Set: w.name, Vectors: w.base.Len(), Dimension: w.base.Dim, Quantization: f.quantization,
		Batch: f.batch, Writers: f.loaders, Clients: slices.Max(clients),
	}
	t, remove, err := f.inHouse(ctx, w, r, out)
	if err != nil {
		return err
	}
	if err := errors.Join(f.overHTTP(ctx, w, t.index, clients, r, out), remove()); err != nil {
		return err
	}
	if err := f.finish(r); err != nil {
		return err
	}
	return r.table(out.results)
}

// overHTTP measures a server of its own.
func (f *servingFlags) overHTTP(ctx context.Context, w *workload, index vecindex.Index, clients []int, r *servingReport, out output) error {
	c, started, err := f.server.connect(ctx, r.Clients)
	if err != nil {
		return err
	}
	if started == nil {
		return fmt.Errorf("a server runs at %s already; choose another -port", c.base)
	}
	s := &served{&overHTTP{c, benchTable}, started.cmd.Process.Pid, w, index, clients}
	return errors.Join(f.serve(ctx, s, r, out), started.stop())
}

// inHouse builds the index in this process and chooses the width of the search. It
// returns the index and how to remove it.
func (f *servingFlags) inHouse(ctx context.Context, w *workload, r *servingReport, out output) (*inProcess, func() error, error) {
	watch, err := startWatch()
	if err != nil {
		return nil, nil, err
	}
	t, remove, err := f.open(ctx, w, out)
	if err != nil {
		return nil, nil, err
	}
	wall, cpu, err := watch.elapsed()
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	r.InProcess = inHouse{BuildSeconds: wall.Seconds(), BuildCPUSeconds: cpu.Seconds()}
	widths := []int{f.ef}
	if f.recall > 0 {
		if widths, err = numbers("ef", usualEfs); err != nil {
			return nil, nil, errors.Join(err, remove())
		}
	}
	for _, r.Ef = range widths {
		r.InProcess.Recall, r.InProcess.CPUMicros, err = searchMicros(ctx, t.index, w, nil, f.k, r.Ef, 1, f.atLeast/10)
		if err != nil {
			return nil, nil, errors.Join(err, remove())
		}
		if r.InProcess.Recall >= f.recall {
			break
		}
	}
	return t, remove, nil
}

// serve loads the server, searches it, and searches it beside writers.
func (f *servingFlags) serve(ctx context.Context, s *served, r *servingReport, out output) error {
	if err := f.ingest(ctx, s, r, out); err != nil {
		return err
	}
	for _, plan := range servingPlans() {
		rows, err := f.search(ctx, s, plan, r.Ef)
		if err != nil {
			return err
		}
		r.Rows = append(r.Rows, rows...)
	}
	if f.phase > 0 {
		var err error
		if r.Beside, err = f.beside(ctx, s, r.Ef, out); err != nil {
			return err
		}
	}
	return s.drop(ctx)
}

func (r *servingReport) table(w io.Writer) error {
	var b strings.Builder
	n := float64(r.Vectors)
	fmt.Fprintf(&b, "%s: %d vectors of dimension %d, quantization %s\n\n", r.Set, r.Vectors, r.Dimension, r.Quantization)
	fmt.Fprint(&b, "| ingest     | acknowledged s | indexed s | vectors/s | server us | client us |\n")
	fmt.Fprint(&b, "|:-----------|---------------:|----------:|----------:|----------:|----------:|\n")
	fmt.Fprintf(&b, "| over HTTP  | %14.1f | %9.1f | %9.0f | %9.0f | %9.0f |\n", r.AcknowledgedSeconds, r.IndexedSeconds, n/r.IndexedSeconds,
		1e6*r.IngestServerCPUSeconds/n, 1e6*r.IngestClientCPUSeconds/n)
	fmt.Fprintf(&b, "| in process | %14s | %9.1f | %9.0f | %9s | %9.0f |\n", "-", r.InProcess.BuildSeconds, n/r.InProcess.BuildSeconds,
		"-", 1e6*r.InProcess.BuildCPUSeconds/n)
	fmt.Fprintf(&b, "\nbatches of %d, written before in %.0f us a vector, %d connections: %.0f %% of the rate in process; by processor time, the client's included, %.0f %%\n",
		r.Batch, 1e6*r.PrepareCPUSeconds/n, r.Writers, 100*r.InProcess.BuildSeconds/r.IndexedSeconds,
		100*r.InProcess.BuildCPUSeconds/(r.IngestServerCPUSeconds+r.IngestClientCPUSeconds))
	fmt.Fprintf(&b, "\nSearches with ef=%d, which finds %.4f in process; microseconds are processor time of a search\n\n", r.Ef, r.InProcess.Recall)
	fmt.Fprint(&b, "| allowed % | clients | recall@10 | in process |      QPS |  p50 ms |  p99 ms | p99/p50 | server us | in process us | all cores us | beyond us | client us |\n")
	fmt.Fprint(&b, "|----------:|--------:|----------:|-----------:|---------:|--------:|--------:|--------:|----------:|--------------:|-------------:|----------:|----------:|\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %9d | %7d | %9.4f | %10.4f | %8.0f | %7.3f | %7.3f | %7.1f | %9.0f | %13.0f | %12.0f | %9.0f | %9.0f |\n", row.Percent, row.Clients,
			row.Recall, row.InProcessRecall, row.QPS, row.P50Ms, row.P99Ms, row.P99Ms/row.P50Ms, row.ServerCPUMicros, row.InProcessMicros, row.BusyMicros,
			row.ServerCPUMicros-row.InProcessMicros, row.ClientCPUMicros)
	}
	if len(r.Beside) > 0 {
		r.besideTable(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *servingReport) besideTable(b *strings.Builder) {
	fmt.Fprintf(b, "\n%d clients that read, alone and beside %d connections that replace vectors, in batches of %d or one by one\n\n", r.Clients, r.Writers, r.Batch)
	fmt.Fprint(b, "| readers | writers |      QPS |  p50 ms |  p99 ms | p99/p50 | p99 x | writes/s |\n")
	fmt.Fprint(b, "|:--------|:--------|---------:|--------:|--------:|--------:|------:|---------:|\n")
	for _, row := range r.Beside {
		writers := row.Writers
		if writers == "" {
			writers = "none"
		}
		fmt.Fprintf(b, "| %-7s | %-7s | %8.0f | %7.3f | %7.3f | %7.1f | %5s | %8s |\n", row.Readers, writers, row.QPS, row.P50Ms, row.P99Ms, row.P99Ms/row.P50Ms,
			orDash("%.2f", row.P99Times), orDash("%.0f", row.WritesPerSecond))
	}
}
