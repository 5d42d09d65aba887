package engine

import (
	"bytes"
	"container/list"
	"context"
	"slices"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/storage"
)

// The ids of index terms that filters have asked for stay in memory as bitmaps.
// They are a cache: storage holds the same, and losing one costs a scan.
//
// A bitmap is exact for the states from one sequence to another. Every write says,
// on the committer and in commit order, which terms its entities had and have now
// (note); these changes are kept for a while. So a reader whose snapshot is of
// another state than the bitmap takes the changes in between and carries them out,
// or back, on a copy. That works for entities with many terms too: what counts is
// whether any term of the entity lies in the range, before and after.
//
// A bitmap is only ever made from a snapshot that was pinned after its index became
// ready and not before the changes began to be kept.
//
// Rejected: changing the bitmaps as writes come in, which makes every write pay for
// all of them and still leaves the readers of older snapshots without one; dropping
// them at every write, which makes a filter as slow as without them as soon as
// somebody writes.

const (
	// keptTermIDs is from how many ids on those of a range are kept: fewer are read
	// from storage in little more time than it takes to look them up.
	keptTermIDs = 64
	// termSetOverhead is what one costs besides its ids: the keys and the entries
	// of map and list.
	termSetOverhead = 256
	// flatWords is how many words of 64 bits a bitset may have for each of its ids to be
	// kept: one of few ids is cheaper to make anew than to keep.
	flatWords = 2
	// termLogShare is the part of the limit that the changes of one index may take,
	// termLogsShare that of all.
	termLogShare, termLogsShare = 8, 2
)

// termKey is a range of terms of an index. A table's own id with an open range
// stands for all its entities.
type termKey struct {
	index  uint32
	lo, hi string
}

// holds says whether one of the terms is in the range.
func (k termKey) holds(terms [][]byte) bool {
	return slices.ContainsFunc(terms, func(t []byte) bool {
		return string(t) >= k.lo && (k.hi == "" || string(t) < k.hi)
	})
}

// termSet is the ids of one range. While filling isn't nil, somebody reads them.
type termSet struct {
	key termKey
	log *termLog
	// ids are never changed: readers share them. flat is the same as a search wants it,
	// once one did and if it isn't much larger.
	ids  *roaring.Bitmap
	flat *bitmap.Set
	// from and to are the first and last state known to have exactly these ids.
	from, to storage.Seq
	bytes    int64
	element  *list.Element
	filling  chan struct{}
}

// termChange is what one write did to one entity as an index sees it.
type termChange struct {
	seq           storage.Seq
	id            uint32
	before, after [][]byte
}

func (c *termChange) bytes() int64 {
	n := 80
	for _, terms := range [][][]byte{c.before, c.after} {
		for _, t := range terms {
			n += 24 + len(t)
		}
	}
	return int64(n)
}

// termLog is the latest changes of an index, all of those after from.
type termLog struct {
	from    storage.Seq
	changes []termChange
	bytes   int64
	// sets counts the bitmaps that need it.
	sets int
}

// between returns the changes after one state up to another. What it returns is
// never written to again.
func (l *termLog) between(after, upTo storage.Seq) []termChange {
	position := func(seq storage.Seq) int {
		at, _ := slices.BinarySearchFunc(l.changes, seq+1, func(c termChange, seq storage.Seq) int {
			if c.seq < seq {
				return -1
			}
			return 1
		})
		return at
	}
	return l.changes[position(after):position(upTo)]
}

// termSets are the bitmaps of a database.
type termSets struct {
	store *storage.Store
	limit int64
	// few is keptTermIDs, but in tests.
	few int

	mu struct {
		sync.Mutex
		sets map[termKey]*termSet
		logs map[uint32]*termLog
		// used has the filled sets, the one used last in front.
		used  list.List
		bytes int64
		// logBytes is the part of bytes that the logs take.
		logBytes int64
		// noted is the last sequence that note was told of.
		noted storage.Seq
		stats TermSetStats
	}
}

// TermSetStats describe the bitmaps that are kept for filters.
type TermSetStats struct {
	// Sets is how many ranges of terms have one, Bytes what they take together.
	Sets  int
	Bytes int64
	// Hits and Misses count the ranges that filters asked for, Evictions the bitmaps
	// that made room or would have needed changes which had.
	Hits, Misses, Evictions uint64
}

func (c *termSets) init(store *storage.Store, limit int64) {
	c.store, c.limit, c.few = store, limit, keptTermIDs
	c.mu.sets = map[termKey]*termSet{}
	c.mu.logs = map[uint32]*termLog{}
}

func (c *termSets) stats() TermSetStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.stats
	s.Sets, s.Bytes = c.mu.used.Len(), c.mu.bytes
	return s
}

// note keeps what a write changed. first is the sequence of the first change, and
// each has one. It is called on the committer.
func (c *termSets) note(first storage.Seq, changes []change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.noted = first + storage.Seq(len(changes)) - 1
	if len(c.mu.logs) == 0 {
		return
	}
	for i := range changes {
		ch := &changes[i]
		seq := first + storage.Seq(i)
		if (ch.before == nil) != (ch.after == nil) {
			c.appendLocked(ch.table.id, termChange{seq: seq, id: ch.id, before: ch.before.presence(), after: ch.after.presence()})
		}
		for at, ix := range ch.schema.indexes {
			before, after := ch.before.termsOf(at), ch.after.termsOf(at)
			if !slices.EqualFunc(before, after, bytes.Equal) {
				c.appendLocked(ix.def.ID, termChange{seq: seq, id: ch.id, before: before, after: after})
			}
		}
	}
}

// presence is the term that every entity has in its table.
func (v *version) presence() [][]byte {
	if v == nil {
		return nil
	}
	return [][]byte{{}}
}

func (v *version) termsOf(index int) [][]byte {
	if v == nil {
		return nil
	}
	return v.terms[index]
}

func (c *termSets) appendLocked(index uint32, change termChange) {
	log := c.mu.logs[index]
	if log == nil {
		return
	}
	log.changes = append(log.changes, change)
	c.growLocked(log, change.bytes())
	switch {
	case log.bytes <= c.limit/termLogShare && c.mu.logBytes <= c.limit/termLogsShare:
	case log.sets == 0: // nobody has asked for long
		c.dropLogLocked(index)
	default:
		c.shortenLocked(log)
	}
	c.evictLocked()
}

// shortenLocked forgets the older half of a log, and thereby the bitmaps that were
// not asked for since.
func (c *termSets) shortenLocked(log *termLog) {
	half := (len(log.changes) + 1) / 2
	for i := range log.changes[:half] {
		c.growLocked(log, -log.changes[i].bytes())
	}
	log.from = log.changes[half-1].seq
	log.changes = slices.Clone(log.changes[half:])
}

func (c *termSets) growLocked(log *termLog, bytes int64) {
	log.bytes += bytes
	c.mu.logBytes += bytes
	c.mu.bytes += bytes
}

func (c *termSets) dropLogLocked(index uint32) {
	log := c.mu.logs[index]
	c.growLocked(log, -log.bytes)
	delete(c.mu.logs, index)
}

// evictLocked makes room: the bitmaps that were not asked for the longest go first,
// and with the last one of an index its log.
func (c *termSets) evictLocked() {
	for c.mu.bytes > c.limit && c.mu.used.Len() > 0 {
		c.mu.stats.Evictions++
		c.dropLocked(c.mu.used.Back().Value.(*termSet))
	}
	if c.mu.bytes > c.limit {
		for index := range c.mu.logs {
			c.dropLogLocked(index)
		}
	}
}

// dropLocked forgets a filled set.
func (c *termSets) dropLocked(set *termSet) {
	delete(c.mu.sets, set.key)
	c.mu.used.Remove(set.element)
	c.mu.bytes -= set.bytes
	if set.log.sets--; set.log.sets == 0 && set.log == c.mu.logs[set.key.index] {
		c.dropLogLocked(set.key.index)
	}
}

// forget drops what is kept of an index that is gone.
func (c *termSets) forget(index uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, set := range c.mu.sets {
		if key.index == index && set.filling == nil {
			c.dropLocked(set)
		}
	}
}

// has says whether the ids of a range are kept or being read, of whatever state.
func (c *termSets) has(key termKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.sets[key] != nil
}

// find returns the ids of a range in a state that is settled, nil if they can't be
// had without reading storage.
func (c *termSets) find(key termKey, at storage.Seq) *roaring.Bitmap {
	set, base, changes, back := c.start(key, at)
	if set == nil {
		return base
	}
	ids, last := carryOut(key, base, changes, back)
	if !back {
		c.move(set, base, ids, last, at)
	}
	return ids
}

// start finds a set and the changes that lie between it and a state. The set is nil
// if it is of that state.
func (c *termSets) start(key termKey, at storage.Seq) (set *termSet, base *roaring.Bitmap, changes []termChange, back bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set = c.mu.sets[key]
	if set == nil || set.filling != nil {
		return nil, nil, nil, false
	}
	c.mu.used.MoveToFront(set.element)
	if set.from <= at && at <= set.to {
		return nil, set.ids, nil, false
	}
	switch log := set.log; {
	case log != c.mu.logs[key.index] || set.to < log.from:
		c.mu.stats.Evictions++
		c.dropLocked(set)
		return nil, nil, nil, false
	case at < log.from:
		return nil, nil, nil, false
	case at < set.from:
		return set, set.ids, log.between(at, set.from), true
	default:
		return set, set.ids, log.between(set.to, at), false
	}
}

// carryOut returns base with the changes, or without them if it is to go back, and
// the sequence of the last that made a difference. base itself stays as it is, and
// is returned if none does.
func carryOut(key termKey, base *roaring.Bitmap, changes []termChange, back bool) (ids *roaring.Bitmap, last storage.Seq) {
	ids = base
	for i := range changes {
		c := &changes[i]
		if back {
			c = &changes[len(changes)-1-i]
		}
		had, has := key.holds(c.before), key.holds(c.after)
		if had == has {
			continue
		}
		if ids == base {
			ids = base.Clone()
		}
		last = c.seq
		if has != back {
			ids.Add(c.id)
		} else {
			ids.Remove(c.id)
		}
	}
	return ids, last
}

// move makes a set that of a later state, unless somebody else has.
func (c *termSets) move(set *termSet, base, ids *roaring.Bitmap, last, at storage.Seq) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.sets[set.key] != set || set.ids != base || set.to >= at {
		return
	}
	set.to = at
	if ids == base {
		return
	}
	set.ids, set.flat, set.from = ids, nil, last
	c.mu.bytes -= set.bytes
	set.bytes = termSetBytes(set.key, ids)
	c.mu.bytes += set.bytes
	c.evictLocked()
}

// flat returns ids, which may be those that are kept under a key, as a set that must not
// be changed.
func (c *termSets) flat(key termKey, ids *roaring.Bitmap) *bitmap.Set {
	c.mu.Lock()
	set := c.mu.sets[key]
	if set != nil && set.ids == ids && set.flat != nil {
		defer c.mu.Unlock()
		return set.flat
	}
	c.mu.Unlock()
	flat := flatten(ids)
	if words := ids.DenseSize(); words <= flatWords*uint64(flat.Len()) {
		c.keepFlat(key, ids, flat, 8*int64(words))
	}
	return flat
}

// keepFlat keeps the other form of ids if they are still what the key has.
func (c *termSets) keepFlat(key termKey, ids *roaring.Bitmap, flat *bitmap.Set, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := c.mu.sets[key]
	if set == nil || set.ids != ids || set.flat != nil {
		return
	}
	set.flat = flat
	set.bytes += bytes
	c.mu.bytes += bytes
	c.evictLocked()
}

func termSetBytes(key termKey, ids *roaring.Bitmap) int64 {
	return int64(ids.GetSizeInBytes()) + int64(len(key.lo)+len(key.hi)) + termSetOverhead
}

// get returns the ids of a range in a state that is settled: from memory, or by
// read. keep says that what read returns may be kept.
func (c *termSets) get(ctx context.Context, key termKey, at storage.Seq, keep bool, read func() (*roaring.Bitmap, error)) (ids *roaring.Bitmap, hit bool, err error) {
	for {
		if ids := c.find(key, at); ids != nil {
			c.count(true)
			return ids, true, nil
		}
		var mine *termSet
		var others <-chan struct{}
		if keep {
			mine, others = c.claim(key, at)
		}
		if others != nil {
			select {
			case <-others:
				continue
			case <-ctx.Done():
				return nil, false, ctx.Err()
			}
		}
		c.count(false)
		ids, err := read()
		if mine != nil {
			c.fill(mine, at, ids, err)
		}
		return ids, false, err
	}
}

func (c *termSets) count(hit bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if hit {
		c.mu.stats.Hits++
	} else {
		c.mu.stats.Misses++
	}
}

// claim returns a set for the caller to fill, or what ends when somebody else has
// filled it. It returns neither if what the caller reads can't be kept: it is of a
// state before the index's log begins, which may be now.
func (c *termSets) claim(key termKey, at storage.Seq) (mine *termSet, others <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if set := c.mu.sets[key]; set != nil {
		return nil, set.filling
	}
	log := c.mu.logs[key.index]
	if log == nil {
		// Of a group that is being settled some changes may have been noted already.
		log = &termLog{from: max(c.mu.noted, c.store.Settled())}
		c.mu.logs[key.index] = log
	}
	if at < log.from {
		return nil, nil
	}
	log.sets++
	mine = &termSet{key: key, log: log, filling: make(chan struct{})}
	c.mu.sets[key] = mine
	return mine, nil
}

// fill ends what claim began.
func (c *termSets) fill(set *termSet, at storage.Seq, ids *roaring.Bitmap, err error) {
	if err == nil {
		ids.RunOptimize()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	close(set.filling)
	set.filling = nil
	set.ids, set.from, set.to = ids, at, at
	set.element = c.mu.used.PushFront(set)
	if err != nil {
		c.dropLocked(set)
		return
	}
	set.bytes = termSetBytes(set.key, ids)
	c.mu.bytes += set.bytes
	c.evictLocked()
}
