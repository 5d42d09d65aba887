package engine

import (
	"context"
	"errors"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
)

const (
	// probeQueries is how many queries a probe has: each is a full scan.
	probeQueries = 50
	// probeTurn is how long a probe waits for its turn at a time, while a calibration is
	// under way.
	probeTurn = time.Second
)

// RecallProbe is the recall of a vector index as it was last measured in the background.
type RecallProbe struct {
	Table, Column string
	// Recall is the part of the K nearest that a search with Ef, the index's own, found.
	Recall float64
	K, Ef  int
	// Queries there were, Sent of them by clients; the others are stored vectors moved a
	// little.
	Queries, Sent int
	Measured      time.Time
}

// probeLoop measures the recall of all vector indexes in turn until Close.
func (e *Engine) probeLoop() {
	if e.opts.Vector.RecallProbeInterval <= 0 {
		return
	}
	ticker := time.NewTicker(e.opts.Vector.RecallProbeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-ticker.C:
		}
		for _, t := range e.allTables() {
			for _, b := range t.schema.Load().indexes {
				if b.vector != nil && b.ready() && !b.vector.loading.Load() {
					e.probeAndLog(b.index)
				}
			}
		}
	}
}

func (e *Engine) probeAndLog(ix *index) {
	index := ix.vector.cpu()
	if index == nil || index.Len() <= defaultRecallK || !e.awaitTurn() {
		return
	}
	defer e.calibrating.Store(false)
	p, err := e.probe(e.ctx, ix, index)
	switch {
	case err == nil:
		ix.vector.probe.Store(p)
	case errors.Is(err, context.Canceled) || errs.CodeOf(err) == "vector_index_closed" || errs.CodeOf(err) == "table_not_found":
	default:
		e.log.Warn("the recall of a vector index could not be measured", "component", "vector", "index", ix.subject(), "error", err)
	}
}

// awaitTurn waits until no calibration is under way; false if the engine closes first.
func (e *Engine) awaitTurn() bool {
	for !e.calibrating.CompareAndSwap(false, true) {
		select {
		case <-e.ctx.Done():
			return false
		case <-time.After(probeTurn):
		}
	}
	return true
}

// probe measures what a search finds that says neither ef nor recall. It works half of
// the time.
func (e *Engine) probe(ctx context.Context, ix *index, index vecindex.Index) (*RecallProbe, error) {
	queries, sent, err := e.sampleQueries(ctx, ix, index, probeQueries)
	if err != nil {
		return nil, err
	}
	m := recallMeasurement{index: index, report: RecallReport{K: defaultRecallK, Ef: ix.vector.width()}}
	for _, vector := range queries {
		began := time.Now()
		if err := m.measure(ctx, recallQuery{vector: vector, id: noSelf}); err != nil {
			return nil, err
		}
		rest(ctx, began)
	}
	if m.summarise(); m.wanted == 0 {
		return nil, errs.New(errs.Unavailable, "no_queries", "no query could be made for %s", ix.subject())
	}
	return &RecallProbe{
		Table: ix.def.Table, Column: ix.def.Columns[0], Recall: m.report.Recall, K: m.report.K, Ef: m.report.Ef,
		Queries: m.report.Sample, Sent: sent, Measured: time.Now(),
	}, nil
}
