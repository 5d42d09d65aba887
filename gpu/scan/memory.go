package scan

import (
	"errors"
	"fmt"

	"github.com/vccdb/vccdb/gpu/wire"
)

// align is what parts of a block of memory are aligned to: what the device reads at
// once is never in two of its lines.
const align = 256

// aligned rounds up.
func aligned(bytes int64) int64 { return (bytes + align - 1) / align * align }

// purpose is what memory of the device is for.
type purpose int

const (
	forSearches purpose = iota
	forIndexes
	purposes
)

// block is a piece of the device's memory.
type block struct {
	at    Ptr
	bytes int64
	use   purpose
}

// reserve is the memory that only searches may have: a batch on the device, and one
// that gets its queries meanwhile.
func (d *Device) reserve() int64 { return min(2*d.o.ScratchBytes, d.o.MemoryLimit/4) }

// alloc allocates memory for what an error calls by name. Where it isn't there, lanes
// that nobody uses give theirs back.
func (d *Device) alloc(bytes int64, use purpose, forWhat string) (block, error) {
	b, err := d.tryAlloc(bytes, use, forWhat)
	if full(err) && d.trim() {
		b, err = d.tryAlloc(bytes, use, forWhat)
	}
	return b, err
}

// allocMore is alloc of need bytes for what had others before: of more than that, if they
// are there, so that growing by little at a time costs little.
func (d *Device) allocMore(need, had, most int64, use purpose, forWhat string) (block, error) {
	const slack = 64 << 20
	if more := min(2*had, had+slack, most); more > need {
		if b, err := d.tryAlloc(more, use, forWhat); !full(err) {
			return b, err
		}
	}
	return d.alloc(need, use, forWhat)
}

func (d *Device) tryAlloc(bytes int64, use purpose, forWhat string) (block, error) {
	b := block{bytes: aligned(max(1, bytes)), use: use}
	if err := d.account(b, forWhat); err != nil {
		return block{}, err
	}
	var err error
	if b.at, err = d.l.Alloc(b.bytes); err != nil {
		d.discount(b)
		return block{}, err
	}
	return b, nil
}

func (d *Device) account(b block, forWhat string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	used := d.mu.used[forSearches] + d.mu.used[forIndexes]
	beyond := used+b.bytes > d.o.MemoryLimit
	if b.use == forIndexes {
		beyond = beyond || d.mu.used[forIndexes]+b.bytes > d.o.MemoryLimit-d.reserve()
	}
	if beyond {
		return wire.Errorf(wire.OutOfMemory, "%s takes %s of the device's memory; of %s, indexes have %s, and %s are for searches alone",
			forWhat, mebibytes(b.bytes), mebibytes(d.o.MemoryLimit), mebibytes(d.mu.used[forIndexes]), mebibytes(d.reserve()))
	}
	d.mu.used[b.use] += b.bytes
	return nil
}

func (d *Device) discount(b block) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.used[b.use] -= b.bytes
}

// free gives a block back. The empty block is fine.
func (d *Device) free(b block) {
	if b.at != 0 {
		d.l.Free(b.at)
		d.discount(b)
	}
}

// trim frees the memory of lanes that nobody uses, and says whether there was any.
func (d *Device) trim() bool {
	d.mu.Lock()
	var idle []block
	for _, l := range d.mu.idle {
		idle = append(idle, l.scratch)
		l.scratch = block{}
	}
	d.mu.Unlock()
	freed := false
	for _, b := range idle {
		d.free(b)
		freed = freed || b.at != 0
	}
	return freed
}

// full says that memory isn't there.
func full(err error) bool {
	var e *wire.Error
	return errors.As(err, &e) && e.Code == wire.OutOfMemory
}

// mebibytes writes a size for people.
func mebibytes(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
