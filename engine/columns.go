package engine

import (
	"context"
	"math/rand/v2"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
)

const (
	defaultColumnSample = 500
	maxColumnSample     = 10_000
	// columnSampleRun is how many entities lie side by side in a sample: reading
	// one more of a block that is there costs little.
	columnSampleRun = 20
	// columnSampleBytes is where a sample of large entities ends early.
	columnSampleBytes = 16 << 20
)

// ColumnSample is what a sample of a table's entities has in its columns.
type ColumnSample struct {
	// Sampled of Total entities were read.
	Sampled int
	Total   uint64
	// Columns come by how many entities have them; Truncated says that there are
	// more.
	Columns   []schema.ColumnSurvey
	Truncated bool
}

// SampleColumns reads up to n entities of a table, 500 when n is 0, and says
// which columns they have. A table of no more than n is read whole; of a larger
// one short runs of entities from random places are. Of large entities fewer are
// read.
func (e *Engine) SampleColumns(ctx context.Context, tableName string, n int) (*ColumnSample, error) {
	t, err := e.table(tableName)
	if err != nil {
		return nil, err
	}
	setDefault(&n, defaultColumnSample)
	if n < 1 || n > maxColumnSample {
		return nil, errs.Field("invalid_sample", "/sample", "the sample is %d; it must be 1 to %d", n, maxColumnSample)
	}
	var survey schema.Survey
	if err := e.sampleEntities(ctx, t, n, survey.Add); err != nil {
		return nil, contextError(err)
	}
	return &ColumnSample{
		Sampled: survey.Documents, Total: uint64(e.store.Counter(tableCounter(t.id))),
		Columns: survey.Columns(), Truncated: survey.Truncated,
	}, nil
}

// sampleEntities calls fn for the documents of a sample; they are valid during
// the call.
func (e *Engine) sampleEntities(ctx context.Context, t *table, n int, fn func(doc []byte)) error {
	reader := e.store.Latest()
	last, ok, err := reader.LastID(t.id)
	if err != nil || !ok {
		return err
	}
	budget := columnSampleBytes
	// read takes up to most entities from an id on and returns the last one.
	read := func(from uint32, most int) (end uint32, got int, err error) {
		err = reader.ScanEntities(ctx, t.id, from, func(id uint32, raw []byte) (bool, error) {
			r, err := decodeRecord(raw)
			if err != nil {
				return false, err
			}
			fn(r.doc)
			end = id
			got++
			budget -= len(raw)
			return got < most && budget > 0, nil
		})
		return end, got, err
	}
	if e.store.Counter(tableCounter(t.id)) <= int64(n) {
		_, _, err := read(0, n)
		return err
	}
	// Each run lies in a stripe of its own, so that none is read twice and the
	// last has enough before it ends, unless ids are so sparse that a run goes on
	// into the next stripe.
	runs := (n + columnSampleRun - 1) / columnSampleRun
	stripe := max(1, (uint64(last)+1)/uint64(runs))
	next := uint64(0)
	starts := max(1, stripe-min(stripe, columnSampleRun))
	for i := range uint64(runs) {
		from := max(next, i*stripe+rand.Uint64N(starts))
		if from > uint64(last) {
			break
		}
		end, got, err := read(uint32(from), min(columnSampleRun, n))
		if err != nil {
			return err
		}
		if got == 0 || budget <= 0 {
			break
		}
		n -= got
		next = uint64(end) + 1
	}
	return nil
}
