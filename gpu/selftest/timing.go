package selftest

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

// Timing is one size of batches over one index.
type Timing struct {
	Rows  int    `json:"rows"`
	Dim   int    `json:"dim"`
	Codes string `json:"codes"`
	Batch int    `json:"batch"`
	K     int    `json:"k"`
	// SearchMicros is the median time of a whole search of a batch: copies, scans,
	// selects, rerank. QueriesPerSecond is what that comes to, one batch at a time.
	SearchMicros     float64 `json:"search_micros"`
	QueriesPerSecond float64 `json:"queries_per_second"`
	// ScanMicros is the time of a scan of all rows alone; 0 if it wasn't measured, as
	// what follows. BytesPerSecond is what it read of rows at least, OperationsPerSecond
	// the multiplications and additions.
	ScanMicros          float64 `json:"scan_micros"`
	BytesPerSecond      float64 `json:"bytes_per_second"`
	OperationsPerSecond float64 `json:"operations_per_second"`
	// ShareOfCopy is BytesPerSecond over the report's CopyBytesPerSecond.
	ShareOfCopy float64 `json:"share_of_copy"`
	// Recall is the share of the K nearest that 64 searches found, by the device's own
	// exact search. It is measured once for each index; else 0.
	Recall float64 `json:"recall"`
	// codeBytes is the size of all codes.
	codeBytes int64
}

// recallSearches is how many searches the recall of an index is measured with.
const recallSearches = 64

// time times all shapes that fit.
func (t *test) time(ctx context.Context) error {
	for _, rows := range t.o.Rows {
		for _, dim := range t.o.Dims {
			for _, codes := range t.o.Codes {
				err := t.shape(ctx, rows, dim, codes)
				if full(err) {
					t.report.Skipped = append(t.report.Skipped, fmt.Sprintf("%d x %d, %v: %v", rows, dim, codes, err))
					t.say("%d x %d, %v: left out: %v", rows, dim, codes, err)
					continue
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// shape times one index.
func (t *test) shape(ctx context.Context, rows, dim int, codes wire.Codes) error {
	perRow := int64(dim) * int64(codes+1)
	// What surely doesn't fit isn't begun.
	if need := int64(rows) * (perRow + int64(4*dim)); need > t.left() {
		return wire.Errorf(wire.OutOfMemory, "%.1f GB are needed, %.1f GB are there", float64(need)/1e9, float64(t.left())/1e9)
	}
	x, err := t.d.NewIndex(wire.IndexSpec{Dim: dim, Metric: wire.Cosine, Codes: codes, Seed: 1})
	if err != nil {
		return err
	}
	defer x.Close()
	data := newData(dim, t.o.Seed)
	started := time.Now()
	if err := t.upload(ctx, x, data, rows); err != nil {
		return err
	}
	t.say("%d x %d, %v: %.1f s to upload", rows, dim, codes, time.Since(started).Seconds())
	recall, err := t.recall(x, data)
	if err != nil {
		return err
	}
	for i, size := range t.o.Batches {
		if err := ctx.Err(); err != nil {
			return err
		}
		timing := Timing{Rows: rows, Dim: dim, Codes: codes.String(), Batch: size, K: t.o.K, codeBytes: int64(rows) * perRow}
		if i == 0 {
			timing.Recall = recall
		}
		if err := t.timeBatch(x, data, &timing); err != nil {
			return err
		}
		t.report.Timings = append(t.report.Timings, timing)
		t.say("%d x %d, %v, batch %d: %.0f us, %.0f queries/s", rows, dim, codes, size, timing.SearchMicros, timing.QueriesPerSecond)
	}
	return nil
}

// upload puts the rows of an index.
func (t *test) upload(ctx context.Context, x serve.Index, data *data, rows int) error {
	const chunk = 4096
	ids, flat := make([]uint32, 0, chunk), make([]float32, 0, chunk*data.dim)
	for at := 0; at < rows; at += len(ids) {
		if err := ctx.Err(); err != nil {
			return err
		}
		ids, flat = ids[:0], flat[:0]
		for i := at; i < min(at+chunk, rows); i++ {
			ids = append(ids, uint32(i))
			flat = data.append(flat, i)
		}
		if err := x.Put(ids, flat); err != nil {
			return err
		}
	}
	return nil
}

// recall compares searches of the codes with exact ones.
func (t *test) recall(x serve.Index, data *data) (float64, error) {
	coded, exact := data.batch(recallSearches, t.o.K, 77), data.batch(recallSearches, t.o.K, 77)
	exact.Exact = true
	for _, b := range []*serve.Batch{coded, exact} {
		if err := x.Search(b); err != nil {
			return 0, err
		}
	}
	found, wanted := 0, 0
	for i, q := range exact.Queries {
		wanted += len(q.Hits)
		for _, h := range coded.Queries[i].Hits {
			if slices.ContainsFunc(q.Hits, func(e wire.Hit) bool { return e.ID == h.ID }) {
				found++
			}
		}
	}
	return float64(found) / float64(max(1, wanted)), nil
}

// timeBatch times searches of one size of batches, and the scan in them.
func (t *test) timeBatch(x serve.Index, data *data, timing *Timing) error {
	b := data.batch(timing.Batch, timing.K, 78)
	var took []time.Duration
	const warm, least, most = 2, 5, 2000
	for spent := time.Duration(0); len(took) < warm+least || spent < t.o.For && len(took) < most; {
		started := time.Now()
		if err := x.Search(b); err != nil {
			return err
		}
		took = append(took, time.Since(started))
		spent += took[len(took)-1]
	}
	took = took[warm:]
	slices.Sort(took)
	median := max(took[len(took)/2], time.Nanosecond)
	timing.SearchMicros = float64(median) / 1e3
	timing.QueriesPerSecond = float64(timing.Batch) / median.Seconds()
	s, ok := x.(Scanner)
	if !ok {
		return nil
	}
	times := max(3, min(500, int(t.o.For/median)))
	scan, bytes, err := s.MeasureScan(timing.Batch, times, false)
	if err != nil {
		return err
	}
	scan = max(scan, time.Nanosecond)
	timing.ScanMicros = float64(scan) / 1e3
	timing.BytesPerSecond = float64(bytes) / scan.Seconds()
	timing.OperationsPerSecond = 2 * float64(timing.Rows) * float64(timing.Dim) * float64(timing.Batch) / scan.Seconds()
	if t.report.CopyBytesPerSecond > 0 {
		timing.ShareOfCopy = timing.BytesPerSecond / t.report.CopyBytesPerSecond
	}
	return nil
}

// data makes many different vectors out of a few random ones, as fast as memory is
// copied: row i is one of the base, turned by i/len(base) places, and with the signs of
// a row of a Hadamard matrix once it has been turned all around.
type data struct {
	dim  int
	base []float32
	seed uint64
}

const baseRows = 16384

func newData(dim int, seed uint64) *data {
	return &data{dim: dim, seed: seed, base: normal(rand.New(rand.NewPCG(seed, uint64(dim))), baseRows*dim)}
}

// append appends row i to flat.
func (d *data) append(flat []float32, i int) []float32 {
	v := d.base[i%baseRows*d.dim:][:d.dim]
	turn := i / baseRows % d.dim
	flat = append(append(flat, v[turn:]...), v[:turn]...)
	if signs := uint(i / baseRows / d.dim); signs > 0 {
		row := flat[len(flat)-d.dim:]
		for j := range row {
			if bits.OnesCount(uint(j)&signs)&1 == 1 {
				row[j] = -row[j]
			}
		}
	}
	return flat
}

// batch is n random queries, the same for the same stream.
func (d *data) batch(n, k int, stream uint64) *serve.Batch {
	flat := normal(rand.New(rand.NewPCG(d.seed, stream)), n*d.dim)
	b := &serve.Batch{Queries: make([]serve.Query, n)}
	for i := range b.Queries {
		b.Queries[i] = serve.Query{Vector: flat[i*d.dim:][:d.dim], K: k}
	}
	return b
}
