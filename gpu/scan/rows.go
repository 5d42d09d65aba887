package scan

import (
	"slices"

	"github.com/vccdb/vccdb/gpu/kernels"
)

// rows says which row of the device's memory has the vector of which id. Rows are
// taken from the front; those of deleted ids are taken again first.
type rows struct {
	// of has the row of each id, kernels.None without one.
	of   []uint32
	free []uint32
	// used is how many rows were ever taken, live how many have an id.
	used, live int
}

// missing is how many of ids have no row yet.
func (r *rows) missing(ids []uint32) int {
	n := 0
	for _, id := range ids {
		if int(id) >= len(r.of) || r.of[id] == kernels.None {
			n++
		}
	}
	return n
}

// need is how many rows there have to be for so many more.
func (r *rows) need(more int) int { return r.used + max(0, more-len(r.free)) }

// put gives each id a row, its own if it has one, and returns them in order. There are
// ids up to the largest one.
func (r *rows) put(ids []uint32) []uint32 {
	taken := make([]uint32, len(ids))
	for i, id := range ids {
		if r.of[id] == kernels.None {
			r.of[id] = r.take()
			r.live++
		}
		taken[i] = r.of[id]
	}
	return taken
}

// take takes a row.
func (r *rows) take() uint32 {
	if n := len(r.free); n > 0 {
		row := r.free[n-1]
		r.free = r.free[:n-1]
		return row
	}
	r.used++
	return uint32(r.used - 1)
}

// delete frees the rows of ids and returns those of ids that had one.
func (r *rows) delete(ids []uint32) []uint32 {
	var known []uint32
	for _, id := range ids {
		if int(id) >= len(r.of) || r.of[id] == kernels.None {
			continue
		}
		known = append(known, id)
		r.free = append(r.free, r.of[id])
		r.of[id] = kernels.None
		r.live--
	}
	if r.live == 0 { // the next begin at the front: a scan visits none but these
		r.free, r.used = r.free[:0], 0
	}
	return known
}

// grow makes room for ids below n.
func (r *rows) grow(n int) {
	had := len(r.of)
	if n <= had {
		return
	}
	r.of = slices.Grow(r.of, n-had)[:n]
	for i := had; i < n; i++ {
		r.of[i] = kernels.None
	}
}
