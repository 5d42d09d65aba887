package kernels_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/gpu/kernels"
)

// scanCase is one launch of a scan, and what is in it.
type scanCase struct {
	rows                   *rowData
	kernel                 kernels.Scan
	queries                [][]float32
	states                 []kernels.Query
	filters                []bitset
	first, count, tileStep int
	capacity               int
}

// newScanCase has everything at random.
func newScanCase(rng *rand.Rand, kernel kernels.Scan, metric kernels.Metric, dim, rows, queries int) *scanCase {
	c := &scanCase{rows: randomRows(rng, kernel.Code, metric, dim, rows), kernel: kernel, capacity: 8 + rng.IntN(2*rows)}
	for range queries {
		c.queries = append(c.queries, randomNumbers(rng, kernel.Code, dim))
		c.filters = append(c.filters, randomFilter(rng, rows))
		s := kernels.Query{Threshold: ^uint64(0), Scale: float32(1+rng.IntN(3)) / 4, Count: uint32(rng.IntN(3)), Keep: 1, K: 1}
		if sample, ok := c.rows.key(rng.IntN(rows), c.queries[len(c.queries)-1], s.Scale); ok && rng.IntN(3) > 0 {
			s.Threshold = sample
		}
		if rng.IntN(12) == 0 {
			s.Threshold = 0
		}
		c.states = append(c.states, s)
	}
	tiles := c.tiles()
	c.first = rng.IntN(tiles)
	c.count = 1 + rng.IntN(tiles-c.first)
	if rng.IntN(2) == 0 {
		c.first, c.count = 0, tiles
	}
	for c.tileStep = 1 + rng.IntN(tiles); gcd(c.tileStep, tiles) != 1; c.tileStep++ {
	}
	return c
}

func randomFilter(rng *rand.Rand, rows int) bitset {
	kind := rng.IntN(5)
	if kind > 2 {
		return nil
	}
	f := make(bitset, 1+rng.IntN(1+rows/20)) // ids are up to 3 * rows: some are behind it
	for i := range f {
		switch kind {
		case 1: // few
			f[i] = 1 << rng.IntN(64)
		case 2:
			f[i] = rng.Uint64()
		}
	}
	return f
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func (c *scanCase) tiles() int {
	return (len(c.rows.rows) + kernels.TileRows - 1) / kernels.TileRows
}

// want are the keys that a query's candidates get.
func (c *scanCase) want(q int) []uint64 {
	var keys []uint64
	tiles := c.tiles()
	for p := c.first; p < c.first+c.count; p++ {
		tile := p * c.tileStep % tiles
		for row := tile * kernels.TileRows; row < min((tile+1)*kernels.TileRows, len(c.rows.rows)); row++ {
			key, live := c.rows.key(row, c.queries[q], c.states[q].Scale)
			if live && key < c.states[q].Threshold && c.filters[q].has(c.rows.ids[row]) {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// check launches the scan and compares what it found.
func (c *scanCase) check(d *device) error {
	segments, all := c.rows.upload(d)
	var codes []byte
	states := slices.Clone(c.states)
	for i, q := range c.queries {
		codes = append(codes, encoded(c.kernel.Code, q)...)
		if f := c.filters[i]; f != nil {
			states[i].Filter, states[i].FilterWords = d.put(bytesOf(f)), uint32(len(f))
			all = append(all, states[i].Filter)
		}
	}
	args := kernels.ScanArgs{
		Segments: segments, Queries: d.put(appendAll(states)), Codes: d.put(codes), Candidates: d.room(len(states)*c.capacity*8, 0x11),
		Rows: uint32(len(c.rows.rows)), RowBytes: uint32(c.rows.rowBytes), NumQueries: uint32(len(states)), Capacity: uint32(c.capacity),
		First: uint32(c.first), Count: uint32(c.count), Tiles: uint32(c.tiles()), TileStep: uint32(c.tileStep), Metric: c.rows.metric,
	}
	launch(d, c.kernel.Launch(c.rows.rowBytes, len(states), c.count, 2), args)
	after := readQueries(d.get(args.Queries, len(states)*kernels.QueryBytes))
	candidates := valuesOf[uint64](d.get(args.Candidates, len(states)*c.capacity*8), len(states)*c.capacity)
	d.free(append(all, args.Queries, args.Codes, args.Candidates)...)
	for q := range states {
		if err := c.compare(q, after[q], states[q], candidates[q*c.capacity:][:c.capacity]); err != nil {
			return fmt.Errorf("query %d of %d: %w", q, len(states), err)
		}
	}
	return nil
}

func (c *scanCase) compare(q int, after, before kernels.Query, candidates []uint64) error {
	want := c.want(q)
	if got := int(after.Count - before.Count); got != len(want) {
		return fmt.Errorf("%d candidates, want %d", got, len(want))
	}
	after.Count = before.Count
	if after != before {
		return fmt.Errorf("the state is %+v, was %+v", after, before)
	}
	const nothing = 0x1111111111111111
	filled := candidates[before.Count:min(int(before.Count)+len(want), c.capacity)]
	got := slices.Sorted(slices.Values(filled))
	if len(got) == len(want) && !slices.Equal(got, want) {
		return fmt.Errorf("candidates %x, want %x", got, want)
	}
	for i, key := range got { // some of them, if there is no room for all
		if _, ok := slices.BinarySearch(want, key); !ok || i > 0 && got[i-1] == key {
			return fmt.Errorf("candidate %x is none, or twice there", key)
		}
	}
	for i, key := range candidates {
		if (i < int(before.Count) || i >= int(before.Count)+len(want)) && key != nothing {
			return fmt.Errorf("slot %d was written to", i)
		}
	}
	return nil
}

func allScans() []kernels.Scan {
	return slices.Concat(kernels.Scans(kernels.S8), kernels.Scans(kernels.BF16), kernels.Scans(kernels.F32))
}

// TestScans compares every scan with the definition: shapes, thresholds, filters, ties, dead
// rows, tails of rows and of groups, and candidates without room, in several orders of threads.
func TestScans(t *testing.T) {
	for seed := range *seeds {
		d := newDevice(t, seed)
		for _, kernel := range allScans() {
			rng := rand.New(rand.NewPCG(seed, uint64(kernel.Queries)))
			for i := range 4 {
				dim, rows := 1+rng.IntN(200), 1+rng.IntN(400)
				queries := 1 + rng.IntN(kernel.Queries)
				if i == 3 {
					queries += kernel.Queries // a second group
				}
				if i == 0 {
					dim = 64
				}
				c := newScanCase(rng, kernel, kernels.Metric(rng.IntN(3)), dim, rows, queries)
				if err := c.check(d); err != nil {
					t.Errorf("%s, seed %d: %d rows of %d numbers, tiles %d+%d by %d: %v",
						kernel.Kernel(), seed, rows, dim, c.first, c.count, c.tileStep, err)
				}
			}
		}
	}
}

// TestScansOfLongRows: the largest dimension, and those people have.
func TestScansOfLongRows(t *testing.T) {
	d := newDevice(t, 0)
	rng := rand.New(rand.NewPCG(7, 7))
	for _, kernel := range allScans() {
		if kernel.Queries == 2 || kernel.Queries == 16 || kernel.Queries == 64 {
			continue
		}
		for _, dim := range []int{768, 1000, 4096} {
			c := newScanCase(rng, kernel, kernels.Dot, dim, 3+rng.IntN(20), min(kernel.Queries, 5))
			if err := c.check(d); err != nil {
				t.Errorf("%s, %d dimensions: %v", kernel.Kernel(), dim, err)
			}
		}
	}
}

// TestScansOfSegments: rows on both sides of a segment's border.
func TestScansOfSegments(t *testing.T) {
	d := newDevice(t, 0)
	rng := rand.New(rand.NewPCG(8, 8))
	rows := randomRows(rng, kernels.S8, kernels.Dot, 5, kernels.SegmentRows+300)
	for _, kernel := range kernels.Scans(kernels.S8) {
		c := newScanCase(rng, kernel, kernels.Dot, 5, 1, 2)
		c.rows = rows
		c.first, c.count, c.tileStep = c.tiles()-5, 5, 1
		c.capacity = 1000
		if err := c.check(d); err != nil {
			t.Errorf("%s: %v", kernel.Kernel(), err)
		}
	}
}
