package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/vccdb/vccdb/internal/dataset"
)

func setupGen(flags *flag.FlagSet) func(context.Context, output) error {
	var f workloadFlags
	flags.IntVar(&f.n, "n", 100_000, "number of vectors")
	flags.IntVar(&f.nq, "nq", 1000, "number of queries")
	flags.StringVar(&f.metric, "metric", "cosine", "metric of the exact neighbours: cosine, l2 or dot")
	registerSynthetic(flags, &f.synthetic)
	k := flags.Int("k", 100, "exact neighbours per query")
	prefix := flags.String("out", "synthetic", "prefix of the files: PREFIX_base.fvecs, PREFIX_query.fvecs, PREFIX_groundtruth.ivecs")
	return func(ctx context.Context, out output) error {
		w, err := f.load(ctx, *k)
		if err != nil {
			return err
		}
		return writeWorkload(w, *prefix, out)
	}
}

func writeWorkload(w *workload, prefix string, out output) error {
	matrix := func(m dataset.Matrix) func(io.Writer) error {
		return func(f io.Writer) error { return dataset.WriteFvecs(f, m) }
	}
	for _, file := range []struct {
		suffix string
		write  func(io.Writer) error
	}{
		{"_base.fvecs", matrix(w.base)},
		{"_query.fvecs", matrix(w.queries)},
		{"_groundtruth.ivecs", func(f io.Writer) error { return dataset.WriteIvecs(f, w.truth) }},
	} {
		if err := writeFile(prefix+file.suffix, file.write); err != nil {
			return err
		}
		fmt.Fprintln(out.results, prefix+file.suffix)
	}
	return nil
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
