package hnsw

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex/checkpoint"
	"github.com/vccdb/vccdb/vecindex/internal/offheap"
)

// Checkpoints
//
// A checkpoint is of one moment, at which links and slots stand still and a few
// figures, the marks and the pending slots are taken; that is a matter of milliseconds.
// The columns are copied afterwards, while everything goes on, so they have things in
// them that came later. What decides is the clock of that moment:
//
//   - A slot born after it, or freed, isn't there. One that was there has been neither
//     freed nor given to another when its birth is copied, which comes last, or is found
//     unchanged; so what was copied of it before is its own.
//   - A death after it counts: whoever loads hears of that change anyway.
//   - Links may lead to slots that aren't there, and are dropped by the loader. Who was
//     pending at that moment is linked anew. Everybody else's row had been written, and
//     what was changed in it since was changed by a linker, so that it is some row.
//
// The folder of an index with Options.Dir is that one.

// The columns of a checkpoint.
const (
	columnSlots   = "slots"   // what Put writes, part by part within a block
	columnPending = "pending" // a bit for each slot, in words
	columnLinks   = "links"   // rows of level 0
	columnUpper   = "upper"   // rows above
	columnFates   = "fates"   // the births of a block, then the deaths
)

// parameters are what a checkpoint says beside its columns.
type parameters struct {
	// Codes is codeVersion, and Seed that of the codes.
	Codes        int    `json:"codes"`
	Seed         uint64 `json:"seed"`
	Dimension    int    `json:"dimension"`
	Metric       string `json:"metric"`
	Quantization string `json:"quantization"`
	M            int    `json:"m"`
	// Clock is that of the moment, Slots and Upper how many slots and upper rows had
	// ever been used.
	Clock uint64 `json:"clock"`
	Slots uint32 `json:"slots"`
	Upper uint32 `json:"upper"`
	// Vectors is the file of the vectors, none if they are in the slots.
	Vectors string `json:"vectors,omitempty"`
}

// codeVersion changes with how a vector becomes a row: rows of another version aren't
// comparable with new ones.
const codeVersion = 1

func (x *Index) parameters() parameters {
	p := parameters{
		Codes: codeVersion, Seed: x.opts.Seed, Dimension: x.opts.Dimension, Metric: x.opts.Metric.String(),
		Quantization: x.opts.Quantization.String(), M: x.opts.M,
	}
	if x.slots.file != "" {
		p.Vectors = filepath.Base(x.slots.file)
	}
	return p
}

// part is an array with so many bytes for each slot, that Put writes.
type part struct {
	stride int
	bytes  func(first, n int) []byte
}

func partOf[T any](a *offheap.Array[T], perSlot int) part {
	var zero T
	size := int(unsafe.Sizeof(zero))
	return part{perSlot * size, func(first, n int) []byte {
		s := a.Slice(first*perSlot, n*perSlot)
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*size)
	}}
}

// parts are the arrays of the column of slots.
func (x *Index) parts() []part {
	s := x.slots
	parts := x.rows.parts()
	if s.file == "" {
		parts = append(parts, partOf(s.vectors, s.stride))
	} else {
		parts = append(parts, partOf(s.sums, 1))
	}
	return append(parts, partOf(s.stamps, 1), partOf(s.ids, 1), partOf(x.graph.upperAt, 1), partOf(s.levels, 1))
}

func strideOf(parts []part) (n int) {
	for _, p := range parts {
		n += p.stride
	}
	return n
}

// newMarks makes the marks of the slots, whose blocks depend on the parts.
func (x *Index) newMarks() error {
	g := &x.slots.arrays
	x.slots.marks = checkpoint.NewMarks(g, x.opts.Capacity, checkpoint.PerBlock(strideOf(x.parts())))
	x.slots.fateMarks = checkpoint.NewMarks(g, x.opts.Capacity, checkpoint.PerBlock(fateBytes))
	return g.Err()
}

const (
	fateBytes    = 16      // a birth and a death
	pendingWords = 1 << 17 // in a block
)

// moment is what is taken while all stands still.
type moment struct {
	parameters                 parameters
	pending                    []uint64
	slots, fates, links, upper checkpoint.Changed
}

// takeMoment takes the moment. Marks are made by those who share linking or hold mu.
func (x *Index) takeMoment() moment {
	x.linking.Lock()
	defer x.linking.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	m := moment{parameters: x.parameters()}
	m.parameters.Clock = x.clock.Load()
	m.parameters.Slots = x.slots.high.Load()
	m.parameters.Upper = x.graph.upperHigh
	m.pending = slices.Clone(x.slots.pending.members.words.Slice(0, words(m.parameters.Slots)))
	m.slots, m.fates = x.slots.marks.Take(), x.slots.fateMarks.Take()
	m.links, m.upper = x.graph.marks.Take(), x.graph.upperMarks.Take()
	return m
}

// words is how many words a bit for each slot takes.
func words(slots uint32) int { return (int(slots) + 63) / 64 }

// Save writes a checkpoint into folder. All changes up to sequence have been made;
// finish is as in checkpoint.State. Searches and changes go on. One call at a time.
func (x *Index) Save(ctx context.Context, folder *checkpoint.Folder, sequence uint64, finish func() (uint64, error)) (checkpoint.Saved, error) {
	side, ok := x.gate.enter()
	if !ok {
		return checkpoint.Saved{}, errClosed()
	}
	defer x.gate.leave(side)
	m := x.takeMoment()
	text, err := json.Marshal(m.parameters)
	if err != nil {
		return checkpoint.Saved{}, err
	}
	saved, err := folder.Save(untilClosed{ctx, x}, checkpoint.State{
		Sequence: sequence, Parameters: text, Columns: x.columns(&m),
		Finish: func() (uint64, error) {
			if x.slots.file != "" {
				if err := x.slots.vectors.Sync(); err != nil {
					return 0, err
				}
			}
			return finish()
		},
	})
	if err != nil {
		x.returnMarks(&m)
	}
	return saved, err
}

// columns are those of a checkpoint, the fates last.
func (x *Index) columns(m *moment) []checkpoint.Column {
	parts, g := x.parts(), x.graph
	high := int(m.parameters.Slots)
	return []checkpoint.Column{
		{Name: columnSlots, Count: high, Stride: strideOf(parts), PerBlock: x.slots.marks.PerBlock(), Changed: m.slots,
			Copy: func(dst []byte, first, n int) { copyParts(dst, parts, first, n) }},
		{Name: columnPending, Count: len(m.pending), Stride: 8, PerBlock: pendingWords,
			Copy: func(dst []byte, first, n int) { copy(dst, asBytes(m.pending[first:first+n])) }},
		{Name: columnLinks, Count: high, Stride: 4 * g.row0, PerBlock: g.marks.PerBlock(), Changed: m.links,
			Copy: func(dst []byte, first, n int) { loadRows(dst, g.level0.Slice(first*g.row0, n*g.row0)) }},
		{Name: columnUpper, Count: int(m.parameters.Upper), Stride: 4 * g.rowUp, PerBlock: g.upperMarks.PerBlock(), Changed: m.upper,
			Copy: func(dst []byte, first, n int) { loadRows(dst, g.upper.Slice(first*g.rowUp, n*g.rowUp)) }},
		{Name: columnFates, Count: high, Stride: fateBytes, PerBlock: x.slots.fateMarks.PerBlock(), Changed: m.fates,
			Late: x.slots.fateMarks, Copy: x.copyFates},
	}
}

func (x *Index) returnMarks(m *moment) {
	x.slots.marks.Return(m.slots)
	x.slots.fateMarks.Return(m.fates)
	x.graph.marks.Return(m.links)
	x.graph.upperMarks.Return(m.upper)
}

func copyParts(dst []byte, parts []part, first, n int) {
	for _, p := range parts {
		copyUnordered(dst, p.bytes(first, n))
		dst = dst[n*p.stride:]
	}
}

// copyUnordered copies slots of which some may be written at that time: those are born
// later, or never, and the loader drops them. Hence no detector of races here, which
// would also look into copy.
//
//go:norace
func copyUnordered(dst, src []byte) {
	whole := len(src) / 8
	if whole > 0 {
		to := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(dst))), whole)
		for i, word := range unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(src))), whole) {
			to[i] = word
		}
	}
	for i := 8 * whole; i < len(src); i++ {
		dst[i] = src[i]
	}
}

func loadRows(dst []byte, rows []uint32) {
	to := asWords(dst)
	for i := range rows {
		to[i] = atomic.LoadUint32(&rows[i])
	}
}

// copyFates copies deaths before births. A slot that is freed in between has then no
// birth, or one of a later owner, and can't look as if it had never died.
func (x *Index) copyFates(dst []byte, first, n int) {
	fates := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(dst))), 2*n)
	for i := range n {
		fates[n+i] = x.slots.death(uint32(first + i))
		fates[i] = x.slots.birth(uint32(first + i))
	}
}

func asBytes(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))
}

func asWords(b []byte) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// untilClosed is a context that also ends when the index is closed, for those who ask
// for its error now and then.
type untilClosed struct {
	context.Context
	x *Index
}

func (c untilClosed) Err() error {
	if c.x.stopping() {
		return errClosed()
	}
	return c.Context.Err()
}

// codeUnusable says that an epoch isn't one that an index can be made of.
const codeUnusable = "checkpoint_unusable"

func errNoState(reason string) error {
	return errs.New(errs.Conflict, codeUnusable, "%s", reason)
}
