package storage

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/vccdb/vccdb/storage/keys"
	"github.com/vccdb/vccdb/storage/rocks"
)

// ScanPKs calls fn with the table's primary keys that begin with prefix, in
// byte order, and their ids, until fn returns false.
func (r *Reader) ScanPKs(ctx context.Context, table uint32, prefix string, fn func(pk string, id uint32) (bool, error)) error {
	lower := keys.AppendPK(nil, table, prefix)
	bounds := rocks.Range{Lower: lower, Upper: keys.PrefixEnd(lower)}
	tick := canceler{ctx: ctx}
	return readError(r.view.Scan(familyPKs, bounds, func(key, value []byte) (bool, error) {
		if err := tick.err(); err != nil {
			return false, err
		}
		_, pk, err := keys.SplitPK(key)
		if err == nil && len(value) != 4 {
			err = fmt.Errorf("the id of a primary key has %d bytes", len(value))
		}
		if err != nil {
			return false, corrupt(err)
		}
		return fn(string(pk), binary.BigEndian.Uint32(value))
	}))
}
