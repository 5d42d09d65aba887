package rocks

// Checkpoint puts a copy of the database into the folder dir, which must not
// exist and whose parent must. Table files are hard links where the file system
// allows it, so the copy costs little; everything else is copied. The copy holds
// every write that was acknowledged before the call, and of those made during it
// the first ones. Write-ahead logs of more than flushAbove bytes are written out
// to tables first, shorter ones are copied. What RocksDB copies isn't synced.
func (db *DB) Checkpoint(dir string, flushAbove uint64) error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.gate.leave()
	c, err := db.db.NewCheckpoint()
	if err != nil {
		return wrap("checkpoint", err)
	}
	defer c.Destroy()
	db.awaitFlushes(func() { err = c.CreateCheckpoint(dir, flushAbove) })
	return wrap("checkpoint", err)
}
