package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

// readFeed returns the rows after from, with payloads of their own.
func readFeed(t testing.TB, s *Store, from Seq) (rows []FeedRow, err error) {
	t.Helper()
	err = s.ReadFeed(t.Context(), from, func(row FeedRow) (bool, error) {
		row.Payload = bytes.Clone(row.Payload)
		rows = append(rows, row)
		return true, nil
	})
	return rows, err
}

// feedModel is what the feed should hold.
type feedModel struct {
	on          bool
	start, last Seq
	rows        map[Seq]FeedRow
}

// record notes what the last batch put into the oplog.
func (f *feedModel) record(ops []Op, payloads [][]byte) {
	for i, op := range ops {
		f.last++
		if f.on {
			op.PK = ""
			f.rows[f.last] = FeedRow{Seq: f.last, Op: op, Payload: payloads[i]}
		}
	}
}

func (f *feedModel) check(t *testing.T, s *Store, from Seq) {
	t.Helper()
	rows, err := readFeed(t, s, from)
	if from < f.start {
		wantError(t, err, errs.Gone, "feed_trimmed")
		var e *errs.Error
		if errors.As(err, &e); e.Numbers["oldest_sequence"] != uint64(f.start)+1 || rows != nil {
			t.Fatalf("the error names %v, want %d; %d rows came before it", e.Numbers, f.start+1, len(rows))
		}
		return
	}
	must(t, err)
	for i, row := range rows {
		want := f.rows[from+1+Seq(i)]
		if row.Seq != want.Seq || row.Op != want.Op || !bytes.Equal(row.Payload, want.Payload) {
			t.Fatalf("row %d is %+v, want %+v", from+1+Seq(i), row, want)
		}
	}
	end := s.FeedRange().Last
	if f.on && end != f.last || from+Seq(len(rows)) != max(end, from) {
		t.Fatalf("reading after %d gave %d rows, to %d of %d", from, len(rows), end, f.last)
	}
}

// TestFeedModel holds the feed against a map, over random batches, trims,
// switches, flushes and restarts with the feed on or off.
func TestFeedModel(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	o := testOptions(t)
	o.Feed, o.Durability, o.MemtableSizeMB = true, DurabilityNone, 1
	s, err := Open(o)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	f := &feedModel{on: true, rows: map[Seq]FeedRow{}}
	offAt := Seq(0) // the sequence at which it was switched off
	switchTo := func(on bool) {
		if on && !f.on && f.last != offAt {
			f.start = f.last
		}
		if !on && f.on {
			offAt = f.last
		}
		f.on = on
	}
	for range 600 {
		switch n := rng.IntN(100); {
		case n < 70:
			var b Batch
			var ops []Op
			var payloads [][]byte
			for range rng.IntN(5) {
				op := Op{Kind: OpKind(1 + rng.IntN(3)), Table: rng.Uint32N(3), Stamp: rng.Uint64()}
				payload := bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(3000))
				switch op.Kind {
				case OpPut:
					op.ID, op.PK = rng.Uint32N(9), fmt.Sprint(rng.Uint32N(9))
					b.PutEntity(op.Table, op.ID, op.PK, op.Stamp, payload)
				case OpDelete:
					op.ID, op.PK = rng.Uint32N(9), fmt.Sprint(rng.Uint32N(9))
					b.DeleteEntity(op.Table, op.ID, op.PK, op.Stamp, payload)
				default:
					b.DropTable(op.Table, op.Stamp, string(payload))
				}
				b.PutTerm(1, []byte{0x10}, op.ID)
				ops, payloads = append(ops, op), append(payloads, payload)
			}
			commit(t, s, &b)
			f.record(ops, payloads)
		case n < 80:
			upTo := Seq(rng.Uint64N(uint64(f.last) + 2))
			must(t, s.TrimFeed(upTo))
			end := f.last
			if !f.on {
				end = offAt
			}
			f.start = max(f.start, min(upTo, end))
		case n < 86:
			on := rng.IntN(3) > 0
			must(t, s.SetFeed(on))
			switchTo(on)
		case n < 90:
			must(t, s.Flush())
		case n < 93:
			must(t, s.Close())
			o.Feed = rng.IntN(3) > 0
			s, err = Open(o)
			must(t, err)
			switchTo(o.Feed)
		default:
			f.check(t, s, Seq(rng.Uint64N(uint64(f.last)+3)))
			f.check(t, s, f.start)
		}
		if got := s.FeedRange(); got.On != f.on || got.Start != f.start || f.on && got.Last != f.last || !f.on && got.Last != offAt {
			t.Fatalf("the feed has %+v, want on %t from %d to %d (off at %d)", got, f.on, f.start, f.last, offAt)
		}
	}
}

// A feed that was never on costs nothing: no row of its own, no state.
func TestFeedOff(t *testing.T) {
	s := open(t, testOptions(t))
	var b Batch
	b.PutEntity(1, 1, "a", 1, []byte("{}"))
	b.DeleteEntity(1, 1, "a", 2, nil)
	b.DropTable(1, 3, "one")
	commit(t, s, &b)
	if rows := dump(t, s, familyFeed); rows != nil {
		t.Errorf("rows: %v", rows)
	}
	state, err := s.db.Latest().Get(familyDefault, []byte(metaFeed))
	if err != nil || state != nil {
		t.Errorf("state: %x, %v", state, err)
	}
}

// TestFeedBefore compares the binary search with a linear one.
func TestFeedBefore(t *testing.T) {
	o := testOptions(t)
	o.Feed = true
	s := open(t, o)
	var b Batch
	for id := range uint32(100) {
		b.PutEntity(1, id, fmt.Sprint(id), uint64(id/3*10), nil) // runs of equal stamps
	}
	commit(t, s, &b)
	for _, start := range []Seq{0, 1, 50, 99, 100} {
		must(t, s.TrimFeed(start))
		for stamp := uint64(0); stamp < 345; stamp += 5 {
			want := start
			for seq := start + 1; seq <= 100 && uint64((seq-1)/3*10) < stamp; seq++ {
				want = seq
			}
			if got, err := s.FeedBefore(stamp); err != nil || got != want {
				t.Fatalf("before %d, from %d: %d, %v; want %d", stamp, start, got, err, want)
			}
		}
	}
}

// TestFeedTrimDropsFiles holds that trimming gives space back without a
// compaction of everything.
func TestFeedTrimDropsFiles(t *testing.T) {
	o := testOptions(t)
	o.Feed, o.Durability, o.Compression = true, DurabilityNone, "none"
	s := open(t, o)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 8 {
		var b Batch
		for id := range uint32(100) {
			record := make([]byte, 4<<10)
			for i := range record {
				record[i] = byte(rng.Uint32())
			}
			b.PutEntity(1, id, fmt.Sprint(id), 1, record)
		}
		commit(t, s, &b)
		must(t, s.Flush())
	}
	must(t, s.Compact(t.Context()))
	before, ok := s.db.IntProperty(familyFeed, "rocksdb.total-sst-files-size")
	if !ok || before < 3<<20 {
		t.Fatalf("the feed's files have %d bytes", before)
	}
	must(t, s.TrimFeed(800))
	if after, _ := s.db.IntProperty(familyFeed, "rocksdb.total-sst-files-size"); after > before/10 {
		t.Errorf("%d of %d bytes are left", after, before)
	}
	if size, err := s.FeedBytes(); err != nil || size > 1<<20 {
		t.Errorf("the feed takes %d bytes, %v", size, err)
	}
}

// A trim during a read never makes it leave rows out: what it gets is without a
// gap, or it fails.
func TestFeedReadDuringTrim(t *testing.T) {
	o := testOptions(t)
	o.Feed, o.Durability = true, DurabilityNone
	s := open(t, o)
	var b Batch
	for id := range uint32(3000) {
		b.PutEntity(1, id, fmt.Sprint(id), 1, make([]byte, 500))
	}
	commit(t, s, &b)
	must(t, s.Flush())
	must(t, s.Compact(t.Context()))
	for _, at := range []Seq{0, 1, 1000, 2999} {
		next := s.FeedRange().Start
		err := s.ReadFeed(t.Context(), next, func(row FeedRow) (bool, error) {
			if next++; row.Seq != next {
				return false, fmt.Errorf("row %d came for %d", row.Seq, next)
			}
			if row.Seq == at+1 {
				return true, s.TrimFeed(min(at+200, 2999))
			}
			return true, nil
		})
		if err != nil && errs.CodeOf(err) != "feed_trimmed" {
			t.Errorf("trimmed at %d: %v", at, err)
		}
		if err == nil && next != 3000 {
			t.Errorf("trimmed at %d: the read ended at %d", at, next)
		}
	}
}

// TestFeedGap removes a row behind the store's back: reading must say so.
func TestFeedGap(t *testing.T) {
	o := testOptions(t)
	o.Feed = true
	s := open(t, o)
	var b Batch
	for id := range uint32(5) {
		b.PutEntity(1, id, fmt.Sprint(id), 1, nil)
	}
	commit(t, s, &b)
	for _, missing := range []byte{3, 5} {
		var raw rocks.Batch
		raw.Delete(familyFeed, []byte{0, 0, 0, 0, 0, 0, 0, missing})
		must(t, s.db.Write(&raw, false))
		_, err := readFeed(t, s, Seq(missing)-1)
		wantError(t, err, errs.Corrupt, "storage_corrupt")
	}
}

// TestFeedSwitchedUnderLoad switches and trims the feed while writers and
// readers are at work. A reader starts over only when it is told so.
func TestFeedSwitchedUnderLoad(t *testing.T) {
	o := testOptions(t)
	o.Feed, o.Durability = true, DurabilityNone
	var announced atomic.Uint64
	o.OnFeed = func(last Seq) {
		if uint64(last) <= announced.Swap(uint64(last)) {
			t.Errorf("%d was announced again", last)
		}
	}
	s := open(t, o)
	ctx, stop := context.WithCancel(t.Context())
	var writers, others sync.WaitGroup
	const each = 800
	for w := range uint32(4) {
		writers.Go(func() {
			for i := range uint32(each) {
				var b Batch
				b.PutEntity(1, w*each+i, fmt.Sprint(w, i), uint64(i), []byte("{}"))
				commit(t, s, &b)
			}
		})
	}
	others.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := s.SetFeed(i%3 != 0); err != nil {
				t.Error(err)
			}
			if r := s.FeedRange(); i%5 == 0 {
				if err := s.TrimFeed(r.Start + (r.Last-r.Start)/2); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range 2 {
		others.Go(func() {
			from := Seq(0)
			for ctx.Err() == nil {
				err := s.ReadFeed(t.Context(), from, func(row FeedRow) (bool, error) {
					if from++; row.Seq != from {
						return false, fmt.Errorf("row %d came for %d", row.Seq, from)
					}
					return true, nil
				})
				if errs.CodeOf(err) == "feed_trimmed" {
					from = s.FeedRange().Start
				} else if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	stop()
	others.Wait()
	must(t, s.SetFeed(true))
	var b Batch
	b.PutEntity(1, 1, "last", 1, nil)
	if last := commit(t, s, &b); announced.Load() != uint64(last) || last != 4*each+1 {
		t.Errorf("%d was announced last, %d committed", announced.Load(), last)
	}
}

// On a full disk changes are refused, but old events can still be removed.
func TestFeedTrimOnFullDisk(t *testing.T) {
	o := testOptions(t)
	o.Feed = true
	s, err := Open(o)
	must(t, err)
	var b Batch
	for id := range uint32(9) {
		b.PutEntity(1, id, fmt.Sprint(id), 1, nil)
	}
	commit(t, s, &b)
	must(t, s.Close())
	o.ReserveBytes = 1 << 60 // more than any disk has
	s = open(t, o)
	for err == nil { // until it has looked at the disk
		_, err = s.Commit(&b, CommitOptions{})
	}
	wantError(t, err, errs.StorageFull, "disk_full")
	before := s.FeedRange()
	must(t, s.TrimFeed(5))
	if after := s.FeedRange(); after.Start != 5 || after.Last != before.Last {
		t.Errorf("the feed has %+v, before it had %+v", after, before)
	}
	wantError(t, s.SetFeed(false), errs.StorageFull, "disk_full")
	_, err = s.Commit(&b, CommitOptions{})
	wantError(t, err, errs.StorageFull, "disk_full")
}
