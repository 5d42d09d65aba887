package hnsw

import (
	"errors"
	"sync/atomic"

	"github.com/vccdb/vccdb/vecindex/checkpoint"
	"github.com/vccdb/vccdb/vecindex/internal/offheap"
)

// slots are the columns of all slots, off-heap. A slot's vector, id, stamp and
// level are written before its birth and stand still until it is free again;
// births, deaths and places are read and written atomically.
type slots struct {
	arrays  offheap.Group
	stride  int
	file    string // that the vectors lie in; none if they are in memory
	vectors *offheap.Array[float32]
	matrix  []float32 // vectors in full length, for kernels
	ids     *offheap.Array[uint32]
	stamps  *offheap.Array[uint64]
	levels  *offheap.Array[uint8]
	births  *offheap.Array[uint64] // clock of Put; 0: the slot is free
	deaths  *offheap.Array[uint64] // clock of Delete or replacement; 0: alive
	dead    bitset                 // deaths != 0, in a form that stays in the cache
	pending sparseSet
	// coded are the slots whose rows were made when they were put. Of what was loaded only
	// those that are linked have theirs for certain.
	coded bitset
	// condemned are the nodes that the running sweep takes out.
	condemned bitset
	places    *offheap.Array[uint32] // by id: its slot + 1; 0: none

	// sums are the CRC-32C of the vectors, if those lie in a file, and suspect the slots
	// for which nobody has looked yet whether the file still holds them.
	sums    *offheap.Array[uint32]
	suspect bitset

	// marks are the slots that were put since the last checkpoint, and fateMarks those
	// whose birth or death changed. Whoever marks holds mu or shares linking.
	marks, fateMarks *checkpoint.Marks

	high atomic.Uint32 // slots from here on were never used

	// free slots are taken before new ones. Those whose vectors can't be written are
	// abandoned. Both are guarded by the index's mu.
	free      []uint32
	abandoned int
}

// newSlots reserves the columns; the vectors in a file if one is named.
func newSlots(capacity, stride int, file string) (*slots, error) {
	s := &slots{stride: stride, file: file}
	g := &s.arrays
	if file != "" {
		s.vectors = offheap.ReserveFileIn[float32](g, file, capacity*stride)
		s.sums = offheap.ReserveIn[uint32](g, capacity)
		s.suspect = newBitset(g, capacity)
	} else {
		s.vectors = offheap.ReserveIn[float32](g, capacity*stride)
	}
	s.ids = offheap.ReserveIn[uint32](g, capacity)
	s.stamps = offheap.ReserveIn[uint64](g, capacity)
	s.levels = offheap.ReserveIn[uint8](g, capacity)
	s.births = offheap.ReserveIn[uint64](g, capacity)
	s.deaths = offheap.ReserveIn[uint64](g, capacity)
	s.dead = newBitset(g, capacity)
	s.pending = newSparseSet(g, capacity)
	s.coded = newBitset(g, capacity)
	s.condemned = newBitset(g, capacity)
	s.places = offheap.ReserveIn[uint32](g, 1<<32)
	if err := g.Err(); err != nil {
		return nil, errors.Join(err, g.Free())
	}
	s.matrix = s.vectors.All()
	return s, nil
}

// growLocked makes the slots below n usable.
func (s *slots) growLocked(n int) error {
	if s.file != "" {
		if err := firstError(s.sums.Grow(n), s.suspect.grow(n)); err != nil {
			return err
		}
	}
	return firstError(
		s.vectors.Grow(n*s.stride),
		s.ids.Grow(n),
		s.stamps.Grow(n),
		s.levels.Grow(n),
		s.births.Grow(n),
		s.deaths.Grow(n),
		s.dead.grow(n),
		s.pending.grow(n),
		s.coded.grow(n),
		s.condemned.grow(n),
		s.marks.Grow(n),
		s.fateMarks.Grow(n),
	)
}

func (s *slots) vector(slot uint32) []float32 {
	return s.vectors.Slice(int(slot)*s.stride, s.stride)
}

func (s *slots) birth(slot uint32) uint64 { return atomic.LoadUint64(s.births.At(slot)) }
func (s *slots) death(slot uint32) uint64 { return atomic.LoadUint64(s.deaths.At(slot)) }

// aliveAt says whether an occupied slot was not yet dead at a clock. A slot born
// after it counts as alive.
func (s *slots) aliveAt(slot uint32, clock uint64) bool {
	return !s.dead.has(slot) || s.death(slot) > clock
}

// placeOf is the slot of an id.
func (s *slots) placeOf(id uint32) (slot uint32, ok bool) {
	if int(id) >= s.places.Len() {
		return 0, false
	}
	place := atomic.LoadUint32(s.places.At(id))
	return place - 1, place != 0
}
