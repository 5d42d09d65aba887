package engine

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/checkpoint"
	"github.com/vccdb/vccdb/vecindex/hnsw"
)

// Loading a vector index at a start
//
// What a checkpoint has is made good by the oplog: every id that it names after the
// checkpoint's sequence is looked up in storage, and so is every id that writers touch
// before the index is there. Where that can't be (there is no checkpoint, it isn't
// whole, or the oplog doesn't go back so far) all stored vectors are held against the
// index by their stamps. Both read a snapshot that is made after the index gets its
// events, and leave ids alone that an event came for since.

// indexesFolder is the folder in the database's that holds those of vector indexes.
const indexesFolder = "indexes"

func (e *Engine) indexFolder(id uint32) string {
	return filepath.Join(e.opts.Storage.Path, indexesFolder, strconv.FormatUint(uint64(id), 10))
}

// removeStrayFolders removes the folders of indexes that are no more.
func (e *Engine) removeStrayFolders() error {
	known := map[string]bool{}
	for _, t := range e.allTables() {
		for _, b := range t.schema.Load().indexes {
			known[strconv.FormatUint(uint64(b.def.ID), 10)] = true
		}
	}
	entries, err := os.ReadDir(filepath.Join(e.opts.Storage.Path, indexesFolder))
	if os.IsNotExist(err) {
		return nil
	}
	for _, entry := range entries {
		if _, parse := strconv.ParseUint(entry.Name(), 10, 32); parse == nil && !known[entry.Name()] && err == nil {
			err = os.RemoveAll(filepath.Join(e.opts.Storage.Path, indexesFolder, entry.Name()))
		}
	}
	return err
}

// beginLoad makes writers note what they touch, from before the first of them.
func (v *vectorIndex) beginLoad() {
	v.loading.Store(true)
	v.write.Lock()
	defer v.write.Unlock()
	v.write.touched = &bitmap.Set{}
}

// load brings the index into memory while writes go on. beginLoad came first; last was
// the newest sequence then.
func (v *vectorIndex) load(ctx context.Context, e *Engine, table uint32, last storage.Seq, loaded *atomic.Uint64) error {
	cpu, from, doubtful, err := v.fromCheckpoint(ctx, e, last)
	if err != nil {
		return err
	}
	if cpu == nil {
		if cpu, err = v.newIndex(v.dimension()); err != nil {
			return err
		}
	}
	missed, ok := v.publish(cpu)
	if !ok {
		return cpu.Close()
	}
	for _, id := range doubtful {
		missed.Add(id)
	}
	l := &vectorLoad{v: v, snapshot: e.store.NewSnapshot(), loaded: loaded}
	defer l.snapshot.Release()
	if from != nil {
		loaded.Add(uint64(cpu.Len()))
		err = l.replay(ctx, e.store, table, storage.Seq(from.Sequence), missed)
	}
	if from == nil || errs.CodeOf(err) == "oplog_trimmed" {
		err = l.reconcile(ctx)
	}
	if err != nil {
		return err
	}
	cpu.AllowBacklog()
	v.write.Lock()
	v.write.touched = nil
	v.write.Unlock()
	v.loading.Store(false)
	v.place()
	return nil
}

// fromCheckpoint makes an index of a checkpoint, nil if there is none to be used. from is
// the epoch from which the oplog leads on, nil if everything has to be compared; doubtful
// are ids to look up besides.
func (v *vectorIndex) fromCheckpoint(ctx context.Context, e *Engine, last storage.Seq) (ix vecindex.Source, from *checkpoint.Manifest, doubtful []uint32, err error) {
	if v.opts.Engine == "flat" {
		return nil, nil, nil, nil
	}
	log := v.log.With("component", "vector", "index", v.subject)
	if err := v.openFolder(e); err != nil {
		return nil, nil, nil, err
	}
	for _, finding := range v.checkpoints.folder.Findings() {
		log.Warn("a file of a checkpoint can't be used", "reason", finding)
	}
	for _, epoch := range v.checkpoints.folder.Epochs() {
		if epoch.Until > uint64(last) {
			log.Warn("a checkpoint is newer than the database, which was put back by hand, and is removed", "epoch", epoch.Epoch)
			if err := v.checkpoints.folder.Forget(epoch); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	x, loaded, err := hnsw.Load(ctx, v.graphOptions(v.dimension()), v.checkpoints.folder)
	for _, finding := range loaded.Findings {
		log.Warn("a checkpoint can't be used as it is; an older one or the stored vectors stand in", "reason", finding)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if len(v.checkpoints.folder.Findings())+len(loaded.Findings) > 0 {
		e.counters.checkpointsDamaged.Add(1)
	}
	if x == nil {
		return nil, nil, nil, nil
	}
	log.Info("a checkpoint was loaded", "epoch", loaded.Epoch.Epoch, "sequence", loaded.Epoch.Sequence, "behind", uint64(last)-loaded.Epoch.Sequence,
		"vectors", x.Len(), "whole", loaded.Whole, "links_dropped", loaded.Dropped, "relinked", loaded.Relinked)
	if loaded.Whole {
		from = loaded.Epoch
	}
	v.checkpoints.noteLoaded(loaded)
	return x, from, loaded.Doubtful, nil
}

// publish gives the index the events from now on, and returns the ids that events came
// for before; false if it was dropped meanwhile.
func (v *vectorIndex) publish(cpu vecindex.Source) (missed *bitmap.Set, ok bool) {
	v.write.Lock()
	defer v.write.Unlock()
	if v.write.closed {
		return nil, false
	}
	missed, v.write.touched = v.write.touched, &bitmap.Set{}
	var ix vecindex.Index = cpu
	v.index.Store(&ix)
	return missed, true
}

// closed says that the index was dropped, or the engine is closing.
func (v *vectorIndex) closed() bool {
	v.write.Lock()
	defer v.write.Unlock()
	return v.write.closed
}

// vectorLoad makes an index good that gets its events already.
type vectorLoad struct {
	v        *vectorIndex
	snapshot *storage.Snapshot
	loaded   *atomic.Uint64
	vector   []float32
}

// replay looks up what the oplog names after a sequence, and the ids in missed.
func (l *vectorLoad) replay(ctx context.Context, store *storage.Store, table uint32, after storage.Seq, missed *bitmap.Set) error {
	err := store.ReadOplog(ctx, after, func(_ storage.Seq, op storage.Op) (bool, error) {
		if op.Table == table {
			missed.Add(op.ID)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	const batch = 256
	ids := make([]uint32, 0, batch)
	for id := range missed.All {
		if ids = append(ids, id); len(ids) == batch {
			if err := l.lookUp(ctx, ids); err != nil {
				return err
			}
			ids = ids[:0]
		}
	}
	return l.lookUp(ctx, ids)
}

func (l *vectorLoad) lookUp(ctx context.Context, ids []uint32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.snapshot.Vectors(l.v.id, ids, func(i int, stamp uint64, raw []byte) error {
		return l.settle(ids[i], stamp, raw)
	})
}

// settle makes the index have what storage has of an id, which is nothing if raw is nil.
func (l *vectorLoad) settle(id uint32, stamp uint64, raw []byte) error {
	v := l.v
	v.write.Lock()
	defer v.write.Unlock()
	if v.write.touched.Contains(id) {
		return nil
	}
	index := v.current() // it may be another one now, of the same vectors
	have, ok := index.Stamp(id)
	switch {
	case raw == nil && ok:
		index.Delete(id)
	case raw != nil && (!ok || have != stamp):
		l.vector = decodeVector(l.vector[:0], raw)
		v.write.loaded = max(v.write.loaded, stamp)
		return index.Put(id, stamp, l.vector)
	}
	return nil
}

// reconcile goes over all stored vectors, and then over those in the index that aren't
// stored.
func (l *vectorLoad) reconcile(ctx context.Context) error {
	stored := &bitmap.Set{}
	had := l.v.cpu().Len() > 0
	err := l.snapshot.ScanVectors(ctx, l.v.id, 0, func(id uint32, stamp uint64, raw []byte) (bool, error) {
		if had {
			stored.Add(id)
		}
		l.loaded.Add(1)
		return true, l.settle(id, stamp, raw)
	})
	if err != nil || !had {
		return err
	}
	var gone []uint32
	for id := range l.v.cpu().IDs() {
		if !stored.Contains(id) {
			gone = append(gone, id)
		}
	}
	for _, id := range gone {
		if err := l.settle(id, 0, nil); err != nil {
			return err
		}
	}
	return nil
}

// restoreVector reads the vector of an id for an index whose file has lost it.
func (v *vectorIndex) restoreVector(dst []float32, id uint32, stamp uint64) (vector []float32, ok bool) {
	err := v.store.Latest().Vectors(v.id, []uint32{id}, func(_ int, have uint64, raw []byte) error {
		if raw != nil && have == stamp {
			dst, ok = decodeVector(dst, raw), true
		}
		return nil
	})
	return dst, ok && err == nil
}
