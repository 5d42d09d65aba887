package storage

import (
	"encoding/binary"
	"fmt"

	"github.com/vccdb/vccdb/storage/rocks"
)

// Rows past the log
//
// A recovery from a full disk writes one row past the write-ahead log
// (rocks.DB.Resume). RocksDB gives it the sequence number that the failed write
// would have had, and the log may hold that write under the same number, whole
// or in part. So the row itself says which numbers such rows have: the archiver
// takes the row for them, whatever the log says. It is in a table file before a
// write goes on, so this holds after a crash too.

// resumeRocks takes RocksDB into service again. The archiver and the making of a
// timeline wait meanwhile.
func (s *Store) resumeRocks() error {
	s.timeline.Lock()
	defer s.timeline.Unlock()
	needed := s.db.LatestSequence() + 1
	if a := s.archive; a != nil {
		a.turn.Lock()
		defer a.turn.Unlock()
		needed = a.next
	}
	past, err := readPastLog(s.db.Latest())
	if err != nil {
		return err
	}
	for len(past) > 0 && past[0] < needed {
		past = past[1:]
	}
	return s.db.Resume(pastLogBatch(append(past, s.db.LatestSequence()+1)))
}

// pastLogBatch is the row that has the last of these numbers.
func pastLogBatch(past []uint64) *rocks.Batch {
	var value []byte
	for _, row := range past {
		value = binary.LittleEndian.AppendUint64(value, row)
	}
	var b rocks.Batch
	b.Put(familyDefault, []byte(metaResumed), value)
	return &b
}

// readPastLog returns the numbers of the rows past the log that the archive may
// lack, in order.
func readPastLog(view *rocks.View) ([]uint64, error) {
	value, err := view.Get(familyDefault, []byte(metaResumed))
	if err != nil {
		return nil, readError(err)
	}
	if len(value)%8 != 0 {
		return nil, corrupt(fmt.Errorf("%s has %d bytes, want a multiple of 8", metaResumed, len(value)))
	}
	var past []uint64
	for ; len(value) > 0; value = value[8:] {
		past = append(past, binary.LittleEndian.Uint64(value))
	}
	return past, nil
}
