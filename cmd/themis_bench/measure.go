package main

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// target is what a measurement searches: an index in this process or a server.
type target interface {
	// nearest returns the ids of the k vectors nearest to query, nearest first.
	// It may be called concurrently.
	nearest(ctx context.Context, query []float32, k, ef int) ([]uint32, error)
}

// point is one measured row: a width of the search and a number of clients that
// ask at the same time, each waiting for its answer before its next question.
type point struct {
	Ef      int `json:"ef"`
	Clients int `json:"clients"`
	// Recall is the mean share of the true k nearest that were found.
	Recall float64 `json:"recall"`
	// QPS are searches per second of all clients together.
	QPS float64 `json:"qps"`
	// Latencies are as a client sees them, in milliseconds.
	MeanMs float64 `json:"mean_ms"`
	P50Ms  float64 `json:"p50_ms"`
	P99Ms  float64 `json:"p99_ms"`
	// Searches is how many were measured.
	Searches int `json:"searches"`
}

// measurement is how a point is measured.
type measurement struct {
	k, ef, clients int
	// atLeast is how long to go on; every query is asked once in any case.
	atLeast time.Duration
}

// run measures one point. Every query counts once for the recall, and the
// latencies of all of its repetitions count.
func (m measurement) run(ctx context.Context, t target, w *workload) (point, error) {
	var asked atomic.Int64
	found := make([]int, w.queries.Len()) // of the k nearest of each query
	latencies := make([][]time.Duration, m.clients)
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for client := range m.clients {
		group.Go(func() error {
			for {
				turn := int(asked.Add(1) - 1)
				if turn >= len(found) && time.Since(begin) >= m.atLeast {
					return nil
				}
				query := turn % len(found)
				start := time.Now()
				ids, err := t.nearest(ctx, w.queries.Row(query), m.k, m.ef)
				if err != nil {
					return err
				}
				latencies[client] = append(latencies[client], time.Since(start))
				if turn < len(found) {
					found[query] = hits(ids, w.truth[query][:m.k])
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return point{}, err
	}
	return m.point(time.Since(begin), slices.Concat(latencies...), found), nil
}

func (m measurement) point(elapsed time.Duration, latencies []time.Duration, found []int) point {
	slices.Sort(latencies)
	p := point{Ef: m.ef, Clients: m.clients, Searches: len(latencies)}
	all, total := 0, time.Duration(0)
	for _, n := range found {
		all += n
	}
	for _, l := range latencies {
		total += l
	}
	if len(found) > 0 {
		p.Recall = float64(all) / float64(len(found)*m.k)
	}
	p.MeanMs = ms(total) / float64(len(latencies))
	p.QPS = float64(len(latencies)) / elapsed.Seconds()
	p.P50Ms = ms(quantile(latencies, 0.50))
	p.P99Ms = ms(quantile(latencies, 0.99))
	return p
}

// quantile is the nearest-rank quantile of a sorted list.
func quantile(sorted []time.Duration, q float64) time.Duration {
	rank := int(q*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// hits counts what of truth is among found.
func hits(found []uint32, truth []int32) int {
	n := 0
	for _, id := range truth {
		if slices.Contains(found, uint32(id)) {
			n++
		}
	}
	return n
}
