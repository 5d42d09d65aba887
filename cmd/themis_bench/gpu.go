package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

type gpuFlags struct {
	server  serverFlags
	clients int
	kills   int
	ef      int
	atLeast time.Duration
	json    string
	work    workloadFlags
}

func setupGPU(flags *flag.FlagSet) func(context.Context, output) error {
	var f gpuFlags
	f.server.register(flags, "data/gpu")
	flags.IntVar(&f.clients, "clients", 32, "clients that search at the same time")
	flags.IntVar(&f.kills, "kills", 3, "how often the worker is killed")
	flags.IntVar(&f.ef, "ef", 64, "width of the searches on the CPU")
	flags.DurationVar(&f.atLeast, "time", 10*time.Second, "how long to measure the CPU, the GPU, and before each kill")
	flags.StringVar(&f.json, "json", "", "file for the result as JSON")
	f.work.register(flags)
	return f.run
}

// Limits of a failover: how long a search may take, and a worker until it answers again.
const (
	longestSearch = time.Second
	backWithin    = 2 * time.Minute
)

// gpuReport is what is measured of a server with a GPU.
type gpuReport struct {
	Vectors   int    `json:"vectors"`
	Dimension int    `json:"dimension"`
	Device    string `json:"device"`
	// CPU and GPU are the same searches answered by either.
	CPU point `json:"cpu"`
	GPU point `json:"gpu"`
	// ByGPU is the part of the second that the GPU answered, MeanBatch how many it
	// answered at once.
	ByGPU     float64 `json:"by_gpu"`
	MeanBatch float64 `json:"mean_batch"`
	// Under load with Kills: searches, half of them exact; those that failed, exact ones
	// with another answer than the CPU's, and the longest.
	Kills     int     `json:"kills"`
	Searches  int     `json:"searches"`
	Failed    int     `json:"failed"`
	Wrong     int     `json:"wrong"`
	LongestMs float64 `json:"longest_ms"`
	// BackMs is how long after each kill a new worker had everything.
	BackMs []float64 `json:"back_ms"`
}

func (f *gpuFlags) run(ctx context.Context, out output) error {
	w, err := f.work.load(ctx, gpuK)
	if err != nil {
		return err
	}
	return f.server.withTable(ctx, w, f.clients, out, func(t *overHTTP) error { return f.measure(ctx, t, w, out.results) })
}

// gpuK is how many neighbours are asked for.
const gpuK = 10

func (f *gpuFlags) measure(ctx context.Context, t *overHTTP, w *workload, results io.Writer) (err error) {
	r := gpuReport{Vectors: w.base.Len(), Dimension: w.base.Dim, Kills: f.kills}
	m := measurement{gpuK, f.ef, f.clients, f.atLeast}
	if r.CPU, err = m.run(ctx, t, w); err != nil {
		return err
	}
	want, err := t.exactAnswers(ctx, w)
	if err != nil {
		return err
	}
	type setting struct {
		Table  string `json:"table"`
		Engine string `json:"engine"`
	}
	if _, err = call[acknowledged](ctx, t.client, "PUT", "/vector/index/config", setting{t.table, "gpu"}); err != nil {
		return err
	}
	before, err := t.awaitGPU(ctx, func(*gpuState) bool { return true })
	if err != nil {
		return err
	}
	r.Device = before.Worker.Device.Name
	if r.GPU, err = m.run(ctx, t, w); err != nil {
		return err
	}
	after, err := t.gpuState(ctx)
	if err != nil {
		return err
	}
	r.ByGPU = float64(after.searches()-before.searches()) / float64(r.GPU.Searches)
	if batches := after.Worker.Batches - before.Worker.Batches; batches > 0 {
		r.MeanBatch = float64(after.Worker.Answered-before.Worker.Answered) / float64(batches)
	}
	if err := f.failOver(ctx, t, w, want, &r); err != nil {
		return err
	}
	if f.json != "" {
		if err := writeFile(f.json, func(w io.Writer) error { return json.NewEncoder(w).Encode(r) }); err != nil {
			return err
		}
	}
	return errors.Join(r.print(results), r.judge())
}

// failOver kills the worker again and again while clients search.
func (f *gpuFlags) failOver(ctx context.Context, t *overHTTP, w *workload, want []searchAnswer, r *gpuReport) error {
	load, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	var turn, failed, wrong, longest atomic.Int64
	for range f.clients {
		clients.Go(func() {
			for load.Err() == nil {
				n := int(turn.Add(1) - 1)
				query, exact := n/2%w.queries.Len(), n%2 == 0
				began := time.Now()
				answer, err := t.search(ctx, w.queries.Row(query), f.ef, exact)
				took := int64(time.Since(began))
				for most := longest.Load(); took > most && !longest.CompareAndSwap(most, took); most = longest.Load() {
				}
				switch {
				case err != nil:
					failed.Add(1)
				case exact && !reflect.DeepEqual(*answer, want[query]):
					wrong.Add(1)
				}
			}
		})
	}
	err := f.kill(ctx, t, r)
	stop()
	clients.Wait()
	r.Searches, r.Failed, r.Wrong, r.LongestMs = int(turn.Load()), int(failed.Load()), int(wrong.Load()), ms(time.Duration(longest.Load()))
	return err
}

// kill ends the worker as often as is wanted, and waits for the next one each time.
func (f *gpuFlags) kill(ctx context.Context, t *overHTTP, r *gpuReport) error {
	for range f.kills {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(f.atLeast):
		}
		s, err := t.gpuState(ctx)
		if err != nil {
			return err
		}
		pid, answered := s.Worker.PID, s.searches()
		if pid == 0 {
			return fmt.Errorf("there is no worker to kill: %s", s.why())
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("the worker, process %d, can't be killed (is the server on this machine?): %w", pid, err)
		}
		killed := time.Now()
		if _, err := t.awaitGPU(ctx, func(s *gpuState) bool { return s.Worker.PID != pid && s.searches() > answered }); err != nil {
			return err
		}
		r.BackMs = append(r.BackMs, ms(time.Since(killed)))
	}
	return nil
}

// gpuState is the part of GET /stats that tells of the GPU.
type gpuState struct {
	Reason string `json:"reason"`
	Worker struct {
		State    string `json:"state"`
		PID      int    `json:"pid"`
		Answered uint64 `json:"answered"`
		Batches  uint64 `json:"batches"`
		Device   struct {
			Name string `json:"name"`
		} `json:"device"`
	} `json:"worker"`
	Indexes []gpuIndex `json:"indexes"`
}

// gpuIndex is one vector index of the server.
type gpuIndex struct {
	Table    string `json:"table"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Searches uint64 `json:"searches"`
}

// index is the table's, empty if it uses no GPU.
func (s *gpuState) index() gpuIndex {
	for _, i := range s.Indexes {
		if i.Table == benchTable {
			return i
		}
	}
	return gpuIndex{}
}

func (s *gpuState) searches() uint64 { return s.index().Searches }

// why says why the GPU doesn't answer.
func (s *gpuState) why() string {
	if i := s.index(); i.Reason != "" {
		return i.Reason
	}
	return s.Reason
}

// hopeless says that waiting doesn't help.
func (s *gpuState) hopeless() bool {
	return s.Worker.State == "unavailable" || s.Worker.State == "failed" || s.index().State == "too_large"
}

func (t *overHTTP) gpuState(ctx context.Context) (*gpuState, error) {
	type stats struct {
		GPU gpuState `json:"gpu"`
	}
	s, err := call[stats](ctx, t.client, "GET", "/stats", nil)
	if err != nil {
		return nil, err
	}
	return &s.GPU, nil
}

// awaitGPU waits until the table's index is on the GPU, and good besides.
func (t *overHTTP) awaitGPU(ctx context.Context, good func(*gpuState) bool) (*gpuState, error) {
	ctx, cancel := context.WithTimeout(ctx, backWithin)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	last := &gpuState{Reason: "the server doesn't say why"}
	for {
		s, err := t.gpuState(ctx)
		if err == nil && s.index().State == "ready" && good(s) {
			return s, nil
		}
		if err == nil {
			last = s
		}
		if last.hopeless() || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("the GPU doesn't answer: %s", last.why()), ctx.Err())
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

func (t *overHTTP) search(ctx context.Context, query []float32, ef int, exact bool) (*searchAnswer, error) {
	return call[searchAnswer](ctx, t.client, "POST", "/vector/search",
		searchRequest{Table: t.table, Column: "embedding", Vector: query, K: gpuK, Ef: ef, Exact: exact, Return: "keys"})
}

// exactAnswers are those of all queries.
func (t *overHTTP) exactAnswers(ctx context.Context, w *workload) ([]searchAnswer, error) {
	answers := make([]searchAnswer, w.queries.Len())
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range answers {
		group.Go(func() error {
			a, err := t.search(ctx, w.queries.Row(i), 0, true)
			if err == nil {
				answers[i] = *a
			}
			return err
		})
	}
	return answers, group.Wait()
}

// judge is an error if what a GPU is promised to do doesn't hold.
func (r *gpuReport) judge() error {
	var err error
	if r.Failed > 0 || r.Wrong > 0 {
		err = fmt.Errorf("%d searches failed and %d exact ones were answered otherwise than by the CPU", r.Failed, r.Wrong)
	}
	if longest := ms(longestSearch); r.LongestMs > longest {
		err = errors.Join(err, fmt.Errorf("a search took %.0f ms beside a worker that was killed, and %.0f is the most", r.LongestMs, longest))
	}
	if r.ByGPU == 0 {
		err = errors.Join(err, errors.New("the GPU answered no search"))
	}
	return err
}

func (r *gpuReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%d vectors of dimension %d on %s, %d clients\n\n", r.Vectors, r.Dimension, r.Device, r.GPU.Clients)
	fmt.Fprintf(w, "| searched by | recall@%d |      QPS |  p50 ms |  p99 ms |\n|:------------|----------:|---------:|--------:|--------:|\n", gpuK)
	for _, row := range []struct {
		by string
		point
	}{{"CPU", r.CPU}, {"GPU", r.GPU}} {
		fmt.Fprintf(w, "| %-11s | %9.4f | %8.0f | %7.3f | %7.3f |\n", row.by, row.Recall, row.QPS, row.P50Ms, row.P99Ms)
	}
	fmt.Fprintf(w, "\n%.1f %% of the second row were answered by the GPU, %.1f at once\n", 100*r.ByGPU, r.MeanBatch)
	_, err := fmt.Fprintf(w, "worker killed %d times under load: of %d searches %d failed, %d exact ones were wrong, the longest took %.0f ms; back after %.0f ms\n",
		r.Kills, r.Searches, r.Failed, r.Wrong, r.LongestMs, r.BackMs)
	return err
}
