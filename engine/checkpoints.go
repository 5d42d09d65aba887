package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/vecindex/checkpoint"
	"github.com/vccdb/vccdb/vecindex/hnsw"
)

// Checkpoints of vector indexes
//
// A checkpoint spares a start the building of a graph. It is a cache: it says which
// database and index it is of (the timeline and the index's id) and up to which sequence
// of the oplog it goes, and whatever is wrong with it costs time only. Before it counts,
// the write-ahead log is on disk up to all that may be in it, so that no power failure
// leaves a checkpoint that knows more than the database.

const (
	// checkpointTick is how often the indexes are looked at.
	checkpointTick = time.Second
	// checkpointAtClose bounds what a stop waits for checkpoints. Without them the next
	// start takes longer.
	checkpointAtClose = 20 * time.Second
	// oplogKeepMost is how many records stay at most for the checkpoints that may need
	// them at a start. From more on it is quicker to compare all vectors.
	oplogKeepMost = 2_000_000
)

// checkpoints are those of one vector index.
type checkpoints struct {
	// saving is held by whoever uses folder.
	saving sync.Mutex
	folder *checkpoint.Folder
	// changes counts the changes of the index, saved is what it was at the last
	// checkpoint's moment, tried when the last was tried.
	changes atomic.Uint64
	saved   atomic.Uint64
	tried   time.Time
	// needs is the sequence from which on the older epoch needs the oplog, 0 for all of
	// it.
	needs atomic.Uint64
	info  atomic.Pointer[CheckpointInfo]
}

// CheckpointInfo describes the checkpoints of a vector index.
type CheckpointInfo struct {
	// Epoch numbers the newest, 0 if there is none; it has all changes up to Sequence.
	Epoch, Sequence uint64
	// Saved is when it was made; zero for one of before the start.
	Saved time.Time
	// Bytes is its size, Written what of that was written with it.
	Bytes, Written int64
	// Source is where the index was loaded from at the start: "checkpoint" or "storage".
	Source string
	// Behind is how many changes of the database there were since.
	Behind uint64
	// Failures counts the checkpoints that failed since the start; Problem is the last
	// one's, empty once one was made.
	Failures uint64
	Problem  string
}

// Checkpoint is one that was made.
type Checkpoint struct {
	Table, Column string
	CheckpointInfo
	Took time.Duration
}

func (c *checkpoints) describe(last storage.Seq) *CheckpointInfo {
	info := c.info.Load()
	if info == nil {
		return nil
	}
	out := *info
	out.Behind = uint64(last) - min(uint64(last), out.Sequence)
	return &out
}

func (c *checkpoints) update(change func(*CheckpointInfo)) {
	info := CheckpointInfo{Source: "storage"}
	if old := c.info.Load(); old != nil {
		info = *old
	}
	change(&info)
	c.info.Store(&info)
}

func (c *checkpoints) noteLoaded(loaded hnsw.Loaded) {
	if loaded.Whole {
		c.update(func(i *CheckpointInfo) {
			i.Epoch, i.Sequence, i.Bytes, i.Source = loaded.Epoch.Epoch, loaded.Epoch.Sequence, loaded.Epoch.Bytes(), "checkpoint"
		})
	}
	c.noteNeeds()
}

// noteNeeds keeps what the older epoch needs of the oplog.
func (c *checkpoints) noteNeeds() {
	needs := uint64(0)
	if epochs := c.folder.Epochs(); len(epochs) > 0 {
		needs = epochs[len(epochs)-1].Sequence
	}
	c.needs.Store(needs)
}

// openFolder makes the folder of the index ready.
func (v *vectorIndex) openFolder(e *Engine) error {
	timeline, err := e.store.Timeline()
	if err != nil {
		return err
	}
	v.checkpoints.saving.Lock()
	defer v.checkpoints.saving.Unlock()
	v.checkpoints.folder, err = checkpoint.Open(v.dir, fmt.Sprintf("%s/%d", timeline, v.id))
	return err
}

// barrier returns the newest sequence once all changes up to it are in the vector
// indexes; with sync, and on disk.
func (e *Engine) barrier(sync bool) (at uint64, err error) {
	_, err = e.store.Commit(&storage.Batch{}, storage.CommitOptions{Sync: sync, OnCommit: func(first storage.Seq) {
		at = uint64(first) - 1
	}})
	return at, err
}

// saveVectors makes a checkpoint of an index that is loaded.
func (e *Engine) saveVectors(ctx context.Context, v *vectorIndex) (CheckpointInfo, error) {
	c := &v.checkpoints
	c.saving.Lock()
	defer c.saving.Unlock()
	x, ok := v.cpu().(*hnsw.Index)
	if !ok || v.loading.Load() || c.folder == nil {
		return CheckpointInfo{}, errs.New(errs.NotSupported, "not_supported", "the index %s is no graph, or empty; it needs no checkpoint", v.subject)
	}
	started := time.Now()
	c.tried = started
	if v.incomplete() {
		return CheckpointInfo{}, errs.New(errs.Conflict, "index_incomplete",
			"the index %s lacks vectors that there was no room for; they are tried again, and it is saved when they are in", v.subject)
	}
	changes := c.changes.Load()
	sequence, err := e.barrier(false)
	if err != nil {
		return CheckpointInfo{}, err
	}
	saved, err := x.Save(ctx, c.folder, sequence, func() (uint64, error) { return e.barrier(true) })
	if err != nil {
		if ctx.Err() == nil && errs.CodeOf(err) != "vector_index_closed" {
			e.counters.checkpointFailures.Add(1)
			c.update(func(i *CheckpointInfo) { i.Failures, i.Problem = i.Failures+1, problemDetail(err) })
		}
		return CheckpointInfo{}, err
	}
	if saved.Leftover != nil {
		v.log.Warn("files of old checkpoints could not be removed; the next one tries again", "component", "vector", "index", v.subject, "error", saved.Leftover)
	}
	c.saved.Store(changes)
	c.noteNeeds()
	e.counters.checkpoints.Add(1)
	e.counters.checkpointBytes.Add(uint64(saved.Bytes))
	e.counters.checkpointMs.Add(uint64(time.Since(started).Milliseconds()))
	m := saved.Manifest
	c.update(func(i *CheckpointInfo) {
		i.Epoch, i.Sequence, i.Saved, i.Bytes, i.Written, i.Problem = m.Epoch, m.Sequence, time.Now(), m.Bytes(), saved.Bytes, ""
	})
	v.log.Debug("a checkpoint was made", "component", "vector", "index", v.subject, "epoch", m.Epoch, "sequence", m.Sequence,
		"blocks", saved.Blocks, "bytes", saved.Bytes, "took", time.Since(started))
	return *c.describe(e.store.LastSeq()), nil
}

// checkpointLoop makes checkpoints until Close, and tries again what there was no room
// for.
func (e *Engine) checkpointLoop() {
	tick := checkpointTick
	if interval := e.opts.Vector.CheckpointInterval; interval > 0 {
		tick = min(tick, interval)
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-ticker.C:
		}
		if e.store.Err() != nil {
			continue // it has said so itself
		}
		e.retryFailed()
		for _, v := range e.savable() {
			if e.opts.Vector.CheckpointInterval < 0 || !v.checkpoints.due(e.store.LastSeq(), &e.opts.Vector) {
				continue
			}
			e.saveAndLog(e.ctx, v)
		}
	}
}

func (e *Engine) saveAndLog(ctx context.Context, v *vectorIndex) {
	_, err := e.saveVectors(ctx, v)
	if err == nil || errors.Is(err, context.Canceled) || errs.CodeOf(err) == "vector_index_closed" {
		return
	}
	v.log.Warn("a vector index could not be saved; the next start takes longer", "component", "vector", "index", v.subject, "error", err)
}

// incomplete says that there was no room for some vectors.
func (v *vectorIndex) incomplete() bool {
	v.write.Lock()
	defer v.write.Unlock()
	return v.write.failed != nil
}

// retryFailed puts into the indexes what there was no room for, if there is now.
func (e *Engine) retryFailed() {
	for _, t := range e.allTables() {
		for _, b := range t.schema.Load().indexes {
			if b.vector == nil || b.vector.loading.Load() || b.vector.current() == nil || !b.vector.incomplete() {
				continue
			}
			if err := b.vector.retry(e); err != nil && e.ctx.Err() == nil {
				e.log.Warn("there is still no room for some stored vectors", "component", "vector", "index", b.vector.subject, "error", err)
			}
		}
	}
}

// retry looks the failed ids up in storage, as a start does with what it doesn't know.
func (v *vectorIndex) retry(e *Engine) error {
	v.write.Lock()
	failed := v.write.failed
	v.write.failed, v.write.touched = &bitmap.Set{}, &bitmap.Set{}
	v.write.Unlock()
	l := &vectorLoad{v: v, snapshot: e.store.NewSnapshot()}
	defer l.snapshot.Release()
	var err error
	for id := range failed.All {
		if err = l.lookUp(e.ctx, []uint32{id}); err != nil {
			break
		}
	}
	v.write.Lock()
	defer v.write.Unlock()
	v.write.touched = nil
	if err != nil {
		for id := range failed.All {
			v.write.failed.Add(id)
		}
	} else if v.write.failed.Len() == 0 {
		v.write.failed = nil
	}
	return err
}

// savable are the vector indexes that checkpoints may be made of. One that is being
// built has none: what a backfill puts is in no oplog.
func (e *Engine) savable() (all []*vectorIndex) {
	for _, t := range e.allTables() {
		for _, b := range t.schema.Load().indexes {
			if b.vector == nil || !b.ready() || b.vector.loading.Load() || b.vector.incomplete() {
				continue
			}
			if _, ok := b.vector.cpu().(*hnsw.Index); ok {
				all = append(all, b.vector)
			}
		}
	}
	return all
}

// due says whether it is time for a checkpoint: after some changes, or some time since a
// change, or when the oplog has grown much for want of one.
func (c *checkpoints) due(last storage.Seq, o *VectorOptions) bool {
	c.saving.Lock()
	defer c.saving.Unlock()
	changed := c.changes.Load() - c.saved.Load()
	info := c.info.Load()
	behind := info != nil && uint64(last) > info.Sequence+uint64(o.CheckpointOperations)
	if changed >= uint64(o.CheckpointOperations) || behind {
		// One that fails isn't tried again at once.
		return info == nil || info.Problem == "" || time.Since(c.tried) >= o.CheckpointInterval
	}
	return changed > 0 && time.Since(c.tried) >= o.CheckpointInterval
}

// saveAll makes checkpoints of what changed, at a stop.
func (e *Engine) saveAll() {
	if e.opts.Vector.CheckpointInterval < 0 || e.store.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkpointAtClose)
	defer cancel()
	for _, v := range e.savable() {
		if c := &v.checkpoints; c.changes.Load() != c.saved.Load() {
			e.saveAndLog(ctx, v)
		}
	}
}

// oplogNeeded is the sequence from which on checkpoints need the oplog at a start.
func (e *Engine) oplogNeeded(last storage.Seq) storage.Seq {
	needed := last
	for _, t := range e.allTables() {
		for _, b := range t.schema.Load().indexes {
			if b.vector == nil || !b.ready() {
				continue
			}
			switch c := &b.vector.checkpoints; {
			case b.vector.loading.Load():
				needed = 0
			case c.info.Load() != nil && c.info.Load().Epoch > 0:
				needed = min(needed, storage.Seq(c.needs.Load()))
			}
		}
	}
	return max(needed, last-min(last, oplogKeepMost))
}

// SaveVectors makes checkpoints of the vector indexes that the names leave, all of them
// when both are empty. NotSupported if none of them is a graph.
func (e *Engine) SaveVectors(ctx context.Context, tableName, column string) ([]Checkpoint, error) {
	indexes, err := e.indexes(tableName)
	if err != nil {
		return nil, err
	}
	named, made := false, []Checkpoint{}
	for _, ix := range indexes {
		if ix.vector == nil || column != "" && ix.def.Columns[0] != column || ix.build != nil {
			continue
		}
		named = true
		if ix.vector.loading.Load() {
			return made, errs.New(errs.Unavailable, "recovering", "the vectors of %s are being loaded after a start; try again soon", ix.subject())
		}
		started := time.Now()
		info, err := e.saveVectors(ctx, ix.vector)
		if errs.KindOf(err) == errs.NotSupported && tableName == "" {
			continue
		}
		if err != nil {
			return made, contextError(err)
		}
		made = append(made, Checkpoint{Table: ix.def.Table, Column: ix.def.Columns[0], CheckpointInfo: info, Took: time.Since(started)})
	}
	if !named {
		return nil, errs.New(errs.NotFound, "index_not_found", "there is no such vector index; create one with type \"vector\"")
	}
	return made, nil
}

// CheckpointStats are figures of all vector indexes' checkpoints since the start.
type CheckpointStats struct {
	// Made and Failed count them; Damaged counts indexes of which a start couldn't use
	// all files as they were.
	Made, Failures, Damaged uint64
	// Bytes were written, in that many milliseconds.
	Bytes, Ms uint64
	// Behind is how many changes the one that is most behind lacks.
	Behind uint64
}

func (e *Engine) checkpointStats() CheckpointStats {
	c := &e.counters
	s := CheckpointStats{
		Made: c.checkpoints.Load(), Failures: c.checkpointFailures.Load(), Damaged: c.checkpointsDamaged.Load(),
		Bytes: c.checkpointBytes.Load(), Ms: c.checkpointMs.Load(),
	}
	for _, v := range e.savable() {
		if info := v.checkpoints.describe(e.store.LastSeq()); info != nil {
			s.Behind = max(s.Behind, info.Behind)
		}
	}
	return s
}

// removeFolder removes the files of an index that was dropped and closed.
func (v *vectorIndex) removeFolder() {
	v.checkpoints.saving.Lock()
	defer v.checkpoints.saving.Unlock()
	v.checkpoints.folder = nil
	if err := os.RemoveAll(v.dir); err != nil {
		v.log.Warn("the files of a dropped vector index could not be removed; the next start tries again", "component", "vector", "index", v.subject, "error", err)
	}
}
