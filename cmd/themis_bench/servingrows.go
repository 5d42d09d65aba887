package main

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/vecindex"
)

// servingPlan is a filter on a field that every so manyth entity has.
type servingPlan struct {
	percent int
	filter  []predicate
	allows  func(id int) bool
}

func servingPlans() []servingPlan {
	return []servingPlan{
		{100, nil, func(int) bool { return true }},
		{10, []predicate{{Column: "tenth", Value: json.RawMessage("0")}}, func(id int) bool { return id%10 == 0 }},
		{1, []predicate{{Column: "hundredth", Value: json.RawMessage("0")}}, func(id int) bool { return id%100 == 0 }},
	}
}

// servingRow is one filter asked for by so many clients; all figures are medians of
// the rounds.
type servingRow struct {
	Percent int `json:"percent"`
	point
	// ServerCPUMicros and ClientCPUMicros are processor time of a search.
	ServerCPUMicros float64 `json:"server_cpu_micros"`
	ClientCPUMicros float64 `json:"client_cpu_micros"`
	// InProcessMicros is processor time of the same search in this process, under the
	// filter as a bitmap, while nothing else goes on, and BusyMicros while all cores
	// search as they do beside many clients.
	InProcessMicros float64 `json:"in_process_micros"`
	BusyMicros      float64 `json:"in_process_busy_micros"`
	InProcessRecall float64 `json:"in_process_recall"`
}

// served is a loaded server and what it is held against.
type served struct {
	*overHTTP
	pid     int
	w       *workload
	index   vecindex.Index // has the same vectors, in this process
	clients []int
}

// search measures one filter with each number of clients and in this process, in
// turn, several times.
func (f *servingFlags) search(ctx context.Context, s *served, plan servingPlan, ef int) ([]servingRow, error) {
	searches, asked, allow, err := f.prepare(ctx, s, plan, ef)
	if err != nil {
		return nil, err
	}
	atLeast := f.atLeast / time.Duration(f.rounds)
	rounds := make([][]servingRow, len(s.clients))
	for range f.rounds {
		row := servingRow{Percent: plan.percent}
		row.InProcessRecall, row.InProcessMicros, err = searchMicros(ctx, s.index, asked, allow, f.k, ef, 1, atLeast/2)
		if err != nil {
			return nil, err
		}
		if _, row.BusyMicros, err = searchMicros(ctx, s.index, asked, allow, f.k, ef, runtime.GOMAXPROCS(0), atLeast/2); err != nil {
			return nil, err
		}
		for i, clients := range s.clients {
			if _, err := (measurement{f.k, ef, clients, atLeast / 10}).ask(ctx, searches); err != nil { // warms up
				return nil, err
			}
			if err := row.measure(ctx, s.pid, measurement{f.k, ef, clients, atLeast}, searches); err != nil {
				return nil, err
			}
			rounds[i] = append(rounds[i], row)
		}
	}
	var rows []servingRow
	for _, all := range rounds {
		rows = append(rows, medianRow(all))
	}
	return rows, nil
}

// readers are prepared requests and what is found by them.
type readers struct {
	*askers
	found []int // of the k nearest of each query; empty if there are none
}

// ask measures readers as run does an index.
func (m measurement) ask(ctx context.Context, r readers) (point, error) {
	took, latencies, err := r.askers.ask(ctx, m.clients, m.atLeast)
	if err != nil {
		return point{}, err
	}
	return m.point(took, latencies, r.found), nil
}

// prepare writes the requests and finds the exact neighbours under a filter.
func (f *servingFlags) prepare(ctx context.Context, s *served, plan servingPlan, ef int) (readers, *workload, *bitmap.Set, error) {
	asked, none := *s.w, readers{}
	var queries []int
	var ids []uint32
	for i := range s.w.queries.Len() {
		queries = append(queries, i)
	}
	for id := range s.w.base.Len() {
		if plan.allows(id) {
			ids = append(ids, uint32(id))
		}
	}
	var allow *bitmap.Set
	if len(ids) < s.w.base.Len() {
		var err error
		if asked.truth, err = exactAmong(ctx, s.w, queries, ids, f.k); err != nil {
			return none, nil, nil, err
		}
		allow = bitmap.Of(ids...)
	}
	found := make([]int, len(queries))
	searches, err := s.client.newAskers(func(i int, text []byte) error {
		var answer searchAnswer
		if err := json.Unmarshal(text, &answer); err != nil {
			return err
		}
		ids, err := answer.ids()
		found[i] = hits(ids, asked.truth[i][:f.k])
		return err
	})
	if err != nil {
		return none, nil, nil, err
	}
	for _, i := range queries {
		body, err := f.searchBody(s.table, s.w.queries.Row(i), ef, plan.filter)
		if err != nil {
			return none, nil, nil, err
		}
		if err := searches.prepare(s.client, "POST", "/vector/search", body); err != nil {
			return none, nil, nil, err
		}
	}
	return readers{searches, found}, &asked, allow, nil
}

// measure fills in what one series of searches over HTTP comes to.
func (row *servingRow) measure(ctx context.Context, pid int, m measurement, r readers) error {
	server, err1 := processorTime(pid)
	own, err2 := processTime()
	p, err3 := m.ask(ctx, r)
	serverAfter, err4 := processorTime(pid)
	ownAfter, err5 := processTime()
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	row.point = p
	row.ServerCPUMicros = 1000 * ms(serverAfter-server) / float64(p.Searches)
	row.ClientCPUMicros = 1000 * ms(ownAfter-own) / float64(p.Searches)
	return nil
}

// medianRow is the median of each figure.
func medianRow(rounds []servingRow) servingRow {
	row := rounds[0]
	for _, field := range []func(*servingRow) *float64{
		func(r *servingRow) *float64 { return &r.Recall },
		func(r *servingRow) *float64 { return &r.QPS },
		func(r *servingRow) *float64 { return &r.MeanMs },
		func(r *servingRow) *float64 { return &r.P50Ms },
		func(r *servingRow) *float64 { return &r.P99Ms },
		func(r *servingRow) *float64 { return &r.ServerCPUMicros },
		func(r *servingRow) *float64 { return &r.ClientCPUMicros },
		func(r *servingRow) *float64 { return &r.InProcessMicros },
		func(r *servingRow) *float64 { return &r.BusyMicros },
		func(r *servingRow) *float64 { return &r.InProcessRecall },
	} {
		var all []float64
		for i := range rounds {
			all = append(all, *field(&rounds[i]))
		}
		*field(&row) = median(all)
	}
	row.Searches = 0
	for _, r := range rounds {
		row.Searches += r.Searches
	}
	return row
}

// searchMicros is the processor time that a search takes in this process, when so
// many threads search at the same time; each has asked all queries once before.
func searchMicros(ctx context.Context, index vecindex.Index, w *workload, allow *bitmap.Set, k, ef, threads int, atLeast time.Duration) (recall, micros float64, err error) {
	each := make([]float64, threads)
	group, ctx := errgroup.WithContext(ctx)
	for i := range each {
		group.Go(func() error {
			if _, _, err := speed(ctx, index, w, allow, k, ef, 0); err != nil {
				return err
			}
			found, qps, err := speed(ctx, index, w, allow, k, ef, atLeast)
			if each[i] = 1e6 / qps; i == 0 {
				recall = found
			}
			return err
		})
	}
	err = group.Wait()
	return recall, median(each), err
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
