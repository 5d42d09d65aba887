package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// Version is the version of the format that is written and read.
const Version = 1

const (
	manifestMagic = "THEMISCK"
	blocksMagic   = "THEMISCB"
	// blocksHeader is the size of what stands before the first block of a file.
	blocksHeader   = 16
	manifestPrefix = "MANIFEST-"
	blocksPrefix   = "blocks-"
	unfinished     = ".tmp"
	// manifestMaximum is more than any manifest has: the table of 2^31 elements of
	// the largest vectors.
	manifestMaximum = 1 << 30
)

func manifestName(epoch uint64) string { return fmt.Sprintf("%s%016x", manifestPrefix, epoch) }
func blocksName(epoch uint64) string   { return fmt.Sprintf("%s%016x", blocksPrefix, epoch) }

// numberOf is the epoch in a file's name; false if the name isn't one with that
// prefix.
func numberOf(name, prefix string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	var epoch uint64
	for _, c := range []byte(digits) {
		at := strings.IndexByte("0123456789abcdef", c)
		if at < 0 {
			return 0, false
		}
		epoch = epoch<<4 | uint64(at)
	}
	return epoch, epoch != 0
}

// Manifest is what an epoch says of itself.
type Manifest struct {
	// Epoch numbers the checkpoints of a folder, from 1.
	Epoch uint64
	// Sequence is the change up to which all are in, Until the last of which a part
	// may be.
	Sequence, Until uint64
	// Owner says whose state it is.
	Owner string
	// Parameters are the index's own.
	Parameters []byte
	Columns    []Layout
}

// Layout is a column of an epoch.
type Layout struct {
	Name                    string
	Count, Stride, PerBlock int
	blocks                  []block
}

// block is where a block of a column is.
type block struct {
	file   uint64 // the epoch of the file it is in
	offset uint64
	sum    uint32 // CRC-32C of its bytes
}

// length is the bytes of a block of the column.
func (l *Layout) length(block int) int { return elements(l.Count, l.PerBlock, block) * l.Stride }

// Bytes is the size of all blocks.
func (m *Manifest) Bytes() (n int64) {
	for _, c := range m.Columns {
		n += int64(c.Count) * int64(c.Stride)
	}
	return n
}

// files is how many bytes of each file the epoch needs.
func (m *Manifest) files() map[uint64]int64 {
	files := map[uint64]int64{}
	for i := range m.Columns {
		c := &m.Columns[i]
		for j, b := range c.blocks {
			files[b.file] += int64(c.length(j))
		}
	}
	return files
}

func (m *Manifest) column(name string) *Layout {
	for i := range m.Columns {
		if m.Columns[i].Name == name {
			return &m.Columns[i]
		}
	}
	return nil
}

// encode is the manifest as FORMAT.md draws it.
func (m *Manifest) encode() []byte {
	le := binary.LittleEndian
	b := append([]byte(nil), manifestMagic...)
	b = le.AppendUint32(b, Version)
	order := byteOrder()
	b = append(b, order[:]...)
	b = le.AppendUint64(b, m.Epoch)
	b = le.AppendUint64(b, m.Sequence)
	b = le.AppendUint64(b, m.Until)
	b = le.AppendUint32(b, uint32(len(m.Owner)))
	b = append(b, m.Owner...)
	b = le.AppendUint32(b, uint32(len(m.Parameters)))
	b = append(b, m.Parameters...)
	b = le.AppendUint32(b, uint32(len(m.Columns)))
	for _, c := range m.Columns {
		b = append(b, byte(len(c.Name)))
		b = append(b, c.Name...)
		b = le.AppendUint32(b, uint32(c.Stride))
		b = le.AppendUint32(b, uint32(c.PerBlock))
		b = le.AppendUint64(b, uint64(c.Count))
		for _, block := range c.blocks {
			b = le.AppendUint64(b, block.file)
			b = le.AppendUint64(b, block.offset)
			b = le.AppendUint32(b, block.sum)
		}
	}
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// blockEntry is the bytes of a block in a manifest.
const blockEntry = 8 + 8 + 4

var errManifest = errors.New("it doesn't fit together")

// parseManifest is the inverse of encode. It believes nothing it reads.
func parseManifest(b []byte) (*Manifest, error) {
	le := binary.LittleEndian
	if len(b) < len(manifestMagic)+8+4 || string(b[:len(manifestMagic)]) != manifestMagic {
		return nil, errors.New("it is no manifest")
	}
	body, sum := b[:len(b)-4], le.Uint32(b[len(b)-4:])
	if version := le.Uint32(body[len(manifestMagic):]); version != Version {
		return nil, fmt.Errorf("it has version %d, this program reads version %d", version, Version)
	}
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errors.New("its checksum is wrong")
	}
	if order := byteOrder(); string(body[len(manifestMagic)+4:len(manifestMagic)+8]) != string(order[:]) {
		return nil, errors.New("a machine with another byte order wrote it")
	}
	r := reader{rest: body[len(manifestMagic)+8:]}
	m := &Manifest{Epoch: r.u64(), Sequence: r.u64(), Until: r.u64()}
	m.Owner = string(r.bytes(uint64(r.u32())))
	m.Parameters = append(m.Parameters, r.bytes(uint64(r.u32()))...)
	for range r.u32() {
		m.Columns = append(m.Columns, r.layout())
		if r.bad {
			break
		}
	}
	if r.bad || len(r.rest) != 0 || m.Until < m.Sequence || m.Epoch == 0 {
		return nil, errManifest
	}
	return m, nil
}

// reader takes a manifest apart. After bad is set everything it returns is zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) layout() (l Layout) {
	if name := r.bytes(1); name != nil {
		l.Name = string(r.bytes(uint64(name[0])))
	}
	stride, perBlock, count := uint64(r.u32()), uint64(r.u32()), r.u64()
	// With these bounds no product or sum below is beyond an int64.
	if stride == 0 || perBlock == 0 || stride*perBlock > 1<<30 || count > 1<<32 {
		r.bad = true
		return l
	}
	l.Stride, l.PerBlock, l.Count = int(stride), int(perBlock), int(count)
	n := blockCount(l.Count, l.PerBlock)
	table := r.bytes(uint64(n) * blockEntry)
	if r.bad {
		return l
	}
	l.blocks = make([]block, n)
	for i := range l.blocks {
		entry := table[i*blockEntry:]
		l.blocks[i] = block{
			file:   binary.LittleEndian.Uint64(entry),
			offset: binary.LittleEndian.Uint64(entry[8:]),
			sum:    binary.LittleEndian.Uint32(entry[16:]),
		}
		r.bad = r.bad || l.blocks[i].offset > 1<<60
	}
	return l
}
