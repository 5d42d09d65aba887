package engine

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/vccdb/vccdb/vecindex"
)

// counters are the engine's own figures since it was opened.
type counters struct {
	indexRebuilds, indexRebuildMs, indexRebuildEntities atomic.Uint64

	cursorAnchorHits, rangeScanSteps atomic.Uint64
	expiredSwept, oplogTrimmed       atomic.Uint64

	checkpoints, checkpointFailures, checkpointsDamaged atomic.Uint64
	checkpointBytes, checkpointMs                       atomic.Uint64

	queryModes, searchModes tally
}

// tally counts by name; names are the planner's branches, so they are few.
type tally struct {
	mu     sync.Mutex
	counts map[string]uint64
}

func (t *tally) add(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]uint64{}
	}
	t.counts[name]++
}

func (t *tally) snapshot() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}

// Stats collects the engine's figures.
func (e *Engine) Stats() (Stats, error) {
	properties, err := e.store.Properties()
	if err != nil {
		return Stats{}, err
	}
	last, err := e.store.Latest().Seq()
	if err != nil {
		return Stats{}, err
	}
	feed, err := e.FeedStats()
	if err != nil {
		return Stats{}, err
	}
	s := Stats{
		Feed:                 feed,
		Storage:              properties,
		Health:               e.store.Health(),
		QueryModes:           e.counters.queryModes.snapshot(),
		SearchModes:          e.counters.searchModes.snapshot(),
		IndexRebuilds:        e.counters.indexRebuilds.Load(),
		IndexRebuildMs:       e.counters.indexRebuildMs.Load(),
		IndexRebuildEntities: e.counters.indexRebuildEntities.Load(),
		CursorAnchorHits:     e.counters.cursorAnchorHits.Load(),
		RangeScanSteps:       e.counters.rangeScanSteps.Load(),
		SlowQueries:          e.slow.seen.Load(),
		TermSets:             e.sets.stats(),
		ExpiredEntitiesSwept: e.counters.expiredSwept.Load(),
		OplogLast:            uint64(last),
		Checkpoints:          e.checkpointStats(),
		Archive:              e.store.Archive(),
		Copies:               CopyStats{LastSnapshot: e.copies.snapshot.load(), LastBackup: e.copies.backup.load()},
	}
	for _, t := range e.allTables() {
		s.Tables++
		for _, b := range t.schema.Load().indexes {
			if b.vector == nil {
				continue
			}
			s.VectorIndexes++
			if p := b.vector.probe.Load(); p != nil && b.ready() {
				s.Recall = append(s.Recall, *p)
			}
			if v := b.vector.current(); v != nil {
				s.addVectors(v.Usage())
			}
			if d := b.vector.device(); d != nil {
				s.addDevice(DeviceIndex{Table: b.def.Table, Column: b.def.Columns[0], DeviceStats: d.Device()})
			}
		}
	}
	return s, nil
}

func (s *Stats) addVectors(u vecindex.Usage) {
	s.Vectors.Live += u.Live
	s.Vectors.Tombstones += u.Tombstones
	s.Vectors.Pending += u.Pending
	s.Vectors.Bytes += u.Bytes
	s.Vectors.Cold += u.Cold
}
