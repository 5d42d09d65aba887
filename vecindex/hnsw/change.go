package hnsw

import (
	"math"
	"sync/atomic"

	"github.com/vccdb/vccdb/internal/errs"
)

// Put makes vec searchable under id. It takes a slot and returns; a linker brings
// it into the graph.
func (x *Index) Put(id uint32, stamp uint64, vec []float32) error {
	side, ok := x.gate.enter()
	if !ok {
		return errClosed()
	}
	defer x.gate.leave(side)
	slot, err := x.place(id, vec)
	if err != nil {
		return err
	}
	*x.slots.ids.At(slot) = id
	*x.slots.stamps.At(slot) = stamp
	x.publish(id, slot)
	return nil
}

// placesTried is how many slots are tried for a vector whose place in the file can't be
// written to. A page has the places of some.
const placesTried = 64

// place takes a slot for a vector and writes it there.
func (x *Index) place(id uint32, vec []float32) (slot uint32, err error) {
	for range placesTried {
		if slot, err = x.take(id); err != nil {
			return 0, err
		}
		written := x.slots.touch(func() {
			if err = x.space.Prepare(x.slots.vector(slot), vec); err == nil {
				x.slots.vouch(slot)
				x.rows.encode(x.rows.of(slot), x.slots.vector(slot))
			}
		})
		switch {
		case !written:
			x.abandon(slot)
		case err != nil:
			x.giveBack(slot)
			return 0, err
		default:
			x.slots.coded.set(slot)
			return slot, nil
		}
	}
	return 0, errs.New(errs.Unavailable, "vector_file_failed", "the file %s can't be written to in many places; see to the disk", x.slots.file)
}

// Delete makes id unfindable; its slot becomes a tombstone.
func (x *Index) Delete(id uint32) {
	side, ok := x.gate.enter()
	if !ok {
		return
	}
	defer x.gate.leave(side)
	x.mu.Lock()
	defer x.mu.Unlock()
	slot, ok := x.slots.placeOf(id)
	if !ok {
		return
	}
	now := x.clock.Load() + 1
	x.killLocked(slot, now)
	atomic.StoreUint32(x.slots.places.At(id), 0)
	x.live.Add(-1)
	x.clock.Store(now)
	x.wakeSweeperLocked()
}

// Stamp is the one given to Put with id's present vector.
func (x *Index) Stamp(id uint32) (uint64, bool) {
	side, ok := x.gate.enter()
	if !ok {
		return 0, false
	}
	defer x.gate.leave(side)
	slot, ok := x.slots.placeOf(id)
	if !ok {
		return 0, false
	}
	return *x.slots.stamps.At(slot), true
}

// take reserves a free slot, with its level and rows, for a vector of id.
func (x *Index) take(id uint32) (uint32, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.slots.places.Grow(int(id) + 1); err != nil {
		return 0, err
	}
	slot, fresh := x.slots.high.Load(), true
	if n := len(x.slots.free); n > 0 {
		slot, fresh = x.slots.free[n-1], false
	} else if err := x.growLocked(int(slot) + 1); err != nil {
		return 0, err
	}
	level := x.drawLevelLocked()
	if err := x.graph.takeUpperLocked(slot, level); err != nil {
		return 0, err
	}
	*x.slots.levels.At(slot) = uint8(level)
	if fresh {
		x.slots.high.Store(slot + 1)
	} else {
		x.slots.free = x.slots.free[:len(x.slots.free)-1]
	}
	return slot, nil
}

func (x *Index) growLocked(n int) error {
	return firstError(x.slots.growLocked(n), x.rows.growLocked(n), x.graph.growLocked(n))
}

// drawLevelLocked draws a node's top level: each level has 1/M of the nodes of the
// one below.
func (x *Index) drawLevelLocked() int {
	return min(maxLevel, int(x.mu.rng.ExpFloat64()/math.Log(float64(x.opts.M))))
}

// giveBack undoes take.
func (x *Index) giveBack(slot uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.graph.dropUpperLocked(slot, int(*x.slots.levels.At(slot)))
	x.slots.free = append(x.slots.free, slot)
}

// abandon undoes take, but the slot isn't taken again before a restart.
func (x *Index) abandon(slot uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.graph.dropUpperLocked(slot, int(*x.slots.levels.At(slot)))
	x.slots.abandoned++
}

// publish makes a written slot the one of its id, in place of the one before, in
// the same tick of the clock.
func (x *Index) publish(id, slot uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.clock.Load() + 1
	x.slots.pending.setLocked(slot) // before the birth, see isLinked
	atomic.StoreUint64(x.slots.births.At(slot), now)
	x.slots.marks.Mark(slot)
	x.slots.fateMarks.Mark(slot)
	x.mu.pending++
	old, replaced := x.slots.placeOf(id)
	atomic.StoreUint32(x.slots.places.At(id), slot+1)
	if replaced {
		x.killLocked(old, now)
		x.wakeSweeperLocked()
	} else {
		x.live.Add(1)
	}
	x.clock.Store(now)
	x.mu.backlog++
	x.mu.queue.push(slot)
	x.mu.work.Signal()
}

// killLocked turns a slot into a tombstone.
func (x *Index) killLocked(slot uint32, now uint64) {
	atomic.StoreUint64(x.slots.deaths.At(slot), now)
	x.slots.fateMarks.Mark(slot)
	x.slots.dead.set(slot)
	if x.slots.pending.has(slot) {
		x.mu.pending--
	} else {
		x.mu.linkedDead++
	}
}
