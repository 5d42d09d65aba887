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
	if err := f.parseQuantization(); err != nil {
		return nil, err
	}
	return openBenchSet(f.dir, f.set, f.n, f.nq)
}

func (f *scenarioFlags) parseQuantization() error {
	var ok bool
	if f.options.Quantization, ok = vecindex.ParseQuantization(f.quantization); !ok {
		return fmt.Errorf("-quantization is %q; it can be none, int8 or fastscan", f.quantization)
	}
	return nil
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

// question is a query, what may be found, and the nearest of that.
type question struct {
	vector []float32
	allow  *bitmap.Set
	truth  []int32
}

// asking asks some questions again and again.
type asking struct {
	times         []time.Duration // the fastest answer to each
	found, wanted int
	distances     int
	fallbacks     int
	list          []vecindex.Hit
}

// ask asks the i-th question once more. Only the first answer counts for the recall.
func (a *asking) ask(ctx context.Context, index vecindex.Index, i int, q question, k, ef int) error {
	var stats vecindex.SearchStats
	var err error
	begin := time.Now()
	a.list, stats, err = index.Search(ctx, vecindex.Query{Vector: q.vector, K: k, Ef: ef, Allow: q.allow}, a.list[:0])
	took := time.Since(begin)
	if err != nil {
		return err
	}
	if i < len(a.times) {
		a.times[i] = min(a.times[i], took)
		return nil
	}
	a.times = append(a.times, took)
	nearest := q.truth[:min(k, len(q.truth))]
	a.found, a.wanted = a.found+hits(idsOf(a.list), nearest), a.wanted+len(nearest)
	a.distances += stats.Distances
	if stats.ExactFallback {
		a.fallbacks++
	}
	return nil
}

func (a *asking) result() asked {
	times := slices.Sorted(slices.Values(a.times))
	n := float64(len(times))
	return asked{
		Recall: float64(a.found) / float64(max(a.wanted, 1)),
		P50Ms:  ms(quantile(times, 0.5)), P95Ms: ms(quantile(times, 0.95)),
		Distances: float64(a.distances) / n, Fallbacks: float64(a.fallbacks) / n,
	}
}

func idsOf(list []vecindex.Hit) []uint32 {
	ids := make([]uint32, len(list))
	for i, h := range list {
		ids[i] = h.ID
	}
	return ids
}
