package rocks

// LatestSequence is RocksDB's own sequence number of the newest write: it rises
// by one for each row written.
func (db *DB) LatestSequence() uint64 {
	if !db.gate.enter() {
		return 0
	}
	defer db.gate.leave()
	return db.db.GetLatestSequenceNumber()
}

// Updates calls fn with the writes from a sequence number on, in order, as the
// write-ahead logs hold them, until fn returns false or there are no more. wire
// is a batch in the format that Batch describes, with the sequence number of its
// first row; it is gone when fn returns. If the logs don't reach back so far,
// the first batch has a later sequence number.
func (db *DB) Updates(from uint64, fn func(wire []byte) (bool, error)) error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.gate.leave()
	it, err := db.db.GetUpdatesSince(from)
	if err != nil {
		return wrap("read the log", err)
	}
	defer it.Destroy()
	for ; it.Valid(); it.Next() {
		batch, _ := it.GetBatch()
		more, err := fn(batch.Data())
		batch.Destroy()
		if err != nil || !more {
			return err
		}
	}
	return wrap("read the log", it.Err())
}

// LatestSequence is RocksDB's own sequence number of the newest write.
func (s *Source) LatestSequence() uint64 { return s.db.GetLatestSequenceNumber() }
