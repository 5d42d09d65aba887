package scan

import (
	"math"
	"time"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/wire"
)

// What a selftest measures besides searches. Times are those of the host around work
// of a length that makes a launch's own time small.

// MeasureCopy copies so many bytes within the device's memory, some times, and returns
// how many bytes were read and written in a second.
func (d *Device) MeasureCopy(bytes int64, times int) (perSecond float64, err error) {
	var blocks [2]block
	for i := range blocks {
		if blocks[i], err = d.alloc(bytes, forSearches, "measuring a copy"); err != nil {
			d.free(blocks[0])
			return 0, err
		}
	}
	defer d.free(blocks[0])
	defer d.free(blocks[1])
	l, err := d.lane()
	if err != nil {
		return 0, err
	}
	defer d.back(l)
	l.Fill(blocks[0].at, 1, bytes)
	l.Copy(blocks[1].at, blocks[0].at, bytes)
	if err := l.Sync(); err != nil {
		return 0, err
	}
	started := time.Now()
	for range times {
		l.Copy(blocks[1].at, blocks[0].at, bytes)
	}
	if err := l.Sync(); err != nil {
		return 0, err
	}
	return 2 * float64(bytes) * float64(times) / max(time.Since(started), time.Nanosecond).Seconds(), nil
}

// MeasureScan scans all rows for a number of queries that find nothing, some times, and
// returns how long one scan took, and how many bytes of rows it has to read at least.
func (x *Index) MeasureScan(queries, times int, exact bool) (took time.Duration, bytes int64, err error) {
	if queries < 1 || x.rows.used == 0 {
		return 0, 0, wire.Errorf(wire.Invalid, "there is nothing to scan")
	}
	p := &part{x: x, exact: exact, filters: map[filter]int64{}, keep: 1, stride: 1, capacity: 2}
	for range queries {
		p.queries = append(p.queries, pending{})
	}
	p.layOut(0)
	l, err := x.d.lane()
	if err != nil {
		return 0, 0, err
	}
	defer x.d.back(l)
	if err := l.need(p.bytes, 0); err != nil {
		return 0, 0, err
	}
	base := l.scratch.at
	l.Fill(base+Ptr(p.vectors), 0, p.codes-p.vectors)
	l.Fill(base+Ptr(p.codes), 1, p.filterAt-p.codes)
	l.Fill(base+Ptr(p.states), 0, p.out) // thresholds of 0 are above nothing
	tiles := (x.rows.used + kernels.TileRows - 1) / kernels.TileRows
	p.scan(l, 0, tiles, tiles)
	if err := l.Sync(); err != nil {
		return 0, 0, err
	}
	started := time.Now()
	for range times {
		p.scan(l, 0, tiles, tiles)
	}
	if err := l.Sync(); err != nil {
		return 0, 0, err
	}
	row := int64(x.rowBytes + kernels.FactorBytes)
	if exact {
		row = int64(4 * x.stride)
	}
	took = time.Duration(math.Ceil(float64(time.Since(started)) / float64(times)))
	return took, row * int64(x.rows.used), nil
}
