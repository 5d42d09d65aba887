package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
)

// Searches by a recall target
//
// A search may name the recall it wants instead of ef. What ef, and what slack, that
// takes is a property of the data, so it is measured: a calibration runs sample queries
// with a grid of settings and holds the answers against exact ones. It is made in the
// background, when a search with a target finds none or finds that a fifth of the index
// has changed since; until it is there such a search takes a cautious setting.
//
// The samples are queries that clients have sent lately. Where there are too few, they
// are stored vectors, each moved by the difference of two of its neighbours: that keeps
// near where the data is, and as far from it as other vectors are. Stored vectors
// themselves are much easier to search for than what clients ask (by six points of
// recall on some data), since the graph has links to just their neighbours; a point
// between two of them is easy too.
const (
	// MinRecall and MaxRecall bound a recall target.
	MinRecall, MaxRecall = 0.9, 0.999

	// calibrateFrom is the number of vectors below which scans are cheap anyway.
	calibrateFrom = 1000
	// A calibration has that many queries, fewer where exact answers are dear: about
	// calibrationWork vectors are scored for them.
	maxCalibrationQueries = 200
	minCalibrationQueries = 50
	calibrationWork       = 100_000_000
	// changedShare is the part of an index that changes before it is calibrated anew.
	changedShare = 5
	// calibrationRetry is how long after one that failed the next is tried.
	calibrationRetry = time.Minute
	// maxCalibratedEf ends the grid.
	maxCalibratedEf = 4096
	// recallMargin is the part of what may be missed that is kept as a margin: a
	// measurement with some hundred queries is not that exact.
	recallMargin = 0.1
)

// calibratedKs are the numbers of hits that are measured, and slacks the early ends.
// Without one comes first.
var (
	calibratedKs = []int{10, 100}
	slacks       = []float32{0, 1.1, 1.2, 1.3, 1.5, 2}
)

// breadth is how wide a graph search is.
type breadth struct {
	ef    int
	slack float32
}

// recallPoint is what one setting achieves: recall, at so many distances for a query.
type recallPoint struct {
	breadth
	recall, cost float64
}

// recallTable has, for one k, the points of each slack, by ef.
type recallTable struct {
	k      int
	curves [][]recallPoint
}

// calibration says what the recall of an index depends on.
type calibration struct {
	tables []recallTable
	// queries it was made with, real ones sent by clients.
	queries, real int
	// vectors the index had, and changes it had seen.
	vectors int
	changes uint64
}

// calibrations are those of one vector index.
type calibrations struct {
	current atomic.Pointer[calibration]
	queries queryRing
	// failed is when the last one failed, in nanoseconds; 0 if it didn't.
	failed atomic.Int64
}

// cautious is the setting for a target without a calibration: more than what hard data
// takes (a search for 0.95 takes ef 286).
func cautious(target float64, k int) breadth {
	return breadth{ef: min(maxCalibratedEf, max(int(64/math.Sqrt(1-target)), 4*k))}
}

func checkRecall(req *SearchRequest) error {
	switch {
	case req.Recall != 0 && !(req.Recall >= MinRecall && req.Recall <= MaxRecall):
		return errs.Field("invalid_recall", "/recall", "recall is %v; it must be %v to %v. For all of the nearest, set exact", req.Recall, MinRecall, MaxRecall)
	case req.Recall != 0 && req.Ef != 0:
		return errs.Field("invalid_recall", "/recall", "give either ef or recall, which stands for an ef")
	}
	return nil
}

// chooseBreadth decides how wide the graph is searched.
func (s *vectorSearch) chooseBreadth() {
	req, v := s.req, s.ix.vector
	if req.Key == nil { // the vector of an entity is a query of another kind
		for _, vector := range req.Vectors {
			v.calibrations.queries.note(vector)
		}
	}
	if req.Recall == 0 {
		s.wide.ef = cmp.Or(req.Ef, v.width())
		return
	}
	c := s.calibrated()
	if c == nil {
		s.wide, s.calibration = cautious(req.Recall, s.asked()), "none yet; ef is a cautious guess"
		return
	}
	s.wide = c.setting(req.Recall, s.asked(), s.allow != nil)
	s.calibration = fmt.Sprintf("by %d queries, %d of them sent by clients, over %d vectors", c.queries, c.real, c.vectors)
}

// setting is the cheapest one for a target. With plain it has no slack: an early end
// is measured for searches without a filter that want as many hits as the table.
func (c *calibration) setting(target float64, k int, plain bool) breadth {
	target += recallMargin * (1 - target)
	low, high := &c.tables[0], &c.tables[len(c.tables)-1]
	switch {
	case k <= low.k:
		return low.setting(target, plain || k < low.k).breadth
	case k >= high.k:
		b := high.setting(target, plain).breadth
		b.ef = min(MaxK, b.ef*k/high.k)
		return b
	}
	// Between the two, of a kind: both without slack or both with the larger one.
	a, b := low.setting(target, plain).breadth, high.setting(target, plain).breadth
	if a.slack == 0 || b.slack == 0 {
		a, b = low.setting(target, true).breadth, high.setting(target, true).breadth
	}
	part := float64(k-low.k) / float64(high.k-low.k)
	return breadth{ef: int(float64(a.ef) + part*float64(b.ef-a.ef)), slack: max(a.slack, b.slack)}
}

// setting is the cheapest point for a target, or the best there is.
func (t *recallTable) setting(target float64, plain bool) recallPoint {
	best := recallPoint{cost: math.Inf(1)}
	for _, curve := range t.curves {
		if plain && curve[0].slack != 0 {
			continue
		}
		if p, ok := reach(curve, target); ok && p.cost < best.cost {
			best = p
		}
	}
	if math.IsInf(best.cost, 1) {
		widest := t.curves[0] // without slack
		return widest[len(widest)-1]
	}
	return best
}

// reach is where a curve gets to a target, between two of its points as a rule.
func reach(curve []recallPoint, target float64) (recallPoint, bool) {
	at := slices.IndexFunc(curve, func(p recallPoint) bool { return p.recall >= target })
	if at <= 0 {
		return curve[max(at, 0)], at == 0
	}
	a, b := curve[at-1], curve[at]
	part := (target - a.recall) / (b.recall - a.recall)
	between := func(x, y float64) float64 { return x * math.Pow(y/x, part) }
	b.ef = int(math.Ceil(between(float64(a.ef), float64(b.ef))))
	b.recall, b.cost = target, between(a.cost, b.cost)
	return b, true
}

// queryRing keeps queries that clients have sent.
type queryRing struct {
	sent atomic.Uint64

	mu   sync.Mutex
	kept [][]float32
	next int
}

// queryEvery is how often a query is looked at once the ring is full.
const queryEvery = 16

// note keeps a query now and then, once; it makes searches wait for nothing.
func (r *queryRing) note(vector []float32) {
	if n := r.sent.Add(1); n > maxCalibrationQueries && n%queryEvery != 0 || !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.kept, func(have []float32) bool { return slices.Equal(have, vector) }) {
		return
	}
	if len(r.kept) < maxCalibrationQueries {
		r.kept = append(r.kept, slices.Clone(vector))
		return
	}
	r.kept[r.next] = slices.Clone(vector)
	r.next = (r.next + 1) % len(r.kept)
}

func (r *queryRing) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.kept)
}

// sample returns up to n of the queries; they aren't modified any more.
func (r *queryRing) sample(n int) [][]float32 {
	r.mu.Lock()
	kept := slices.Clone(r.kept)
	r.mu.Unlock()
	rand.Shuffle(len(kept), func(i, j int) { kept[i], kept[j] = kept[j], kept[i] })
	return kept[:min(n, len(kept))]
}

// calibrationQueries is how many an index of that size is calibrated with.
func calibrationQueries(vectors int) int {
	return min(maxCalibrationQueries, max(minCalibrationQueries, calibrationWork/max(vectors, 1)))
}

// calibrated returns the calibration there is, nil if none, and sees to a new one if it
// is time for it.
func (s *vectorSearch) calibrated() *calibration {
	v := s.ix.vector
	c := v.calibrations.current.Load()
	if index := v.cpu(); v.calibrationDue(c, index) && s.e.calibrating.CompareAndSwap(false, true) {
		s.e.wg.Go(func() {
			defer s.e.calibrating.Store(false)
			s.e.calibrateAndLog(s.ix, index)
		})
	}
	return c
}

func (v *vectorIndex) calibrationDue(c *calibration, index vecindex.Index) bool {
	n := index.Len()
	if n < calibrateFrom || v.opts.Engine == "flat" {
		return false
	}
	if c != nil && !c.outdated(n, v.checkpoints.changes.Load(), v.calibrations.queries.len()) {
		return false
	}
	if failed := v.calibrations.failed.Load(); failed != 0 && time.Since(time.Unix(0, failed)) < calibrationRetry {
		return false
	}
	// What isn't in the graph yet is searched exactly, which flatters.
	return index.Usage().Pending <= n/20
}

// outdated says whether a calibration is of another index than there is now, or was
// made without the queries that are known now.
func (c *calibration) outdated(vectors int, changes uint64, known int) bool {
	changed := max(changes-c.changes, uint64(max(vectors-c.vectors, c.vectors-vectors)))
	return changed >= uint64(c.vectors/changedShare) || c.real < c.queries/2 && known >= c.queries
}

func (e *Engine) calibrateAndLog(ix *index, index vecindex.Index) {
	v, started := ix.vector, time.Now()
	c, err := e.calibrate(e.ctx, ix, index)
	switch {
	case err == nil:
		v.calibrations.failed.Store(0)
		v.calibrations.current.Store(c)
		e.log.Info("a vector index was calibrated for searches by recall", "component", "vector", "index", v.subject,
			"queries", c.queries, "sent by clients", c.real, "ef for 0.95", c.setting(0.95, calibratedKs[0], true).ef, "took", time.Since(started))
	case errors.Is(err, context.Canceled) || errs.CodeOf(err) == "vector_index_closed":
	default:
		v.calibrations.failed.Store(time.Now().UnixNano())
		e.log.Warn("a vector index could not be calibrated; searches by recall go on with what they have", "component", "vector", "index", v.subject, "error", err)
	}
}

// calibrate measures. It works half of the time, so that it takes half a core.
func (e *Engine) calibrate(ctx context.Context, ix *index, index vecindex.Index) (*calibration, error) {
	c := &calibration{vectors: index.Len(), changes: ix.vector.checkpoints.changes.Load()}
	queries, known, err := e.sampleQueries(ctx, ix, index, calibrationQueries(c.vectors))
	if err != nil {
		return nil, err
	}
	if len(queries) == 0 {
		return nil, errs.New(errs.Unavailable, "no_queries", "no query could be made for %s", ix.subject())
	}
	c.queries, c.real = len(queries), known
	samples := make([]sampleQuery, len(queries))
	for i, vector := range queries {
		samples[i].vector = vector
		if err := samples[i].exactly(ctx, index); err != nil {
			return nil, err
		}
	}
	for i, k := range calibratedKs {
		t := recallTable{k: k}
		for _, slack := range slacks {
			curve, err := measureCurve(ctx, index, samples, i, slack)
			if err != nil {
				return nil, err
			}
			t.curves = append(t.curves, curve)
		}
		c.tables = append(c.tables, t)
	}
	return c, nil
}

// sampleQuery is a query and how far its k-th neighbour is for each of calibratedKs.
type sampleQuery struct {
	vector   []float32
	farthest []float32
}

func (q *sampleQuery) exactly(ctx context.Context, index vecindex.Index) error {
	defer rest(ctx, time.Now())
	hits, _, err := index.Search(ctx, vecindex.Query{Vector: q.vector, K: slices.Max(calibratedKs), Exact: true}, nil)
	for _, k := range calibratedKs {
		if len(hits) < k {
			return errs.New(errs.Unavailable, "too_few_vectors", "the index has too few vectors to be calibrated")
		}
		q.farthest = append(q.farthest, hits[k-1].Distance)
	}
	return err
}

// rest makes a worker that began then idle for as long as it has worked.
func rest(ctx context.Context, began time.Time) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Since(began)):
	}
}

// measureCurve widens the search until it finds nearly everything, or no more. It
// begins where an index begins to keep to ef, which is above k.
func measureCurve(ctx context.Context, index vecindex.Index, samples []sampleQuery, at int, slack float32) (curve []recallPoint, err error) {
	k := calibratedKs[at]
	for ef := k + max(k/2, 20); ef <= maxCalibratedEf; ef = ef*7/5 + 1 {
		began, found, work := time.Now(), 0, 0
		for i := range samples {
			q := &samples[i]
			hits, stats, err := index.Search(ctx, vecindex.Query{Vector: q.vector, K: k, Ef: ef, Slack: slack}, nil)
			if err != nil {
				return nil, err
			}
			for _, h := range hits {
				if h.Distance <= q.farthest[at] {
					found++
				}
			}
			work += stats.Distances + stats.Hops
		}
		rest(ctx, began)
		p := recallPoint{breadth: breadth{ef, slack}, recall: share(found, k*len(samples)), cost: float64(work) / float64(len(samples))}
		if n := len(curve); n > 0 && slack > 0 && p.cost < curve[n-1].cost*1.01 {
			break // it is the slack that ends all of them
		}
		if curve = append(curve, p); p.recall >= 1-(1-MaxRecall)/2 {
			break
		}
	}
	return curve, nil
}

// sampleQueries returns n queries, known ones of clients as far as there are.
func (e *Engine) sampleQueries(ctx context.Context, ix *index, index vecindex.Index, n int) (queries [][]float32, known int, err error) {
	queries = ix.vector.calibrations.queries.sample(n)
	known = len(queries)
	s := &vectorSearch{e: e, ix: ix, index: index}
	if s.t, err = e.table(ix.def.Table); err != nil {
		return nil, 0, err
	}
	err = e.sampleVectors(ctx, s, n-known, func(id uint32, vector []float32) error {
		moved, err := e.displace(ctx, ix, index, id, vector)
		if moved != nil {
			queries = append(queries, moved)
		}
		return err
	})
	return queries, known, err
}

// displace moves a stored vector by the difference of two of its neighbours, nil if it
// hasn't got them.
func (e *Engine) displace(ctx context.Context, ix *index, index vecindex.Index, id uint32, vector []float32) ([]float32, error) {
	hits, _, err := index.Search(ctx, vecindex.Query{Vector: vector, K: defaultRecallK + 1}, nil)
	if err != nil {
		return nil, err
	}
	hits = slices.DeleteFunc(hits, func(h vecindex.Hit) bool { return h.ID == id })
	if len(hits) < 2 {
		return nil, nil
	}
	rand.Shuffle(len(hits), func(i, j int) { hits[i], hits[j] = hits[j], hits[i] })
	metric := ix.vector.metric
	vector = direction(metric, vector)
	found := 0
	err = e.store.Latest().Vectors(ix.def.ID, []uint32{hits[0].ID, hits[1].ID}, func(i int, _ uint64, raw []byte) error {
		if raw == nil {
			return nil
		}
		found++
		for j, x := range direction(metric, decodeVector(nil, raw)) {
			vector[j] += x * float32(1-2*i)
		}
		return nil
	})
	if err != nil || found < 2 || checkVector(vector, ix.vector.dimension(), metric) != nil {
		return nil, err
	}
	return vector, nil
}

// direction is the part of a vector that the metric sees, in memory of its own.
func direction(metric vecindex.Metric, vector []float32) []float32 {
	vector = slices.Clone(vector)
	if metric != vecindex.Cosine {
		return vector
	}
	var norm float64
	for _, x := range vector {
		norm += float64(x) * float64(x)
	}
	for i := range vector {
		vector[i] = float32(float64(vector[i]) / math.Sqrt(norm))
	}
	return vector
}
