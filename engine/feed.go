package engine

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

// The change feed
//
// Storage keeps the feed's rows (storage/feed.go) and sees to it that no change
// is without one. Here they become events, and readers are told of new ones.
//
// The committer only raises a flag (announce). One goroutine, feedLoop, then
// reads the new rows once for all streams, into the tail, a bounded list of the
// newest events, and wakes who waits. Readers copy from the tail; one that is too
// far behind for it reads from storage, at its own pace. So neither the committer
// nor feedLoop ever waits for a reader.

const (
	// feedPageMax is the most events of a page.
	feedPageMax = 10_000
	// feedPageBytes ends a page of big documents, feedPageRows one that finds
	// little for its filter.
	feedPageBytes = 4 << 20
	feedPageRows  = 5_000
	// tailEvents and tailBytes bound the tail.
	tailEvents = 4096
	tailBytes  = 16 << 20
	// tailPause is how long feedLoop rests after it woke the streams: under a load
	// of writes, a thousand streams would otherwise be woken for each one.
	tailPause = 2 * time.Millisecond
)

// feed is the engine's part of the change feed.
type feed struct {
	options atomic.Pointer[FeedOptions]
	// news has a token when feedLoop has something to do.
	news chan struct{}
	// seen is up to where readers were told of events.
	seen atomic.Uint64
	tail feedTail

	streams, waiting                          atomic.Int64
	slowReadersCut, eventsRead, eventsTrimmed atomic.Uint64
}

// feedTail holds the newest events while there are streams, in order and without
// gaps.
type feedTail struct {
	sync.Mutex
	events []FeedEvent
	bytes  int
	// moved is closed and replaced whenever readers should look again.
	moved chan struct{}
}

func (f *feed) init(o FeedOptions) {
	f.options.Store(&o)
	f.news = make(chan struct{}, 1)
	f.tail.moved = make(chan struct{})
}

// announce runs on the committer.
func (f *feed) announce(storage.Seq) { f.wake() }

func (f *feed) wake() {
	select {
	case f.news <- struct{}{}:
	default: // it has a token waiting already
	}
}

// feedLoop tells readers of new events until Close.
func (e *Engine) feedLoop() {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.feed.news:
		}
		e.followFeed()
		rest.Reset(tailPause)
		select {
		case <-e.ctx.Done():
			return
		case <-rest.C:
		}
	}
}

// followFeed moves the tail on to the newest event and wakes the readers.
func (e *Engine) followFeed() {
	f := &e.feed
	seen, last := f.seen.Load(), uint64(e.store.FeedRange().Last)
	var events []FeedEvent
	if f.streams.Load() > 0 && last > seen && last-seen <= tailEvents {
		page, err := e.scanFeed(e.ctx, seen, tailEvents, tailBytes, FeedFilter{})
		if err == nil { // else readers meet the same error, and can be told
			events = page.Events
			if page.Next < last { // big documents; the rest in another round
				last = page.Next
				f.wake()
			}
		}
	}
	f.tail.extend(events)
	f.seen.Store(last)
	f.tail.wake()
}

// extend adds events, or starts anew if they aren't the next ones.
func (t *feedTail) extend(events []FeedEvent) {
	t.Lock()
	defer t.Unlock()
	if n := len(t.events); n == 0 || len(events) == 0 || events[0].Seq != t.events[n-1].Seq+1 {
		t.events, t.bytes = nil, 0
	}
	t.events = append(t.events, events...)
	for i := range events {
		t.bytes += events[i].size()
	}
	for len(t.events) > tailEvents || t.bytes > tailBytes {
		t.bytes -= t.events[0].size()
		t.events[0] = FeedEvent{}
		t.events = t.events[1:]
	}
}

func (t *feedTail) wake() {
	t.Lock()
	defer t.Unlock()
	close(t.moved)
	t.moved = make(chan struct{})
}

// eventBytes is about what an event takes besides its texts.
const eventBytes = 120

func (ev *FeedEvent) size() int { return eventBytes + len(ev.Key.PK) + len(ev.Doc) }

// page reads from the tail. ok is false if that doesn't reach back to from.
func (t *feedTail) page(from uint64, limit int, filter *FeedFilter) (page FeedPage, ok bool) {
	t.Lock()
	defer t.Unlock()
	if len(t.events) == 0 || from+1 < t.events[0].Seq || from+1-t.events[0].Seq >= uint64(len(t.events)) {
		return FeedPage{}, false
	}
	page.Next = from
	size := 0
	for _, ev := range t.events[from+1-t.events[0].Seq:] {
		if len(page.Events) == limit || size >= feedPageBytes {
			break
		}
		page.Next = ev.Seq
		if filter.match(ev.Key.Table, ev.Key.PK, ev.Type) {
			page.Events = append(page.Events, ev)
			size += ev.size()
		}
	}
	return page, true
}

// changed is closed when readers should look again.
func (t *feedTail) changed() <-chan struct{} {
	t.Lock()
	defer t.Unlock()
	return t.moved
}

// ErrFeedDisabled is what readers of the feed get while it is off.
func ErrFeedDisabled() error {
	return errs.New(errs.NotSupported, "feature_disabled", "the change feed is off; set features.cdc to true to record changes")
}

// ReadFeed returns the events after from that pass the filter, at most limit (100
// if it is 0, and never more than 10,000). Pages are also bounded in bytes and in
// the rows they look at, so one may be empty before the end; reading on at Next
// gets there. NotSupported "feature_disabled" while the feed is off; Gone
// "feed_trimmed" if events after from aren't kept, "feed_ahead" if there has been
// no from yet, as after the restore of a backup.
func (e *Engine) ReadFeed(ctx context.Context, from uint64, limit int, filter FeedFilter) (FeedPage, error) {
	if limit == 0 {
		limit = 100
	}
	limit = min(max(limit, 1), feedPageMax)
	within := e.store.FeedRange()
	switch {
	case !within.On:
		return FeedPage{}, ErrFeedDisabled()
	case from > uint64(within.Last):
		err := errs.New(errs.Gone, "feed_ahead",
			"Sequence %d hasn't been reached here; the newest change has %d. The database was restored to an earlier state: read the data anew and follow the feed from there.", from, within.Last)
		err.Numbers = map[string]uint64{"oldest_sequence": uint64(within.Start) + 1, "latest_sequence": uint64(within.Last)}
		return FeedPage{}, err
	}
	page, ok := FeedPage{Next: from}, from == uint64(within.Last)
	if !ok && from >= uint64(within.Start) {
		page, ok = e.feed.tail.page(from, limit, &filter)
	}
	if !ok {
		var err error
		if page, err = e.scanFeed(ctx, from, limit, feedPageBytes, filter); err != nil {
			return FeedPage{}, contextError(err)
		}
	}
	page.Latest = max(uint64(within.Last), page.Next)
	e.feed.eventsRead.Add(uint64(len(page.Events)))
	return page, nil
}

// FeedTimeline names the history that the feed's sequences belong to. It stays the
// same over restarts and changes when the database is restored: from there on the
// same sequences mean other changes.
func (e *Engine) FeedTimeline() (string, error) {
	timeline, err := e.store.Timeline()
	if err != nil {
		return "", err
	}
	return timeline.String(), nil
}

// scanFeed reads a page from storage.
func (e *Engine) scanFeed(ctx context.Context, from uint64, limit, maxBytes int, filter FeedFilter) (FeedPage, error) {
	page := FeedPage{Next: from}
	rows, size := 0, 0
	err := e.store.ReadFeed(ctx, storage.Seq(from), func(row storage.FeedRow) (bool, error) {
		ev, err := e.feedEvent(row)
		if err != nil {
			return false, err
		}
		page.Next = ev.Seq
		if filter.match(ev.Key.Table, ev.Key.PK, ev.Type) {
			ev.Doc = bytes.Clone(ev.Doc)
			page.Events = append(page.Events, ev)
			size += ev.size()
		}
		rows++
		return rows < feedPageRows && len(page.Events) < limit && size < maxBytes, nil
	})
	return page, err
}

// feedEvent decodes a row. The document is the row's memory.
func (e *Engine) feedEvent(row storage.FeedRow) (FeedEvent, error) {
	ev := FeedEvent{Seq: uint64(row.Seq), Time: stampTime(row.Op.Stamp)}
	e.catalog.RLock()
	name, ok := e.catalog.names[row.Op.Table]
	e.catalog.RUnlock()
	if row.Op.Kind == storage.OpDropTable {
		ev.Type, ev.Key.Table = FeedDrop, string(row.Payload)
		return ev, nil
	}
	if !ok {
		return ev, corruptFeed(row.Seq, fmt.Errorf("its table %d is unknown", row.Op.Table))
	}
	rec, err := decodeRecord(row.Payload)
	if err != nil {
		return ev, corruptFeed(row.Seq, err)
	}
	ev.Key, ev.Version = Key{name, string(rec.pk)}, rec.version
	ev.Type = FeedDelete
	if row.Op.Kind == storage.OpPut {
		ev.Type, ev.Doc = FeedPut, rec.doc
	}
	return ev, nil
}

func corruptFeed(seq storage.Seq, err error) error {
	return errs.Wrap(err, errs.Corrupt, "corrupt_feed", "the event %d of the change feed can't be decoded; run themis_server --verify", seq)
}

// WaitFeed waits, at most so long, until there may be events after from or the
// feed was switched off, which ReadFeed tells; news says if so. It fails with
// ctx.Err() when ctx ends and with Unavailable when the database closes. A caller
// that waits costs little besides its goroutine.
func (e *Engine) WaitFeed(ctx context.Context, from uint64, most time.Duration) (news bool, err error) {
	e.feed.waiting.Add(1)
	defer e.feed.waiting.Add(-1)
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		changed := e.feed.tail.changed()
		if e.feed.seen.Load() > from || !e.store.FeedRange().On {
			return true, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		case <-e.ctx.Done():
			return false, errs.New(errs.Unavailable, "storage_closed", "the database is closing")
		}
	}
}

// FollowFeed counts a stream until done is called, slow if it was ended for not
// keeping up. The newest events are kept in memory while there are streams.
func (e *Engine) FollowFeed() (done func(slow bool)) {
	e.feed.streams.Add(1)
	return func(slow bool) {
		e.feed.streams.Add(-1)
		if slow {
			e.feed.slowReadersCut.Add(1)
		}
	}
}

// SetFeed switches the feed and its retention, from now on. What happened while
// it was off can't be read later: the feed then starts at the moment it was
// switched on, and reading from before is answered with Gone.
func (e *Engine) SetFeed(o FeedOptions) error {
	o = o.EnsureDefaults()
	if o.Retention < 0 {
		return errs.New(errs.Invalid, "invalid_retention", "the retention of the change feed is negative; nothing was changed")
	}
	e.catalog.Lock() // see keepNameLocked
	defer e.catalog.Unlock()
	if e.store.FeedRange().On != o.Enabled {
		if err := e.store.SetFeed(o.Enabled); err != nil {
			return err
		}
		e.log.Info("the change feed was switched", "component", "feed", "on", o.Enabled, "sequence", e.store.LastSeq())
	}
	e.feed.options.Store(&o)
	e.feed.wake()
	return nil
}

// FeedStats returns the feed's figures.
func (e *Engine) FeedStats() (FeedStats, error) {
	size, err := e.store.FeedBytes()
	if err != nil {
		return FeedStats{}, err
	}
	f, within := &e.feed, e.store.FeedRange()
	return FeedStats{
		Enabled: within.On, Oldest: uint64(within.Start) + 1, Latest: uint64(within.Last),
		Events: uint64(within.Last - within.Start), Bytes: size,
		Retention: f.options.Load().Retention,
		Streams:   int(f.streams.Load()), Waiting: int(f.waiting.Load()),
		SlowReadersCut: f.slowReadersCut.Load(), EventsRead: f.eventsRead.Load(), EventsTrimmed: f.eventsTrimmed.Load(),
	}, nil
}

// TrimFeed removes the events with sequences below before, and returns how many
// that were. It fails like ReadFeed while the feed is off.
func (e *Engine) TrimFeed(before uint64) (removed uint64, err error) {
	if !e.store.FeedRange().On {
		return 0, ErrFeedDisabled()
	}
	if before == 0 {
		return 0, nil
	}
	return e.trimFeed(storage.Seq(before - 1))
}

func (e *Engine) trimFeed(upTo storage.Seq) (removed uint64, err error) {
	from := e.store.FeedRange().Start
	if err := e.store.TrimFeed(upTo); err != nil {
		return 0, err
	}
	// Two trims at once may both count what went between; it is a statistic.
	removed = uint64(e.store.FeedRange().Start - from)
	e.feed.eventsTrimmed.Add(removed)
	return removed, nil
}

// retentionGrain is the part of the retention time by which events may overstay:
// each trim is a write of its own, so they go in lots.
const retentionGrain = 64

// retainFeed removes the events whose time is up, and the names of dropped
// tables that no event is left of.
func (e *Engine) retainFeed() error {
	retention := e.feed.options.Load().Retention
	border := e.opts.Now().Add(-retention)
	overdue, err := e.store.FeedBefore(stampOf(border.Add(-retention / retentionGrain)))
	if err != nil {
		return err
	}
	if overdue > e.store.FeedRange().Start {
		upTo, err := e.store.FeedBefore(stampOf(border))
		if err != nil {
			return err
		}
		if _, err := e.trimFeed(upTo); err != nil {
			return err
		}
	}
	return e.forgetDropped()
}

// forgetDropped removes the stored names of dropped tables without events. The
// names stay in memory, for readers that are just decoding one.
func (e *Engine) forgetDropped() error {
	e.catalog.Lock()
	defer e.catalog.Unlock()
	within := e.store.FeedRange()
	var b storage.Batch
	var gone []uint32
	for id, last := range e.catalog.dropped {
		if last <= within.Start || within.Start == within.Last {
			b.DeleteMeta(droppedKey(id))
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if _, err := e.store.Commit(&b, storage.CommitOptions{}); err != nil {
		return err
	}
	for _, id := range gone {
		delete(e.catalog.dropped, id)
	}
	return nil
}

func stampOf(t time.Time) uint64 { return uint64(max(t.UnixMicro(), 0)) }
