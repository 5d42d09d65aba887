package storage

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/keys"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Seq numbers the oplog records. It grows by one each and starts at 1; 0 stands
// before the first.
type Seq uint64

// OpKind says what an oplog record did. The values are on disk.
type OpKind uint8

// The kinds of oplog records.
const (
	OpPut       OpKind = 1
	OpDelete    OpKind = 2
	OpDropTable OpKind = 3
)

// Op is an oplog record: that an entity changed, not what it holds.
type Op struct {
	Kind      OpKind
	Table, ID uint32 // ID is 0 in a drop
	PK        string // empty in a drop
	Stamp     uint64 // as given to the Batch
}

// opHeader is kind, table, id, stamp; the pk follows.
const opHeader = 1 + 4 + 4 + 8

func (op Op) append(dst []byte) []byte {
	dst = append(dst, byte(op.Kind))
	dst = binary.LittleEndian.AppendUint32(dst, op.Table)
	dst = binary.LittleEndian.AppendUint32(dst, op.ID)
	dst = binary.LittleEndian.AppendUint64(dst, op.Stamp)
	return append(dst, op.PK...)
}

func parseOp(b []byte) (Op, error) {
	if len(b) < opHeader {
		return Op{}, fmt.Errorf("oplog record of %d bytes, want at least %d", len(b), opHeader)
	}
	op := Op{
		Kind:  OpKind(b[0]),
		Table: binary.LittleEndian.Uint32(b[1:]),
		ID:    binary.LittleEndian.Uint32(b[5:]),
		Stamp: binary.LittleEndian.Uint64(b[9:]),
		PK:    string(b[opHeader:]),
	}
	if op.Kind < OpPut || op.Kind > OpDropTable {
		return Op{}, fmt.Errorf("oplog record of unknown kind %d", b[0])
	}
	return op, nil
}

// ReadOplog calls fn with each oplog record after from, in order, until fn
// returns false. If records after from have been trimmed it fails with
// NotFound, code "oplog_trimmed", and calls fn not once.
func (s *Store) ReadOplog(ctx context.Context, from Seq, fn func(seq Seq, op Op) (bool, error)) error {
	view := s.db.Pin() // so that the check and the scan see one state
	defer view.Release()
	trimmed, err := readSeq(view, metaTrimmed)
	if err != nil {
		return err
	}
	if from < trimmed {
		return errs.New(errs.NotFound, "oplog_trimmed",
			"The change log starts after sequence %d; changes after %d were asked for. Read everything anew.", trimmed, from)
	}
	tick := canceler{ctx: ctx}
	r := rocks.Range{Lower: keys.AppendSeq(nil, uint64(from)+1)}
	return readError(view.Scan(familyOplog, r, func(key, value []byte) (bool, error) {
		seq, err := keys.SplitSeq(key)
		if err != nil {
			return false, corrupt(err)
		}
		op, err := parseOp(value)
		if err != nil {
			return false, corrupt(fmt.Errorf("at sequence %d: %w", seq, err))
		}
		if err := tick.err(); err != nil {
			return false, err
		}
		return fn(Seq(seq), op)
	}))
}

// OplogStart returns the newest sequence that was trimmed from the oplog.
func (s *Store) OplogStart() (Seq, error) { return readSeq(s.db.Latest(), metaTrimmed) }

// TrimOplog removes the oplog records up to and including upTo. Sequences go on
// where they were.
func (s *Store) TrimOplog(upTo Seq) error {
	upTo = min(upTo, s.LastSeq())
	view := s.db.Latest()
	trimmed, err := readSeq(view, metaTrimmed)
	if err != nil || upTo <= trimmed {
		return err
	}
	b := Batch{removes: true}
	b.rows.DeleteRange(familyOplog, keys.AppendSeq(nil, 0), keys.AppendSeq(nil, uint64(upTo)+1))
	b.rows.Put(familyDefault, []byte(metaTrimmed), binary.LittleEndian.AppendUint64(nil, uint64(upTo)))
	_, err = s.Commit(&b, CommitOptions{})
	return err
}
