package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/vecindex"
)

// filteredFlags are the flags of the subcommand filtered.
type filteredFlags struct {
	scenarioFlags
	allowed string
	far     int
}

func setupFiltered(flags *flag.FlagSet) func(context.Context, output) error {
	var f filteredFlags
	f.register(flags)
	flags.Lookup("quantization").Usage = "some of none, int8 and fastscan, with commas between them"
	flags.StringVar(&f.allowed, "allowed", "100,50,20,10,5,1,0.1,0.01", "how much of the vectors the filters allow, in percent")
	flags.IntVar(&f.far, "far", 50, "number of queries that are asked among the vectors farthest from each")
	return f.run
}

// filteredRow is one kind of filter at one selectivity.
type filteredRow struct {
	Quantization string `json:"quantization"`
	// Filter is "independent" of the queries, "opposed" to them, or leaves only what
	// is "far" from each.
	Filter  string  `json:"filter"`
	Percent float64 `json:"percent"`
	Allowed int     `json:"allowed"`
	asked
	// P95Times is P95Ms against that of the same queries without a filter.
	P95Times float64 `json:"p95_times"`
}

func (f *filteredFlags) run(ctx context.Context, out output) error {
	percents, err := f.percents()
	if err != nil {
		return err
	}
	quantizations := strings.Split(f.quantization, ",")
	all := f.nq
	f.nq = 0 // the queries are chosen among all
	var w *workload
	var kinds []*filterKind
	var rows []filteredRow
	for _, f.quantization = range quantizations {
		if w == nil {
			if w, err = f.load(); err != nil {
				return err
			}
			if kinds, err = f.kinds(ctx, w, min(all, w.queries.Len()), percents); err != nil {
				return err
			}
		} else if err := f.parseQuantization(); err != nil {
			return err
		}
		some, err := f.one(ctx, w, kinds, percents, out)
		if err != nil {
			return err
		}
		rows = append(rows, some...)
	}
	if err := f.finish(rows); err != nil {
		return err
	}
	fmt.Fprintf(out.results, "%s: %d vectors of dimension %d, %s, k=%d, ef=%d; %d queries, %d of them far\n\n",
		w.name, w.base.Len(), w.base.Dim, w.metric, f.k, f.ef, min(all, w.queries.Len()), f.far)
	return filteredTable(out.results, rows)
}

// percents are the shares that filters allow, the most first: 100, the one that the
// others are held against, is always among them.
func (f *filteredFlags) percents() ([]float64, error) {
	all := []float64{100}
	for text := range strings.SplitSeq(f.allowed, ",") {
		p, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || !(p > 0 && p <= 100) {
			return nil, fmt.Errorf("-allowed is %q; it is a list of percentages like 100,10,0.1", f.allowed)
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b float64) int { return int(math.Copysign(1, b-a)) })
	return slices.Compact(all), nil
}

// one builds an index and measures it.
func (f *filteredFlags) one(ctx context.Context, w *workload, kinds []*filterKind, percents []float64, out output) ([]filteredRow, error) {
	t, remove, err := f.open(ctx, w, out)
	if err != nil {
		return nil, err
	}
	var rows []filteredRow
	for _, kind := range kinds {
		asking := make([]asking, len(percents))
		if err := kind.ask(ctx, t.index, asking, f.k, f.ef); err != nil {
			return nil, errors.Join(err, remove())
		}
		for i, percent := range percents {
			row := filteredRow{f.quantization, kind.name, percent, allowedOf(w, percent), asking[i].result(), 1}
			if i > 0 {
				row.P95Times = row.P95Ms / rows[len(rows)-i].P95Ms
			}
			rows = append(rows, row)
		}
	}
	return rows, remove()
}

// allowedOf is how many vectors a percentage of them are.
func allowedOf(w *workload, percent float64) int {
	return min(max(int(math.Round(percent/100*float64(w.base.Len()))), 1), w.base.Len())
}

// filterKind is one kind of filter in use.
type filterKind struct {
	name string
	// ask asks the queries within what each percentage allows, the one percentage
	// after the other, again and again, so that what else the machine does meets all.
	ask func(ctx context.Context, index vecindex.Index, into []asking, k, ef int) error
}

func (f *filteredFlags) kinds(ctx context.Context, w *workload, queries int, percents []float64) ([]*filterKind, error) {
	var all []*filterKind
	for _, order := range []*ordering{independentOrder(w), opposedOrder(w)} {
		kind, err := f.shared(ctx, w, order, queries, percents)
		if err != nil {
			return nil, err
		}
		all = append(all, kind)
	}
	f.far = min(f.far, queries)
	if f.far < 1 {
		return all, nil
	}
	far, err := f.farthest(ctx, w, percents)
	return append(all, far), err
}

// shared filters are the same for all queries.
func (f *filteredFlags) shared(ctx context.Context, w *workload, order *ordering, queries int, percents []float64) (*filterKind, error) {
	chosen := order.queries[:queries]
	questions := make([][]question, len(percents))
	for at, percent := range percents {
		ids := order.ids[:allowedOf(w, percent)]
		truth, err := exactAmong(ctx, w, chosen, slices.Sorted(slices.Values(ids)), f.k)
		if err != nil {
			return nil, err
		}
		allow := allowing(w, ids)
		for i, query := range chosen {
			questions[at] = append(questions[at], question{w.queries.Row(query), allow, truth[i]})
		}
	}
	return &filterKind{order.name, func(ctx context.Context, index vecindex.Index, into []asking, k, ef int) error {
		for range repeats {
			for at := range into {
				for i, q := range questions[at] {
					if err := into[at].ask(ctx, index, i, q, k, ef); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}}, nil
}

// farthest filters are another for each query, made when it is asked since together
// they would be large.
func (f *filteredFlags) farthest(ctx context.Context, w *workload, percents []float64) (*filterKind, error) {
	orders, err := farOrders(ctx, w, f.far)
	if err != nil {
		return nil, err
	}
	return &filterKind{"far", func(ctx context.Context, index vecindex.Index, into []asking, k, ef int) error {
		for query, order := range orders {
			questions := make([]question, len(percents))
			for at, percent := range percents {
				ids := order[:allowedOf(w, percent)]
				questions[at] = question{w.queries.Row(query), allowing(w, ids), nil}
				for _, id := range slices.Backward(ids[max(0, len(ids)-k):]) {
					questions[at].truth = append(questions[at].truth, int32(id))
				}
			}
			for range repeats {
				for at, q := range questions {
					if err := into[at].ask(ctx, index, query, q, k, ef); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}}, nil
}

// allowing is a filter that lets ids through: none if that is all.
func allowing(w *workload, ids []uint32) *bitmap.Set {
	if len(ids) == w.base.Len() {
		return nil
	}
	return bitmap.Of(ids...)
}

// filteredTable has the kinds of filters side by side; times in parentheses are
// against the same queries without a filter.
func filteredTable(out io.Writer, rows []filteredRow) error {
	var b strings.Builder
	var kinds []string
	for _, r := range rows {
		if !slices.Contains(kinds, r.Filter) {
			kinds = append(kinds, r.Filter)
		}
	}
	fmt.Fprint(&b, "| index    | allowed % |")
	for _, kind := range kinds {
		fmt.Fprintf(&b, " recall, %-11s |", kind)
	}
	for _, kind := range kinds {
		fmt.Fprintf(&b, " p95 ms, %-11s |", kind)
	}
	fmt.Fprint(&b, "\n|:---------|----------:|"+strings.Repeat("--------------------:|", 2*len(kinds))+"\n")
	for i, first := range rows {
		if first.Filter != kinds[0] {
			continue
		}
		var recalls, times strings.Builder
		for _, r := range rows[i:] {
			if r.Quantization == first.Quantization && r.Percent == first.Percent {
				fmt.Fprintf(&recalls, " %19.4f |", r.Recall)
				fmt.Fprintf(&times, " %9.3f (%5.2f x) |", r.P95Ms, r.P95Times)
			}
		}
		fmt.Fprintf(&b, "| %-8s | %9g |%s%s\n", first.Quantization, first.Percent, recalls.String(), times.String())
	}
	_, err := io.WriteString(out, b.String())
	return err
}
