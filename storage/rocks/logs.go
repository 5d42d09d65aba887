package rocks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The write-ahead log and the manifest in RocksDB's format (db/log_format.h):
// blocks of 32 KiB of fragments, which don't cross blocks.
//
//	fragment := crc:u32 length:u16 type:u8 [log:u32] data    (crc from type on, masked)
//
// A record is one full fragment, or a first, any middle and a last one. Types
// that are 4 higher have the number of the log. Fewer bytes than a header end a
// block; a block's rest may be zeros. A record of the write-ahead log is a batch,
// which begins with its sequence number.
const (
	logBlock  = 32 << 10
	logHeader = 7

	fragmentFull   = 1
	fragmentFirst  = 2
	fragmentMiddle = 3
	fragmentLast   = 4
	numbered       = 4 // is added to these
)

// logPart is what a scan of a log meets.
type logPart int

const (
	wholeRecord logPart = iota
	unusedSpace         // zeros up to the end of a block or of the file
	tornPart            // something that the file ends in
	badPart             // what is none of these
)

// logScan goes over a log. Behind damage it looks for the next fragment at every
// byte of the block, since a length may be what was damaged.
type logScan struct {
	// meet is called with each part and where it begins, for records also with
	// where they end and the number that they begin with. It returns whether to go
	// on.
	meet func(part logPart, from, to int64, sequence uint64) bool

	table  *crc32.Table
	done   bool
	inside bool // a first fragment was read, its last not yet
	from   int64
	head   []byte // the first bytes of the record
}

func scanLog(r io.Reader, meet func(part logPart, from, to int64, sequence uint64) bool) error {
	s := logScan{meet: meet, table: crc32.MakeTable(crc32.Castagnoli), head: make([]byte, 0, 8)}
	block := make([]byte, logBlock)
	for at := int64(0); !s.done; at += logBlock {
		n, err := io.ReadFull(r, block)
		s.block(at, block[:n])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			if s.inside && !s.done {
				s.damage(tornPart, at+int64(n))
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// damage reports a part that is no record, nor in one any more.
func (s *logScan) damage(part logPart, at int64) {
	s.inside = false
	s.done = !s.meet(part, at, at, 0)
}

// block reads the fragments of one block.
func (s *logScan) block(at int64, block []byte) {
	offset, used := 0, len(bytes.TrimRight(block, "\x00"))
	for !s.done && len(block)-offset >= logHeader {
		header, length, kind := s.fragment(block[offset:])
		end := offset + header + length
		switch {
		case kind != 0:
			s.join(at+int64(offset), at+int64(end), kind, block[offset+header:end])
			offset = end
			continue
		case offset >= used && !s.inside:
			s.damage(unusedSpace, at+int64(offset))
			return
		case offset >= used:
			s.damage(tornPart, at+int64(offset))
			return
		case end > len(block) && end <= logBlock:
			s.damage(tornPart, at+int64(offset))
		default:
			s.damage(badPart, at+int64(offset))
		}
		offset++
	}
	if !s.done && offset < len(block) && len(block) < logBlock {
		part := tornPart // a part of a header
		if offset >= used && !s.inside {
			part = unusedSpace
		}
		s.damage(part, at+int64(offset))
	}
}

// join adds a fragment to its record.
func (s *logScan) join(from, to int64, kind byte, data []byte) {
	if kind == fragmentFull || kind == fragmentFirst {
		s.from, s.head = from, s.head[:0]
	} else if !s.inside {
		return // its beginning was damaged
	}
	s.head = append(s.head, data[:min(len(data), cap(s.head)-len(s.head))]...)
	s.inside = true
	if kind == fragmentFull || kind == fragmentLast {
		s.inside = false
		sequence := uint64(0)
		if len(s.head) == cap(s.head) {
			sequence = binary.LittleEndian.Uint64(s.head)
		}
		s.done = !s.meet(wholeRecord, s.from, to, sequence)
	}
}

// fragment returns the lengths of the header and the data that b begins with, as
// they are given, and the type; that is 0 if there is no fragment.
func (s *logScan) fragment(b []byte) (header, length int, kind byte) {
	header, length, kind = logHeader, int(binary.LittleEndian.Uint16(b[4:])), b[6]
	if kind > numbered {
		header, kind = header+4, kind-numbered
	}
	if kind < fragmentFull || kind > fragmentLast || header+length > len(b) || s.checksum(b[6:header+length]) != binary.LittleEndian.Uint32(b) {
		return header, length, 0
	}
	return header, length, kind
}

func (s *logScan) checksum(b []byte) uint32 {
	const maskDelta = 0xa282ead8
	sum := crc32.Checksum(b, s.table)
	return (sum>>15 | sum<<17) + maskDelta
}

// CheckLog reads a write-ahead log or a manifest by itself. It reports whether
// that ends in the middle of a record or in unused space, as a crash may leave
// it, and where the first damage is, -1 if there is none.
func CheckLog(r io.Reader) (cut bool, bad int64, err error) {
	end, unused := int64(-1), false
	bad = -1
	err = scanLog(r, func(part logPart, from, _ int64, _ uint64) bool {
		switch {
		case end >= 0 && (part == wholeRecord || unused && part != unusedSpace):
			bad = end // it wasn't the end
		case end < 0 && part == badPart:
			bad = from
		case end < 0 && part != wholeRecord:
			end, unused = from, part == unusedSpace
		}
		return bad < 0
	})
	return end >= 0 && bad < 0, bad, err
}

// LogDamage is damage in a write-ahead log that no crash explains: whole records
// follow it.
type LogDamage struct {
	File   string
	Offset int64
}

func (d *LogDamage) Error() string {
	return fmt.Sprintf("the write-ahead log %s is damaged at byte %d, and there are whole records after that", d.File, d.Offset)
}

// CheckLogs reads the write-ahead logs of a database that isn't open. RocksDB
// stops at the first bad record and drops what follows: right for the torn end
// that a crash leaves, which no sync had covered, and a silent loss of all that
// was synced after it if a record went bad later. CheckLogs tells the two apart
// and returns a LogDamage for the second, nil if there is none.
//
// It can tell only where every write to the log is synced before the next one
// begins, as storage does under DurabilitySync for every commit, whatever it is
// for. Two that aren't may reach the disk in the wrong order: then a power failure
// leaves a whole record behind a hole too.
//
// What an interrupted Resume will cut off doesn't count as a record.
func CheckLogs(path string) (*LogDamage, error) {
	last, _, err := interrupted(path)
	if err != nil {
		return nil, err
	}
	files, err := logFiles(path)
	if err != nil {
		return nil, err
	}
	var damage *LogDamage
	for _, file := range files {
		found := false
		unused := int64(-1)
		note := func(at int64) {
			if damage == nil {
				damage = &LogDamage{File: file, Offset: at}
			}
		}
		err := scanFile(file, func(part logPart, from, _ int64, sequence uint64) bool {
			switch part {
			case wholeRecord:
				if sequence > last {
					break
				}
				if unused >= 0 {
					note(unused)
				}
				found = damage != nil
			case unusedSpace:
				if unused < 0 {
					unused = from
				}
			case tornPart, badPart:
				note(from)
			}
			return !found
		})
		if err != nil || found {
			return damage, err
		}
	}
	return nil, nil
}

func scanFile(name string, meet func(part logPart, from, to int64, sequence uint64) bool) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return scanLog(f, meet)
}

// logFiles lists the write-ahead logs in a folder in order.
func logFiles(folder string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(escapeGlob(folder), "*.log"))
	slices.SortFunc(files, func(a, b string) int { // by number: 1000000.log comes after 999999.log
		if d := len(a) - len(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return files, err
}

// escapeGlob makes a path match itself.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// cutLogs takes off the logs what stands behind sequence number last: a write
// that failed, whole or in part. RocksDB may be moving logs away meanwhile.
func cutLogs(path string, last uint64) error {
	for _, folder := range []string{path, filepath.Join(path, "archive")} {
		files, err := logFiles(folder)
		if err != nil {
			return err
		}
		for _, file := range slices.Backward(files) {
			kept, err := cutLog(file, last)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if kept {
				break
			}
		}
	}
	return nil
}

// cutLog reports whether there is a record that stays.
func cutLog(name string, last uint64) (kept bool, err error) {
	end := int64(0)
	if err := scanFile(name, func(part logPart, _, to int64, sequence uint64) bool {
		if part == wholeRecord && sequence <= last {
			end = to
		}
		return true
	}); err != nil {
		return false, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > end {
		err = errors.Join(f.Truncate(end), f.Sync())
	}
	return end > 0, errors.Join(err, f.Close())
}
