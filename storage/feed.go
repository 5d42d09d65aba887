package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/keys"
	"github.com/vccdb/vccdb/storage/rocks"
)

// The change feed
//
// While the feed is on, the committer writes with each oplog record a row that
// also holds what the entity was changed to, under the same sequence and in the
// same write. So a change without its row in the feed can't be expressed, and
// rows follow each other without a gap.
//
// What is complete is remembered beside the rows (feedState): the sequence after
// which all are there. Trimming moves it, and so does switching the feed on
// after changes went by unrecorded. A read from before it fails instead of
// leaving something out. Only the committer changes it, in order with the writes.

// FeedRow is one change in the feed.
type FeedRow struct {
	Seq Seq
	// Op is the oplog record without the pk.
	Op Op
	// Payload is what PutEntity was given as record, DeleteEntity as last, or
	// DropTable as name. It is RocksDB's memory: valid only until the callback
	// that got it returns.
	Payload []byte
}

// FeedRange says what the feed holds: the rows after Start, up to and including
// Last, all of them.
type FeedRange struct {
	// On says that changes are recorded now.
	On          bool
	Start, Last Seq
}

// feedState is the row metaFeed. The zero value is a feed that was never on.
type feedState struct {
	on bool
	// start is the sequence after which no row is missing, up to the newest or,
	// if the feed is off, up to through.
	start, through Seq
}

const feedStateBytes = 1 + 8 + 8

func (f feedState) encode() []byte {
	b := make([]byte, 1, feedStateBytes)
	if f.on {
		b[0] = 1
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(f.start))
	return binary.LittleEndian.AppendUint64(b, uint64(f.through))
}

func parseFeedState(b []byte) (feedState, error) {
	if len(b) != feedStateBytes || b[0] > 1 {
		return feedState{}, corrupt(fmt.Errorf("%s is %x", metaFeed, b))
	}
	return feedState{
		on:      b[0] == 1,
		start:   Seq(binary.LittleEndian.Uint64(b[1:])),
		through: Seq(binary.LittleEndian.Uint64(b[9:])),
	}, nil
}

func readFeedState(view *rocks.View) (feedState, error) {
	row, err := view.Get(familyDefault, []byte(metaFeed))
	if err != nil || row == nil {
		return feedState{}, readError(err)
	}
	return parseFeedState(row)
}

// holds returns the range of the state, given the newest sequence.
func (f feedState) holds(last Seq) FeedRange {
	if !f.on {
		last = f.through
	}
	return FeedRange{On: f.on, Start: f.start, Last: max(last, f.start)}
}

// feedChange is what a commit does to the feed's state.
type feedChange struct {
	// set switches the feed on or off, as on says.
	set, on bool
	// trim removes the rows up to and including it.
	trim Seq
}

// after returns the state that the change leads to, given the newest sequence.
func (c feedChange) after(f feedState, last Seq) feedState {
	switch {
	case c.set && c.on && !f.on:
		if f.through != last { // changes went by: what is there doesn't connect to what will come
			f.start = last
		}
		f.on, f.through = true, 0
	case c.set && !c.on && f.on:
		f.on, f.through = false, last
	}
	f.start = max(f.start, min(c.trim, f.holds(last).Last))
	return f
}

// writeFeedState adds the row of the new state and the removal of the rows that
// it no longer covers.
func writeFeedState(rows *rocks.Batch, before, after feedState) {
	if before == after {
		return
	}
	rows.Put(familyDefault, []byte(metaFeed), after.encode())
	if after.start > before.start {
		rows.DeleteRange(familyFeed, keys.AppendSeq(nil, 0), keys.AppendSeq(nil, uint64(after.start)+1))
	}
}

// loadFeed reads the feed's state and brings it in line with the options, before
// the first commit.
func (s *Store) loadFeed() error {
	before, err := readFeedState(s.db.Latest())
	if err != nil {
		return err
	}
	after := feedChange{set: true, on: s.opts.Feed}.after(before, s.LastSeq())
	var b rocks.Batch
	writeFeedState(&b, before, after)
	if err := s.db.Write(&b, true); err != nil {
		return openError(s.opts.Path, err)
	}
	s.feed.Store(&after)
	return nil
}

// SetFeed switches the feed on or off. Switched on, it records every change from
// here on; rows from before an unrecorded change are removed. Switched off, it
// keeps its rows until they are trimmed.
func (s *Store) SetFeed(on bool) error {
	return s.changeFeed(feedChange{set: true, on: on})
}

// TrimFeed removes the rows up to and including upTo. The write that says so is
// durable before a file is removed, so a crash can't leave a gap behind that
// isn't known.
func (s *Store) TrimFeed(upTo Seq) error {
	if f := s.FeedRange(); upTo <= f.Start || f.Start == f.Last {
		return nil
	}
	return s.changeFeed(feedChange{trim: upTo})
}

func (s *Store) changeFeed(change feedChange) error {
	started := s.FeedRange().Start
	if _, err := s.commit(&Batch{}, CommitOptions{Sync: true}, change); err != nil {
		return err
	}
	// The rows are gone for readers; dropping files that held nothing else gives
	// the space back at once and spares compactions the work.
	if f := s.FeedRange(); f.Start > started {
		return readError(s.db.DropFiles(familyFeed, keys.AppendSeq(nil, 0), keys.AppendSeq(nil, uint64(f.Start))))
	}
	return nil
}

// FeedRange returns what the feed holds now.
func (s *Store) FeedRange() FeedRange {
	// The committer publishes a state before the sequences of its time, so a state
	// that has become old by the second line is known to have: it is another then.
	f := *s.feed.Load()
	return f.holds(s.LastSeq())
}

// storedFeedRange is FeedRange as the newest write says, which may not be
// published yet.
func (s *Store) storedFeedRange() (FeedRange, error) {
	view := s.db.Pin()
	defer view.Release()
	f, err := readFeedState(view)
	if err != nil {
		return FeedRange{}, err
	}
	last, err := readSeq(view, metaLastSeq)
	return f.holds(last), err
}

// FeedBytes returns about how many bytes the feed takes, in files (compressed)
// and in memtables.
func (s *Store) FeedBytes() (uint64, error) {
	files, err := s.db.ApproximateFiles(familyFeed, rocks.Range{Lower: keys.AppendSeq(nil, uint64(s.FeedRange().Start)), Upper: lastKey})
	if err != nil {
		return 0, readError(err)
	}
	memory, ok := s.db.IntProperty(familyFeed, "rocksdb.cur-size-all-mem-tables")
	if !ok {
		return 0, closedError()
	}
	return files[0] + memory, nil
}

// errFeedGap says that a row wasn't where it should be: it was trimmed during
// the read, or the feed was switched off, or it is missing.
var errFeedGap = errors.New("a row of the change feed is missing")

// ReadFeed calls fn with each row after from that is there when it begins, in
// order, until fn returns false. If rows after from aren't kept it fails with
// Gone, code "feed_trimmed"; that can also happen in the middle, after fn saw
// rows. It never leaves a row out.
func (s *Store) ReadFeed(ctx context.Context, from Seq, fn func(row FeedRow) (bool, error)) error {
	within := s.FeedRange()
	for {
		if from < within.Start {
			return feedTrimmed(from, within)
		}
		read, err := s.scanFeed(ctx, from, within.Last, fn)
		if !errors.Is(err, errFeedGap) {
			return err
		}
		now, failed := s.storedFeedRange()
		switch {
		case failed != nil:
			return failed
		case now.Start == within.Start && now.On == within.On:
			return corrupt(fmt.Errorf("%w: after sequence %d", err, read))
		}
		from, within = read, now
	}
}

// scanFeed hands on the rows after from, up to last, and returns the last one
// that fn saw.
func (s *Store) scanFeed(ctx context.Context, from, last Seq, fn func(row FeedRow) (bool, error)) (read Seq, err error) {
	tick := canceler{ctx: ctx}
	stopped := false
	r := rocks.Range{Lower: keys.AppendSeq(nil, uint64(from)+1), Upper: keys.AppendSeq(nil, uint64(last)+1)}
	err = readError(s.db.Latest().Scan(familyFeed, r, func(key, value []byte) (bool, error) {
		if err := tick.err(); err != nil {
			return false, err
		}
		row, err := parseFeedRow(key, value)
		switch {
		case err != nil:
			return false, corrupt(err)
		case row.Seq != from+1:
			return false, errFeedGap
		}
		from = row.Seq
		more, err := fn(row)
		stopped = !more
		return more, err
	}))
	if err == nil && !stopped && from < last {
		err = errFeedGap
	}
	return from, err
}

func parseFeedRow(key, value []byte) (FeedRow, error) {
	seq, err := keys.SplitSeq(key)
	if err != nil {
		return FeedRow{}, err
	}
	if len(value) < opHeader {
		return FeedRow{}, fmt.Errorf("feed row %d has %d bytes, want at least %d", seq, len(value), opHeader)
	}
	op, err := parseOp(value[:opHeader])
	if err != nil {
		return FeedRow{}, fmt.Errorf("feed row %d: %w", seq, err)
	}
	return FeedRow{Seq: Seq(seq), Op: op, Payload: value[opHeader:]}, nil
}

func feedTrimmed(from Seq, within FeedRange) error {
	err := errs.New(errs.Gone, "feed_trimmed",
		"Changes after sequence %d aren't kept any more; the oldest that can be read has sequence %d. Read the data anew and follow the feed from there.", from, within.Start+1)
	err.Numbers = map[string]uint64{"oldest_sequence": uint64(within.Start) + 1, "latest_sequence": uint64(within.Last)}
	return err
}

// FeedBefore returns the newest sequence whose stamp is below the given one, or
// the start of the feed if there is none. Stamps follow sequences but for writes
// that were under way together, so the border is that exact.
func (s *Store) FeedBefore(stamp uint64) (Seq, error) {
	within := s.FeedRange()
	lo, hi := within.Start, within.Last // the rows up to lo are older, those after hi are not
	// The oldest is asked first: as a rule even that isn't old enough.
	for mid := lo + 1; lo < hi; mid = lo + (hi-lo+1)/2 {
		older, err := s.feedOlder(mid, stamp)
		if err != nil {
			return 0, err
		}
		switch {
		case older:
			lo = mid
		case mid == within.Start+1:
			return within.Start, nil
		default:
			hi = mid - 1
		}
	}
	return lo, nil
}

// feedOlder reports whether the row is from before the stamp. One that was
// trimmed meanwhile is.
func (s *Store) feedOlder(seq Seq, stamp uint64) (older bool, err error) {
	var list rocks.Keys
	list.Buf = keys.AppendSeq(list.Buf, uint64(seq))
	list.Next()
	return older, readError(s.db.Latest().MultiGet(familyFeed, &list, func(_ int, value []byte) error {
		if value == nil {
			older = true
			return nil
		}
		row, err := parseFeedRow(list.Buf, value)
		if err != nil {
			return corrupt(err)
		}
		older = row.Op.Stamp < stamp
		return nil
	}))
}
