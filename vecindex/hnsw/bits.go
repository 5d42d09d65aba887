package hnsw

import (
	"math/bits"
	"sync/atomic"

	"github.com/vccdb/vccdb/vecindex/internal/offheap"
)

// bitset is one bit per slot, off-heap and atomic.
type bitset struct {
	words *offheap.Array[uint64]
}

func newBitset(g *offheap.Group, capacity int) bitset {
	return bitset{offheap.ReserveIn[uint64](g, (capacity+63)/64)}
}

func (b bitset) grow(n int) error { return b.words.Grow((n + 63) / 64) }

func (b bitset) has(s uint32) bool {
	return atomic.LoadUint64(b.words.At(s>>6))&(1<<(s&63)) != 0
}

func (b bitset) set(s uint32)   { atomic.OrUint64(b.words.At(s>>6), 1<<(s&63)) }
func (b bitset) clear(s uint32) { atomic.AndUint64(b.words.At(s>>6), ^uint64(1<<(s&63))) }

// sparseSet is a bitset whose members are few and found quickly: a second bitset
// has a bit for each word of the first that isn't zero.
type sparseSet struct {
	members bitset
	summary bitset
}

func newSparseSet(g *offheap.Group, capacity int) sparseSet {
	return sparseSet{newBitset(g, capacity), newBitset(g, (capacity+63)/64)}
}

func (b sparseSet) grow(n int) error {
	return firstError(b.members.grow(n), b.summary.grow((n+63)/64))
}

func (b sparseSet) has(s uint32) bool { return b.members.has(s) }

func (b sparseSet) setLocked(s uint32) {
	b.members.set(s)
	b.summary.set(s >> 6)
}

func (b sparseSet) clearLocked(s uint32) {
	b.members.clear(s)
	if atomic.LoadUint64(b.members.words.At(s>>6)) == 0 {
		b.summary.clear(s >> 6)
	}
}

// below yields the members below n in ascending order. What is a member during
// the whole call is always found.
func (b sparseSet) below(n uint32) func(yield func(uint32) bool) {
	return func(yield func(uint32) bool) {
		for i := uint32(0); i<<12 < n; i++ {
			for some := atomic.LoadUint64(b.summary.words.At(i)); some != 0; some &= some - 1 {
				w := i<<6 + uint32(bits.TrailingZeros64(some))
				for word := atomic.LoadUint64(b.members.words.At(w)); word != 0; word &= word - 1 {
					s := w<<6 + uint32(bits.TrailingZeros64(word))
					if s >= n || !yield(s) {
						return
					}
				}
			}
		}
	}
}
