package hnsw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex/checkpoint"
)

// Loaded says what Load made an index of.
type Loaded struct {
	// Epoch is the one that was loaded, nil if none could be: then there is no index.
	Epoch *checkpoint.Manifest
	// Whole says that the index has every vector it had at the epoch. One that isn't has
	// lost some; which, only a comparison with the database tells.
	Whole bool
	// Doubtful are ids that it had and the index has not. They are to be looked up as if
	// they had changed after the sequence.
	Doubtful []uint32
	// Findings say what was wrong with the files.
	Findings []string
	// Dropped is how many links led to what isn't there, and Relinked how many vectors
	// are linked anew because of a file.
	Dropped, Relinked int
}

// Load makes an index of the newest epoch in folder that can be read. It has the
// vectors that it had at the epoch's sequence, and of what changed until the epoch's
// end it may have the state before or none; the caller makes it good, before the first
// search, by putting or deleting everything that changed after the sequence. Epochs
// that turn out not to be whole are forgotten.
func Load(ctx context.Context, o Options, folder *checkpoint.Folder) (*Index, Loaded, error) {
	o.ensureDefaults()
	var result Loaded
	var damaged *checkpoint.Manifest // the newest that has lost something
	for _, epoch := range folder.Epochs() {
		x, l, err := loadEpoch(ctx, o, folder, epoch)
		if ctx.Err() != nil {
			return nil, result, errors.Join(ctx.Err(), closeUnstarted(x))
		}
		if err == nil && len(l.lost) == 0 {
			x, err := l.open(folder, epoch, &result)
			return x, result, err
		}
		result.note(epoch, l, err)
		if err = closeUnstarted(x); l.lost != nil && damaged == nil {
			damaged = epoch
		} else {
			err = errors.Join(err, folder.Forget(epoch))
		}
		if err != nil {
			return nil, result, err
		}
	}
	if damaged == nil {
		return nil, result, nil
	}
	x, l, err := loadEpoch(ctx, o, folder, damaged)
	if err == nil {
		x, err = l.open(folder, damaged, &result)
	}
	return x, result, err
}

// note adds what is wrong with an epoch to the findings.
func (r *Loaded) note(epoch *checkpoint.Manifest, l *loading, err error) {
	if err != nil {
		r.Findings = append(r.Findings, fmt.Sprintf("checkpoint %d: %v", epoch.Epoch, err))
	}
	for _, lost := range l.lost[:min(3, len(l.lost))] {
		r.Findings = append(r.Findings, fmt.Sprintf("checkpoint %d has lost %v", epoch.Epoch, lost))
	}
}

// open starts the index. An epoch that isn't whole is forgotten before anything is put
// into the slots that it lost, see cold.go.
func (l *loading) open(folder *checkpoint.Folder, epoch *checkpoint.Manifest, result *Loaded) (*Index, error) {
	whole, err := l.finish()
	if errs.CodeOf(err) == codeUnusable {
		result.note(epoch, l, err)
		return nil, errors.Join(folder.Forget(epoch), l.x.free())
	}
	if err == nil && !whole {
		err = folder.Forget(epoch)
	}
	if err != nil {
		return nil, errors.Join(err, l.x.free())
	}
	result.Epoch, result.Whole, result.Doubtful = epoch, whole, l.doubtful
	result.Dropped, result.Relinked = int(l.dropped.Load()), l.relinked
	l.x.start()
	return l.x, nil
}

func closeUnstarted(x *Index) error {
	if x == nil {
		return nil
	}
	return x.free()
}

// loading makes an index of the columns of an epoch.
type loading struct {
	x       *Index
	p       parameters
	lost    []checkpoint.Lost
	pending []uint64
	// gone are the slots that can't be had, stripped those whose links can't.
	gone, stripped []uint64
	linked         []uint64 // the slots that are in the graph: small enough for the cache
	upperUsed      []uint64 // upper rows that have an owner
	upperLost      []uint64
	missing        bool
	doubtful       []uint32
	relinked       int
	dropped        atomic.Int64
}

// loadEpoch reads the columns into an index that isn't started.
func loadEpoch(ctx context.Context, o Options, folder *checkpoint.Folder, epoch *checkpoint.Manifest) (*Index, *loading, error) {
	l := &loading{}
	if err := json.Unmarshal(epoch.Parameters, &l.p); err != nil {
		return nil, l, errNoState("its parameters can't be read: " + err.Error())
	}
	o.Seed = l.p.Seed
	file := ""
	if l.p.Vectors != "" {
		if file = filepath.Join(o.Dir, filepath.Base(l.p.Vectors)); o.Dir == "" || !hasColdFile(file, 0, 0) {
			return nil, l, errNoState("the file of its vectors is missing")
		}
	}
	x, err := build(o, file)
	if err != nil {
		return nil, l, err
	}
	l.x = x
	if err := l.admit(epoch); err != nil {
		return nil, l, errors.Join(err, x.free())
	}
	high, upper := l.p.Slots, l.p.Upper
	l.pending = make([]uint64, words(high))
	l.gone, l.stripped, l.linked = make([]uint64, words(high)), make([]uint64, words(high)), make([]uint64, words(high))
	l.upperUsed, l.upperLost = make([]uint64, words(upper)), make([]uint64, words(upper))
	if err := firstError(x.growLocked(int(high)), x.graph.growUpperLocked(int(upper))); err != nil {
		return nil, l, errors.Join(err, x.free())
	}
	parts := x.parts()
	l.lost, err = folder.Load(ctx, epoch, runtime.GOMAXPROCS(0), func(column string, first, n int, b []byte) error {
		l.take(parts, column, first, n, b)
		return nil
	})
	if err != nil {
		return nil, l, errors.Join(err, x.free())
	}
	return x, l, nil
}

// admit says why an epoch isn't one of this index, nil if it is.
func (l *loading) admit(epoch *checkpoint.Manifest) error {
	x := l.x
	want := x.parameters()
	want.Clock, want.Slots, want.Upper = l.p.Clock, l.p.Slots, l.p.Upper
	if l.p != want {
		return errNoState("it is of an index with other parameters")
	}
	m := moment{parameters: l.p, pending: make([]uint64, words(l.p.Slots))}
	columns := x.columns(&m)
	if !slices.EqualFunc(columns, epoch.Columns, func(c checkpoint.Column, have checkpoint.Layout) bool {
		return c.Name == have.Name && c.Count == have.Count && c.Stride == have.Stride && c.PerBlock == have.PerBlock
	}) {
		return errNoState("its columns have another form")
	}
	if x.slots.file != "" && !hasColdFile(x.slots.file, int(l.p.Slots), x.slots.stride) {
		return errNoState("the file of its vectors is too short")
	}
	return nil
}

// take copies a block of a column to its place.
func (l *loading) take(parts []part, column string, first, n int, b []byte) {
	x := l.x
	switch column {
	case columnSlots:
		for _, p := range parts {
			b = b[copy(p.bytes(first, n), b):]
		}
	case columnPending:
		copy(asBytes(l.pending[first:first+n]), b)
	case columnLinks:
		copy(x.graph.level0.Slice(first*x.graph.row0, n*x.graph.row0), asWords(b))
	case columnUpper:
		copy(x.graph.upper.Slice(first*x.graph.rowUp, n*x.graph.rowUp), asWords(b))
	case columnFates:
		copy(asBytes(x.slots.births.Slice(first, n)), b[:8*n])
		copy(asBytes(x.slots.deaths.Slice(first, n)), b[8*n:])
	}
}

func setBits(set []uint64, first, n int) {
	for i := first; i < first+n; i++ {
		set[i>>6] |= 1 << (i & 63)
	}
}

func hasBit(set []uint64, i uint32) bool { return set[i>>6]&(1<<(i&63)) != 0 }

// finish makes an index of what the columns hold. It is whole if no vector is missing.
func (l *loading) finish() (whole bool, err error) {
	x := l.x
	for _, lost := range l.lost {
		switch lost.Column {
		case columnSlots, columnFates:
			setBits(l.gone, lost.First, lost.N)
			l.missing = true
		case columnLinks:
			setBits(l.stripped, lost.First, lost.N)
		case columnUpper:
			setBits(l.upperLost, lost.First, lost.N)
		case columnPending:
			l.guessPending(lost.First, lost.N)
		}
	}
	x.clock.Store(l.p.Clock)
	x.slots.high.Store(l.p.Slots)
	x.graph.upperHigh = l.p.Upper
	x.mu.rng = rand.New(rand.NewPCG(l.p.Seed, l.p.Clock)) // not the levels of before again
	for slot := range l.p.Slots {
		if err := l.occupy(slot); err != nil {
			return false, err
		}
	}
	l.freeUpperRows()
	l.eachRange(l.mend)
	l.chooseEntry()
	x.loaded = x.slots.file != ""
	x.torn = l.dropped.Load() > 0 || l.relinked > 0
	if n := x.graph.neighbours; n != nil {
		n.ready.Store(false)
	}
	return !l.missing, nil
}

// guessPending stands in for lost words: who has no links is pending.
func (l *loading) guessPending(first, n int) {
	for slot := uint32(first) * 64; slot < min(uint32(first+n)*64, l.p.Slots); slot++ {
		if l.x.graph.row(slot, 0)[0] == 0 {
			l.pending[slot>>6] |= 1 << (slot & 63)
		}
	}
}

// occupy decides what a slot is.
func (l *loading) occupy(slot uint32) error {
	s, pending := l.x.slots, hasBit(l.pending, slot) || hasBit(l.stripped, slot)
	birth, dead := *s.births.At(slot), *s.deaths.At(slot) != 0
	if birth == 0 || birth > l.p.Clock || hasBit(l.gone, slot) {
		l.release(slot)
		return nil
	}
	hasUpper, ok := l.claimUpper(slot)
	switch {
	case !ok:
		// Of an epoch that was written as it should be there is no such slot.
		l.missing = l.missing || !dead
		l.release(slot)
		return nil
	case !hasUpper:
		pending = true
	}
	if pending && s.file != "" && s.sum(slot) != *s.sums.At(slot) {
		// Its row is made of its vector, which isn't in the file any more: mostly because the
		// slot got another one since.
		if !dead {
			l.doubtful = append(l.doubtful, *s.ids.At(slot))
		}
		dead = true
	}
	if pending && dead {
		l.unclaimUpper(slot)
		l.release(slot)
		return nil
	}
	return l.settle(slot, pending, dead)
}

// settle counts a slot that is there.
func (l *loading) settle(slot uint32, pending, dead bool) error {
	x, s := l.x, l.x.slots
	if dead {
		if death := s.deaths.At(slot); *death > l.p.Clock { // searches would see it until then
			*death = l.p.Clock
			s.fateMarks.Mark(slot)
		}
		s.dead.set(slot)
		x.mu.linkedDead++
	} else {
		id := *s.ids.At(slot)
		if err := s.places.Grow(int(id) + 1); err != nil {
			return err
		}
		if *s.places.At(id) != 0 {
			return errNoState(fmt.Sprintf("id %d is in it twice", id))
		}
		*s.places.At(id) = slot + 1
		x.live.Add(1)
		if s.file != "" {
			s.suspect.set(slot)
		}
	}
	if !pending {
		x.linked.Add(1)
		l.linked[slot>>6] |= 1 << (slot & 63)
		return nil
	}
	if !hasBit(l.pending, slot) {
		l.relinked++
	}
	s.pending.setLocked(slot)
	x.mu.pending++
	x.mu.backlog++
	x.mu.queue.push(slot)
	return nil
}

// release makes a slot free.
func (l *loading) release(slot uint32) {
	s := l.x.slots
	if *s.births.At(slot) != 0 || *s.deaths.At(slot) != 0 {
		*s.births.At(slot), *s.deaths.At(slot) = 0, 0
		s.fateMarks.Mark(slot)
	}
	s.free = append(s.free, slot)
}

// claimUpper gives a slot its rows above level 0, unless they are another's. whole
// says that they could be read.
func (l *loading) claimUpper(slot uint32) (whole, ok bool) {
	level, at := uint32(*l.x.slots.levels.At(slot)), *l.x.graph.upperAt.At(slot)
	if level == 0 {
		return true, true
	}
	if level > maxLevel || at > l.p.Upper || level > l.p.Upper-at {
		return false, false
	}
	whole = true
	for row := at; row < at+level; row++ {
		if hasBit(l.upperUsed, row) {
			return false, false
		}
		whole = whole && !hasBit(l.upperLost, row)
	}
	setBits(l.upperUsed, int(at), int(level))
	return whole, true
}

func (l *loading) unclaimUpper(slot uint32) {
	at := *l.x.graph.upperAt.At(slot)
	for row := at; row < at+uint32(*l.x.slots.levels.At(slot)); row++ {
		l.upperUsed[row>>6] &^= 1 << (row & 63)
	}
}

// freeUpperRows empties the upper rows without an owner. They become runs of one row:
// few nodes are on more than one level above the lowest.
func (l *loading) freeUpperRows() {
	g := l.x.graph
	for row := range l.p.Upper {
		if hasBit(l.upperUsed, row) {
			continue
		}
		if links := g.upper.Slice(int(row)*g.rowUp, g.m); links[0] != 0 {
			clear(links)
			g.upperMarks.Mark(row)
		}
		g.upperFree[1] = append(g.upperFree[1], row)
	}
}

// eachRange calls work for parts of the slots, on all processors.
func (l *loading) eachRange(work func(from, to uint32)) {
	const share = 4096
	var next atomic.Uint32
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for from := next.Add(share) - share; from < l.p.Slots; from = next.Add(share) - share {
				work(from, min(from+share, l.p.Slots))
			}
		})
	}
	running.Wait()
}

// mend empties the rows of slots that aren't linked, and drops from the others the
// links that lead nowhere.
func (l *loading) mend(from, to uint32) {
	x := l.x
	var links []uint32
	for slot := from; slot < to; slot++ {
		level := 0
		if x.slots.birth(slot) != 0 {
			level = int(*x.slots.levels.At(slot))
		}
		linked := hasBit(l.linked, slot)
		for ; level >= 0; level-- {
			links = appendLinks(links[:0], x.graph.row(slot, level))
			had := len(links)
			if linked {
				links = l.keepGood(links, slot, level)
			} else {
				links = links[:0]
			}
			if len(links) < had {
				x.graph.write(slot, level, links)
				if linked {
					l.dropped.Add(int64(had - len(links)))
				}
			}
		}
	}
}

// keepGood keeps of a slot's links those that name another linked slot of the level,
// once.
func (l *loading) keepGood(links []uint32, slot uint32, level int) []uint32 {
	x := l.x
	good := links[:0]
	var seen uint64 // of a hash of the links kept: most are told apart by it
	for _, to := range links {
		if to >= l.p.Slots || to == slot || !hasBit(l.linked, to) || level > 0 && int(*x.slots.levels.At(to)) < level {
			continue
		}
		bit := uint64(1) << (to * 0x9e3779b1 >> 26)
		if seen&bit != 0 && slices.Contains(good, to) {
			continue
		}
		seen |= bit
		good = append(good, to)
	}
	return good
}

// chooseEntry starts searches at a living node of the highest level.
func (l *loading) chooseEntry() {
	x, best := l.x, -1
	for slot := range l.p.Slots {
		if level := int(*x.slots.levels.At(slot)); level > best && hasBit(l.linked, slot) && !x.slots.dead.has(slot) {
			best = level
			x.graph.setEntry(slot, level)
		}
	}
}

// rejoinLoaded links those again that lost what led to them, or from them, in a load.
func (x *Index) rejoinLoaded() {
	if !x.torn {
		return
	}
	reached := x.reachable()
	x.eachNode(func(s *scratch, slot uint32) {
		if int(slot) < len(reached) && x.isLinked(slot) && (!reached[slot] || atomic.LoadUint32(&x.graph.row(slot, 0)[0]) == 0) {
			x.rejoin(s, slot)
		}
	})
}
