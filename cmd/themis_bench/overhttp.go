package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// overHTTP searches a server through its REST API.
type overHTTP struct {
	client *client
	table  string
}

// benchTable is the table that measurements fill and drop.
const benchTable = "themis_bench"

// loadTable puts the base vectors of w into a fresh table with a vector index,
// with their positions as primary keys, and returns when all are linked.
func loadTable(ctx context.Context, c *client, w *workload, config vectorConfig, out output) (*overHTTP, error) {
	t := &overHTTP{c, benchTable}
	if err := t.drop(ctx); err != nil {
		return nil, err
	}
	config.Dimension, config.Metric = w.base.Dim, w.metric.String()
	err := c.createIndex(ctx, indexSpec{Table: t.table, Column: "embedding", Type: "vector", Config: &config})
	if err != nil {
		return nil, err
	}
	bar := newProgress(out.progress, "loading", w.base.Len())
	err = c.load(ctx, w.base.Len(), func(dst []byte, i int) []byte {
		dst = fmt.Appendf(dst, `{"op":"put","key":"%s:%d","entity":{"embedding":`, t.table, i)
		return append(appendVector(dst, w.base.Row(i)), '}', '}')
	}, func(done int) error { bar.at(done); return nil })
	bar.end()
	if err != nil {
		return nil, err
	}
	return t, c.waitLinked(ctx, t.table)
}

// withTable has measure search the base vectors of w on the server that f names or
// starts, in a table that is dropped afterwards, as the server is stopped.
func (f *serverFlags) withTable(ctx context.Context, w *workload, clients int, out output, measure func(*overHTTP) error) error {
	c, started, err := f.connect(ctx, clients)
	if err != nil {
		return err
	}
	t, err := loadTable(ctx, c, w, vectorConfig{}, out)
	if err == nil {
		err = measure(t)
	}
	if t != nil {
		err = errors.Join(err, t.drop(context.WithoutCancel(ctx)))
	}
	if started != nil {
		err = errors.Join(err, started.stop())
	}
	return err
}

func (t *overHTTP) nearest(ctx context.Context, query []float32, k, ef int) ([]uint32, error) {
	answer, err := call[searchAnswer](ctx, t.client, "POST", "/vector/search",
		searchRequest{Table: t.table, Column: "embedding", Vector: query, K: k, Ef: ef, Return: "keys"})
	if err != nil {
		return nil, err
	}
	return answer.ids()
}

// ids are the primary keys of the results, which are numbers.
func (a *searchAnswer) ids() ([]uint32, error) {
	ids := make([]uint32, len(a.Results))
	for i, r := range a.Results {
		id, err := strconv.ParseUint(r.PK, 10, 32)
		if err != nil {
			return nil, err
		}
		ids[i] = uint32(id)
	}
	return ids, nil
}

// drop removes the table if it is there.
func (t *overHTTP) drop(ctx context.Context) error {
	_, err := call[acknowledged](ctx, t.client, "DELETE", "/tables/"+t.table, nil)
	return unless(err, "table_not_found")
}
