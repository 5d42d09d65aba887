package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
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
	flags.DurationVar(&f.atLeast, "time", 5*time.Second, "how long to measure each row at least")
	return f.run
}

// servingReport is what serving costs beside the same searches in this process.
type servingReport struct {
	Set          string  `json:"set"`
	Vectors      int     `json:"vectors"`
	Quantization string  `json:"quantization"`
	Ef           int     `json:"ef"`
	InProcess    inHouse `json:"in_process"`
	// AcknowledgedSeconds is when the last batch was durable and searchable,
	// IndexedSeconds when all was linked into the graph.
	AcknowledgedSeconds float64      `json:"acknowledged_seconds"`
	IndexedSeconds      float64      `json:"indexed_seconds"`
	Rows                []servingRow `json:"rows"`
}

// inHouse is the index in this process, without a database around it.
type inHouse struct {
	BuildSeconds float64 `json:"build_seconds"`
	Recall       float64 `json:"recall"`
	// CPUMicros is processor time of a search.
	CPUMicros float64 `json:"cpu_micros"`
}

// servingPlan is a filter on a field that every so manyth entity has.
type servingPlan struct {
	percent int
	filter  []predicate
	allows  func(id int) bool
}

type servingRow struct {
	Percent int `json:"percent"`
	point
	// ServerCPUMicros and ClientCPUMicros are processor time of a search.
	ServerCPUMicros float64 `json:"server_cpu_micros"`
	ClientCPUMicros float64 `json:"client_cpu_micros"`
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
	r := &servingReport{Set: w.name, Vectors: w.base.Len(), Quantization: f.quantization}
	if err := f.inHouse(ctx, w, r, out); err != nil {
		return err
	}
	c, started, err := f.server.connect(ctx, 8)
	if err != nil {
		return err
	}
	if started == nil {
		return fmt.Errorf("a server runs at %s already; choose another -port", c.base)
	}
	err = f.serve(ctx, c, started.cmd.Process.Pid, w, clients, r, out)
	if err = errors.Join(err, started.stop()); err != nil {
		return err
	}
	if err := f.finish(r); err != nil {
		return err
	}
	return r.table(out.results)
}

// inHouse measures the index in this process and chooses the width of the search.
func (f *servingFlags) inHouse(ctx context.Context, w *workload, r *servingReport, out output) error {
	if len(w.truth) == 0 {
		var err error
		if w.truth, err = exactNeighbours(ctx, w, f.k); err != nil {
			return err
		}
	}
	begin := time.Now()
	t, remove, err := f.open(ctx, w, out)
	if err != nil {
		return err
	}
	r.InProcess.BuildSeconds, r.Ef = time.Since(begin).Seconds(), f.ef
	widths := []int{f.ef}
	if f.recall > 0 {
		if widths, err = numbers("ef", usualEfs); err != nil {
			return err
		}
	}
	for _, ef := range widths {
		recall, qps, err := speed(ctx, t.index, w, f.k, ef, f.atLeast/10)
		if err != nil {
			return errors.Join(err, remove())
		}
		r.Ef, r.InProcess.Recall, r.InProcess.CPUMicros = ef, recall, 1e6/qps
		if recall >= f.recall {
			break
		}
	}
	return remove()
}

// serve loads the server and searches it.
func (f *servingFlags) serve(ctx context.Context, c *client, pid int, w *workload, clients []int, r *servingReport, out output) error {
	t := &overHTTP{client: c, table: benchTable}
	if err := f.ingest(ctx, t, w, r, out); err != nil {
		return err
	}
	for _, plan := range []servingPlan{
		{100, nil, func(int) bool { return true }},
		{10, []predicate{{Column: "tenth", Value: json.RawMessage("0")}}, func(id int) bool { return id%10 == 0 }},
		{1, []predicate{{Column: "hundredth", Value: json.RawMessage("0")}}, func(id int) bool { return id%100 == 0 }},
	} {
		if err := f.search(ctx, t, pid, w, clients, plan, r); err != nil {
			return err
		}
	}
	return t.drop(ctx)
}

// ingest creates the table and loads it in batches, each of which is durable and
// searchable when it is answered.
func (f *servingFlags) ingest(ctx context.Context, t *overHTTP, w *workload, r *servingReport, out output) error {
	if err := t.drop(ctx); err != nil {
		return err
	}
	for _, index := range []indexSpec{
		{Column: "embedding", Type: "vector", Config: &vectorConfig{
			Dimension: w.base.Dim, Metric: w.metric.String(), M: f.options.M, EfConstruction: f.options.EfConstruction, Quantization: f.quantization}},
		{Column: "tenth", Type: "equality"},
		{Column: "hundredth", Type: "equality"},
	} {
		index.Table = t.table
		if err := t.client.createIndex(ctx, index); err != nil {
			return err
		}
	}
	n := w.base.Len()
	begin := time.Now()
	var next, done atomic.Int64
	loaders, loading := errgroup.WithContext(ctx)
	for range f.loaders {
		loaders.Go(func() error {
			for {
				from := int(next.Add(int64(f.batch))) - f.batch
				if from >= n {
					return nil
				}
				to := min(n, from+f.batch)
				if err := t.client.putBatch(loading, from, to, func(dst []byte, i int) []byte {
					dst = fmt.Appendf(dst, `{"op":"put","key":"%s:%d","entity":{"tenth":%d,"hundredth":%d,"embedding":`, t.table, i, i%10, i%100)
					return append(f.vector(dst, w.base.Row(i)), '}', '}')
				}); err != nil {
					return err
				}
				done.Add(int64(to - from))
			}
		})
	}
	bar := newProgress(out.progress, "ingesting", n)
	err := loaders.Wait()
	bar.at(int(done.Load()))
	bar.end()
	if err != nil {
		return err
	}
	r.AcknowledgedSeconds = time.Since(begin).Seconds()
	err = t.client.waitLinked(ctx, t.table)
	r.IndexedSeconds = time.Since(begin).Seconds()
	return err
}

// vector appends a vector in the form that is asked for.
func (f *servingFlags) vector(dst []byte, v []float32) []byte {
	if !f.base64 {
		return appendVector(dst, v)
	}
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	dst = append(dst, `{"b64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, raw)
	return append(dst, `"}`...)
}

// search measures one filter with each number of clients.
func (f *servingFlags) search(ctx context.Context, t *overHTTP, pid int, w *workload, clients []int, plan servingPlan, r *servingReport) error {
	asked, target := *w, &preparedSearches{client: t.client, bodies: map[*float32][]byte{}}
	var queries []int
	var ids []uint32
	for id := range w.base.Len() {
		if plan.allows(id) {
			ids = append(ids, uint32(id))
		}
	}
	for i := range w.queries.Len() {
		queries = append(queries, i)
		body, err := f.searchBody(t.table, w.queries.Row(i), r.Ef, plan.filter)
		if err != nil {
			return err
		}
		target.bodies[&w.queries.Row(i)[0]] = body
	}
	if plan.percent < 100 {
		var err error
		if asked.truth, err = exactAmong(ctx, w, queries, ids, f.k); err != nil {
			return err
		}
	}
	for _, n := range clients {
		if _, err := (measurement{f.k, r.Ef, n, f.atLeast / 10}).run(ctx, target, &asked); err != nil { // warms up
			return err
		}
		row := servingRow{Percent: plan.percent}
		server, err1 := processorTime(pid)
		own, err2 := processTime()
		p, err3 := measurement{f.k, r.Ef, n, f.atLeast}.run(ctx, target, &asked)
		serverAfter, err4 := processorTime(pid)
		ownAfter, err5 := processTime()
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			return err
		}
		row.point = p
		row.ServerCPUMicros = 1000 * ms(serverAfter-server) / float64(p.Searches)
		row.ClientCPUMicros = 1000 * ms(ownAfter-own) / float64(p.Searches)
		r.Rows = append(r.Rows, row)
	}
	return nil
}

func (f *servingFlags) searchBody(table string, query []float32, ef int, filter []predicate) ([]byte, error) {
	return json.Marshal(struct {
		searchRequest
		Vector json.RawMessage `json:"vector"`
	}{
		searchRequest{Table: table, Column: "embedding", K: f.k, Ef: ef, Predicates: filter, Return: "keys"},
		f.vector(nil, query),
	})
}

// preparedSearches are requests that were written before the time is taken, by the
// first element of their vectors.
type preparedSearches struct {
	client *client
	bodies map[*float32][]byte
}

func (t *preparedSearches) nearest(ctx context.Context, query []float32, _, _ int) ([]uint32, error) {
	resp, err := t.client.send(ctx, "POST", "/vector/search", "application/json", strings.NewReader(string(t.bodies[&query[0]])))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer searchAnswer
	text, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil {
		return nil, err
	}
	return answer.ids()
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

func (r *servingReport) table(w io.Writer) error {
	fmt.Fprintf(w, "%s: %d vectors, quantization %s\n", r.Set, r.Vectors, r.Quantization)
	fmt.Fprintf(w, "ingest over HTTP: all acknowledged after %.1f s, indexed after %.1f s, %.0f vectors/s; in process %.1f s (%.0f %% of its rate)\n",
		r.AcknowledgedSeconds, r.IndexedSeconds, float64(r.Vectors)/r.IndexedSeconds, r.InProcess.BuildSeconds, 100*r.InProcess.BuildSeconds/r.IndexedSeconds)
	fmt.Fprintf(w, "ef=%d finds %.4f in process, with %.0f us of processor time a search\n\n", r.Ef, r.InProcess.Recall, r.InProcess.CPUMicros)
	fmt.Fprint(w, "| allowed % | clients | recall@10 |      QPS |  p50 ms |  p99 ms | p99/p50 | server us | client us |\n")
	fmt.Fprint(w, "|----------:|--------:|----------:|---------:|--------:|--------:|--------:|----------:|----------:|\n")
	for _, row := range r.Rows {
		_, err := fmt.Fprintf(w, "| %9d | %7d | %9.4f | %8.0f | %7.3f | %7.3f | %7.1f | %9.0f | %9.0f |\n", row.Percent, row.Clients, row.Recall,
			row.QPS, row.P50Ms, row.P99Ms, row.P99Ms/row.P50Ms, row.ServerCPUMicros, row.ClientCPUMicros)
		if err != nil {
			return err
		}
	}
	return nil
}
