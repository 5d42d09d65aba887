package hnsw

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// wakeSweeperLocked tells the sweeper if there is enough to take back.
func (x *Index) wakeSweeperLocked() {
	if len(x.mu.limbo) < limboMaximum && !x.sweepDueLocked() {
		return
	}
	select {
	case x.wake <- struct{}{}:
	default: // it knows already
	}
}

func (x *Index) sweepDueLocked() bool {
	return x.mu.linkedDead >= sweepMinimum &&
		float64(x.mu.linkedDead) > sweepFraction*float64(x.linked.Load())
}

// runSweeper takes dead slots back when it is woken.
func (x *Index) runSweeper() {
	for {
		select {
		case <-x.stop:
			return
		case <-x.wake:
		}
		x.emptyLimbo()
		for x.sweepDue() && !x.stopping() {
			x.sweep()
		}
	}
}

func (x *Index) sweepDue() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.sweepDueLocked()
}

// emptyLimbo frees the slots that died before they were linked.
func (x *Index) emptyLimbo() {
	x.mu.Lock()
	limbo := x.mu.limbo
	x.mu.limbo = nil
	x.mu.Unlock()
	if len(limbo) == 0 {
		return
	}
	x.gate.wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, slot := range limbo {
		x.slots.pending.clearLocked(slot)
		x.freeLocked(slot)
	}
	x.announceLocked()
}

// freeLocked makes a dead slot that nothing points at usable again. See visible for
// the order.
func (x *Index) freeLocked(slot uint32) {
	atomic.StoreUint64(x.slots.births.At(slot), 0)
	atomic.StoreUint64(x.slots.deaths.At(slot), 0)
	x.slots.dead.clear(slot)
	x.graph.dropUpperLocked(slot, int(*x.slots.levels.At(slot)))
	x.slots.free = append(x.slots.free, slot)
}

// sweep takes the dead nodes out of the graph: it condemns them, repairs every row
// that points at one, waits until nobody can hold one any more, and frees them.
func (x *Index) sweep() {
	began := time.Now()
	condemned := x.condemn()
	if !x.repairAll() {
		return // closing
	}
	// Links to the condemned are gone; linkers and searches that began before may
	// still hold some.
	x.linking.Lock()
	x.linking.Unlock() //nolint:staticcheck // a barrier
	x.gate.wait()
	for part := range slices.Chunk(condemned, 1024) {
		x.freeCondemned(part)
	}
	x.opts.Logger.Info("vector index swept", "freed", len(condemned), "linked", x.linked.Load(), "took", time.Since(began))
}

// condemn marks the dead nodes and moves the entry off them, while the links stand
// still: every linker sees both or neither.
func (x *Index) condemn() []uint32 {
	x.linking.Lock()
	defer x.linking.Unlock()
	var condemned []uint32
	entry, entryLevel := uint32(noSlot), -1
	for slot := range x.slots.high.Load() {
		if !x.isLinked(slot) {
			continue
		}
		if x.slots.dead.has(slot) {
			x.condemned.set(slot)
			condemned = append(condemned, slot)
		} else if level := int(*x.slots.levels.At(slot)); level > entryLevel {
			entry, entryLevel = slot, level
		}
	}
	if entry == noSlot {
		x.graph.clearEntry()
	} else if at, _, _ := x.graph.entryPoint(); x.condemned.has(at) {
		x.graph.setEntry(entry, entryLevel)
	}
	return condemned
}

// isLinked says whether a slot is in the graph. It is exact while links stand still.
func (x *Index) isLinked(slot uint32) bool {
	return x.slots.birth(slot) != 0 && !x.slots.pending.has(slot)
}

// repairAll repairs every node with all workers; false if the index closes.
func (x *Index) repairAll() bool {
	const share = 256 // nodes between two looks at stop and linking
	high := x.slots.high.Load()
	var next atomic.Uint32
	var helpers sync.WaitGroup
	for range x.opts.Workers {
		helpers.Go(func() {
			s := x.newScratch()
			for from := next.Add(share) - share; from < high && !x.stopping(); from = next.Add(share) - share {
				x.linking.RLock()
				for slot := from; slot < min(high, from+share); slot++ {
					x.repair(s, slot)
				}
				x.linking.RUnlock()
			}
		})
	}
	helpers.Wait()
	return !x.stopping()
}

func (x *Index) stopping() bool {
	select {
	case <-x.stop:
		return true
	default:
		return false
	}
}

// repair removes the links of a node that point at condemned ones.
func (x *Index) repair(s *scratch, slot uint32) {
	if x.slots.birth(slot) == 0 || x.condemned.has(slot) {
		return
	}
	for level := range int(*x.slots.levels.At(slot)) + 1 {
		if x.pointsAtCondemned(x.graph.row(slot, level)) {
			x.repairRow(s, slot, level)
			runtime.Gosched()
		}
	}
}

func (x *Index) pointsAtCondemned(row []uint32) bool {
	for i := range row {
		link := atomic.LoadUint32(&row[i])
		if link == 0 {
			return false
		}
		if x.condemned.has(link - 1) {
			return true
		}
	}
	return false
}

// repairRow makes a row the diverse ones among its links that stay and the links of
// those that go.
func (x *Index) repairRow(s *scratch, node uint32, level int) {
	stripe := x.graph.stripe(node)
	stripe.Lock()
	defer stripe.Unlock()
	row := x.graph.row(node, level)
	s.links = appendLinks(s.links[:0], row)
	for _, link := range slices.Clone(s.links) {
		if x.condemned.has(link) {
			s.links = appendLinks(s.links, x.graph.row(link, level))
		}
	}
	slices.Sort(s.links)
	s.links = slices.Compact(s.links)
	if i, ok := slices.BinarySearch(s.links, node); ok {
		s.links = slices.Delete(s.links, i, i+1)
	}
	s.candidates = s.candidates[:0]
	x.rank(s, node, s.links)
	x.keepDiverse(s, len(row))
	writeLinks(row, s.links)
}

// freeCondemned frees nodes that nothing points at.
func (x *Index) freeCondemned(nodes []uint32) {
	x.linking.RLock()
	defer x.linking.RUnlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, slot := range nodes {
		for level := range int(*x.slots.levels.At(slot)) + 1 {
			writeLinks(x.graph.row(slot, level), nil)
		}
		x.condemned.clear(slot)
		x.freeLocked(slot)
	}
	x.linked.Add(-int64(len(nodes)))
	x.mu.linkedDead -= len(nodes)
	x.announceLocked()
}
