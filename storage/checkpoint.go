package storage

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Timeline names one history of a database. Copies of the database share it
// until one of them is restored: from there on sequences mean something else, so
// a restored database gets a new one. An archive of writes belongs to a timeline.
type Timeline [16]byte

func (t Timeline) String() string { return hex.EncodeToString(t[:]) }

// ParseTimeline reads what String returns.
func ParseTimeline(text string) (t Timeline, ok bool) {
	n, err := hex.Decode(t[:], []byte(text[:min(len(text), 2*len(t))]))
	return t, err == nil && n == len(t) && len(text) == 2*len(t)
}

// metaTimeline is the row of the timeline. A database gets it with its stamp, so
// that no read has to write; a migrated one has none until it is asked for it.
const metaTimeline = "sys/timeline"

// Timeline returns the database's timeline.
func (s *Store) Timeline() (Timeline, error) {
	s.timeline.Lock()
	defer s.timeline.Unlock()
	row, err := s.db.Latest().Get(familyDefault, []byte(metaTimeline))
	if err != nil {
		return Timeline{}, readError(err)
	}
	if row == nil {
		return startTimeline(s.db)
	}
	return parseTimeline(row)
}

func parseTimeline(row []byte) (t Timeline, err error) {
	if copy(t[:], row) != len(t) || len(row) != len(t) {
		return t, corrupt(fmt.Errorf("%s has %d bytes, want %d", metaTimeline, len(row), len(t)))
	}
	return t, nil
}

// startTimeline gives the database a new timeline.
func startTimeline(db *rocks.DB) (Timeline, error) {
	t := newTimeline()
	var b rocks.Batch
	putTimeline(&b, t)
	if err := db.Write(&b, true); err != nil {
		return t, writeFailure(err)
	}
	return t, nil
}

func newTimeline() (t Timeline) {
	_, _ = rand.Read(t[:]) // it never fails
	return t
}

func putTimeline(b *rocks.Batch, t Timeline) { b.Put(familyDefault, []byte(metaTimeline), t[:]) }

// checkpointFlushAbove is how much write-ahead log a checkpoint copies; if there
// is more, it has the memtables written out first. Copying that much takes a
// fraction of a second, and every flush leaves small files behind.
const checkpointFlushAbove = 64 << 20

// Checkpoint puts a copy of the database into the folder dir, which must not
// exist; its parent must. It holds exactly the state after some commit that was
// the newest at some point during the call. Table files are hard links where
// the file system allows it. The files aren't synced. Commits go on.
func (s *Store) Checkpoint(dir string) error {
	if _, err := s.Timeline(); err != nil { // so that the copy has one
		return err
	}
	// A checkpoint copies what the log file holds; under sync all acknowledged
	// commits are in it, and in the other modes the system has them.
	return copyError(s.db.Checkpoint(dir, checkpointFlushAbove))
}

// copyError is for what reads the database and writes elsewhere.
func copyError(err error) error {
	if errs.KindOf(readError(err)) == errs.StorageFull {
		return errs.Wrap(err, errs.StorageFull, "disk_full",
			"There is no room for the copy. It was removed, and the database is as before. Free some space there and try again.")
	}
	return readError(err)
}

// State says which state of a database a folder holds.
type State struct {
	Seq      Seq
	Format   Format
	Timeline Timeline
	// Rows is RocksDB's own sequence number.
	Rows uint64
}

// StateOf reads the state of the database at path, which no process may have
// open. It changes nothing there.
func StateOf(path string) (State, error) {
	if !rocks.Exists(path) {
		return State{}, errs.New(errs.NotFound, "storage_not_found", "There is no database at %s.", path)
	}
	source, err := rocks.OpenSource(path)
	if err != nil {
		return State{}, openError(path, err)
	}
	defer source.Close()
	state := State{Rows: source.LatestSequence()}
	for key, read := range map[string]func([]byte) error{
		metaLastSeq: func(row []byte) error {
			if len(row) != 8 {
				return corrupt(fmt.Errorf("%s has %d bytes, want 8", metaLastSeq, len(row)))
			}
			state.Seq = Seq(binary.LittleEndian.Uint64(row))
			return nil
		},
		metaFormat: func(row []byte) (err error) {
			ok := false
			if state.Format, ok = parseStamp(row); !ok {
				err = foreignData(path)
			}
			return err
		},
		metaTimeline: func(row []byte) (err error) {
			state.Timeline, err = parseTimeline(row)
			return err
		},
	} {
		row, err := source.Get(families[familyDefault].Name, []byte(key))
		if err != nil {
			return State{}, readError(err)
		}
		if row == nil {
			continue
		}
		if err := read(row); err != nil {
			return State{}, err
		}
	}
	return state, nil
}

// CheckUnlocked fails with Conflict, "storage_locked", if another process has the
// database at path open. A process must not ask about one that it has open
// itself: asking gives the lock up.
func CheckUnlocked(path string) error {
	f, err := os.Open(filepath.Join(path, "LOCK"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return openError(path, err)
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil {
		return openError(path, err)
	}
	if lock.Type != syscall.F_UNLCK {
		return errs.New(errs.Conflict, "storage_locked", "Process %d has the database at %s open. Stop it first.", lock.Pid, path)
	}
	return nil
}
