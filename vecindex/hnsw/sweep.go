package hnsw

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// quiet is how long an index isn't changed before it is tidied.
const quiet = time.Second

// wakeSweeperLocked tells the sweeper if there is something to do for it, now or once
// the index is left alone.
func (x *Index) wakeSweeperLocked() {
	if len(x.mu.limbo) < limboMaximum && !x.sweepDueLocked() && !x.tidyDueLocked() {
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

// tidyDueLocked says whether an index that is left alone has something to be done: a
// few dead nodes, for which a sweep was put off, or nodes that were linked since it was
// last known that all can be reached.
func (x *Index) tidyDueLocked() bool {
	if x.mu.backlog > 0 {
		return false
	}
	linked := int(x.linked.Load())
	return x.mu.linkedDead >= sweepMinimum && float64(x.mu.linkedDead) > tidyFraction*float64(linked) ||
		linked-x.mu.proven >= max(tidyMinimum, x.mu.proven/8)
}

// runSweeper takes dead slots back when it is woken, and tidies the index up when it
// has been left alone for a while.
func (x *Index) runSweeper() {
	x.rejoinLoaded()
	alone := time.NewTimer(quiet)
	alone.Stop()
	var clock uint64
	for {
		select {
		case <-x.stop:
			alone.Stop()
			return
		case <-x.wake:
		case <-alone.C:
			if x.clock.Load() == clock {
				x.tidy()
			}
		}
		x.emptyLimbo()
		for x.due(x.sweepDueLocked) && !x.stopping() {
			x.sweep()
		}
		if x.due(x.tidyDueLocked) {
			clock = x.clock.Load()
			alone.Reset(quiet)
		}
	}
}

func (x *Index) due(locked func() bool) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return locked()
}

// tidy is for the time when nothing else is to be done.
func (x *Index) tidy() {
	x.mu.Lock()
	dead := x.mu.linkedDead
	x.mu.Unlock()
	if dead >= sweepMinimum {
		x.sweep()
	} else {
		x.rejoinStranded()
	}
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
	x.slots.fateMarks.Mark(slot)
	x.slots.dead.clear(slot)
	x.graph.dropUpperLocked(slot, int(*x.slots.levels.At(slot)))
	x.slots.free = append(x.slots.free, slot)
}

// sweep takes the dead nodes out of the graph: it condemns them, repairs every row
// that points at one, waits until nobody can hold one any more, and frees them.
func (x *Index) sweep() {
	began := time.Now()
	condemned := x.condemn()
	if !x.eachNode(x.repair) || !x.rejoinStranded() {
		return // closing
	}
	// Links to the condemned are gone; linkers and searches that began before may
	// still hold some.
	x.linking.Lock()
	//lint:ignore SA2001 a barrier: whoever was linking has finished once the lock was had
	x.linking.Unlock()
	x.gate.wait()
	for part := range slices.Chunk(condemned, 256) { // linkers stand still for each
		x.clearRows(part)
	}
	for part := range slices.Chunk(condemned, 256) {
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
			x.slots.condemned.set(slot)
			condemned = append(condemned, slot)
		} else if level := int(*x.slots.levels.At(slot)); level > entryLevel {
			entry, entryLevel = slot, level
		}
	}
	if entry == noSlot {
		x.graph.clearEntry()
	} else if at, _, _ := x.graph.entryPoint(); x.slots.condemned.has(at) {
		x.graph.setEntry(entry, entryLevel)
	}
	return condemned
}

// isLinked says whether a slot is in the graph, to a caller that shares linking. A
// slot that died unlinked may be freed between two looks at it, but its birth never
// comes back.
func (x *Index) isLinked(slot uint32) bool {
	birth := x.slots.birth(slot)
	return birth != 0 && !x.slots.pending.has(slot) && x.slots.birth(slot) == birth
}

// eachNode calls work for every slot there is, with all workers and sharing linking;
// false if the index closes meanwhile.
func (x *Index) eachNode(work func(s *scratch, slot uint32)) bool {
	const share = 256 // slots between two looks at stop and linking
	high := x.slots.high.Load()
	var next atomic.Uint32
	var helpers sync.WaitGroup
	for range x.opts.Workers {
		helpers.Go(func() {
			s := x.newScratch()
			for from := next.Add(share) - share; from < high && !x.stopping(); from = next.Add(share) - share {
				x.linking.RLock()
				for slot := from; slot < min(high, from+share); slot++ {
					work(s, slot)
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

// repair removes the links of a node that point at condemned ones. A node that has
// lost most of its surroundings is linked again as if it were new.
func (x *Index) repair(s *scratch, slot uint32) {
	if x.slots.birth(slot) == 0 || x.slots.condemned.has(slot) {
		return
	}
	for level := range int(*x.slots.levels.At(slot)) + 1 {
		if !x.pointsAtCondemned(x.graph.row(slot, level)) {
			continue
		}
		before, after := x.repairRow(s, slot, level)
		if level == 0 && after < before/2 {
			x.rejoin(s, slot)
		}
		runtime.Gosched()
	}
}

// rejoin searches new neighbours for a linked node. The condemned still lead the way.
func (x *Index) rejoin(s *scratch, slot uint32) {
	if entry, level, ok := x.graph.entryPoint(); ok && entry != slot {
		x.connect(s, slot, entry, level, int(*x.slots.levels.At(slot)))
	}
}

func (x *Index) pointsAtCondemned(row []uint32) bool {
	for i := range row {
		link := atomic.LoadUint32(&row[i])
		if link == 0 {
			return false
		}
		if x.slots.condemned.has(link - 1) {
			return true
		}
	}
	return false
}

// repairRow makes a row the diverse ones among its links that stay and the links of
// those that go, and as many as it had if there are enough.
func (x *Index) repairRow(s *scratch, node uint32, level int) (before, after int) {
	stripe := x.graph.stripe(node)
	stripe.Lock()
	defer stripe.Unlock()
	row := x.graph.row(node, level)
	s.links = appendLinks(s.links[:0], row)
	before = len(s.links)
	for _, link := range slices.Clone(s.links) {
		if x.slots.condemned.has(link) {
			s.links = appendLinks(s.links, x.graph.row(link, level))
		}
	}
	slices.Sort(s.links)
	s.links = slices.Compact(s.links)
	if i, ok := slices.BinarySearch(s.links, node); ok {
		s.links = slices.Delete(s.links, i, i+1)
	}
	s.candidates, s.ghosts = s.candidates[:0], s.ghosts[:0]
	x.rank(s, node, s.links)
	x.keepDiverse(s, len(row))
	s.refill(before)
	x.graph.write(node, level, s.links)
	return before, len(s.links)
}

// refill adds the nearest of s.candidates to s.links until there are n. A repair
// would otherwise thin the graph out, sweep after sweep.
func (s *scratch) refill(n int) {
	for _, c := range s.candidates {
		if len(s.links) >= n {
			return
		}
		if !slices.Contains(s.links, c.slot()) {
			s.links = append(s.links, c.slot())
		}
	}
}

// rejoinStranded rejoins the nodes that can't be reached: because everything that
// pointed at them went, or because all who did have found better neighbours since. It
// returns false if the index closes meanwhile.
func (x *Index) rejoinStranded() bool {
	linked := int(x.linked.Load())
	reached := x.reachable()
	complete := x.eachNode(func(s *scratch, slot uint32) {
		if int(slot) < len(reached) && !reached[slot] && !x.slots.condemned.has(slot) && x.isLinked(slot) {
			x.rejoin(s, slot)
		}
	})
	if complete {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.mu.proven = linked
	}
	return complete
}

// reachable says of every slot whether level 0 has a path to it from the entry.
func (x *Index) reachable() []bool {
	entry, _, ok := x.graph.entryPoint()
	reached := make([]bool, x.slots.high.Load())
	if !ok || int(entry) >= len(reached) {
		return nil
	}
	reached[entry] = true
	var links []uint32
	for todo := []uint32{entry}; len(todo) > 0; {
		node := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		links = appendLinks(links[:0], x.graph.row(node, 0))
		for _, to := range links {
			if int(to) < len(reached) && !reached[to] {
				reached[to] = true
				todo = append(todo, to)
			}
		}
	}
	return reached
}

// clearRows removes the links of nodes that nothing points at but each other. It is
// done with all of them before the first is free to become another node.
func (x *Index) clearRows(nodes []uint32) {
	x.linking.Lock()
	defer x.linking.Unlock()
	for _, slot := range nodes {
		for level := range int(*x.slots.levels.At(slot)) + 1 {
			x.graph.write(slot, level, nil)
		}
	}
}

// freeCondemned frees nodes that have no links and that nothing points at.
func (x *Index) freeCondemned(nodes []uint32) {
	x.linking.Lock()
	defer x.linking.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, slot := range nodes {
		x.slots.condemned.clear(slot)
		x.freeLocked(slot)
	}
	x.linked.Add(-int64(len(nodes)))
	x.mu.linkedDead -= len(nodes)
	x.mu.proven = max(0, x.mu.proven-len(nodes))
	x.announceLocked()
}
