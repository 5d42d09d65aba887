package storage

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/vccdb/vccdb/storage/keys"
	"github.com/vccdb/vccdb/storage/rocks"
)

// ScanMeta calls fn with each catalog record whose key has the prefix, in key
// order. The value is valid only during fn.
func (s *Store) ScanMeta(prefix string, fn func(key string, value []byte) error) error {
	return s.scanDefault(metaCatalog+prefix, func(key string, value []byte) error {
		return fn(key[len(metaCatalog):], value)
	})
}

func (s *Store) scanDefault(prefix string, fn func(key string, value []byte) error) error {
	r := rocks.Range{Lower: []byte(prefix), Upper: keys.PrefixEnd([]byte(prefix))}
	return readError(s.db.Latest().Scan(familyDefault, r, func(key, value []byte) (bool, error) {
		return true, fn(string(key), value)
	}))
}

// counterTable caches the counters. Every committed value is in RocksDB too;
// there is one row per counter that isn't 0.
type counterTable struct {
	mu struct {
		sync.RWMutex
		values map[string]int64
	}
}

// Counter returns the committed value of a counter, 0 if it was never changed.
func (s *Store) Counter(key string) int64 { return s.counters.get(key) }

func (t *counterTable) get(key string) int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mu.values[key]
}

// set publishes committed values.
func (t *counterTable) set(changed map[string]int64) {
	if len(changed) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, value := range changed {
		if value == 0 {
			delete(t.mu.values, key)
		} else {
			t.mu.values[key] = value
		}
	}
}

// resolve applies ops, in order, to the values in changed, which start out as
// the committed ones.
func (t *counterTable) resolve(changed map[string]int64, ops []counterOp) {
	for _, op := range ops {
		value, ok := changed[op.key]
		if !ok {
			value = t.get(op.key)
		}
		if op.reset {
			value = 0
		}
		changed[op.key] = value + op.delta
	}
}

// putCounter writes a counter's absolute value.
func putCounter(rows *rocks.Batch, key string, value int64) {
	row := append([]byte(metaCounter), key...)
	if value == 0 {
		rows.Delete(familyDefault, row)
		return
	}
	rows.Put(familyDefault, row, binary.LittleEndian.AppendUint64(nil, uint64(value)))
}

func (s *Store) loadCounters() error {
	values := make(map[string]int64)
	err := s.scanDefault(metaCounter, func(key string, value []byte) error {
		if len(value) != 8 {
			return corrupt(fmt.Errorf("counter %q has %d bytes, want 8", key, len(value)))
		}
		values[key[len(metaCounter):]] = int64(binary.LittleEndian.Uint64(value))
		return nil
	})
	s.counters.mu.values = values
	return err
}
