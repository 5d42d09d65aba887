package engine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

// The catalog's records in the meta column family.
const (
	// metaTable + name holds a tableRecord as JSON.
	metaTable = "table/"
	// metaIndex + id holds a schema.IndexDef as JSON.
	metaIndex = "index/"
	// metaNextID is the next id for a table or index, 4 bytes big endian. Ids of
	// tables and indexes are never used twice.
	metaNextID = "next_id"
	// metaDropped + id holds a droppedRecord as JSON: the table's name, for events
	// of the feed. It goes when they do.
	metaDropped = "dropped/"
)

type tableRecord struct {
	ID uint32 `json:"id"`
}

// droppedRecord is of a dropped table, whose events have sequences up to Last.
type droppedRecord struct {
	Name string      `json:"name"`
	Last storage.Seq `json:"last"`
}

func droppedKey(id uint32) string { return fmt.Sprintf("%s%d", metaDropped, id) }

func tableCounter(id uint32) string { return fmt.Sprintf("entities/%d", id) }
func indexCounter(id uint32) string { return fmt.Sprintf("entries/%d", id) }

// multiCounter is above zero once an entity has had more than one term in the
// index.
func multiCounter(id uint32) string { return fmt.Sprintf("multi/%d", id) }

func indexKey(id uint32) string { return fmt.Sprintf("%s%d", metaIndex, id) }

func putIndexDef(b *storage.Batch, def *schema.IndexDef) {
	raw, err := json.Marshal(def)
	if err != nil {
		panic("engine: an index definition can't be encoded: " + err.Error())
	}
	b.PutMeta(indexKey(def.ID), raw)
}

// loadCatalog reads all tables and their indexes from storage.
func (e *Engine) loadCatalog() error {
	err := e.store.ScanMeta(metaTable, func(key string, value []byte) error {
		var r tableRecord
		if err := json.Unmarshal(value, &r); err != nil {
			return corruptCatalog(key, err)
		}
		t := &table{id: r.ID, name: strings.TrimPrefix(key, metaTable)}
		t.schema.Store(newTableSchema(nil))
		last, ok, err := e.store.Latest().LastID(t.id)
		if err != nil {
			return err
		}
		if ok {
			t.ids.next = uint64(last) + 1
		}
		e.catalog.tables[t.name], e.catalog.names[t.id] = t, t.name
		return nil
	})
	if err != nil {
		return err
	}
	err = e.store.ScanMeta(metaNextID, func(key string, value []byte) error {
		if len(value) != 4 {
			return corruptCatalog(key, nil)
		}
		e.catalog.nextID = binary.BigEndian.Uint32(value)
		return nil
	})
	if err != nil {
		return err
	}
	if err := e.loadDropped(); err != nil {
		return err
	}
	return e.loadIndexes()
}

// loadDropped reads the names of dropped tables that the feed still knows.
func (e *Engine) loadDropped() error {
	return e.store.ScanMeta(metaDropped, func(key string, value []byte) error {
		id, err := strconv.ParseUint(strings.TrimPrefix(key, metaDropped), 10, 32)
		var r droppedRecord
		if err == nil {
			err = json.Unmarshal(value, &r)
		}
		if err != nil {
			return corruptCatalog(key, err)
		}
		e.catalog.names[uint32(id)], e.catalog.dropped[uint32(id)] = r.Name, r.Last
		return nil
	})
}

// loadIndexes attaches the stored index definitions to their tables.
func (e *Engine) loadIndexes() error {
	lists := map[string][]*index{}
	err := e.store.ScanMeta(metaIndex, func(key string, value []byte) error {
		def := &schema.IndexDef{}
		if err := json.Unmarshal(value, def); err != nil {
			return corruptCatalog(key, err)
		}
		if e.catalog.tables[def.Table] == nil {
			return corruptCatalog(key, nil)
		}
		ix := newIndex(def)
		ix.multi.Store(e.store.Counter(multiCounter(def.ID)) > 0)
		if def.State != schema.StateReady {
			ix.build = newBuild(nil)
		}
		if def.Type == schema.Vector {
			v, err := e.newVectorIndex(def, ix.ready())
			if err != nil {
				return err
			}
			ix.vector = v
		}
		lists[def.Table] = append(lists[def.Table], ix)
		return nil
	})
	if err != nil {
		return err
	}
	for name, list := range lists {
		slices.SortFunc(list, func(a, b *index) int { return int(a.def.ID) - int(b.def.ID) })
		e.catalog.tables[name].schema.Store(newTableSchema(list))
	}
	return nil
}

func corruptCatalog(key string, err error) error {
	return errs.Wrap(err, errs.Corrupt, "corrupt_catalog", "the catalog record %q can't be read; restore the data from a backup", key)
}

// table returns the table of that name.
func (e *Engine) table(name string) (*table, error) {
	e.catalog.RLock()
	defer e.catalog.RUnlock()
	if t := e.catalog.tables[name]; t != nil {
		return t, nil
	}
	if err := ValidateTable(name); err != nil {
		return nil, err
	}
	return nil, errs.New(errs.NotFound, "table_not_found", "there is no table %q", name)
}

// createTable returns the table of that name, made if it isn't there.
func (e *Engine) createTable(name string) (*table, error) {
	if t, err := e.table(name); err == nil {
		return t, nil
	}
	if err := ValidateTable(name); err != nil {
		return nil, err
	}
	e.catalog.Lock()
	defer e.catalog.Unlock()
	if t := e.catalog.tables[name]; t != nil {
		return t, nil
	}
	var b storage.Batch
	t := &table{id: e.nextIDLocked(&b), name: name}
	t.schema.Store(newTableSchema(nil))
	raw, err := json.Marshal(tableRecord{ID: t.id})
	if err != nil {
		return nil, err
	}
	b.PutMeta(metaTable+name, raw)
	if _, err := e.store.Commit(&b, storage.CommitOptions{}); err != nil {
		return nil, err
	}
	e.catalog.tables[name], e.catalog.names[t.id] = t, name
	return t, nil
}

// nextIDLocked takes an id for a table or index and records that in b.
func (e *Engine) nextIDLocked(b *storage.Batch) uint32 {
	e.catalog.nextID++
	b.PutMeta(metaNextID, binary.BigEndian.AppendUint32(nil, e.catalog.nextID))
	return e.catalog.nextID
}

// allTables lists the tables by name.
func (e *Engine) allTables() []*table {
	e.catalog.RLock()
	defer e.catalog.RUnlock()
	return slices.SortedFunc(maps.Values(e.catalog.tables), func(a, b *table) int { return strings.Compare(a.name, b.name) })
}

// Tables describes every table, by name.
func (e *Engine) Tables(ctx context.Context) ([]TableInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError(err)
	}
	return e.tableInfos(e.allTables())
}

// Table describes one table.
func (e *Engine) Table(_ context.Context, name string) (*TableInfo, error) {
	t, err := e.table(name)
	if err != nil {
		return nil, err
	}
	infos, err := e.tableInfos([]*table{t})
	if err != nil {
		return nil, err
	}
	return &infos[0], nil
}

// tableInfos describes tables. The sizes of all are estimated together: a list
// of thousands is asked for by everyone who opens the console.
func (e *Engine) tableInfos(tables []*table) ([]TableInfo, error) {
	infos := make([]TableInfo, len(tables))
	ids := make([]uint32, len(tables))
	var indexes []*index
	for i, t := range tables {
		ids[i] = t.id
		list := t.schema.Load().list()
		infos[i] = TableInfo{Name: t.name, Entities: uint64(e.store.Counter(tableCounter(t.id))), Indexes: make([]IndexInfo, len(list))}
		indexes = append(indexes, list...)
	}
	sizes, err := e.store.ApproximateBytes(storage.SizeOfTable, ids...)
	if err != nil {
		return nil, err
	}
	of, err := e.indexInfos(indexes)
	if err != nil {
		return nil, err
	}
	for i := range infos {
		info := &infos[i]
		info.SizeBytes = sizes[i]
		of = of[copy(info.Indexes, of):]
		for _, ix := range info.Indexes {
			info.SizeBytes += ix.SizeBytes
		}
	}
	return infos, nil
}

// DropTable removes a table with all entities and indexes, in one batch.
func (e *Engine) DropTable(ctx context.Context, name string) error {
	t, err := e.table(name)
	if err != nil {
		return err
	}
	if err := e.cancelBuilds(ctx, t, func(boundIndex) bool { return true }); err != nil {
		return err
	}
	t.ddl.Lock()
	defer t.ddl.Unlock()
	if t.dropped {
		return errs.New(errs.NotFound, "table_not_found", "there is no table %q", name)
	}
	indexes := t.schema.Load().list()
	var b storage.Batch
	b.DropTable(t.id, e.clock.next(), name)
	b.DeleteMeta(metaTable + name)
	b.ResetCounter(tableCounter(t.id))
	for _, ix := range indexes {
		dropIndexRows(&b, ix.def)
	}
	e.catalog.Lock()
	defer e.catalog.Unlock()
	if err := e.keepNameLocked(&b, t); err != nil {
		return err
	}
	if _, err := e.store.Commit(&b, storage.CommitOptions{}); err != nil {
		return err
	}
	t.dropped = true
	delete(e.catalog.tables, name)
	t.schema.Store(newTableSchema(nil))
	for _, ix := range indexes {
		e.closeIndex(ix)
	}
	e.sets.forget(t.id)
	return nil
}

// keepNameLocked notes a dropped table's name if the feed has events of it, all
// of which have been committed. SetFeed holds the catalog's lock too.
func (e *Engine) keepNameLocked(b *storage.Batch, t *table) error {
	feed := e.store.FeedRange()
	if !feed.On {
		return nil
	}
	raw, err := json.Marshal(droppedRecord{Name: t.name, Last: feed.Last})
	if err != nil {
		return err
	}
	b.PutMeta(droppedKey(t.id), raw)
	e.catalog.dropped[t.id] = feed.Last
	return nil
}

// dropIndexRows removes an index's definition, entries and counter.
func dropIndexRows(b *storage.Batch, def *schema.IndexDef) {
	b.DropIndex(def.ID)
	b.DeleteMeta(indexKey(def.ID))
	b.ResetCounter(indexCounter(def.ID))
	b.ResetCounter(multiCounter(def.ID))
}
