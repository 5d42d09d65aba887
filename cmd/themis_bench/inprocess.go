package main

import (
	"context"
	"fmt"

	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/hnsw"
)

// inProcess searches an index without a database around it.
type inProcess struct{ index *hnsw.Index }

// build indexes the base vectors of w and returns when all are linked.
func build(ctx context.Context, w *workload, o hnsw.Options, out output) (*inProcess, error) {
	o.Dimension, o.Metric = w.base.Dim, w.metric
	index, err := hnsw.New(o)
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, index, w, out); err != nil {
		index.Close()
		return nil, err
	}
	return &inProcess{index}, nil
}

func fill(ctx context.Context, index vecindex.Index, w *workload, out output) error {
	bar := newProgress(out.progress, "linking", w.base.Len())
	defer bar.end()
	for i := range w.base.Len() {
		if err := index.Admit(ctx); err != nil {
			return err
		}
		if err := index.Put(uint32(i), 0, w.base.Row(i)); err != nil {
			return fmt.Errorf("vector %d: %w", i, err)
		}
		bar.at(i + 1)
	}
	return index.Drain(ctx)
}

func (t *inProcess) nearest(ctx context.Context, query []float32, k, ef int) ([]uint32, error) {
	hits, _, err := t.index.Search(ctx, vecindex.Query{Vector: query, K: k, Ef: ef}, make([]vecindex.Hit, 0, k))
	return idsOf(hits), err
}
