package supervisor

import (
	"errors"
	"maps"
	"sync"

	"github.com/vccdb/vccdb/gpu/wire"
)

// totals counts for Status.
type totals struct {
	mu struct {
		sync.Mutex
		Totals
	}
}

func newTotals() *totals {
	t := &totals{}
	t.mu.Failures, t.mu.Errors = map[Cause]uint64{}, map[string]uint64{}
	return t
}

func (t *totals) snapshot() Totals {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.mu.Totals
	s.Failures, s.Errors = maps.Clone(s.Failures), maps.Clone(s.Errors)
	return s
}

func (t *totals) started() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.Starts++
}

func (t *totals) ended(cause Cause) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.Failures[cause]++
}

// answered counts a query, and with the first one of a batch the batch.
func (t *totals) answered(a wire.Answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.Searches++
	t.mu.Queued += a.Queued
	if !a.First {
		return
	}
	t.mu.Batches++
	t.mu.Device += a.Device
	bucket := 0
	for bucket < len(BatchSizes) && a.BatchSize > BatchSizes[bucket] {
		bucket++
	}
	t.mu.BatchSizes[bucket]++
}

// failed counts a request that got an error.
func (t *totals) failed(err error) {
	word := wire.Failed.String()
	var known *wire.Error
	var session *SessionError
	switch {
	case errors.As(err, &known):
		word = known.Code.String()
	case errors.As(err, &session):
		word = string(session.Cause)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.Errors[word]++
}

// changed counts rows that the worker acknowledged.
func (t *totals) changed(kind wire.Type, rows, dim int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if kind == wire.TypePut {
		t.mu.RowsPut += uint64(rows)
		t.mu.BytesPut += 4 * uint64(rows) * uint64(dim)
	} else {
		t.mu.RowsDeleted += uint64(rows)
	}
}

func (t *totals) filtered(bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.BytesFilters += uint64(bytes)
}
