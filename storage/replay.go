package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/archive"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Until is a point of a database's history: a sequence, a time, or the end of
// what is archived. Exactly one is set.
type Until struct {
	// Seq is the newest oplog sequence that is wanted. A commit that goes beyond it
	// is left out as a whole.
	Seq Seq
	// Time leaves out the first commit that was made after it and all that follow.
	// It is exact to the millisecond.
	Time   time.Time
	Latest bool
}

// ParseUntil reads a sequence, a time as in RFC 3339, or "latest".
func ParseUntil(text string) (Until, error) {
	if text == "latest" {
		return Until{Latest: true}, nil
	}
	if seq, err := strconv.ParseUint(text, 10, 64); err == nil && seq > 0 {
		return Until{Seq: Seq(seq)}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return Until{Time: at}, nil
	}
	return Until{}, errs.New(errs.Invalid, "invalid_until",
		"%q is neither a sequence above 0, nor a time like 2026-11-22T10:00:00Z, nor latest", text)
}

func (u Until) String() string {
	switch {
	case u.Latest:
		return "latest"
	case u.Seq != 0:
		return "sequence " + strconv.FormatUint(uint64(u.Seq), 10)
	}
	return u.Time.Format(time.RFC3339Nano)
}

// before reports whether the point lies before a commit.
func (u Until) before(m *mark) bool {
	switch {
	case u.Latest:
		return false
	case u.Seq != 0:
		return m.last > u.Seq
	}
	return m.unixMs > u.Time.UnixMilli()
}

// Restored is what a restored database holds.
type Restored struct {
	Seq      Seq
	Timeline Timeline
	// Commits is how many were replayed, LastCommit the time of the newest of them.
	Commits    uint64
	LastCommit time.Time
}

// Adopt makes the copy of a database at path one of its own, with a new timeline.
// No process may have it open.
func Adopt(path string) (Restored, error) {
	r, err := openReplay(path)
	if err != nil {
		return Restored{}, err
	}
	defer r.db.Close()
	return r.finish()
}

// Replay rolls the copy of a database at path forward with the archive in dir, to
// the last commit at or before a point, and then adopts it. made is a time at or
// after which the copy was complete. No process may have the copy open. Errors are
// Invalid "until_before_base" and "until_after_archive", and Conflict
// "archive_gap"; the copy is of no use then.
func Replay(ctx context.Context, path, dir string, until Until, made time.Time) (Restored, error) {
	r, err := openReplay(path)
	if err != nil {
		return Restored{}, err
	}
	defer r.db.Close()
	if until.Seq != 0 && until.Seq < r.out.Seq || !until.Time.IsZero() && until.Time.Before(made) {
		return Restored{}, errs.New(errs.Invalid, "until_before_base",
			"%s lies before the snapshot or backup, which holds everything up to sequence %d and was made at %s; choose an older one",
			until, r.out.Seq, made.UTC().Format(time.RFC3339Nano))
	}
	if err := r.replay(ctx, dir, until); err != nil {
		return Restored{}, err
	}
	return r.finish()
}

// replay is a copy of a database that is rolled forward.
type replay struct {
	db  *rocks.DB
	out Restored
	// reached says that a commit beyond the point was met.
	reached bool
}

func openReplay(path string) (*replay, error) {
	o := Options{Path: path, Compression: DefaultCompression}
	o.EnsureDefaults()
	if _, err := prepare(&o); err != nil {
		return nil, err
	}
	db, err := rocks.Open(o.rocksOptions())
	if err != nil {
		return nil, openError(path, err)
	}
	r := &replay{db: db}
	stamp, err := db.Latest().Get(familyDefault, []byte(metaFormat))
	if err == nil {
		if version, ok := parseStamp(stamp); !ok {
			err = foreignData(path)
		} else if version != FormatVersion {
			err = otherFormat(path, version)
		}
	}
	if err == nil {
		r.out.Seq, err = readSeq(db.Latest(), metaLastSeq)
	}
	var row []byte
	if err == nil {
		row, err = db.Latest().Get(familyDefault, []byte(metaTimeline))
	}
	if err == nil && row != nil {
		r.out.Timeline, err = parseTimeline(row)
	}
	if err != nil {
		db.Close()
		return nil, readError(err)
	}
	return r, nil
}

func (r *replay) replay(ctx context.Context, dir string, until Until) error {
	err := archive.Read(dir, r.out.Timeline, r.db.LatestSequence()+1, func(wire []byte) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		b, err := parseMarked(wire)
		if err != nil {
			return false, corrupt(fmt.Errorf("the archive: %w", err))
		}
		if b.unmarked {
			first, next, _ := rocks.WireSequence(wire)
			return false, &archive.GapError{From: first, To: first + uint64(next)}
		}
		return r.apply(&b, until)
	})
	var gap *archive.GapError
	switch {
	case errors.As(err, &gap):
		return errs.Wrap(err, errs.Conflict, "archive_gap",
			"The archive in %s can't lead from the snapshot or backup to %s: it goes up to sequence %d, and what follows is missing. Choose a newer snapshot or backup, or an earlier point", dir, until, r.out.Seq)
	case err != nil:
		return readError(err)
	case !r.reached && !until.Latest && until.Seq != r.out.Seq:
		return errs.New(errs.Invalid, "until_after_archive",
			"%s lies beyond the end of what is archived in %s for this database, which is %s; --until latest goes there", until, dir, r.end())
	}
	return nil
}

// end says how far the archive led.
func (r *replay) end() string {
	text := "sequence " + strconv.FormatUint(uint64(r.out.Seq), 10)
	if !r.out.LastCommit.IsZero() {
		text += " at " + r.out.LastCommit.Format(time.RFC3339Nano)
	}
	return text
}

// apply writes a batch, or the part of it that lies before the point, and reports
// whether to go on.
func (r *replay) apply(b *marked, until Until) (bool, error) {
	n := 0
	for n < len(b.marks) && !until.before(&b.marks[n]) {
		n++
	}
	r.reached = n < len(b.marks)
	if r.reached && n == 0 {
		return false, nil
	}
	rows, err := rocks.BatchOf(b.wire)
	if err != nil {
		return false, err
	}
	if r.reached {
		rows = b.upTo(n - 1)
	}
	if err := r.db.Write(&rows, false); err != nil {
		return false, err
	}
	if n > 0 {
		m := &b.marks[n-1]
		r.out.Seq, r.out.LastCommit = m.last, time.UnixMilli(m.unixMs).UTC()
		r.out.Commits += uint64(n)
	}
	return !r.reached, nil
}

// finish gives the database a timeline of its own and puts all on disk.
func (r *replay) finish() (Restored, error) {
	row, err := r.db.Latest().Get(familyDefault, []byte(metaLastSeq))
	if err != nil {
		return r.out, readError(err)
	}
	if row != nil && Seq(binary.LittleEndian.Uint64(row)) != r.out.Seq {
		return r.out, corrupt(fmt.Errorf("replayed up to sequence %d, but %s is %x", r.out.Seq, metaLastSeq, row))
	}
	if r.out.Timeline, err = startTimeline(r.db); err != nil {
		return r.out, err
	}
	return r.out, copyError(r.db.Flush())
}
