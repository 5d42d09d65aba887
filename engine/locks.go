package engine

import (
	"hash/maphash"
	"slices"
	"sync"
)

// keyStripes and uniqueStripes are large enough that two unrelated writes
// rarely meet, and small enough to be taken whole by a large batch.
const (
	keyStripes    = 1024
	uniqueStripes = 256
)

// stripes is a fixed set of mutexes that keys are hashed onto. A holder of
// several takes them in ascending order, so holders can't deadlock.
type stripes struct {
	seed    maphash.Seed
	mutexes []sync.Mutex
}

func newStripes(n int) *stripes {
	return &stripes{seed: maphash.MakeSeed(), mutexes: make([]sync.Mutex, n)}
}

// of returns the stripe of a key within a table, or of a term within an index.
func (s *stripes) of(id uint32, key []byte) int {
	var h maphash.Hash
	h.SetSeed(s.seed)
	h.Write([]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})
	h.Write(key)
	return int(h.Sum64() % uint64(len(s.mutexes)))
}

// lock takes the given stripes and returns how to give them back.
func (s *stripes) lock(wanted []int) (unlock func()) {
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	for _, i := range wanted {
		s.mutexes[i].Lock()
	}
	return func() {
		for _, i := range wanted {
			s.mutexes[i].Unlock()
		}
	}
}
