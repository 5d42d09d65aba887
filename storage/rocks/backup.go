package rocks

import (
	"github.com/linxGnu/grocksdb"
)

// Backup adds a backup of the database to the folder dir and returns its number.
// Table files that an earlier backup in the folder holds aren't copied again.
// Everything is synced. It can't be interrupted. Nothing else may use the folder
// meanwhile.
func (db *DB) Backup(dir string) (id uint32, err error) {
	if !db.gate.enter() {
		return 0, ErrClosed
	}
	defer db.gate.leave()
	engine, err := grocksdb.CreateBackupEngineWithPath(db.db, dir)
	if err != nil {
		return 0, wrap("backup", err)
	}
	defer engine.Close()
	if err := engine.CreateNewBackup(); err != nil {
		return 0, wrap("backup", err)
	}
	for _, info := range engine.GetInfo() {
		id = max(id, info.ID)
	}
	return id, nil
}

// PurgeBackups removes all but the newest backups in a folder and the files that
// only the others used. Nothing else may use the folder meanwhile.
func PurgeBackups(dir string, keep int) error {
	opts := grocksdb.NewDefaultOptions()
	defer opts.Destroy()
	engine, err := grocksdb.OpenBackupEngine(opts, dir)
	if err != nil {
		return wrap("backup", err)
	}
	defer engine.Close()
	return wrap("backup", engine.PurgeOldBackups(uint32(keep)))
}
