package rocks

import (
	"os"

	"github.com/linxGnu/grocksdb"
)

// verifyCacheBytes is the block cache of a verification, which uses no block
// twice.
const verifyCacheBytes = 8 << 20

// verifyReadahead is what a verification asks the file system for at once.
const verifyReadahead = 2 << 20

// VerifyChecksums reads every live row from the files and the write-ahead log
// and fails with an Error whose Corruption is true if a checksum is wrong. It
// opens the files a second time, because blocks in the cache of the running
// database are not read again. Reads and writes go on meanwhile; files that
// compactions replace are kept until the end.
func (db *DB) VerifyChecksums() error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.gate.leave()
	if err := db.db.DisableFileDeletions(); err != nil {
		return wrap("verify", err)
	}
	err := db.verify()
	if enableErr := db.db.EnableFileDeletions(false); err == nil {
		err = wrap("verify", enableErr)
	}
	return err
}

func (db *DB) verify() error {
	logs, err := os.MkdirTemp("", "verify") // or it would rotate the running database's log
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(logs) }()
	o := db.options
	o.CreateIfMissing, o.Statistics, o.BlockCacheBytes = false, false, verifyCacheBytes
	n, err := newNative(&o)
	if err != nil {
		return err
	}
	defer n.destroy()
	n.db.SetDbLogDir(logs)
	second, families, err := grocksdb.OpenDbForReadOnlyColumnFamilies(n.db, o.Path, o.familyNames(), n.families, false)
	if err != nil {
		return wrap("verify", err)
	}
	defer second.Close()
	defer func() {
		for _, f := range families {
			f.Destroy()
		}
	}()
	for _, f := range families {
		if err := readAll(second, f); err != nil {
			return wrap("verify", err)
		}
	}
	return nil
}

func readAll(db *grocksdb.DB, family *grocksdb.ColumnFamilyHandle) error {
	read := grocksdb.NewDefaultReadOptions()
	defer read.Destroy()
	read.SetFillCache(false)
	read.SetReadaheadSize(verifyReadahead)
	it := db.NewIteratorCF(read, family)
	defer it.Close()
	for it.SeekToFirst(); it.Valid(); it.Next() {
	}
	return it.Err()
}
