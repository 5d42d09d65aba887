package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/vccdb/vccdb/vecindex/hnsw"
)

// recallFlags are the flags of the subcommand recall.
type recallFlags struct {
	data         workloadFlags
	server       serverFlags
	http         bool
	k            int
	ef, clients  string
	m, efc       int
	atLeast      time.Duration
	json         string
	keep         bool
	efs, clientN []int
}

func setupRecall(flags *flag.FlagSet) func(context.Context, output) error {
	var f recallFlags
	f.data.register(flags)
	f.server.register(flags, "data/bench")
	flags.BoolVar(&f.http, "http", false, "search a server instead of an index in this process")
	flags.IntVar(&f.k, "k", 10, "neighbours per query")
	flags.StringVar(&f.ef, "ef", "16,32,64,128,256", "widths of the search")
	flags.StringVar(&f.clients, "clients", "1,8", "numbers of concurrent clients")
	flags.IntVar(&f.m, "m", 16, "links per node")
	flags.IntVar(&f.efc, "efc", 200, "efConstruction")
	flags.DurationVar(&f.atLeast, "time", 3*time.Second, "how long to measure each row at least")
	flags.StringVar(&f.json, "json", "", "file for the result as JSON")
	flags.BoolVar(&f.keep, "keep", false, "with -http: keep the table "+benchTable)
	return f.run
}

func (f *recallFlags) run(ctx context.Context, out output) error {
	var err error
	if f.efs, err = numbers("ef", f.ef); err != nil {
		return err
	}
	if f.clientN, err = numbers("clients", f.clients); err != nil {
		return err
	}
	w, err := f.data.load(ctx, f.k)
	if err != nil {
		return err
	}
	r := &report{
		Time: time.Now().UTC(), Command: strings.Join(os.Args, " "), Machine: thisMachine(),
		Dataset: w.name, Vectors: w.base.Len(), Dimension: w.base.Dim, Metric: w.metric.String(),
		Queries: w.queries.Len(), K: f.k,
		Index: fmt.Sprintf("hnsw, M=%d, efConstruction=%d", f.m, f.efc),
	}
	if f.http {
		err = f.overHTTP(ctx, w, r, out)
	} else {
		err = f.inProcess(ctx, w, r, out)
	}
	if err != nil {
		return err
	}
	if f.json != "" {
		if err := writeFile(f.json, r.json); err != nil {
			return err
		}
	}
	return r.table(out.results)
}

func (f *recallFlags) inProcess(ctx context.Context, w *workload, r *report, out output) error {
	begin := time.Now()
	t, err := build(ctx, w, hnsw.Options{M: f.m, EfConstruction: f.efc}, out)
	if err != nil {
		return err
	}
	r.Target, r.LoadSeconds = "in-process", time.Since(begin).Seconds()
	r.Index += ", kernel " + t.index.Stats().Kernel
	return errors.Join(f.measure(ctx, t, w, r), t.index.Close())
}

func (f *recallFlags) overHTTP(ctx context.Context, w *workload, r *report, out output) error {
	most := 1
	for _, n := range f.clientN {
		most = max(most, n)
	}
	c, started, err := f.server.connect(ctx, most)
	if err != nil {
		return err
	}
	begin := time.Now()
	t, err := loadTable(ctx, c, w, vectorConfig{M: f.m, EfConstruction: f.efc}, out)
	if err == nil {
		r.Target, r.LoadSeconds = "HTTP, "+c.base, time.Since(begin).Seconds()
		err = f.measure(ctx, t, w, r)
	}
	if t != nil && !f.keep {
		err = errors.Join(err, t.drop(context.WithoutCancel(ctx)))
	}
	if started != nil {
		err = errors.Join(err, started.stop())
	}
	return err
}

// measure fills in the points of r.
func (f *recallFlags) measure(ctx context.Context, t target, w *workload, r *report) error {
	for _, clients := range f.clientN {
		for _, ef := range f.efs {
			p, err := measurement{f.k, ef, clients, f.atLeast}.run(ctx, t, w)
			if err != nil {
				return err
			}
			r.Points = append(r.Points, p)
		}
	}
	return nil
}

// numbers reads a list like 16,32,64.
func numbers(name, list string) ([]int, error) {
	var all []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-%s is %q; it is a list of positive numbers like 16,32", name, list)
		}
		all = append(all, n)
	}
	return all, nil
}
