package engine

import (
	"sync/atomic"

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
}

// note remembers the owner of a hit; "" is none.
func (o *owners) note(h vecindex.Hit, pk string) {
	if pk != "" {
		o.table[h.ID%ownerPlaces].Store(&owner{h.ID, h.Stamp, pk})
	}
}

// pk is the primary key of the entity that a hit's vector belongs to.
func (o *owners) pk(h vecindex.Hit) (string, bool) {
	known := o.table[h.ID%ownerPlaces].Load()
	if known == nil || known.id != h.ID || known.stamp != h.Stamp {
		return "", false
	}
	return known.pk, true
}
