// Package bitmap is a flat bitset over dense uint32 ids: the form in which a
// filter reaches a vector index, where membership is asked once per visited
// node. A Set is not safe for concurrent change; a finished one may be read by
// many goroutines.
package bitmap

import "math/bits"

// Set is a set of uint32 ids. The zero value is empty and ready to use.
type Set struct {
	words []uint64
	n     int
}

// Of returns the set of the given ids.
func Of(ids ...uint32) *Set {
	s := &Set{}
	for _, id := range ids {
		s.Add(id)
	}
	return s
}

// FromWords returns the set of the n bits that are set in words, which it takes
// over: id is bit id%64 of word id/64.
func FromWords(words []uint64, n int) *Set { return &Set{words: words, n: n} }

// Add puts id into the set.
func (s *Set) Add(id uint32) {
	w := int(id >> 6)
	if w >= len(s.words) {
		s.words = append(s.words, make([]uint64, w+1-len(s.words))...)
	}
	bit := uint64(1) << (id & 63)
	if s.words[w]&bit == 0 {
		s.words[w] |= bit
		s.n++
	}
}

// Contains says whether id is in the set.
func (s *Set) Contains(id uint32) bool {
	w := int(id >> 6)
	return w < len(s.words) && s.words[w]&(1<<(id&63)) != 0
}

// Len is the number of ids in the set.
func (s *Set) Len() int { return s.n }

// Words are the bits of the set, which aren't to be changed: id is bit id%64 of word
// id/64, and ids beyond the last word aren't in it.
func (s *Set) Words() []uint64 { return s.words }

// All calls yield for each id in ascending order until it returns false.
func (s *Set) All(yield func(uint32) bool) {
	for i, w := range s.words {
		for w != 0 {
			id := uint32(i<<6 + bits.TrailingZeros64(w))
			if !yield(id) {
				return
			}
			w &= w - 1
		}
	}
}
