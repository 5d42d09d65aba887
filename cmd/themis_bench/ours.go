package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/hnsw"
)

// scenarioFlags are what measurements of our index alone have in common.
type scenarioFlags struct {
	dir, set     string
	n, nq        int
	k, ef        int
	quantization string
	options      hnsw.Options
	json         string
}

func (f *scenarioFlags) register(flags *flag.FlagSet) {
	flags.StringVar(&f.dir, "data", "data/bench-data", "folder of the data sets")
	flags.StringVar(&f.set, "set", "s128", "the data set")
	flags.IntVar(&f.n, "n", 0, "number of vectors; 0 takes all")
	flags.IntVar(&f.nq, "nq", 200, "number of queries")
	flags.IntVar(&f.k, "k", 10, "neighbours per query")
	flags.IntVar(&f.ef, "ef", 64, "width of the search")
	flags.StringVar(&f.quantization, "quantization", "int8", "none, int8 or fastscan")
	flags.IntVar(&f.options.M, "m", 16, "links per node")
	flags.IntVar(&f.options.EfConstruction, "efc", 200, "efConstruction")
	flags.StringVar(&f.json, "json", "", "file for the result as JSON")
}

// load reads the set.
func (f *scenarioFlags) load() (*workload, error) {
	var ok bool
	if f.options.Quantization, ok = vecindex.ParseQuantization(f.quantization); !ok {
		return nil, fmt.Errorf("-quantization is %q; it can be none, int8 or fastscan", f.quantization)
	}
	return openBenchSet(f.dir, f.set, f.n, f.nq)
}

// open makes an index whose vectors, if it is quantized, lie in a file, and says how
// to remove both.
func (f *scenarioFlags) open(ctx context.Context, w *workload, out output) (*inProcess, func() error, error) {
	o := f.options
	if err := os.MkdirAll(filepath.Join(f.dir, "cold"), 0o755); err != nil {
		return nil, nil, err
	}
	var err error
	if o.Dir, err = os.MkdirTemp(filepath.Join(f.dir, "cold"), f.set+"-"); err != nil {
		return nil, nil, err
	}
	t, err := build(ctx, w, o, out)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(o.Dir))
	}
	return t, func() error { return errors.Join(t.index.Close(), os.RemoveAll(o.Dir)) }, nil
}

// finish writes the result as JSON, if that is asked for.
func (f *scenarioFlags) finish(result any) error {
	if f.json == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(f.json), 0o755); err != nil {
		return err
	}
	return writeFile(f.json, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(result)
	})
}

// repeats is how often the queries are gone through for their times: the fastest
// answer to each counts, since the machine does other things too.
const repeats = 5

// asked is what came of some queries, one after another.
type asked struct {
	Recall float64 `json:"recall"`
	P50Ms  float64 `json:"p50_ms"`
	P95Ms  float64 `json:"p95_ms"`
	// Distances is how many vectors a query scored in the mean, Fallbacks which
	// share of the queries ended in an exact scan.
	Distances float64 `json:"distances"`
	Fallbacks float64 `json:"fallbacks"`
}

// askAll asks the queries of w that are listed, within allow. The true neighbours of
// the i-th of them are truth[i].
func askAll(ctx context.Context, index vecindex.Index, w *workload, queries []int, truth [][]int32, allow *bitmap.Set, k, ef int) (asked, error) {
	var a asked
	found, wanted := 0, 0
	times := make([]time.Duration, len(queries))
	list := make([]vecindex.Hit, 0, k)
	for pass := range repeats {
		for i, query := range queries {
			var stats vecindex.SearchStats
			var err error
			begin := time.Now()
			list, stats, err = index.Search(ctx, vecindex.Query{Vector: w.queries.Row(query), K: k, Ef: ef, Allow: allow}, list[:0])
			took := time.Since(begin)
			if err != nil {
				return a, err
			}
			if pass > 0 {
				times[i] = min(times[i], took)
				continue
			}
			times[i] = took
			nearest := truth[i][:min(k, len(truth[i]))]
			found, wanted = found+hits(idsOf(list), nearest), wanted+len(nearest)
			a.Distances += float64(stats.Distances) / float64(len(queries))
			if stats.ExactFallback {
				a.Fallbacks += 1 / float64(len(queries))
			}
		}
	}
	slices.Sort(times)
	a.Recall = float64(found) / float64(max(wanted, 1))
	a.P50Ms, a.P95Ms = ms(quantile(times, 0.5)), ms(quantile(times, 0.95))
	return a, nil
}

func idsOf(list []vecindex.Hit) []uint32 {
	ids := make([]uint32, len(list))
	for i, h := range list {
		ids[i] = h.ID
	}
	return ids
}
