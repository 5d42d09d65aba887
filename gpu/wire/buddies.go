package wire

import (
	"math/bits"
	"slices"
)

// buddies divides a range into blocks of a power of two times roomBlock, and puts
// freed ones together again (Knowlton, A fast storage allocator, 1965): a block of
// 2^i units begins at a multiple of 2^i, and its buddy is the one with that bit of its
// number flipped. Not safe for concurrent use.
type buddies struct {
	base int64
	// free[i] are the numbers of the first units of the free blocks of 2^i units,
	// ascending.
	free [32][]int64
}

// newBuddies divides units of roomBlock bytes that begin at base.
func newBuddies(base, units int64) buddies {
	b := buddies{base: base}
	for at := int64(0); at < units; {
		order := bits.Len64(uint64(units-at)) - 1
		if at > 0 {
			order = min(order, bits.TrailingZeros64(uint64(at)))
		}
		order = min(order, len(b.free)-1)
		b.free[order] = append(b.free[order], at)
		at += 1 << order
	}
	return b
}

// orderOf is the smallest order whose blocks hold so many bytes.
func orderOf(bytes int64) int {
	units := max(1, (bytes+roomBlock-1)/roomBlock)
	return bits.Len64(uint64(units - 1))
}

// take returns a block of at least so many bytes, the first that is free and has the
// least to spare.
func (b *buddies) take(bytes int64) (Area, bool) {
	want := orderOf(bytes)
	for order := want; order < len(b.free); order++ {
		if len(b.free[order]) == 0 {
			continue
		}
		at := b.free[order][0]
		b.free[order] = slices.Delete(b.free[order], 0, 1)
		for ; order > want; order-- {
			b.insert(order-1, at+1<<(order-1))
		}
		return Area{b.base + at*roomBlock, roomBlock << want}, true
	}
	return Area{}, false
}

// give frees a block that take returned.
func (b *buddies) give(area Area) {
	at, order := (area.Offset-b.base)/roomBlock, orderOf(area.Size)
	for order < len(b.free)-1 {
		buddy := at ^ 1<<order
		i, found := slices.BinarySearch(b.free[order], buddy)
		if !found {
			break
		}
		b.free[order] = slices.Delete(b.free[order], i, i+1)
		at &^= 1 << order
		order++
	}
	b.insert(order, at)
}

func (b *buddies) insert(order int, at int64) {
	i, _ := slices.BinarySearch(b.free[order], at)
	b.free[order] = slices.Insert(b.free[order], i, at)
}
