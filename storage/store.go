// Package storage keeps the database's rows in RocksDB: entities, primary keys,
// index terms, vectors, the oplog, the change feed and the catalog, one column
// family each.
// FORMAT.md beside this file draws every byte.
//
// Invariants:
//
//  1. A Batch is the only way to write, and one Batch is one atomic RocksDB
//     write. PutEntity and DeleteEntity write the record, the primary key and
//     the oplog record together; none can be had without the others.
//  2. Commit returns after the write is as durable as asked. Under sync that is
//     after the fsync of the write-ahead log, and readers see nothing earlier.
//  3. Oplog sequences have no gaps and follow the order of commits. Counters are
//     absolute values inside the write that changes them.
//  4. After a failed write or fsync nothing is acknowledged any more: what the
//     disk holds is unknown until the store is opened anew. Reads go on. Only a
//     full disk ends by itself (health.go).
//  5. Bytes handed to a callback are RocksDB's and valid only until it returns.
//     Everything else is copied.
//
// # Goroutines and locks
//
// One committer goroutine writes (commit.go); under DurabilityInterval one more
// syncs, and with an archive one follows the log (archiver.go). Close ends them and
// waits. queue.mu guards the commit queue and
// counters.mu the counter values; neither is held during a call into RocksDB.
// walSync makes syncs of the log take turns; written.mu guards the write shares
// and settled.mu how far commits are over.
// archiver.turn makes steps of the archiver take turns, timeline the making of a
// timeline; archiver.mu guards its figures. During a step a sync of the log may be
// waited for, and a recovery holds timeline and then archiver.turn; no other two
// are ever held at once.
// Readers take no locks.
package storage

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

// The column families. The number is RocksDB's id, which batches carry.
const (
	familyDefault = iota
	familyEntities
	familyPKs
	familyTerms
	familyVectors
	familyOplog
	familySamples
	familyFeed
)

var families = []rocks.Family{
	familyDefault:  {Name: "default", PointReads: true},
	familyEntities: {Name: "entities", PointReads: true, BlockBytes: 8 << 10},
	familyPKs:      {Name: "pks", PointReads: true},
	familyTerms:    {Name: "terms", BlockBytes: 16 << 10},
	familyVectors:  {Name: "vectors", PointReads: true, BlockBytes: 16 << 10},
	familyOplog:    {Name: "oplog", BlockBytes: 32 << 10},
	familySamples:  {Name: "samples", BlockBytes: 16 << 10},
	familyFeed:     {Name: "feed", BlockBytes: 32 << 10},
}

// The rows of the default family.
const (
	metaFormat  = "sys/format"  // format stamp
	metaLastSeq = "sys/seq"     // newest oplog sequence
	metaTrimmed = "sys/trimmed" // newest oplog sequence that was trimmed
	metaResumed = "sys/resumed" // left by recoveries from a full disk, see pastlog.go
	metaFeed    = "sys/feed"    // state of the change feed
	metaCatalog = "cat/"        // + key of PutMeta
	metaCounter = "cnt/"        // + key of AddCounter
)

// FormatVersion is the version of the data on disk that this package reads and
// writes.
const FormatVersion = 2

// formatMagic precedes the version in the format stamp.
const formatMagic = "themis"

// Store is an open database. It is safe for concurrent use.
type Store struct {
	db     *rocks.DB
	opts   Options
	log    *slog.Logger
	latest *Reader

	lastSeq  atomic.Uint64
	writes   atomic.Uint64 // groups begun and over: odd while one is being written
	feed     atomic.Pointer[feedState]
	failure  atomic.Pointer[errs.Error]
	health   health
	counters counterTable
	queue    commitQueue
	written  recentWrites
	settled  settled
	pins     atomic.Uint64 // snapshots taken
	group    groupState    // the committer's own
	archive  *archiver     // nil without one
	timeline sync.Mutex    // held while the timeline is looked up or made, or RocksDB recovers

	// unsynced says that the write-ahead log has records that were not synced.
	unsynced atomic.Bool
	walSync  sync.Mutex // held during a sync of the write-ahead log alone

	stop    chan struct{}
	workers sync.WaitGroup
	closing sync.Once
	closed  error
}

// Open opens the database at o.Path, creating it if o.CreateIfMissing. It
// refuses data of another program (Invalid, "foreign_data") and of another
// version of this one (Invalid, "older_format" or "newer_format", with what to
// do about it), and changes neither.
func Open(o Options) (*Store, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	fresh, err := prepare(&o)
	if err != nil {
		return nil, err
	}
	if err := forgetClosed(o.Path); err != nil {
		return nil, openError(o.Path, err)
	}
	started := time.Now()
	db, err := rocks.Open(o.rocksOptions())
	if err != nil {
		return nil, openError(o.Path, err)
	}
	s := &Store{db: db, opts: o, log: o.Logger, stop: make(chan struct{})}
	s.latest = &Reader{view: db.Latest()}
	s.queue.init()
	s.settled.init()
	s.lookAtDisk()
	if err := s.load(fresh); err != nil {
		db.Close()
		return nil, err
	}
	if err := s.startArchive(); err != nil {
		db.Close()
		return nil, err
	}
	s.settled.advance(s.LastSeq())
	s.workers.Go(s.runCommitter)
	if o.Durability == DurabilityInterval {
		s.workers.Go(s.runSyncer)
	}
	s.log.Info("storage open", "path", o.Path, "took", time.Since(started).Round(time.Millisecond),
		"last_seq", s.lastSeq.Load(), "durability", o.Durability)
	return s, nil
}

// prepare looks at what stands at the path before RocksDB may write there. It
// reports whether there is no database yet.
func prepare(o *Options) (fresh bool, err error) {
	if !rocks.Exists(o.Path) {
		if !o.CreateIfMissing {
			return false, errs.New(errs.NotFound, "storage_not_found", "There is no database at %s.", o.Path)
		}
		if err := os.MkdirAll(o.Path, 0o750); err != nil {
			return false, openError(o.Path, err)
		}
		return true, nil
	}
	names, err := rocks.FamilyNames(o.Path)
	if err != nil {
		return false, openError(o.Path, err)
	}
	known := func(name string) bool {
		return slices.ContainsFunc(families, func(f rocks.Family) bool { return f.Name == name })
	}
	if len(names) != len(families) || slices.ContainsFunc(names, func(name string) bool { return !known(name) }) {
		return false, admit(o.Path)
	}
	return false, admitLogs(o)
}

// admitLogs refuses a write-ahead log that lost synced writes to damage: RocksDB
// would drop what follows the damage and open. Where writes aren't synced a
// power failure may leave such a log too, and what it lost was never promised.
func admitLogs(o *Options) error {
	damage, err := rocks.CheckLogs(o.Path)
	switch {
	case err != nil:
		return openError(o.Path, err)
	case damage == nil:
		return nil
	case o.Durability != DurabilitySync:
		o.Logger.Error("the end of the write-ahead log is damaged; the last writes before the stop are lost", "err", damage)
		return nil
	}
	return errs.Wrap(damage, errs.Corrupt, "storage_corrupt",
		"The write-ahead log is damaged and acknowledged writes in it can't be read. Nothing was changed; restore from a backup, "+
			"or start once with storage.durability=interval to go on with the state before the damage.")
}

// load checks the format stamp and reads what the store keeps in memory.
func (s *Store) load(fresh bool) error {
	stamp, err := s.db.Latest().Get(familyDefault, []byte(metaFormat))
	if err != nil {
		return readError(err)
	}
	if stamp == nil {
		err = s.writeStamp(fresh)
	} else {
		err = s.checkStamp(stamp)
	}
	if err != nil {
		return err
	}
	last, err := readSeq(s.db.Latest(), metaLastSeq)
	if err != nil {
		return err
	}
	s.lastSeq.Store(uint64(last))
	if err := s.loadFeed(); err != nil {
		return err
	}
	return s.loadCounters()
}

func (s *Store) writeStamp(fresh bool) error {
	if !fresh {
		empty, err := s.isEmpty()
		if err != nil {
			return err
		}
		if !empty { // a crash while creating leaves no stamp, but no rows either
			return foreignData(s.opts.Path)
		}
	}
	var b rocks.Batch
	b.Put(familyDefault, []byte(metaFormat), formatStamp(FormatVersion))
	putTimeline(&b, newTimeline())
	if err := s.db.Write(&b, true); err != nil {
		return openError(s.opts.Path, err)
	}
	return nil
}

func (s *Store) isEmpty() (bool, error) {
	empty := true
	for family := range families {
		err := s.db.Latest().Scan(family, rocks.Range{}, func(_, _ []byte) (bool, error) {
			empty = false
			return false, nil
		})
		if err != nil {
			return false, readError(err)
		}
	}
	return empty, nil
}

func (s *Store) checkStamp(stamp []byte) error {
	version, ok := parseStamp(stamp)
	switch {
	case !ok:
		return foreignData(s.opts.Path)
	case version != FormatVersion:
		return otherFormat(s.opts.Path, version)
	}
	return nil
}

// Close finishes the commits that are queued, syncs the write-ahead log and
// closes RocksDB. It waits for reads that are running; later calls of any kind
// fail with Unavailable, "storage_closed". Closing again returns the same.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.queue.close()
		close(s.stop)
		if s.health.resuming.Load() {
			s.db.StopResume() // nobody waits for a write any more
		}
		s.workers.Wait()
		if !s.health.broken.Load() { // a store that only keeps its reserve can be synced
			if err := s.syncWAL(); s.health.broken.Load() {
				s.closed = err
			}
		}
		if err := s.closeArchive(); s.closed == nil {
			s.closed = err
		}
		s.db.Close()
		if s.Err() == nil {
			if err := noteClosed(s.opts.Path); err != nil {
				s.log.Warn("the files could not be listed; a verification will know less", "error", err)
			}
		}
		s.log.Info("storage closed", "last_seq", s.lastSeq.Load())
	})
	return s.closed
}

// Err returns why the store refuses writes, nil while it doesn't.
func (s *Store) Err() error {
	if f := s.failure.Load(); f != nil {
		return f
	}
	return nil
}

// LastSeq returns the newest committed oplog sequence, 0 before the first.
func (s *Store) LastSeq() Seq { return Seq(s.lastSeq.Load()) }

// Flush writes the memtables to files.
func (s *Store) Flush() error { return readError(s.db.Flush()) }

func readSeq(view *rocks.View, key string) (Seq, error) {
	value, err := view.Get(familyDefault, []byte(key))
	switch {
	case err != nil:
		return 0, readError(err)
	case value == nil:
		return 0, nil
	case len(value) != 8:
		return 0, corrupt(fmt.Errorf("%s has %d bytes, want 8", key, len(value)))
	}
	return Seq(binary.LittleEndian.Uint64(value)), nil
}
