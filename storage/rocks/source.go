package rocks

import (
	"os"
	"slices"
	"strconv"

	"github.com/linxGnu/grocksdb"
)

// Source is a database that is only read, of whatever program: nothing in its
// folder is written, not even a log or a lock. It must not be open for writing
// elsewhere meanwhile. It is not safe for concurrent use.
type Source struct {
	db      *grocksdb.DB
	names   []string
	handles []*grocksdb.ColumnFamilyHandle
	opts    *grocksdb.Options
	read    *grocksdb.ReadOptions
	logs    string
}

// OpenSource opens all column families of the database at path. What its
// write-ahead log holds is read into memory.
func OpenSource(path string) (*Source, error) {
	names, err := FamilyNames(path)
	if err != nil {
		return nil, err
	}
	logs, err := os.MkdirTemp("", "source") // RocksDB writes its own log even when it only reads
	if err != nil {
		return nil, err
	}
	s := &Source{names: names, logs: logs, opts: grocksdb.NewDefaultOptions(), read: grocksdb.NewDefaultReadOptions()}
	s.opts.SetDbLogDir(logs)
	s.opts.SetInfoLogLevel(grocksdb.FatalInfoLogLevel)
	s.read.SetFillCache(false)
	s.read.SetReadaheadSize(verifyReadahead)
	options := slices.Repeat([]*grocksdb.Options{s.opts}, len(names))
	if s.db, s.handles, err = grocksdb.OpenDbForReadOnlyColumnFamilies(s.opts, path, names, options, false); err != nil {
		s.Close()
		return nil, wrap("open", err)
	}
	return s, nil
}

// Close closes the database.
func (s *Source) Close() {
	for _, h := range s.handles {
		h.Destroy()
	}
	if s.db != nil {
		s.db.Close()
	}
	s.read.Destroy()
	s.opts.Destroy()
	_ = os.RemoveAll(s.logs)
}

// Families are the names of the column families.
func (s *Source) Families() []string { return s.names }

// Get returns a copy of one value, nil if the family or the key is absent.
func (s *Source) Get(family string, key []byte) ([]byte, error) {
	i := slices.Index(s.names, family)
	if i < 0 {
		return nil, nil
	}
	value, err := s.db.GetCF(s.read, s.handles[i], key)
	if err != nil {
		return nil, wrap("read", err)
	}
	defer value.Free()
	return slices.Clone(value.Data()), nil
}

// Scan calls fn with each key and value of a family, in order, until fn returns
// false. Both are gone when fn returns. A family that is absent has no rows.
func (s *Source) Scan(family string, fn func(key, value []byte) (bool, error)) error {
	i := slices.Index(s.names, family)
	if i < 0 {
		return nil
	}
	it := s.db.NewIteratorCF(s.read, s.handles[i])
	defer it.Close()
	for it.SeekToFirst(); it.Valid(); it.Next() {
		var value []byte
		if v := it.Value(); v != nil { // an empty value may be no slice at all
			value = v.Data()
		}
		if more, err := fn(it.Key().Data(), value); err != nil || !more {
			return err
		}
	}
	return wrap("read", it.Err())
}

// EstimatedRows is RocksDB's estimate of the number of rows in a family.
func (s *Source) EstimatedRows(family string) uint64 {
	i := slices.Index(s.names, family)
	if i < 0 {
		return 0
	}
	n, err := strconv.ParseUint(s.db.GetPropertyCF("rocksdb.estimate-num-keys", s.handles[i]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
