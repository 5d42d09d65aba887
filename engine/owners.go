package engine

import (
	"sync/atomic"

	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/vecindex"
)

// owners remembers whose the vectors are that searches found lately: the primary
// key of an entity that had a vector under an id with a stamp. A stamp belongs to
// one write for good, so what is remembered never becomes wrong, and nothing has
// to be told of changes. Whether the vector is still there is the index's to say.
//
// Each place in the table belongs to the ids of one remainder, and the latest that
// was found stays. The zero value is ready; it may be used by many goroutines and
// has no lock.
type owners struct {
	table [ownerPlaces]atomic.Pointer[owner]
}

// ownerPlaces bounds the memory: some 100 bytes each for keys of usual length.
const ownerPlaces = 1 << 17

type owner struct {
	id    uint32
	stamp uint64
	pk    string
	// seen is a state in which the entity had the vector.
	seen storage.Seq
}

// note remembers the owner of a hit as a state has it; "" is none.
func (o *owners) note(h vecindex.Hit, pk string, at storage.Seq) {
	if pk != "" {
		o.table[h.ID%ownerPlaces].Store(&owner{h.ID, h.Stamp, pk, at})
	}
}

// pk is the primary key of the entity that a hit's vector belongs to, if that was
// seen in a state not after one.
func (o *owners) pk(h vecindex.Hit, notAfter storage.Seq) (string, bool) {
	known := o.table[h.ID%ownerPlaces].Load()
	if known == nil || known.id != h.ID || known.stamp != h.Stamp || known.seen > notAfter {
		return "", false
	}
	return known.pk, true
}
