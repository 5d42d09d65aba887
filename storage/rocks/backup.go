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

// BackupInfo is one backup in a folder. Files and Bytes count shared files too.
type BackupInfo struct {
	ID          uint32
	UnixSeconds int64
	Bytes       uint64
	Files       uint32
}

// withBackups opens the backups in a folder. It makes the folder's parts that
// are missing.
func withBackups(dir string, fn func(*grocksdb.BackupEngine) error) error {
	opts := grocksdb.NewDefaultOptions()
	defer opts.Destroy()
	engine, err := grocksdb.OpenBackupEngine(opts, dir)
	if err != nil {
		return wrap("backup", err)
	}
	defer engine.Close()
	return wrap("backup", fn(engine))
}

// Backups lists the backups in a folder, oldest first, without those whose
// files are missing or have the wrong size.
func Backups(dir string) (list []BackupInfo, err error) {
	err = withBackups(dir, func(engine *grocksdb.BackupEngine) error {
		for _, b := range engine.GetInfo() {
			list = append(list, BackupInfo{ID: b.ID, UnixSeconds: b.Timestamp, Bytes: b.Size, Files: b.NumFiles})
		}
		return nil
	})
	return list, err
}

// PurgeBackups removes all but the newest backups and the files that only the
// others used.
func PurgeBackups(dir string, keep int) error {
	return withBackups(dir, func(engine *grocksdb.BackupEngine) error {
		return engine.PurgeOldBackups(uint32(keep))
	})
}

// RestoreBackup puts a backup's files into the folder target and compares their
// checksums on the way.
func RestoreBackup(dir string, id uint32, target string) error {
	return withBackups(dir, func(engine *grocksdb.BackupEngine) error {
		opts := grocksdb.NewRestoreOptions()
		defer opts.Destroy()
		return engine.RestoreDBFromBackup(target, target, opts, id)
	})
}
