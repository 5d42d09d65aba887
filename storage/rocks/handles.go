package rocks

// #cgo LDFLAGS: -lrocksdb
// #include "read.h"
import "C"

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/linxGnu/grocksdb"
)

// The read path goes around grocksdb, which crosses into C four times and
// allocates twice for each row of a scan, and copies every key of a lookup into
// C. read.c does many rows or keys per crossing, which makes scans of an index
// 2.5 times as fast and lookups of a hundred keys too (BenchmarkRead). It calls
// the same library on the same handles, so the two agree on everything.

// handles are the C objects that grocksdb opened.
type handles struct {
	db       *C.rocksdb_t
	families []*C.rocksdb_column_family_handle_t
}

func newHandles(db *grocksdb.DB, families []*grocksdb.ColumnFamilyHandle) (handles, error) {
	var h handles
	p, err := cPointer(db)
	if err != nil {
		return h, err
	}
	h.db = (*C.rocksdb_t)(p)
	for _, f := range families {
		if p, err = cPointer(f); err != nil {
			return h, err
		}
		h.families = append(h.families, (*C.rocksdb_column_family_handle_t)(p))
	}
	return h, nil
}

// cPointer returns the C object behind one of grocksdb's. The package keeps it
// in a field named c and has no accessor.
func cPointer[T any](wrapper *T) (unsafe.Pointer, error) {
	field := reflect.ValueOf(wrapper).Elem().FieldByName("c")
	if !field.IsValid() || field.Kind() != reflect.Pointer {
		return nil, fmt.Errorf("rocks: this grocksdb keeps its C object elsewhere than in %T.c", wrapper)
	}
	return field.UnsafePointer(), nil
}
