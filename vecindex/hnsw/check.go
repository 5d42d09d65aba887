package hnsw

import (
	"fmt"
	"sync/atomic"

	"github.com/vccdb/vccdb/vecindex"
)

// Stats describes the index. It reads every row of the graph.
func (x *Index) Stats() vecindex.Stats {
	st := vecindex.Stats{
		Engine:    "hnsw",
		Kernel:    x.space.Kernel().String(),
		Dimension: x.space.Dim,
		Metric:    x.space.Metric,
		Bytes:     map[string]int64{},
	}
	side, ok := x.gate.enter()
	if !ok {
		return st
	}
	defer x.gate.leave(side)
	x.linking.RLock()
	defer x.linking.RUnlock()
	st.Live, st.Pending, st.Tombstones = x.population()
	st.DegreeHistogram = make([]int, x.graph.m0+1)
	var links []uint32
	for slot := range x.slots.high.Load() {
		if !x.isLinked(slot) {
			continue
		}
		level := int(*x.slots.levels.At(slot))
		for len(st.Levels) <= level {
			st.Levels = append(st.Levels, 0)
		}
		st.Levels[level]++
		links = appendLinks(links[:0], x.graph.row(slot, 0))
		st.DegreeHistogram[len(links)]++
	}
	for _, c := range x.areas() {
		st.Bytes[c.part] += c.bytes
	}
	return st
}

func (x *Index) population() (live, pending, tombstones int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	live = x.Len()
	return live, x.mu.pending, int(x.slots.high.Load()) - len(x.slots.free) - x.slots.abandoned - live
}

// Check verifies the invariants of the package comment while no writer is active.
// Linkers and the sweeper are held up meanwhile.
func (x *Index) Check() error {
	side, ok := x.gate.enter()
	if !ok {
		return errClosed()
	}
	defer x.gate.leave(side)
	x.linking.Lock()
	defer x.linking.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	return firstError(x.checkPlacesLocked(), x.checkCountsLocked(), x.checkLinks(), x.checkEntry())
}

// checkPlacesLocked: ids and living slots name each other.
func (x *Index) checkPlacesLocked() error {
	places := 0
	for id := range uint32(min(x.slots.places.Len(), 1<<32-1)) {
		slot, ok := x.slots.placeOf(id)
		if !ok {
			continue
		}
		places++
		if slot >= x.slots.high.Load() || x.slots.birth(slot) == 0 {
			return fmt.Errorf("hnsw: id %d is at slot %d, which is free", id, slot)
		}
		if x.slots.dead.has(slot) || *x.slots.ids.At(slot) != id {
			return fmt.Errorf("hnsw: id %d is at slot %d, which is dead or holds id %d", id, slot, *x.slots.ids.At(slot))
		}
	}
	if places != x.Len() {
		return fmt.Errorf("hnsw: %d ids have a place, but %d are counted", places, x.Len())
	}
	return nil
}

// checkCountsLocked: the counters say what the columns say.
func (x *Index) checkCountsLocked() error {
	var alive, pending, linked, linkedDead, dead, free int
	for slot := range x.slots.high.Load() {
		if x.slots.birth(slot) == 0 {
			free++
			continue
		}
		if x.slots.dead.has(slot) != (x.slots.death(slot) != 0) {
			return fmt.Errorf("hnsw: slot %d has death %d, but the dead bit is %v", slot, x.slots.death(slot), x.slots.dead.has(slot))
		}
		isDead, isLinked := x.slots.dead.has(slot), x.isLinked(slot)
		count := func(n *int, is bool) {
			if is {
				*n++
			}
		}
		count(&alive, !isDead)
		count(&dead, isDead && !isLinked)
		count(&pending, !isDead && !isLinked)
		count(&linked, isLinked)
		count(&linkedDead, isLinked && isDead)
	}
	for _, c := range []struct {
		what          string
		seen, counted int
	}{
		{"live", alive, x.Len()},
		{"pending", pending, x.mu.pending},
		{"linked", linked, int(x.linked.Load())},
		{"dead linked", linkedDead, x.mu.linkedDead},
		{"free", free, len(x.slots.free) + x.slots.abandoned},
	} {
		if c.seen != c.counted {
			return fmt.Errorf("hnsw: %d %s slots, but %d are counted", c.seen, c.what, c.counted)
		}
	}
	return nil
}

// checkLinks: every link names another node that has the link's level, once, and a
// free slot has none.
func (x *Index) checkLinks() error {
	high := x.slots.high.Load()
	for slot := range high {
		if x.slots.birth(slot) == 0 {
			if atomic.LoadUint32(&x.graph.row(slot, 0)[0]) != 0 {
				return fmt.Errorf("hnsw: free slot %d has links", slot)
			}
			continue
		}
		for level := range int(*x.slots.levels.At(slot)) + 1 {
			seen := map[uint32]bool{slot: true}
			for _, to := range appendLinks(nil, x.graph.row(slot, level)) {
				switch {
				case to >= high || x.slots.birth(to) == 0:
					return fmt.Errorf("hnsw: slot %d level %d links to slot %d, which is free", slot, level, to)
				case int(*x.slots.levels.At(to)) < level:
					return fmt.Errorf("hnsw: slot %d level %d links to slot %d of level %d", slot, level, to, *x.slots.levels.At(to))
				case !x.isLinked(to):
					return fmt.Errorf("hnsw: slot %d level %d links to slot %d, which is not linked", slot, level, to)
				case seen[to]:
					return fmt.Errorf("hnsw: slot %d level %d links to slot %d twice or to itself", slot, level, to)
				}
				seen[to] = true
			}
		}
	}
	return nil
}

// checkEntry: there is an entry if there are nodes, and it is on the top level it
// is said to have.
func (x *Index) checkEntry() error {
	entry, level, ok := x.graph.entryPoint()
	switch {
	case !ok && x.linked.Load() > int64(x.mu.linkedDead):
		return fmt.Errorf("hnsw: %d nodes, but no entry", x.linked.Load())
	case ok && (!x.isLinked(entry) || int(*x.slots.levels.At(entry)) != level):
		return fmt.Errorf("hnsw: the entry is slot %d on level %d, which is not a node of that level", entry, level)
	}
	return nil
}
