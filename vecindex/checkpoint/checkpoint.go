// Package checkpoint keeps states of an index on disk, so that a start needn't
// build it anew. A state is a set of columns, arrays of elements that the index
// copies out block by block while it is used, and a sequence: the number of a
// change up to which all changes are in. FORMAT.md beside this file draws every
// byte.
//
// It knows nothing of what the columns hold. What it promises:
//
//  1. An epoch (a checkpoint) is there as a whole or not at all: its manifest gets
//     its name only when every block it names is on disk.
//  2. A block that Load hands out is, byte for byte, one that Save was given for
//     that place of that epoch: each has a CRC-32C in the manifest, which has one
//     too. Of anything else Load says that it is lost. A file that was cut, changed,
//     exchanged or removed costs time, never a wrong byte.
//  3. Two epochs are kept, so that there is one when the newer can't be read. Blocks
//     that didn't change are shared by epochs; a file goes when none of the two
//     needs it, and one that is mostly not needed any more is emptied by writing the
//     rest of it again.
//
// A power failure that comes before Save has returned may leave either the new
// epoch or what was there before.
//
// There are no goroutines but Load's, which end with it. Marks are used by many; a
// Folder is used by one at a time.
package checkpoint

import (
	"hash/crc32"
	"unsafe"

	"github.com/vccdb/vccdb/internal/errs"
)

// Column is one of the arrays of a state to be saved.
type Column struct {
	// Name is its name in the manifest, 1 to 255 bytes.
	Name string
	// Count is how many elements there are, Stride the bytes of one and PerBlock how
	// many make a block. Stride and PerBlock don't change from epoch to epoch; if they
	// do, everything is written.
	Count, Stride, PerBlock int
	// Changed says which blocks changed since the last epoch; nil says that all did.
	Changed Changed
	// Late, if not nil, are marks that count as well, as they are when a block's turn
	// comes: its state is then not older than that of the columns before.
	Late *Marks
	// Copy writes the n elements from first on to dst, all of its n*Stride bytes, in
	// whatever order within a block Load's receiver expects.
	Copy func(dst []byte, first, n int)
}

func (c *Column) changed(block int) bool {
	return c.Changed.has(block) || c.Late != nil && c.Late.has(block)
}

// blocks is the number of blocks of the column.
func (c *Column) blocks() int { return blockCount(c.Count, c.PerBlock) }

func blockCount(count, perBlock int) int { return (count + perBlock - 1) / perBlock }

// elements is how many elements a block has.
func elements(count, perBlock, block int) int { return min(perBlock, count-block*perBlock) }

// State is what Save writes.
type State struct {
	// Sequence is the change up to which all are in.
	Sequence uint64
	// Parameters are the index's own and opaque here.
	Parameters []byte
	Columns    []Column
	// Finish is called once the blocks are on disk and makes the rest durable that
	// the epoch relies on. It returns the last change of which a part may be in.
	Finish func() (until uint64, err error)
}

// BlockBytes is about how large a block should be: small enough that little is
// written for a small change and lost with a bad one, and large enough for the disk.
const BlockBytes = 1 << 20

// PerBlock is the number of elements, a power of two, that make a block of about
// BlockBytes.
func PerBlock(stride int) int {
	n := 1
	for 2*n*stride <= BlockBytes {
		n *= 2
	}
	return n
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// byteOrder is the first four bytes of memory that hold 0x01020304. Columns are
// written as they lie in memory.
func byteOrder() [4]byte {
	order := uint32(0x01020304)
	return *(*[4]byte)(unsafe.Pointer(&order))
}

func ioError(err error, what string) error {
	return errs.Wrap(err, errs.Unavailable, "checkpoint_failed", "%s; the checkpoints there were are kept", what)
}
