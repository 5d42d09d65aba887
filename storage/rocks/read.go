package rocks

// #include "read.h"
import "C"

import (
	"context"
	"encoding/binary"
	"errors"
	"unsafe"
)

// lookup is the memory of one crossing of MultiGet. It is pooled: C writes to
// it, so it can't live on the stack.
type lookup struct {
	handles [C.multi_get_max]*C.rocksdb_pinnableslice_t
	values  [C.multi_get_max]*C.char
	lens    [C.multi_get_max]C.size_t
}

// multiGet looks up the keys in [start, end), at most multi_get_max.
func (v *View) multiGet(family int, keys *Keys, start, end int, fn func(i int, value []byte) error) error {
	l := v.db.lookups.Get().(*lookup)
	defer v.db.lookups.Put(l)
	first := C.size_t(0)
	if start > 0 {
		first = keys.ends[start-1]
	}
	n := end - start
	// Cut to n: cgo looks at the whole capacity for stray Go pointers.
	handles, values, lens := l.handles[:n:n], l.values[:n:n], l.lens[:n:n]
	text := C.multi_get(v.db.handles.db, v.read, v.db.handles.families[family], C.size_t(n),
		bytesPointer(keys.Buf), first, &keys.ends[start], &handles[0], &values[0], &lens[0])
	if text != nil {
		return wrap("read", takeError(text))
	}
	defer func() { C.multi_get_free(C.size_t(n), &handles[0]) }()
	for i, handle := range handles {
		var value []byte
		if handle != nil {
			value = []byte{}
			if lens[i] > 0 {
				value = unsafe.Slice((*byte)(unsafe.Pointer(values[i])), int(lens[i]))
			}
		}
		if err := fn(start+i, value); err != nil {
			return err
		}
	}
	return nil
}

// rowBuffer is the memory of a scan, pooled like lookup.
type rowBuffer struct {
	bytes []byte
	rows  C.uint32_t
	need  C.size_t
	err   *C.char
}

const (
	rowBufferBytes = 64 << 10
	// firstRows and moreRows: a scan that ends early should not have read much
	// ahead, a long one should cross seldom. The rows per crossing grow by moreRows.
	firstRows = 16
	moreRows  = 4
	maxRows   = 1 << 16
)

func (v *View) openScan(family int, r *Range) *C.scan {
	return C.scan_open(v.db.handles.db, v.db.handles.families[family], v.snap,
		bytesPointer(r.Lower), C.size_t(len(r.Lower)), bytesPointer(r.Upper), C.size_t(len(r.Upper)),
		r.flags())
}

func (v *View) scan(family int, r *Range, fn func(key, value []byte) (bool, error)) error {
	s := v.openScan(family, r)
	defer C.scan_close(s)
	b := v.db.rowBuffers.Get().(*rowBuffer)
	defer v.db.rowBuffers.Put(b)
	for limit := firstRows; ; limit = min(limit*moreRows, maxRows) {
		used := C.scan_fill(s, bytesPointer(b.bytes), C.size_t(len(b.bytes)), C.uint32_t(limit), &b.rows, &b.need, &b.err)
		switch {
		case b.need > 0:
			b.bytes = make([]byte, b.need)
			continue
		case b.rows == 0:
			return wrap("read", takeError(b.err))
		}
		if more, err := eachRow(b.bytes[:used], fn); err != nil || !more {
			return err
		}
	}
}

// countRows is how many rows are counted between two looks at the context, some
// hundred microseconds' worth.
const countRows = 4096

func (v *View) count(ctx context.Context, family int, r *Range, limit int) (n int, err error) {
	s := v.openScan(family, r)
	defer C.scan_close(s)
	b := v.db.rowBuffers.Get().(*rowBuffer)
	defer v.db.rowBuffers.Put(b)
	for n < limit {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		want := min(limit-n, countRows)
		got := int(C.scan_count(s, C.size_t(want), &b.err))
		n += got
		if got < want {
			return n, wrap("read", takeError(b.err))
		}
	}
	return n, nil
}

// eachRow calls fn with the rows that scan_fill wrote.
func eachRow(rows []byte, fn func(key, value []byte) (bool, error)) (more bool, err error) {
	for len(rows) > 0 {
		keyLen := binary.NativeEndian.Uint32(rows)
		valueLen := binary.NativeEndian.Uint32(rows[4:])
		key, rest := rows[8:8+keyLen:8+keyLen], rows[8+keyLen:]
		value := rest[:valueLen:valueLen]
		rows = rest[valueLen:]
		if more, err = fn(key, value); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

func (r *Range) flags() C.int {
	flags := 0
	if r.Reverse {
		flags |= C.scan_reverse
	}
	if r.Bulk {
		flags |= C.scan_no_fill_cache
	}
	return C.int(flags)
}

func bytesPointer(b []byte) *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(b))) }

// takeError copies and frees an error text of RocksDB, nil for none.
func takeError(text *C.char) error {
	if text == nil {
		return nil
	}
	defer C.rocksdb_free(unsafe.Pointer(text))
	return errors.New(C.GoString(text))
}
