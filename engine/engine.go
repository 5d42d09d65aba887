// Package engine is the database: tables of JSON entities, their indexes,
// queries and vector search, over one RocksDB store.
//
// It owns the write path (Apply in write.go: one atomic storage batch per
// call), the read paths (Get and Scroll in read.go, Query in execute.go, Search
// in search.go), online index changes (index.go) and Check, which proves that
// entities, index terms and vectors agree both ways. It promises that an
// acknowledged write is as durable as storage.durability says and is seen by
// every read and search that starts afterwards.
//
// RocksDB is the only commit point. Vector indexes are caches of what it holds:
// they are loaded at each start, in the background, from their checkpoints and from
// it, and while that goes on searches answer Unavailable and everything else works.
//
// Goroutines: one that loads vectors at a start, one that makes checkpoints of vector
// indexes, one that measures their recall from time to time, one that sweeps expired
// entities and trims the oplog and the change feed, one that hands new events to the feed's streams, one that lists the copies there are
// at a start, one while a vector index is calibrated, one per job, and those of the
// storage and vector packages; Close stops them all and waits.
// Locks: see write.go for the order that writes take; catalog is innermost, and
// feed.tail is never held with another.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/storage/snapshot"
)

// Engine is an open database. All methods are safe for concurrent use.
type Engine struct {
	opts      Options
	log       *slog.Logger
	store     *storage.Store
	clock     clock
	jobs      *jobs.Registry
	snapshots *snapshot.Folders
	copies    copyTimes

	keyLocks, uniqueLocks *stripes

	catalog struct {
		sync.RWMutex
		tables map[string]*table
		nextID uint32
		// names are of all tables, of dropped ones too while the feed may have
		// events of theirs; dropped says up to which sequence.
		names   map[uint32]string
		dropped map[uint32]storage.Seq
	}

	// ctx ends when Close begins.
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	load     loadState
	sets     termSets
	counters counters
	feed     feed
	slow     slowLog
	owners   owners
	// defaultEf is the search width of vector indexes without one of their own.
	defaultEf atomic.Int64
	// measuring is set while a recall curve is being measured.
	measuring atomic.Bool
	// calibrating is set while a vector index is being calibrated, or its recall probed.
	calibrating atomic.Bool
}

// loadState is how far filling the vector indexes has come.
type loadState struct {
	done, total atomic.Uint64
	finished    atomic.Bool
	failure     atomic.Pointer[errs.Error]
}

// Open opens the database in opts.Storage.Path. It returns as soon as entities
// can be read and written; vectors are still being loaded then, see Readiness.
func Open(_ context.Context, opts Options) (*Engine, error) {
	opts = opts.EnsureDefaults()
	e := &Engine{
		opts:        opts,
		log:         opts.Logger,
		clock:       clock{now: opts.Now},
		jobs:        jobs.NewRegistry(opts.Logger.With("component", "jobs")),
		keyLocks:    newStripes(keyStripes),
		uniqueLocks: newStripes(uniqueStripes),
	}
	e.catalog.tables = map[string]*table{}
	e.catalog.names = map[uint32]string{}
	e.catalog.dropped = map[uint32]storage.Seq{}
	e.defaultEf.Store(int64(opts.Vector.Ef))
	e.feed.init(opts.Feed)
	e.slow.init(opts.Query)
	opts.Storage.Feed, opts.Storage.OnFeed = opts.Feed.Enabled, e.feed.announce
	store, err := storage.Open(opts.Storage)
	if err != nil {
		return nil, err
	}
	e.store = store
	e.sets.init(store, opts.Query.FilterCacheBytes)
	e.ctx, e.stop = context.WithCancel(context.Background())
	if err := e.start(); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Engine) start() (err error) {
	if e.snapshots, err = snapshot.New(e.opts.Copies.SnapshotDirs, e.opts.Copies.Version); err != nil {
		return err
	}
	if err := e.snapshots.Sweep(); err != nil { // it takes room, and nothing else
		e.log.Warn("what an unfinished snapshot left could not be removed", "component", "snapshot", "error", err)
	}
	if err := e.restoreClock(); err != nil {
		return err
	}
	if err := e.loadCatalog(); err != nil {
		return err
	}
	// Loading reads its snapshots before any write is possible or marks what
	// writes touch; see vectorIndex.load. Unfinished builds start over, so they
	// must be gone from storage before it looks.
	if err := e.resumeBuilds(); err != nil {
		return err
	}
	if err := e.removeStrayFolders(); err != nil { // they take room, and nothing else
		e.log.Warn("the files of dropped vector indexes could not be removed", "component", "vector", "error", err)
	}
	e.startLoading()
	e.wg.Go(e.checkpointLoop)
	e.wg.Go(e.probeLoop)
	e.wg.Go(e.sweepLoop)
	e.wg.Go(e.noteCopies)
	e.feed.seen.Store(uint64(e.store.FeedRange().Last))
	e.wg.Go(e.feedLoop)
	return nil
}

// clockSlack covers writes that took their stamps before, but were committed
// after, the last one in the oplog.
const clockSlack = time.Second

// restoreClock makes new stamps greater than all stored ones, by the end of the
// oplog.
func (e *Engine) restoreClock() error {
	last, err := e.store.Latest().Seq()
	if err != nil {
		return err
	}
	from := last - min(last, oplogKeep)
	return e.store.ReadOplog(e.ctx, from, func(_ storage.Seq, op storage.Op) (bool, error) {
		if op.Stamp != 0 {
			e.clock.startAfter(op.Stamp + uint64(clockSlack.Microseconds()))
		}
		return true, nil
	})
}

// loadingIndex is a vector index on its way into memory.
type loadingIndex struct {
	*vectorIndex
	table uint32
}

// startLoading brings the vector indexes into memory, in the background.
func (e *Engine) startLoading() {
	var loading []loadingIndex
	for _, t := range e.allTables() {
		for _, b := range t.schema.Load().indexes {
			if b.vector != nil && b.ready() && b.vector.dimension() != 0 {
				b.vector.beginLoad()
				loading = append(loading, loadingIndex{b.vector, t.id})
				e.load.total.Add(uint64(e.store.Counter(indexCounter(b.def.ID))))
			}
		}
	}
	if len(loading) == 0 {
		e.load.finished.Store(true)
		return
	}
	last := e.store.LastSeq()
	e.wg.Go(func() { e.loadVectors(loading, last) })
}

func (e *Engine) loadVectors(loading []loadingIndex, last storage.Seq) {
	started := time.Now()
	log := e.log.With("component", "vector")
	log.Info("loading vectors", "indexes", len(loading), "vectors", e.load.total.Load())
	for _, v := range loading {
		if err := v.load(e.ctx, e, v.table, last, &e.load.done); err != nil {
			if v.closed() {
				continue // dropped
			}
			if e.ctx.Err() == nil {
				log.Error("loading vectors failed; this index can't be searched", "index", v.subject, "error", err)
				e.load.failure.Store(errs.Wrap(err, errs.Unavailable, "vector_load_failed",
					"the vectors of %s could not be loaded; see the log, then rebuild the index or restart", v.subject))
			}
			return
		}
		log.Info("vectors loaded", "index", v.subject, "done", e.load.done.Load(), "total", e.load.total.Load(),
			"seconds", time.Since(started).Seconds())
	}
	e.load.finished.Store(true)
}

// Readiness says whether everything is loaded and writes are taken.
func (e *Engine) Readiness() Readiness {
	r := e.loaded()
	if err := e.store.Err(); err != nil {
		r.Ready, r.Reason = false, problemDetail(err)
		r.Failed = r.Failed || errs.KindOf(err) != errs.StorageFull
	}
	return r
}

// problemDetail is the sentence of an error without its cause, which names files.
func problemDetail(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return err.Error()
}

// loaded says whether everything is loaded.
func (e *Engine) loaded() Readiness {
	r := Readiness{Done: e.load.done.Load(), Total: e.load.total.Load()}
	switch failure := e.load.failure.Load(); {
	case failure != nil:
		r.Failed, r.Reason = true, failure.Detail
	case e.ctx.Err() != nil:
		r.Reason = "the database is closing"
	case !e.load.finished.Load():
		r.Reason = "vectors are being loaded from storage"
	default:
		r.Ready = true
	}
	return r
}

// Jobs is the registry of long work.
func (e *Engine) Jobs() *jobs.Registry { return e.jobs }

// Close stops background work, waits for it and closes the store. The caller
// has seen to it that no other call is under way.
func (e *Engine) Close() error {
	e.stop()
	e.jobs.Close()
	e.wg.Wait()
	e.saveAll()
	// The committer goes first: it is what feeds the vector indexes.
	err := e.store.Close()
	for _, t := range e.allTables() {
		for _, b := range t.schema.Load().indexes {
			b.close(e.log)
		}
	}
	return err
}

// VerifyChecksums reads all that is stored and fails with Corrupt if a checksum
// is wrong.
func (e *Engine) VerifyChecksums() error { return e.store.VerifyChecksums() }

// Flush writes memtables to disk.
func (e *Engine) Flush() error { return e.store.Flush() }

// Compact compacts the whole store.
func (e *Engine) Compact(ctx context.Context) error { return e.store.Compact(ctx) }
