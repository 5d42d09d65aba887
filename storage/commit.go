package storage

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/vccdb/vccdb/storage/keys"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Group commit
//
// An fsync costs the same for one write as for a hundred. So commits queue, and
// one committer takes all that wait, concatenates their rows into one RocksDB
// batch and pays one fsync for them. The next group gathers during that fsync.
//
// That alone settles into two groups that take turns: those acknowledged just
// now are on their way back while the others are written, and every commit sits
// through two fsyncs. Hence the wait: if the queue is shorter than the number of
// committers seen in the last round, the rest is given half an fsync's time to
// arrive. A lone committer sees a round of one and never waits.
//
// Rejected: a fixed commit delay (costs the lone committer its latency);
// RocksDB's own write groups (each writer would cross into C for itself, and
// neither sequences nor counters could be settled in commit order).

const (
	// maxGroupBytes bounds what a group adds to the latency of its first member.
	maxGroupBytes = 8 << 20
	// keptGroupBytes is how much memory the committer keeps between groups.
	keptGroupBytes = 4 * maxGroupBytes
	// minGroupWait is the shortest wait worth a timer and a wake-up.
	minGroupWait = 50 * time.Microsecond
)

// CommitOptions change how one batch is committed.
type CommitOptions struct {
	// Sync makes the commit as durable as under DurabilitySync. There is no way to
	// ask for less than the store's durability: a store that syncs tells a crash
	// from damage by every write in its log being synced (rocks.CheckLogs).
	Sync bool
	// OnCommit runs on the committer once the write is applied and durable, before
	// Commit returns, in the order of sequences. first is the sequence of the
	// batch's first oplog record; if it has none, of the next one to come. It must
	// be quick and must not commit.
	OnCommit func(first Seq)
}

// pendingCommit is one call of Commit on its way through the committer.
type pendingCommit struct {
	batch       *Batch
	feed        feedChange
	durable     bool
	onCommit    func(first Seq)
	first, last Seq
	err         error
	done        chan struct{}
}

// Commit applies the batch and returns when it is applied and durable. The
// result is the sequence of the batch's last oplog record; if it has none, the
// newest at that point. An empty batch is a barrier: it returns once all commits
// before it have, and under DurabilitySync once they are on disk.
//
// On an error nothing was acknowledged: Unavailable "storage_closed",
// Unavailable "storage_failed" or StorageFull "disk_full". After storage_failed
// the batch may or may not be there when the store is opened anew, and every
// later commit fails alike. After disk_full it isn't there once commits succeed
// again, which they do by themselves when there is space (see health.go); until
// then a process that is killed may find it when it opens the store.
func (s *Store) Commit(b *Batch, o CommitOptions) (Seq, error) {
	return s.commit(b, o, feedChange{})
}

// commit is Commit with a change of the feed's state before the batch.
func (s *Store) commit(b *Batch, o CommitOptions, feed feedChange) (Seq, error) {
	c := &pendingCommit{
		batch:    b,
		feed:     feed,
		durable:  o.Sync || s.opts.Durability == DurabilitySync,
		onCommit: o.OnCommit,
		done:     make(chan struct{}),
	}
	if err := s.Err(); err != nil && !s.queue.ended() && !s.frees(err, c) {
		return 0, err // at once, even while a recovery keeps the committer busy
	}
	b.writeTerms()
	if !s.queue.push(c) {
		return 0, closedError()
	}
	<-c.done
	return c.last, c.err
}

// commitQueue hands commits to the committer.
type commitQueue struct {
	mu struct {
		sync.Mutex
		waiting []*pendingCommit
		// want is how many must wait before the committer is woken.
		want   int
		closed bool
	}
	wake chan struct{}
}

func (q *commitQueue) init() {
	q.wake = make(chan struct{}, 1)
	q.mu.want = 1
}

// push reports whether the queue took c.
func (q *commitQueue) push(c *pendingCommit) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed {
		return false
	}
	q.mu.waiting = append(q.mu.waiting, c)
	if len(q.mu.waiting) >= q.mu.want {
		q.signalLocked()
	}
	return true
}

func (q *commitQueue) signalLocked() {
	select {
	case q.wake <- struct{}{}:
	default: // the committer has a wake-up waiting already
	}
}

// close lets nothing more in. The committer takes what waits and ends.
func (q *commitQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.closed = true
	q.signalLocked()
}

// await returns when n commits wait, the time is up, or the queue closes. It
// returns how many wait.
func (q *commitQueue) await(n int, limit time.Duration) int {
	waiting, enough := q.ready(n)
	if enough {
		return waiting
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for !enough {
		select {
		case <-q.wake:
		case <-timer.C:
			return waiting
		}
		waiting, enough = q.ready(n)
	}
	return waiting
}

// ended reports whether the queue is closed and empty.
func (q *commitQueue) ended() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.closed && len(q.mu.waiting) == 0
}

func (q *commitQueue) ready(n int) (waiting int, enough bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.want = n
	waiting = len(q.mu.waiting)
	return waiting, waiting >= n || q.mu.closed
}

// durable returns how many durable commits wait.
func (q *commitQueue) durable() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return durable(q.mu.waiting)
}

func durable(commits []*pendingCommit) (n int) {
	for _, c := range commits {
		if c.durable {
			n++
		}
	}
	return n
}

// take moves the first commits, up to maxGroupBytes, into group.
func (q *commitQueue) take(group []*pendingCommit) []*pendingCommit {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.mu.waiting) && (n == 0 || size < maxGroupBytes) {
		size += q.mu.waiting[n].batch.SizeBytes()
		n++
	}
	group = append(group, q.mu.waiting[:n]...)
	rest := copy(q.mu.waiting, q.mu.waiting[n:])
	clear(q.mu.waiting[rest:])
	q.mu.waiting = q.mu.waiting[:rest]
	return group
}

// groupState is what the committer keeps from group to group.
type groupState struct {
	members []*pendingCommit
	rows    rocks.Batch
	key     []byte
	feedRow []byte
	feed    feedState        // the feed's state after the group
	changed map[string]int64 // counter values of the group
	// mark is scratch, markMs the time in the last mark of a commit.
	mark   []byte
	markMs int64
	// round is how many durable commits the last group saw: its members and those
	// that were waiting when it was done.
	round int
	// writeTime is the smoothed time of a synced write.
	writeTime time.Duration
}

// runCommitter is the committer goroutine. It ends when the queue is closed and
// empty.
func (s *Store) runCommitter() {
	g := &s.group
	g.changed = make(map[string]int64)
	for {
		waiting := s.queue.await(1, healthInterval)
		s.look()
		if waiting == 0 {
			if s.queue.ended() {
				return
			}
			continue
		}
		if wait := s.groupWait(); wait > 0 {
			s.queue.await(g.round, wait)
		}
		g.members = s.queue.take(g.members[:0])
		err := s.commitGroup()
		s.finishGroup(err)
	}
}

// groupWait returns how long the next group may wait for company.
func (s *Store) groupWait() time.Duration {
	g := &s.group
	if g.round < 2 {
		return 0
	}
	wait := min(s.opts.GroupCommitMax, g.writeTime/2)
	if wait < minGroupWait {
		return 0
	}
	return wait
}

// commitGroup writes the members as one batch and publishes what they changed.
func (s *Store) commitGroup() error {
	g := &s.group
	last := s.assemble()
	s.account(g.rows.SizeBytes())
	if err := s.Err(); err != nil && !s.frees(err, g.members...) {
		return err
	}
	s.writes.Store(s.writes.Load() | 1) // still so after one that failed, and may be there or not
	if err := s.writeGroup(durable(g.members) > 0); err != nil {
		return err
	}
	s.counters.set(g.changed)
	for _, c := range g.members {
		s.written.add(c.batch.tallies)
	}
	announced := g.feed.on && last != s.LastSeq()
	if g.feed != *s.feed.Load() {
		s.feed.Store(new(g.feed)) // before lastSeq, see FeedRange
	}
	s.lastSeq.Store(uint64(last))
	s.writes.Add(1)
	if announced {
		s.opts.OnFeed(last)
	}
	return nil
}

// assemble concatenates the members' rows, gives the oplog records their
// sequences, adds the feed's rows and settles the counters.
func (s *Store) assemble() (last Seq) {
	g := &s.group
	g.rows.Reset()
	clear(g.changed)
	last = s.LastSeq()
	g.feed = *s.feed.Load()
	for _, c := range g.members {
		before := g.feed
		g.feed = c.feed.after(before, last)
		writeFeedState(&g.rows, before, g.feed)
		c.first = last + 1
		shift := g.rows.Append(&c.batch.rows)
		for _, l := range c.batch.logged {
			last++
			g.key = keys.AppendSeq(g.key[:0], uint64(last))
			g.rows.SetKey(l.keyAt+shift, g.key)
			if g.feed.on {
				g.feedRow = c.batch.appendFeedRow(g.feedRow[:0], l)
				g.rows.Put(familyFeed, g.key, g.feedRow)
			}
		}
		c.last = last
		s.counters.resolve(g.changed, c.batch.counters)
		if s.archive != nil {
			g.markCommit(c, last)
		}
	}
	for key, value := range g.changed {
		putCounter(&g.rows, key, value)
	}
	if last != s.LastSeq() {
		g.rows.Put(familyDefault, []byte(metaLastSeq), binary.LittleEndian.AppendUint64(nil, uint64(last)))
	}
	return last
}

func (s *Store) writeGroup(sync bool) error {
	g := &s.group
	if g.rows.Len() == 0 {
		if sync {
			return s.syncWAL()
		}
		return nil
	}
	started := time.Now()
	if err := s.db.Write(&g.rows, sync); err != nil {
		return s.fail(err)
	}
	s.unsynced.Store(!sync)
	if sync {
		g.writeTime += (time.Since(started) - g.writeTime) / 8
	}
	return nil
}

// finishGroup tells the members.
func (s *Store) finishGroup(err error) {
	g := &s.group
	for _, c := range g.members {
		if err == nil && c.onCommit != nil {
			c.onCommit(c.first)
		}
	}
	g.round = s.queue.durable() + durable(g.members)
	for _, c := range g.members {
		if err != nil {
			c.last, c.err = 0, err
		}
		close(c.done)
	}
	clear(g.members)
	s.settled.advance(s.LastSeq())
	if g.rows.SizeBytes() > keptGroupBytes {
		g.rows, g.feedRow = rocks.Batch{}, nil
	}
}

// syncWAL puts on disk what unsynced commits left in the write-ahead log. It
// waits for a sync that is running, so that what was written before the call is
// on disk after it.
func (s *Store) syncWAL() error {
	s.walSync.Lock()
	defer s.walSync.Unlock()
	if !s.unsynced.Swap(false) {
		return s.Err()
	}
	if err := s.db.SyncWAL(); err != nil {
		return s.fail(err)
	}
	return nil
}

// runSyncer syncs the write-ahead log every SyncInterval while the store takes
// writes. A failure stops them and is logged there, so there is nothing more to
// do about it.
func (s *Store) runSyncer() {
	tick := time.NewTicker(s.opts.SyncInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			if s.maySync() {
				_ = s.syncWAL()
			}
		}
	}
}
