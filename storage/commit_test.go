package storage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
)

// TestGroupCommit runs many committers at once and checks what Commit and
// OnCommit promise: sequences without gaps in commit order, OnCommit on the
// committer in that order and before Commit returns, counters that add up.
func TestGroupCommit(t *testing.T) {
	const committers, commits = 16, 60
	s := open(t, testOptions(t))
	type call struct{ first, ops Seq }
	var calls []call // written by the committer alone
	var total atomic.Int64
	var told atomic.Uint64 // the last sequence that an OnCommit has told of
	var wait sync.WaitGroup
	for c := range committers {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), 1))
			var b Batch
			for i := range commits {
				b.Reset()
				ops := Seq(rng.IntN(4))
				for op := range ops {
					id := uint32(c*commits*4 + i*4 + int(op))
					b.PutEntity(1, id, strconv.Itoa(int(id)), uint64(c), nil)
				}
				b.AddCounter("total", int64(ops))
				b.AddCounter(fmt.Sprint("committer ", c), 1)
				total.Add(int64(ops))
				var first Seq
				last, err := s.Commit(&b, CommitOptions{OnCommit: func(f Seq) {
					first = f
					calls = append(calls, call{f, ops})
					told.Store(uint64(f + ops - 1))
				}})
				if err != nil || last != first+ops-1 {
					t.Errorf("sequences %d to %d for %d operations, %v", first, last, ops, err)
				}
				seen, err := s.Latest().Seq()
				if err != nil || seen < last {
					t.Errorf("a reader sees sequence %d after the commit of %d, %v", seen, last, err)
				}
				if !s.AwaitSettled(t.Context(), seen) || Seq(told.Load()) < seen {
					t.Errorf("sequence %d is said to be settled, and %d was the last to be told", seen, told.Load())
				}
			}
		})
	}
	wait.Wait()
	next := Seq(1)
	for _, c := range calls {
		if c.first != next {
			t.Fatalf("sequence %d follows %d", c.first, next-1)
		}
		next += c.ops
	}
	if len(calls) != committers*commits || s.LastSeq() != next-1 {
		t.Errorf("%d calls up to %d; the store is at %d", len(calls), next-1, s.LastSeq())
	}
	if got := s.Counter("total"); got != total.Load() || s.Counter("committer 3") != commits {
		t.Errorf("the counter is %d, want %d", got, total.Load())
	}
	if syncs := s.db.Tickers()["rocksdb.wal.synced"]; syncs > committers*commits/2 {
		t.Errorf("%d commits took %d syncs: no groups formed", committers*commits, syncs)
	}
	var stamps []uint64
	must(t, s.ReadOplog(t.Context(), 0, func(seq Seq, op Op) (bool, error) {
		stamps = append(stamps, op.Stamp)
		return true, nil
	}))
	if len(stamps) != int(next-1) {
		t.Errorf("the oplog has %d records, want %d", len(stamps), next-1)
	}
}

// TestSnapshotsAreConsistent: whatever commits go on, a snapshot shows each of
// them in all column families or in none, and never changes.
func TestSnapshotsAreConsistent(t *testing.T) {
	o := testOptions(t)
	o.Durability = DurabilityNone
	s := open(t, o)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range uint32(4) {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 2))
			present := map[uint32]bool{}
			var b Batch
			for {
				select {
				case <-stop:
					return
				default:
				}
				b.Reset()
				for range rng.IntN(5) + 1 {
					id := w<<16 + rng.Uint32N(50)
					if present[id] {
						b.DeleteEntity(1, id, strconv.Itoa(int(id)), 1, nil)
						b.DeleteTerm(1, []byte{0x10}, id)
						b.DeleteVector(1, id)
					} else {
						b.PutEntity(1, id, strconv.Itoa(int(id)), 1, []byte("{}"))
						b.PutTerm(1, []byte{0x10}, id)
						b.PutVector(1, id, 1, []float32{1})
					}
					present[id] = !present[id]
				}
				if _, err := s.Commit(&b, CommitOptions{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 100 {
		snap := s.NewSnapshot()
		entities, terms, vectors := idsIn(t, &snap.Reader)
		if !slices.Equal(entities, terms) || !slices.Equal(entities, vectors) {
			t.Errorf("%d entities, %d entries, %d vectors", len(entities), len(terms), len(vectors))
		}
		seq, err := snap.Seq()
		must(t, err)
		time.Sleep(time.Millisecond)
		again, _, _ := idsIn(t, &snap.Reader)
		later, err := snap.Seq()
		if !slices.Equal(entities, again) || seq != later || err != nil {
			t.Errorf("a snapshot changed from %d to %d", seq, later)
		}
		snap.Release()
	}
	close(stop)
	writers.Wait()
}

func idsIn(t *testing.T, r *Reader) (entities, terms, vectors []uint32) {
	ctx := context.Background()
	must(t, r.ScanEntities(ctx, 1, 0, func(id uint32, _ []byte) (bool, error) {
		entities = append(entities, id)
		return true, nil
	}))
	must(t, r.ScanTerms(ctx, 1, TermRange{}, func(_ []byte, id uint32) (bool, error) {
		terms = append(terms, id)
		return true, nil
	}))
	must(t, r.ScanVectors(ctx, 1, 0, func(id uint32, _ uint64, _ []byte) (bool, error) {
		vectors = append(vectors, id)
		return true, nil
	}))
	return entities, terms, vectors
}

func oneEntity(id uint32) *Batch {
	var b Batch
	b.PutEntity(1, id, strconv.Itoa(int(id)), 1, nil)
	return &b
}

// TestDurability counts RocksDB's syncs of the write-ahead log.
func TestDurability(t *testing.T) {
	syncs := func(s *Store) uint64 { return s.db.Tickers()["rocksdb.wal.synced"] }
	step := func(t *testing.T, s *Store, b *Batch, sync bool, want uint64) {
		t.Helper()
		before := syncs(s)
		if _, err := s.Commit(b, CommitOptions{Sync: sync}); err != nil {
			t.Fatal(err)
		}
		if got := syncs(s) - before; got != want {
			t.Errorf("a commit with sync %v takes %d syncs, want %d", sync, got, want)
		}
	}
	t.Run("sync", func(t *testing.T) {
		s := open(t, testOptions(t))
		var synced uint64
		before := syncs(s)
		_, err := s.Commit(oneEntity(1), CommitOptions{OnCommit: func(Seq) { synced = syncs(s) }})
		must(t, err)
		if synced != before+1 {
			t.Error("OnCommit runs before the sync")
		}
		step(t, s, oneEntity(1), false, 1)
		step(t, s, &Batch{}, false, 0)
	})
	t.Run("none", func(t *testing.T) {
		o := testOptions(t)
		o.Durability = DurabilityNone
		s := open(t, o)
		step(t, s, oneEntity(1), false, 0)
		step(t, s, &Batch{}, false, 0)
		step(t, s, oneEntity(2), true, 1)
		step(t, s, oneEntity(3), false, 0)
		step(t, s, &Batch{}, true, 1) // a barrier makes what was before durable
		step(t, s, &Batch{}, true, 0)
	})
	t.Run("interval", func(t *testing.T) {
		o := testOptions(t)
		o.Durability, o.SyncInterval = DurabilityInterval, 5*time.Millisecond
		s := open(t, o)
		before := syncs(s)
		commit(t, s, oneEntity(1))
		for deadline := time.Now().Add(10 * time.Second); syncs(s) == before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("no sync in ten seconds")
			}
		}
		idle := syncs(s)
		time.Sleep(30 * time.Millisecond)
		if syncs(s) != idle {
			t.Error("an idle store syncs")
		}
	})
}

// TestGroupWait: who waits for company, and how long.
func TestGroupWait(t *testing.T) {
	for _, c := range []struct {
		round     int
		writeTime time.Duration
		limit     time.Duration
		want      time.Duration
	}{
		{1, time.Second, 2 * time.Millisecond, 0},                           // alone
		{8, time.Millisecond, 2 * time.Millisecond, 500 * time.Microsecond}, // half a sync
		{8, time.Second, 2 * time.Millisecond, 2 * time.Millisecond},        // at most the limit
		{8, 60 * time.Microsecond, 2 * time.Millisecond, 0},                 // not worth it
		{8, time.Second, -1, 0},                                             // switched off
	} {
		s := &Store{opts: Options{GroupCommitMax: c.limit}, group: groupState{round: c.round, writeTime: c.writeTime}}
		if got := s.groupWait(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestCommitQueue(t *testing.T) {
	var q commitQueue
	q.init()
	big := &Batch{}
	big.PutMeta("k", make([]byte, maxGroupBytes))
	for range 3 {
		q.push(&pendingCommit{batch: big})
	}
	q.push(&pendingCommit{batch: &Batch{}})
	if n := q.await(3, time.Minute); n != 4 {
		t.Errorf("%d wait, want 4", n)
	}
	for _, want := range []int{1, 1, 1, 1, 0} {
		if n := len(q.take(nil)); n != want {
			t.Errorf("a group of %d, want %d", n, want)
		}
	}
	started := time.Now()
	if n := q.await(1, 20*time.Millisecond); n != 0 || time.Since(started) < 20*time.Millisecond {
		t.Errorf("%d after %v", n, time.Since(started))
	}
	go q.push(&pendingCommit{batch: &Batch{}})
	if n := q.await(1, time.Minute); n != 1 {
		t.Errorf("%d wait, want 1", n)
	}
	q.close()
	if q.push(&pendingCommit{}) {
		t.Error("a closed queue takes commits")
	}
	if n := q.await(5, time.Minute); n != 1 {
		t.Errorf("%d wait in a closed queue, want 1", n)
	}
}

// TestCloseDuringCommits: each commit is either acknowledged and there after a
// reopen, or refused and not.
func TestCloseDuringCommits(t *testing.T) {
	o := testOptions(t)
	s, err := Open(o)
	must(t, err)
	var mu sync.Mutex
	acked := map[uint32]bool{}
	var wait sync.WaitGroup
	for c := range uint32(8) {
		wait.Go(func() {
			for id := c << 16; ; id++ {
				if _, err := s.Commit(oneEntity(id), CommitOptions{}); err != nil {
					wantError(t, err, errs.Unavailable, "storage_closed")
					return
				}
				mu.Lock()
				acked[id] = true
				mu.Unlock()
			}
		})
	}
	for begun := false; !begun; time.Sleep(20 * time.Millisecond) {
		mu.Lock()
		begun = len(acked) > 0
		mu.Unlock()
	}
	must(t, s.Close())
	wait.Wait()
	s = open(t, o)
	n := 0
	must(t, s.Latest().ScanEntities(t.Context(), 1, 0, func(id uint32, _ []byte) (bool, error) {
		if !acked[id] {
			t.Errorf("entity %d was refused and is there", id)
		}
		n++
		return true, nil
	}))
	if n != len(acked) {
		t.Errorf("%d entities after a reopen, %d were acknowledged", n, len(acked))
	}
}
