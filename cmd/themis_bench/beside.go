package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// besideRow is what readers see alone or beside writers; figures are medians of the
// rounds.
type besideRow struct {
	// Readers "search" or "get" one small entity, which shows what of a tail is the
	// machine's.
	Readers string `json:"readers"`
	// Writers replace vectors in "batches" or by single "puts"; empty if there are
	// none.
	Writers string  `json:"writers,omitempty"`
	QPS     float64 `json:"qps"`
	P50Ms   float64 `json:"p50_ms"`
	P99Ms   float64 `json:"p99_ms"`
	// P99Times is P99Ms against that of the same readers alone, in the same round.
	P99Times        float64   `json:"p99_times,omitempty"`
	WritesPerSecond float64   `json:"writes_per_second,omitempty"`
	P99Rounds       []float64 `json:"p99_rounds"`
}

// scene is who is at work at the same time.
type scene struct{ readers, writers string }

// besideScenes are measured in this order, round after round: those with writers
// after the same readers alone.
func besideScenes() []scene {
	return []scene{{"search", ""}, {"search", "batches"}, {"search", ""}, {"search", "puts"}, {"get", ""}, {"get", "batches"}}
}

// beside measures the most clients, alone and beside writers at full rate, in turn.
func (f *servingFlags) beside(ctx context.Context, s *served, ef int, out output) ([]besideRow, error) {
	searches, _, _, err := f.prepare(ctx, s, servingPlans()[0], ef)
	if err != nil {
		return nil, err
	}
	clients := slices.Max(s.clients)
	small, err := putSmall(ctx, s.overHTTP)
	if err != nil {
		return nil, err
	}
	all := map[string]readers{"search": searches, "get": small}
	writers := f.newRewriters(s)
	m := measurement{f.k, ef, clients, f.phase}
	sums := map[scene]*besideSum{}
	bar := newProgress(out.progress, "rounds", f.besideRounds)
	defer bar.end()
	for round := range f.besideRounds {
		alone := map[string]point{}
		for _, now := range besideScenes() {
			if err := s.settle(ctx, f.phase/10); err != nil {
				return nil, err
			}
			p, wrote, err := f.act(ctx, now, m, all[now.readers], writers)
			if err != nil {
				return nil, err
			}
			if now.writers == "" {
				alone[now.readers] = p
			}
			if sums[now] == nil {
				sums[now] = &besideSum{}
			}
			sums[now].add(p, alone[now.readers], wrote)
		}
		bar.at(round + 1)
	}
	var rows []besideRow
	for _, now := range []scene{{"search", ""}, {"search", "batches"}, {"search", "puts"}, {"get", ""}, {"get", "batches"}} {
		rows = append(rows, sums[now].row(now))
	}
	return rows, nil
}

// besideSum is what the rounds of a scene came to.
type besideSum struct {
	qps, p50, p99, times []float64
	wrote                written
}

func (s *besideSum) add(p, alone point, wrote written) {
	s.qps, s.p50, s.p99 = append(s.qps, p.QPS), append(s.p50, p.P50Ms), append(s.p99, p.P99Ms)
	s.times = append(s.times, p.P99Ms/alone.P99Ms)
	s.wrote.entities, s.wrote.took = s.wrote.entities+wrote.entities, s.wrote.took+wrote.took
}

func (s *besideSum) row(now scene) besideRow {
	row := besideRow{Readers: now.readers, Writers: now.writers, QPS: median(s.qps), P50Ms: median(s.p50), P99Ms: median(s.p99), P99Rounds: s.p99}
	if now.writers != "" {
		row.P99Times, row.WritesPerSecond = median(s.times), float64(s.wrote.entities)/s.wrote.took.Seconds()
	}
	return row
}

// written is how many entities were acknowledged in which time.
type written struct {
	entities int64
	took     time.Duration
}

// act measures the readers of a scene while its writers write.
func (f *servingFlags) act(ctx context.Context, now scene, m measurement, r readers, writers *rewriters) (point, written, error) {
	// Each writer may keep a thread busy, and none may keep the readers'.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + f.loaders + 1))
	var stop atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	switch now.writers {
	case "batches":
		for range f.loaders {
			group.Go(func() error { return writers.batches(ctx, &stop, f.batch) })
		}
	case "puts":
		for range f.loaders {
			group.Go(func() error { return writers.puts(ctx, &stop) })
		}
	}
	p, wrote, err := m.beside(ctx, r, writers)
	stop.Store(true)
	if failed := group.Wait(); failed != nil {
		err = failed // which has ended the readers too
	}
	return p, wrote, err
}

// beside warms up, measures readers, and counts what the writers write meanwhile.
func (m measurement) beside(ctx context.Context, r readers, writers *rewriters) (p point, wrote written, err error) {
	warm := m
	warm.atLeast = m.atLeast / 10
	if _, err = warm.ask(ctx, r); err != nil {
		return p, wrote, err
	}
	before, begin := writers.acknowledged.Load(), time.Now()
	p, err = m.ask(ctx, r)
	return p, written{writers.acknowledged.Load() - before, time.Since(begin)}, err
}

// settle waits until the server has nothing to do any more, neither vectors to link
// nor a graph to sweep or tables to compact: it takes hardly any processor time in an
// interval. Half a minute is enough in any case.
func (s *served) settle(ctx context.Context, interval time.Duration) error {
	if err := s.client.waitLinked(ctx, s.table); err != nil {
		return err
	}
	const tick = 10 * time.Millisecond
	for begin := time.Now(); time.Since(begin) < 30*time.Second; {
		before, err := processorTime(s.pid)
		if err != nil {
			return err
		}
		time.Sleep(interval)
		after, err := processorTime(s.pid)
		if err != nil || after-before <= tick {
			return err
		}
	}
	return ctx.Err()
}

// putSmall writes an entity that is no vector's, and returns who reads it.
func putSmall(ctx context.Context, t *overHTTP) (readers, error) {
	path := "/entities/" + t.table + ":small"
	if _, err := call[acknowledged](ctx, t.client, "PUT", path, map[string]int{"small": 1}); err != nil {
		return readers{}, err
	}
	small, err := t.client.newAskers(func(int, []byte) error { return nil })
	if err != nil {
		return readers{}, err
	}
	return readers{askers: small}, small.prepare(t.client, "GET", path, nil)
}

// exchange makes a call whose answer only matters for not being an error.
func (c *client) exchange(ctx context.Context, method, path string, body io.Reader) error {
	resp, err := c.send(ctx, method, path, "application/json", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// rewriters replace the vectors of one entity after another by another one's, with
// vectors that were written as text before, so that the readers beside them aren't
// kept waiting by that.
type rewriters struct {
	client       *client
	table        string
	entities     int
	texts        [][]byte
	next         atomic.Int64
	acknowledged atomic.Int64
}

// rewriterTexts is how many vectors are kept as text: 110 MB of 512 dimensions.
const rewriterTexts = 20_000

func (f *servingFlags) newRewriters(s *served) *rewriters {
	r := &rewriters{client: newClient(s.client.base, s.client.key, f.loaders), table: s.table, entities: s.w.base.Len()}
	for i := range min(rewriterTexts, r.entities) {
		r.texts = append(r.texts, f.vector(nil, s.w.base.Row(i)))
	}
	return r
}

// entity appends the new entity of a turn. With each time round the entities get
// another vector than they have.
func (r *rewriters) entity(dst []byte, turn int) []byte {
	i := turn % r.entities
	dst = fmt.Appendf(dst, `{"tenth":%d,"hundredth":%d,"embedding":`, i%10, i%100)
	return append(append(dst, r.texts[(i+1+turn/r.entities)%len(r.texts)]...), '}')
}

// batches writes as many at once until it is stopped.
func (r *rewriters) batches(ctx context.Context, stop *atomic.Bool, size int) error {
	for !stop.Load() {
		from := int(r.next.Add(int64(size))) - size
		err := r.client.putBatch(ctx, from, from+size, func(dst []byte, turn int) []byte {
			dst = fmt.Appendf(dst, `{"op":"put","key":"%s:%d","entity":`, r.table, turn%r.entities)
			return append(r.entity(dst, turn), '}')
		})
		if err != nil {
			return err
		}
		r.acknowledged.Add(int64(size))
	}
	return nil
}

// puts writes one at a time until it is stopped.
func (r *rewriters) puts(ctx context.Context, stop *atomic.Bool) error {
	for !stop.Load() {
		turn := int(r.next.Add(1)) - 1
		path := "/entities/" + r.table + ":" + strconv.Itoa(turn%r.entities)
		if err := r.client.exchange(ctx, "PUT", path, bytes.NewReader(r.entity(nil, turn))); err != nil {
			return err
		}
		r.acknowledged.Add(1)
	}
	return nil
}
