package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/vccdb/vccdb/internal/bitmap"
)

// filteredFlags are the flags of the subcommand filtered.
type filteredFlags struct {
	scenarioFlags
	allowed string
}

func setupFiltered(flags *flag.FlagSet) func(context.Context, output) error {
	var f filteredFlags
	f.register(flags)
	flags.StringVar(&f.allowed, "allowed", "100,50,20,10,5,1,0.1,0.01", "how much of the vectors the filters allow, in percent")
	return f.run
}

// filteredRow is one kind of filter at one selectivity.
type filteredRow struct {
	// Filter is "independent" of the queries or "opposed" to them.
	Filter  string  `json:"filter"`
	Percent float64 `json:"percent"`
	Allowed int     `json:"allowed"`
	asked
}

func (f *filteredFlags) run(ctx context.Context, out output) error {
	percents, err := f.percents()
	if err != nil {
		return err
	}
	all := f.nq
	f.nq = 0 // the queries are chosen among all
	w, err := f.load()
	if err != nil {
		return err
	}
	t, remove, err := f.open(ctx, w, out)
	if err != nil {
		return err
	}
	rows, err := f.measure(ctx, t, w, min(all, w.queries.Len()), percents)
	if err = errors.Join(err, remove()); err != nil {
		return err
	}
	if err := f.finish(rows); err != nil {
		return err
	}
	fmt.Fprintf(out.results, "%s: %d vectors of dimension %d, %s, quantization %s, k=%d, ef=%d\n\n",
		w.name, w.base.Len(), w.base.Dim, w.metric, f.quantization, f.k, f.ef)
	return filteredTable(out.results, rows)
}

func (f *filteredFlags) percents() ([]float64, error) {
	var all []float64
	for text := range strings.SplitSeq(f.allowed, ",") {
		p, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || !(p > 0 && p <= 100) {
			return nil, fmt.Errorf("-allowed is %q; it is a list of percentages like 100,10,0.1", f.allowed)
		}
		all = append(all, p)
	}
	return all, nil
}

func (f *filteredFlags) measure(ctx context.Context, t *inProcess, w *workload, queries int, percents []float64) ([]filteredRow, error) {
	var rows []filteredRow
	for _, filter := range []*ordering{independentOrder(w), opposedOrder(w)} {
		chosen := filter.queries[:queries]
		for _, percent := range percents {
			ids := filter.ids[:min(max(int(math.Round(percent/100*float64(w.base.Len()))), 1), w.base.Len())]
			truth, err := exactAmong(ctx, w, chosen, slices.Sorted(slices.Values(ids)), f.k)
			if err != nil {
				return nil, err
			}
			allow := bitmap.Of(ids...)
			if percent == 100 {
				allow = nil
			}
			a, err := askAll(ctx, t.index, w, chosen, truth, allow, f.k, f.ef)
			if err != nil {
				return nil, err
			}
			rows = append(rows, filteredRow{filter.name, percent, len(ids), a})
		}
	}
	return rows, nil
}

// ordering makes filters: each allows the first so many of the ids. The queries come
// in an order too, and the first ones are asked.
type ordering struct {
	name    string
	ids     []uint32
	queries []int
}

// independentOrder knows nothing of the vectors.
func independentOrder(w *workload) *ordering {
	rng := rand.New(rand.NewPCG(1, 1))
	o := &ordering{name: "independent", queries: rng.Perm(w.queries.Len())}
	for _, id := range rng.Perm(w.base.Len()) {
		o.ids = append(o.ids, uint32(id))
	}
	return o
}

// opposedOrder goes by how far vectors reach in a random direction: the filters allow
// the ones that reach least, and the queries are the ones that reach farthest. So what
// lies near a query is mostly not allowed, as when a German question is asked among
// English texts.
func opposedOrder(w *workload) *ordering {
	rng := rand.New(rand.NewPCG(1, 2))
	direction := make([]float64, w.base.Dim)
	for i := range direction {
		direction[i] = rng.NormFloat64()
	}
	reach := func(v []float32) float64 {
		along, squares := 0.0, 0.0
		for i, x := range v {
			along += float64(x) * direction[i]
			squares += float64(x) * float64(x)
		}
		return along / math.Sqrt(squares)
	}
	o := &ordering{name: "opposed"}
	base, queries := make([]float64, w.base.Len()), make([]float64, w.queries.Len())
	for i := range base {
		base[i] = reach(w.base.Row(i))
		o.ids = append(o.ids, uint32(i))
	}
	for i := range queries {
		queries[i] = reach(w.queries.Row(i))
		o.queries = append(o.queries, i)
	}
	slices.SortFunc(o.ids, func(a, b uint32) int { return cmp.Compare(base[a], base[b]) })
	slices.SortFunc(o.queries, func(a, b int) int { return cmp.Compare(queries[b], queries[a]) })
	return o
}

func filteredTable(out io.Writer, rows []filteredRow) error {
	fmt.Fprint(out, "| filter      | allowed % |  vectors | recall@10 |  p50 ms |  p95 ms | p95 of unfiltered | distances | fallback % |\n")
	fmt.Fprint(out, "|:------------|----------:|---------:|----------:|--------:|--------:|------------------:|----------:|-----------:|\n")
	unfiltered := 0.0
	for _, r := range rows {
		if r.Percent == 100 {
			unfiltered = r.P95Ms
		}
		times := "-"
		if unfiltered > 0 {
			times = fmt.Sprintf("%.2f", r.P95Ms/unfiltered)
		}
		_, err := fmt.Fprintf(out, "| %-11s | %9g | %8d | %9.4f | %7.3f | %7.3f | %17s | %9.0f | %10.1f |\n",
			r.Filter, r.Percent, r.Allowed, r.Recall, r.P50Ms, r.P95Ms, times, r.Distances, 100*r.Fallbacks)
		if err != nil {
			return err
		}
	}
	return nil
}
