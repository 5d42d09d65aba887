package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/dataset"
	"github.com/vccdb/vccdb/vecindex"
)

// churnFlags are the flags of the subcommand churn.
type churnFlags struct {
	scenarioFlags
	rounds  int
	atLeast time.Duration
}

func setupChurn(flags *flag.FlagSet) func(context.Context, output) error {
	var f churnFlags
	f.register(flags)
	flags.IntVar(&f.rounds, "rounds", 10, "rounds; after the last one none of the first vectors is left")
	flags.DurationVar(&f.atLeast, "time", 300*time.Millisecond, "how long to measure each row at least")
	return f.run
}

// churnRow is the index after a round.
type churnRow struct {
	Round int `json:"round"`
	// Fresh is set for an index that was built of the last round's vectors alone.
	Fresh  bool    `json:"fresh,omitempty"`
	Recall float64 `json:"recall"`
	// QPS are searches of one thread per second of processor time.
	QPS        float64 `json:"qps"`
	Tombstones int     `json:"tombstones"`
	Bytes      int64   `json:"bytes"`
}

// churning is an index whose vectors are replaced bit by bit by others of the same
// set: the one half of it goes in at the start, the other half in the course.
type churning struct {
	*churnFlags
	all  *workload
	now  *workload // what is in the index, with the exact neighbours
	ids  []uint32  // of now
	next int       // of all, the first vector that hasn't been in yet
}

func (f *churnFlags) run(ctx context.Context, out output) error {
	all, err := f.load()
	if err != nil {
		return err
	}
	c := &churning{churnFlags: f, all: all, next: all.base.Len() / 2}
	c.now = &workload{name: all.name, metric: all.metric, queries: all.queries, base: dataset.Matrix{Dim: all.base.Dim}}
	c.now.base.Data = append(c.now.base.Data, all.base.Slice(0, c.next).Data...)
	for id := range c.next {
		c.ids = append(c.ids, uint32(id))
	}
	t, remove, err := f.open(ctx, c.now, out)
	if err != nil {
		return err
	}
	rows, err := c.turn(ctx, t.index, out)
	if err = errors.Join(err, remove()); err != nil {
		return err
	}
	if err := f.finish(rows); err != nil {
		return err
	}
	fmt.Fprintf(out.results, "%s: %d of %d vectors of dimension %d, %s, quantization %s, k=%d, ef=%d\n\n",
		all.name, c.now.base.Len(), all.base.Len(), all.base.Dim, all.metric, f.quantization, f.k, f.ef)
	fmt.Fprint(out.results, "|  round | recall@10 |      QPS | tombstones | index MiB |\n|-------:|----------:|---------:|-----------:|----------:|\n")
	for _, r := range rows {
		name := fmt.Sprint(r.Round)
		if r.Fresh {
			name = "fresh"
		}
		fmt.Fprintf(out.results, "| %6s | %9.4f | %8.0f | %10d | %9d |\n", name, r.Recall, r.QPS, r.Tombstones, r.Bytes>>20)
	}
	return nil
}

// turn replaces all vectors, a share in each round, and measures after each; at the
// end it measures an index that was built of the last ones too.
func (c *churning) turn(ctx context.Context, index vecindex.Index, out output) ([]churnRow, error) {
	first, err := c.look(ctx, index, 0)
	if err != nil {
		return nil, err
	}
	rows := []churnRow{first}
	n := c.now.base.Len()
	order := rand.New(rand.NewPCG(1, 3)).Perm(n)
	bar := newProgress(out.progress, "rounds", c.rounds)
	defer bar.end()
	for round := range c.rounds {
		if err := c.replace(ctx, index, order[n*round/c.rounds:n*(round+1)/c.rounds]); err != nil {
			return nil, err
		}
		row, err := c.look(ctx, index, round+1)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
		bar.at(round + 1)
	}
	fresh, err := c.fresh(ctx, index, &rows[len(rows)-1])
	return append(rows, fresh), err
}

// replace puts new vectors in the place of some: every second id is put again, of
// the others the id goes and another one comes.
func (c *churning) replace(ctx context.Context, index vecindex.Index, places []int) error {
	for i, place := range places {
		if i%2 == 0 {
			index.Delete(c.ids[place])
			c.ids[place] = uint32(c.next)
		}
		vector := c.all.base.Row(c.next)
		copy(c.now.base.Row(place), vector)
		if err := errors.Join(index.Admit(ctx), index.Put(c.ids[place], uint64(c.next), vector)); err != nil {
			return err
		}
		c.next++
	}
	return index.Drain(ctx)
}

// look measures the index as it is now.
func (c *churning) look(ctx context.Context, index vecindex.Index, round int) (churnRow, error) {
	truth, err := exactNeighbours(ctx, c.now, c.k)
	if err != nil {
		return churnRow{}, err
	}
	c.now.truth = truth
	for _, row := range truth {
		for i, place := range row {
			row[i] = int32(c.ids[place])
		}
	}
	row := churnRow{Round: round}
	usage := index.Usage()
	row.Tombstones, row.Bytes = usage.Tombstones, usage.Bytes
	row.Recall, row.QPS, err = speed(ctx, index, c.now, nil, c.k, c.ef, c.atLeast)
	return row, err
}

// fresh builds an index of the last vectors and measures both in turn.
func (c *churning) fresh(ctx context.Context, index vecindex.Index, old *churnRow) (churnRow, error) {
	last := *c.now
	t, remove, err := c.open(ctx, &last, silentOutput)
	if err != nil {
		return churnRow{}, err
	}
	places := map[uint32]int32{}
	for place, id := range c.ids {
		places[id] = int32(place)
	}
	last.truth = nil
	for _, row := range c.now.truth {
		var renamed []int32
		for _, id := range row {
			renamed = append(renamed, places[uint32(id)])
		}
		last.truth = append(last.truth, renamed)
	}
	usage := t.index.Usage()
	row := churnRow{Round: c.rounds, Fresh: true, Tombstones: usage.Tombstones, Bytes: usage.Bytes}
	var oldQPS, newQPS []float64
	for range repeats {
		_, qps, err1 := speed(ctx, index, c.now, nil, c.k, c.ef, c.atLeast)
		recall, fresh, err2 := speed(ctx, t.index, &last, nil, c.k, c.ef, c.atLeast)
		if err = errors.Join(err, err1, err2); err != nil {
			break
		}
		row.Recall, oldQPS, newQPS = recall, append(oldQPS, qps), append(newQPS, fresh)
	}
	old.QPS, row.QPS = median(oldQPS), median(newQPS)
	return row, errors.Join(err, remove())
}

// speed asks all queries of w, again and again for a while, and returns the recall
// and how many one thread answers per second of its own processor time, which leaves
// out what linkers and sweepers do beside it.
func speed(ctx context.Context, index vecindex.Index, w *workload, allow *bitmap.Set, k, ef int, atLeast time.Duration) (recall, qps float64, err error) {
	list := make([]vecindex.Hit, 0, k)
	found, count, n := 0, 0, w.queries.Len()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := threadTime()
	if err != nil {
		return 0, 0, err
	}
	for begin := time.Now(); count < n || time.Since(begin) < atLeast; count++ {
		list, _, err = index.Search(ctx, vecindex.Query{Vector: w.queries.Row(count % n), K: k, Ef: ef, Allow: allow}, list[:0])
		if err != nil {
			return 0, 0, err
		}
		if count >= n {
			continue
		}
		found += hits(idsOf(list), w.truth[count][:k])
	}
	after, err := threadTime()
	return float64(found) / float64(n*k), float64(count) / (after - before).Seconds(), err
}
