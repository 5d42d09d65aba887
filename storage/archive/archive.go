// Package archive keeps a database's writes in files of their own, so that a
// snapshot can be rolled forward to any commit after it. ARCHIVE.md in package
// storage draws the bytes.
//
// An archive is a folder with one folder per timeline, and in it segments: a
// header and then write batches, each with its checksum, in the order of their
// sequence numbers. A segment's name is the sequence number of its first row. A
// Writer never writes to a segment it didn't make, so what a crash cut off stays
// cut off and the next segment goes on where the good part ended. Whether
// anything is missing is decided by the sequence numbers alone: Read fails at the
// first batch that doesn't follow.
//
// Neither type is safe for concurrent use. The package owns no goroutines and no
// locks.
package archive

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
	"strconv"
	"strings"
	"time"
)

const (
	magic   = "THEMISWA"
	version = 1
	// headerBytes: magic 8, version u32le, timeline 16, first u64le, created in
	// milliseconds u64le, CRC-32C of all that u32le.
	headerBytes = 8 + 4 + 16 + 8 + 8 + 4
	// recordHeader: length of the batch u32le, CRC-32C of the batch u32le.
	recordHeader = 4 + 4
	// batchHeader is the part of a batch that says which rows it has: the sequence
	// number of the first u64le, how many u32le.
	batchHeader = 8 + 4
	extension   = ".wal"
	// maxBatch bounds what a damaged length makes a reader allocate.
	maxBatch = 1 << 30
)

// Timeline names a history; see storage.Timeline.
type Timeline = [16]byte

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// folder is where a timeline's segments are.
func folder(dir string, t Timeline) string { return filepath.Join(dir, fmt.Sprintf("%x", t)) }

func appendHeader(b []byte, t Timeline, first uint64, created time.Time) []byte {
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = append(b, t[:]...)
	b = binary.LittleEndian.AppendUint64(b, first)
	b = binary.LittleEndian.AppendUint64(b, uint64(created.UnixMilli()))
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

func appendRecord(b, batch []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(batch)))
	b = binary.LittleEndian.AppendUint32(b, checksum(batch))
	return append(b, batch...)
}

// segment is one file.
type segment struct {
	path  string
	first uint64
}

// segments lists a timeline's files in order.
func segments(dir string, t Timeline) ([]segment, error) {
	entries, err := os.ReadDir(folder(dir, t))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []segment
	for _, entry := range entries {
		text, ok := strings.CutSuffix(entry.Name(), extension)
		first, err := strconv.ParseUint(text, 10, 64)
		if ok && err == nil {
			list = append(list, segment{filepath.Join(folder(dir, t), entry.Name()), first})
		}
	}
	slices.SortFunc(list, func(a, b segment) int { // by number, whatever the width
		switch {
		case a.first < b.first:
			return -1
		case a.first > b.first:
			return 1
		}
		return 0
	})
	return list, nil
}

// errDamaged is a record or header whose checksum or length is wrong, or that
// ends too early.
var errDamaged = errors.New("archive: damaged")

// read calls fn with the batches of a segment up to the first damaged one, for
// which it returns errDamaged. A file that ends after a whole record is sound.
func (s segment) read(t Timeline, fn func(batch []byte) (bool, error)) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, headerBytes)
	if _, err := io.ReadFull(f, head); err != nil {
		return errDamaged
	}
	want := appendHeader(nil, t, s.first, time.UnixMilli(int64(binary.LittleEndian.Uint64(head[36:]))))
	if !bytes.Equal(head, want) {
		return errDamaged
	}
	left := info.Size() - headerBytes
	for left > 0 {
		batch, err := readRecord(f, left)
		if err != nil {
			return err
		}
		left -= recordHeader + int64(len(batch))
		if more, err := fn(batch); err != nil || !more {
			return err
		}
	}
	return nil
}

func readRecord(r io.Reader, left int64) ([]byte, error) {
	var head [recordHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, errDamaged
	}
	n := int64(binary.LittleEndian.Uint32(head[:]))
	if n < batchHeader || n > maxBatch || n > left-recordHeader {
		return nil, errDamaged
	}
	batch := make([]byte, n)
	if _, err := io.ReadFull(r, batch); err != nil || checksum(batch) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errDamaged
	}
	return batch, nil
}

// rowsOf returns the sequence number of a batch's first row and of the row that
// the next batch begins with.
func rowsOf(batch []byte) (first, next uint64) {
	first = binary.LittleEndian.Uint64(batch)
	return first, first + uint64(binary.LittleEndian.Uint32(batch[8:]))
}

// GapError is a part of the history that the archive doesn't have.
type GapError struct {
	// From is the first sequence number that is missing, To the first one after it
	// that is there again, 0 if none is.
	From, To uint64
	// File is the damaged segment, "" if none is.
	File string
}

func (e *GapError) Error() string {
	text := fmt.Sprintf("the archive has nothing from row %d on", e.From)
	if e.To != 0 {
		text = fmt.Sprintf("the archive lacks rows %d to %d", e.From, e.To-1)
	}
	if e.File != "" {
		text += "; " + e.File + " is damaged"
	}
	return text
}

// Read calls fn with every batch that begins at sequence number from or later, in
// order, until fn returns false or the archive ends. If one is missing in
// between, it returns a *GapError. Batches that straddle from can't be: a copy of
// a database ends between two.
func Read(dir string, t Timeline, from uint64, fn func(batch []byte) (bool, error)) error {
	list, err := segments(dir, t)
	if err != nil {
		return err
	}
	next := from
	stopped := false
	damaged := ""
	for i, s := range list {
		if i+1 < len(list) && list[i+1].first <= from {
			continue // all of it lies before
		}
		err := s.read(t, func(batch []byte) (bool, error) {
			first, after := rowsOf(batch)
			switch {
			case after <= next:
				return true, nil
			case first != next:
				return false, &GapError{From: next, To: first, File: damaged}
			}
			next = after
			more, err := fn(batch)
			stopped = !more
			return more, err
		})
		switch {
		case errors.Is(err, errDamaged):
			damaged = s.path
		case err != nil || stopped:
			return err
		}
	}
	if damaged != "" && damaged != list[len(list)-1].path && list[len(list)-1].first > next {
		return &GapError{From: next, File: damaged}
	}
	return nil
}

// Writer appends to a timeline's archive.
type Writer struct {
	dir      string
	timeline Timeline
	maxBytes int64
	maxAge   time.Duration

	file  *os.File
	path  string
	size  int64
	since time.Time
	// next is the sequence number that the archive wants next.
	next uint64
	// synced is next as of the last Sync.
	synced uint64
	dirty  bool
	buf    []byte
}

// Open finds out where the archive of a timeline ends. Without one, Next is 0 and
// Begin says where it begins.
// Segments are ended when they have maxBytes or are maxAge old.
func Open(dir string, t Timeline, maxBytes int64, maxAge time.Duration) (*Writer, error) {
	if err := os.MkdirAll(folder(dir, t), 0o750); err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, timeline: t, maxBytes: maxBytes, maxAge: maxAge}
	list, err := segments(dir, t)
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		s := list[len(list)-1]
		w.next = s.first // it was begun with the row that was wanted next
		err := s.read(t, func(batch []byte) (bool, error) {
			_, w.next = rowsOf(batch)
			return true, nil
		})
		if err != nil && !errors.Is(err, errDamaged) {
			return nil, err
		}
	}
	w.synced = w.next
	return w, nil
}

// Next is the sequence number of the first row that isn't archived yet, 0 if
// nothing is.
func (w *Writer) Next() uint64 { return w.next }

// Begin begins an archive with the row first, durably: whatever is written from
// there on belongs to it, even if it is archived only after a crash.
func (w *Writer) Begin(first uint64, now time.Time) error {
	w.next, w.synced, w.dirty = first, first, true
	return errors.Join(w.begin(first, now), w.Sync())
}

// Append adds a batch. It isn't safe on disk before Sync. A batch that doesn't
// follow the last one begins a new segment; that a part is missing shows by the
// sequence numbers.
func (w *Writer) Append(batch []byte, now time.Time) error {
	first, next := rowsOf(batch)
	if w.file != nil && (first != w.next || w.size >= w.maxBytes || now.Sub(w.since) >= w.maxAge) {
		if err := w.end(); err != nil {
			return err
		}
	}
	if w.file == nil {
		if err := w.begin(first, now); err != nil {
			return err
		}
	}
	w.buf = appendRecord(w.buf[:0], batch)
	n, err := w.file.Write(w.buf)
	w.size += int64(n)
	if err != nil {
		return err
	}
	w.next, w.dirty = next, true
	return nil
}

// begin makes a segment. One of that name can only be there without a sound
// batch.
func (w *Writer) begin(first uint64, now time.Time) error {
	path := filepath.Join(folder(w.dir, w.timeline), fmt.Sprintf("%020d%s", first, extension))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	w.file, w.path, w.since = f, path, now
	n, err := f.Write(appendHeader(nil, w.timeline, first, now))
	w.size = int64(n)
	return errors.Join(err, syncDir(folder(w.dir, w.timeline)))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Sync puts what was appended on disk.
func (w *Writer) Sync() error {
	if !w.dirty {
		return nil
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.dirty, w.synced = false, w.next
	return nil
}

func (w *Writer) end() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.Sync(), w.file.Close())
	w.file = nil
	return err
}

// Close syncs and closes the segment.
func (w *Writer) Close() error { return w.end() }

// Abandon gives up what was appended since the last Sync, after a failed Append
// or Sync: how much of it is on disk isn't known. It is to be appended again, to a
// new segment; that some of it may stand in two is no harm.
func (w *Writer) Abandon() {
	if w.file != nil {
		_ = w.file.Close() // what it could say was said
		w.file = nil
	}
	w.next, w.dirty = w.synced, false
}

// Remove removes the segments, of every timeline, that were written last before a
// time, but not the one that w writes to.
func (w *Writer) Remove(before time.Time) error {
	timelines, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	for _, t := range timelines {
		files, err := filepath.Glob(filepath.Join(w.dir, t.Name(), "*"+extension))
		if err != nil || len(t.Name()) != 2*len(w.timeline) {
			continue
		}
		slices.Sort(files)
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil || file == w.path || !info.ModTime().Before(before) {
				break // in order, so that what stays has no gap
			}
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}
