package checkpoint

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vccdb/vccdb/internal/errs"
)

const (
	// kept is how many epochs there are.
	kept = 2
	// filesMaximum is how many files of blocks an epoch may need before everything is
	// written again.
	filesMaximum = 64
	// syncEvery is how much is written before it is put on disk. Without it the system
	// would gather gigabytes and then keep the disk from everybody else.
	syncEvery = 32 << 20
)

// Saved says what Save wrote.
type Saved struct {
	Manifest *Manifest
	// Blocks and Bytes are what was written of the columns.
	Blocks int
	Bytes  int64
	// Leftover says why files that aren't needed could not be removed, nil if they
	// were. The next Save tries again.
	Leftover error
}

// Save writes a state as the next epoch. Columns are copied while it runs. On an
// error the epochs are those there were, and the caller returns its marks.
func (f *Folder) Save(ctx context.Context, s State) (Saved, error) {
	w := &writer{folder: f, path: filepath.Join(f.path, blocksName(f.last+1)), emptied: f.emptied()}
	f.last++
	m := &Manifest{Epoch: f.last, Sequence: s.Sequence, Owner: f.owner, Parameters: s.Parameters}
	saved, err := w.save(ctx, m, s)
	if err != nil {
		if w.file != nil {
			w.file.Close()
		}
		// They are in nobody's way and go with the next Save if they can't now.
		_ = os.Remove(w.path)
		_ = os.Remove(filepath.Join(f.path, manifestName(m.Epoch)+unfinished))
		return Saved{}, saveError(err)
	}
	return saved, nil
}

func saveError(err error) error {
	var e *errs.Error
	switch {
	case errors.As(err, &e), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errs.Wrap(err, errs.StorageFull, "checkpoint_disk_full",
			"there is no space for a checkpoint; the ones there were are kept. Make space on the disk")
	}
	return ioError(err, "a checkpoint can't be written")
}

// emptied are the files whose blocks are to be written again: those of which less
// than half is needed, and all when there are too many.
func (f *Folder) emptied() map[uint64]bool {
	emptied := map[uint64]bool{}
	if f.base == nil {
		return emptied
	}
	files := f.base.files()
	for file, needed := range files {
		info, err := os.Stat(filepath.Join(f.path, blocksName(file)))
		if err != nil || info.Size() > 2*needed+blocksHeader || len(files) > filesMaximum {
			emptied[file] = true
		}
	}
	return emptied
}

// writer writes the blocks of one epoch.
type writer struct {
	folder  *Folder
	path    string
	file    *os.File
	emptied map[uint64]bool
	offset  uint64
	synced  uint64
	blocks  int
	buffer  []byte
}

func (w *writer) save(ctx context.Context, m *Manifest, s State) (Saved, error) {
	for i := range s.Columns {
		layout, err := w.column(ctx, m.Epoch, &s.Columns[i])
		if err != nil {
			return Saved{}, err
		}
		m.Columns = append(m.Columns, layout)
	}
	if w.file != nil {
		err := errors.Join(w.file.Sync(), w.file.Close())
		if w.file = nil; err != nil {
			return Saved{}, err
		}
	}
	var err error
	m.Until = m.Sequence
	if s.Finish != nil {
		if m.Until, err = s.Finish(); err != nil {
			return Saved{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return Saved{}, err
	}
	if err := w.publish(m); err != nil {
		return Saved{}, err
	}
	f := w.folder
	f.epochs = append([]*Manifest{m}, f.epochs[:min(len(f.epochs), kept-1)]...)
	f.base = m
	return Saved{Manifest: m, Blocks: w.blocks, Bytes: int64(max(w.offset, blocksHeader) - blocksHeader), Leftover: f.clean()}, nil
}

// column writes the blocks of a column that the base doesn't have.
func (w *writer) column(ctx context.Context, epoch uint64, c *Column) (Layout, error) {
	l := Layout{Name: c.Name, Count: c.Count, Stride: c.Stride, PerBlock: c.PerBlock, blocks: make([]block, c.blocks())}
	var old *Layout
	if w.folder.base != nil {
		old = w.folder.base.column(c.Name)
	}
	if old != nil && (old.Stride != l.Stride || old.PerBlock != l.PerBlock) {
		old = nil
	}
	for i := range l.blocks {
		if old != nil && i < len(old.blocks) && old.length(i) == l.length(i) && !c.changed(i) && !w.emptied[old.blocks[i].file] {
			l.blocks[i] = old.blocks[i]
			continue
		}
		if err := ctx.Err(); err != nil {
			return l, err
		}
		n := l.length(i)
		if cap(w.buffer) < n {
			w.buffer = make([]byte, n)
		}
		b := w.buffer[:n]
		c.Copy(b, i*c.PerBlock, elements(c.Count, c.PerBlock, i))
		if err := w.write(epoch, b); err != nil {
			return l, err
		}
		l.blocks[i] = block{file: epoch, offset: w.offset - uint64(n), sum: crc32.Checksum(b, castagnoli)}
	}
	return l, nil
}

// write appends a block to the file of the epoch, which is made for the first.
func (w *writer) write(epoch uint64, b []byte) error {
	if w.file == nil {
		file, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
		if err != nil {
			return err
		}
		w.file = file
		if _, err := file.Write(binary.LittleEndian.AppendUint64([]byte(blocksMagic), epoch)); err != nil {
			return err
		}
		w.offset = blocksHeader
	}
	if _, err := w.file.Write(b); err != nil {
		return err
	}
	w.blocks++
	if w.offset += uint64(len(b)); w.offset-w.synced >= syncEvery {
		w.synced = w.offset
		return w.file.Sync()
	}
	return nil
}

// publish gives the manifest its name.
func (w *writer) publish(m *Manifest) error {
	name := filepath.Join(w.folder.path, manifestName(m.Epoch))
	file, err := os.OpenFile(name+unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(m.encode())
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+unfinished, name); err != nil {
		return err
	}
	if err := syncFolder(w.folder.path); err != nil {
		// It may have got there. It goes, so that no epoch is loaded of which the caller
		// was told that it isn't one.
		if gone := os.Remove(name); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return err
	}
	return nil
}
