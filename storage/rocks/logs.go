package rocks

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The write-ahead log in RocksDB's format (db/log_format.h): blocks of 32 KiB of
// fragments, which don't cross blocks.
//
//	fragment := crc:u32 length:u16 type:u8 data    (crc of type and data, masked)
//
// A record is one full fragment, or a first, any middle and a last one. Fewer
// bytes than a header end a block; a block's rest may be zeros.
const (
	logBlock  = 32 << 10
	logHeader = 7

	fragmentFull   = 1
	fragmentFirst  = 2
	fragmentMiddle = 3
	fragmentLast   = 4
)

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
// Logs that an interrupted Resume leaves have a torn record before whole ones,
// by design; they pass.
func CheckLogs(path string) (*LogDamage, error) {
	if cutOff, err := interrupted(path); cutOff || err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(escapeGlob(path), "*.log"))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b string) int { // by number: 1000000.log comes after 999999.log
		if d := len(a) - len(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	c := logCheck{}
	for _, file := range files {
		if err := c.file(file); err != nil || c.found {
			return c.damage, err
		}
	}
	return nil, nil
}

// escapeGlob makes a path match itself.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// logCheck goes over the logs in order.
type logCheck struct {
	// damage is the first bad fragment; found is set once a whole record followed.
	damage *LogDamage
	found  bool
	table  *crc32.Table
}

func (c *logCheck) file(name string) error {
	c.table = crc32.MakeTable(crc32.Castagnoli)
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, logBlock)
	inside := false // a first fragment was read, its last not yet
	for at := int64(0); !c.found; at += logBlock {
		n, err := io.ReadFull(f, block)
		if n > 0 {
			inside = c.block(name, at, block[:n], inside)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			if inside {
				c.note(name, at+int64(n)) // the record's end is missing
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// block checks the fragments of one block. It returns whether a record goes on
// in the next one. After damage it looks for the next fragment at every byte,
// since a length may be what was damaged.
func (c *logCheck) block(name string, at int64, block []byte, inside bool) bool {
	offset := 0
	for len(block)-offset >= logHeader {
		length, kind := c.fragment(block[offset:])
		switch {
		case length >= 0:
			whole := kind == fragmentFull || kind == fragmentLast && inside
			inside = kind == fragmentFirst || kind == fragmentMiddle && inside
			if whole && c.damage != nil {
				c.found = true
				return false
			}
			offset += logHeader + length
		case c.damage == nil && empty(block[offset:]):
			return inside // the rest of the block was never written
		default:
			c.note(name, at+int64(offset))
			inside = false
			offset++
		}
	}
	if offset < len(block) && len(block) < logBlock {
		c.note(name, at+int64(offset)) // a part of a header
	}
	return inside
}

// fragment returns the length and the type of the fragment that b begins with;
// the length is negative if there is none.
func (c *logCheck) fragment(b []byte) (length int, kind byte) {
	const maskDelta = 0xa282ead8
	length, kind = int(binary.LittleEndian.Uint16(b[4:])), b[6]
	if kind < fragmentFull || kind > fragmentLast || logHeader+length > len(b) {
		return -1, 0
	}
	rotated := binary.LittleEndian.Uint32(b) - maskDelta
	if crc32.Checksum(b[6:logHeader+length], c.table) != rotated>>17|rotated<<15 {
		return -1, 0
	}
	return length, kind
}

// empty reports whether b begins with a header of zeros.
func empty(b []byte) bool {
	return bytes.Count(b[:logHeader], []byte{0}) == logHeader
}

// note remembers the first damage.
func (c *logCheck) note(name string, offset int64) {
	if c.damage == nil {
		c.damage = &LogDamage{File: name, Offset: offset}
	}
}
