package scan

import "github.com/vccdb/vccdb/gpu/kernels"

// FirstPhase are the rows of n that a search visits before there is a threshold.
func FirstPhase(n int) map[int]bool {
	tiles := (n + kernels.TileRows - 1) / kernels.TileRows
	rows := map[int]bool{}
	for p := range min(firstTiles, tiles) {
		for r := range kernels.TileRows {
			rows[p*tileStep(tiles)%tiles*kernels.TileRows+r] = true
		}
	}
	return rows
}

// TileStep and its bounds are tested as they are.
func TileStep(tiles int) int { return tileStep(tiles) }

// Used is the memory that d has.
func (d *Device) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.used[forSearches] + d.mu.used[forIndexes]
}

// AppendQuery is compared with what it is a faster form of.
func AppendQuery(b []byte, q kernels.Query) []byte { return appendQuery(b, q) }

// Lane takes a lane; need asks for its memory, back puts it back.
func (d *Device) Lane() (need func(bytes int64) error, back func(), err error) {
	l, err := d.lane()
	return func(bytes int64) error { return l.need(bytes, 0) }, func() { d.back(l) }, err
}
