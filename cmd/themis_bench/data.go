package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/vccdb/vccdb/internal/dataset"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/flat"
)

// workload is what a recall measurement works on. The queries aren't among the
// base vectors; ids are positions in base.
type workload struct {
	name          string
	metric        vecindex.Metric
	base, queries dataset.Matrix
	// truth[i] are the ids of the vectors nearest to query i, nearest first.
	truth [][]int32
}

// workloadFlags choose a workload: files, the built-in words, or synthetic.
type workloadFlags struct {
	base, queries, truth string
	words                bool
	n, nq                int
	metric               string
	synthetic            dataset.Synthetic
}

func (f *workloadFlags) register(flags *flag.FlagSet) {
	flags.StringVar(&f.base, "base", "", "fvecs file with the vectors to index; -n limits how many")
	flags.StringVar(&f.queries, "queries", "", "fvecs file with the query vectors; -nq limits how many")
	flags.StringVar(&f.truth, "truth", "", "ivecs file with the exact neighbours of each query (else they are computed)")
	flags.BoolVar(&f.words, "words", false, "use the built-in English word vectors; every 20th is a query")
	flags.StringVar(&f.metric, "metric", "cosine", "cosine, l2 or dot")
	flags.IntVar(&f.n, "n", 100_000, "number of vectors")
	flags.IntVar(&f.nq, "nq", 1000, "number of queries")
	registerSynthetic(flags, &f.synthetic)
}

func registerSynthetic(flags *flag.FlagSet, s *dataset.Synthetic) {
	flags.IntVar(&s.Dim, "dim", 100, "synthetic: dimension")
	flags.IntVar(&s.Clusters, "clusters", 100, "synthetic: number of Gaussian clusters")
	flags.Float64Var(&s.Spread, "spread", 0.5, "synthetic: standard deviation within a cluster, against 1 between their centres")
	flags.Uint64Var(&s.Seed, "seed", 1, "synthetic: seed; the same one makes the same vectors everywhere")
}

// load reads or makes the workload with the k exact neighbours of each query.
func (f *workloadFlags) load(ctx context.Context, k int) (*workload, error) {
	w := &workload{}
	var ok bool
	if w.metric, ok = vecindex.ParseMetric(f.metric); !ok {
		return nil, fmt.Errorf("-metric is %q; it can be cosine, l2 or dot", f.metric)
	}
	if err := f.fill(w); err != nil {
		return nil, err
	}
	if w.base.Len() < k || w.queries.Len() == 0 || w.base.Dim != w.queries.Dim {
		return nil, fmt.Errorf("%d vectors of dimension %d and %d queries of dimension %d: at least k=%d vectors and one query of the same dimension are needed",
			w.base.Len(), w.base.Dim, w.queries.Len(), w.queries.Dim, k)
	}
	if f.truth == "" {
		var err error
		w.truth, err = exactNeighbours(ctx, w, k)
		return w, err
	}
	return w, f.readTruth(w, k)
}

func (f *workloadFlags) fill(w *workload) error {
	switch {
	case f.words:
		w.name = "English words"
		return fillWords(w, f.nq)
	case f.base != "":
		w.name = f.base
		var err error
		if w.base, err = readFile(f.base, f.n, dataset.ReadFvecs); err != nil {
			return err
		}
		w.queries, err = readFile(f.queries, f.nq, dataset.ReadFvecs)
		return err
	}
	s := f.synthetic
	w.name = fmt.Sprintf("synthetic, %d clusters, spread %g, seed %d", s.Clusters, s.Spread, s.Seed)
	w.base, w.queries = s.Make(f.n, f.nq)
	return nil
}

// fillWords takes every 20th word for a query, nq of them at most.
func fillWords(w *workload, nq int) error {
	words, err := readWords("", 0)
	if err != nil {
		return err
	}
	w.base.Dim, w.queries.Dim = len(words[0].Vector), len(words[0].Vector)
	for i, word := range words {
		if i%20 != 0 {
			w.base.Data = append(w.base.Data, word.Vector...)
		} else if w.queries.Len() < nq {
			w.queries.Data = append(w.queries.Data, word.Vector...)
		}
	}
	return nil
}

func (f *workloadFlags) readTruth(w *workload, k int) error {
	if err := w.readTruth(f.truth, k); err != nil {
		return err
	}
	for _, row := range w.truth {
		for _, id := range row[:k] {
			if id < 0 || int(id) >= w.base.Len() {
				return fmt.Errorf("%s names vector %d, and there are %d: neighbours of a whole set don't fit a part of it", f.truth, id, w.base.Len())
			}
		}
	}
	return nil
}

// readTruth reads at least k neighbours of each query.
func (w *workload) readTruth(file string, k int) error {
	var err error
	if w.truth, err = readFile(file, w.queries.Len(), dataset.ReadIvecs); err != nil {
		return err
	}
	if len(w.truth) < w.queries.Len() {
		return fmt.Errorf("%s has neighbours for %d of %d queries", file, len(w.truth), w.queries.Len())
	}
	for i, row := range w.truth {
		if len(row) < k {
			return fmt.Errorf("%s has only %d neighbours for query %d; k is %d", file, len(row), i, k)
		}
	}
	return nil
}

func readFile[T any](name string, limit int, read func(io.Reader, int) (T, error)) (T, error) {
	f, err := os.Open(name)
	if err != nil {
		var none T
		return none, err
	}
	defer f.Close()
	content, err := read(f, limit)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return content, err
}

// exactPart is how many vectors are searched by all queries before the next ones
// are: so many that they stay in the processor's cache.
const exactPart = 4096

// exactNeighbours finds the k nearest of each query with the exact index.
func exactNeighbours(ctx context.Context, w *workload, k int) ([][]int32, error) {
	ids, queries := make([]uint32, w.base.Len()), make([]int, w.queries.Len())
	for i := range ids {
		ids[i] = uint32(i)
	}
	for i := range queries {
		queries[i] = i
	}
	return exactAmong(ctx, w, queries, ids, k)
}

// exactAmong finds the k nearest of some queries among the vectors listed.
func exactAmong(ctx context.Context, w *workload, queries []int, ids []uint32, k int) ([][]int32, error) {
	nearest := make([][]vecindex.Hit, len(queries))
	for part := range slices.Chunk(ids, exactPart) {
		if err := searchPart(ctx, w, queries, part, k, nearest); err != nil {
			return nil, err
		}
	}
	truth := make([][]int32, len(nearest))
	for i, hits := range nearest {
		for _, h := range hits {
			truth[i] = append(truth[i], int32(h.ID))
		}
	}
	return truth, nil
}

// searchPart brings the k nearest of each query up to date with some more vectors.
func searchPart(ctx context.Context, w *workload, queries []int, ids []uint32, k int, nearest [][]vecindex.Hit) error {
	index, err := flat.New(w.metric, w.base.Dim, flat.Options{})
	if err != nil {
		return err
	}
	defer index.Close()
	for _, id := range ids {
		if err := index.Put(id, 0, w.base.Row(int(id))); err != nil {
			return fmt.Errorf("vector %d: %w", id, err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, query := range queries {
		group.Go(func() error {
			hits, _, err := index.Search(ctx, vecindex.Query{Vector: w.queries.Row(query), K: k}, nearest[i])
			slices.SortFunc(hits, func(a, b vecindex.Hit) int {
				return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.ID, b.ID))
			})
			nearest[i] = hits[:min(k, len(hits))]
			return err
		})
	}
	return group.Wait()
}
