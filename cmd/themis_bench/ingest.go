package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// ingest creates the table and loads it in batches, each of which is durable and
// searchable when it is answered. The requests are written before the clock starts,
// as those of the searches are.
func (f *servingFlags) ingest(ctx context.Context, s *served, r *servingReport, out output) error {
	t, w := s.overHTTP, s.w
	if err := t.drop(ctx); err != nil {
		return err
	}
	for _, index := range []indexSpec{
		{Column: "embedding", Type: "vector", Config: &vectorConfig{
			Dimension: w.base.Dim, Metric: w.metric.String(), M: f.options.M, EfConstruction: f.options.EfConstruction, Quantization: f.quantization}},
		{Column: "tenth", Type: "equality"},
		{Column: "hundredth", Type: "equality"},
	} {
		index.Table = t.table
		if err := t.client.createIndex(ctx, index); err != nil {
			return err
		}
	}
	before, err1 := processTime()
	bodies := f.bodies(t, w)
	prepared, err2 := processTime()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	r.PrepareCPUSeconds = (prepared - before).Seconds()
	server, err1 := processorTime(s.pid)
	own, err2 := startWatch()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := f.loadAll(ctx, t, w.base.Len(), bodies, out); err != nil {
		return err
	}
	r.AcknowledgedSeconds = time.Since(own.begin).Seconds()
	if err := t.client.waitLinked(ctx, t.table); err != nil {
		return err
	}
	wall, client, err1 := own.elapsed()
	after, err2 := processorTime(s.pid)
	r.IndexedSeconds, r.IngestServerCPUSeconds, r.IngestClientCPUSeconds = wall.Seconds(), (after - server).Seconds(), client.Seconds()
	return errors.Join(err1, err2)
}

// bodies are the requests that write all vectors.
func (f *servingFlags) bodies(t *overHTTP, w *workload) [][]byte {
	var bodies [][]byte
	for from := 0; from < w.base.Len(); from += f.batch {
		bodies = append(bodies, batchBody(from, min(w.base.Len(), from+f.batch), func(dst []byte, i int) []byte {
			dst = fmt.Appendf(dst, `{"op":"put","key":"%s:%d","entity":{"tenth":%d,"hundredth":%d,"embedding":`, t.table, i, i%10, i%100)
			return append(f.vector(dst, w.base.Row(i)), '}', '}')
		}))
	}
	return bodies
}

// loadAll sends the bodies, which write n vectors.
func (f *servingFlags) loadAll(ctx context.Context, t *overHTTP, n int, bodies [][]byte, out output) error {
	var next, done atomic.Int64
	loaders, loading := errgroup.WithContext(ctx)
	for range f.loaders {
		loaders.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(bodies) {
					return nil
				}
				size := min(n, (i+1)*f.batch) - i*f.batch
				if err := t.client.sendBatch(loading, bodies[i], size); err != nil {
					return err
				}
				done.Add(int64(size))
			}
		})
	}
	bar := newProgress(out.progress, "ingesting", n)
	defer bar.end()
	err := loaders.Wait()
	bar.at(int(done.Load()))
	return err
}

// vector appends a vector in the form that is asked for.
func (f *servingFlags) vector(dst []byte, v []float32) []byte {
	if !f.base64 {
		return appendVector(dst, v)
	}
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	dst = append(dst, `{"b64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, raw)
	return append(dst, `"}`...)
}
