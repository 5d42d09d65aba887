package hnsw

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"unsafe"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
)

// The vectors of a quantized graph lie in a file, which the system writes and reads as
// it sees fit. After a restart from a checkpoint a slot's vector in it is the one that
// the checkpoint means: the file was put on disk before the checkpoint got its name,
// and a slot that got another vector since belonged to an id that was changed since,
// which whoever loads puts anew or deletes. That chain ends where an epoch is loaded
// that isn't whole, so such epochs are forgotten before the first put, and with an
// index that isn't loaded, so that one begins with a file of a new name.
//
// What a disk does to the file is seen by the vectors' checksums, which lie with the
// checkpoint. They are looked at when a vector is first used, as all of them are too
// many to be read at a start. One that is wrong is restored from the database. Where the
// file can't be read at all, a search goes by what the database has, each time anew.

const coldPrefix = "vectors-"

// newColdFile makes a name for the file of the vectors and removes the files there
// were; none if the vectors are to lie in memory.
func (o *Options) newColdFile() (string, error) {
	if o.Dir == "" || o.Quantization == vecindex.Unquantized {
		return "", nil
	}
	entries, err := os.ReadDir(o.Dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), coldPrefix) {
			err = errors.Join(err, os.Remove(filepath.Join(o.Dir, e.Name())))
		}
	}
	if err != nil {
		return "", errs.Wrap(err, errs.Unavailable, "vector_file_failed", "the files of a vector index can't be removed")
	}
	return filepath.Join(o.Dir, fmt.Sprintf("%s%016x", coldPrefix, rand.Uint64())), nil
}

// hasColdFile says whether a file there is has the vectors of so many slots.
func hasColdFile(file string, slots, stride int) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Size() >= int64(slots)*int64(stride)*4
}

func (s *slots) sum(slot uint32) uint32 {
	return crc32.Checksum(bytesOf(s.vector(slot)), castagnoli)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// vouch notes the checksum of a vector that was just written to the file.
func (s *slots) vouch(slot uint32) {
	if s.file != "" {
		*s.sums.At(slot) = s.sum(slot)
		s.suspect.clear(slot)
	}
}

// appendLost appends the indexes in slots of those whose vectors are lost for good, after
// it has looked at the suspect ones and restored what could be.
func (x *Index) appendLost(dst []int, slots []uint32) []int {
	for i, slot := range slots {
		if x.slots.suspect.has(slot) && !x.prove(slot) {
			dst = append(dst, i)
		}
	}
	return dst
}

// prove says whether the file holds the vector of a suspect slot now.
func (x *Index) prove(slot uint32) bool {
	mu := &x.restoring[slot%uint32(len(x.restoring))]
	mu.Lock()
	defer mu.Unlock()
	if !x.slots.suspect.has(slot) {
		return true
	}
	var whole bool
	if !x.slots.touch(func() { whole = x.slots.sum(slot) == *x.slots.sums.At(slot) || x.restore(slot) }) {
		return true // whoever reads it will see
	}
	if whole {
		x.slots.suspect.clear(slot)
	}
	return whole
}

// restore writes the vector of a slot anew. The slot is suspect, so nobody reads it.
func (x *Index) restore(slot uint32) bool {
	if !x.readStored(x.slots.vector(slot), slot) {
		return false
	}
	if n := x.restored.Add(1); n&(n-1) == 0 { // not a line for each of a million
		x.opts.Logger.Error("the file of a vector index had lost vectors; they were read anew from the database",
			"file", x.slots.file, "vectors", n)
	}
	return true
}

// readStored makes dst the vector of a slot as the database has it.
func (x *Index) readStored(dst []float32, slot uint32) bool {
	if x.opts.Restore == nil {
		return false
	}
	vec, ok := x.opts.Restore(nil, *x.slots.ids.At(slot), *x.slots.stamps.At(slot))
	return ok && x.space.Prepare(dst, vec) == nil
}

// touch calls fn, which reads or writes vectors, and says whether it came to its end: it
// doesn't where the disk can't read a page of the file or somebody has cut it short. The
// system tells of that by a signal, which would otherwise end the process. fn holds no
// lock that it doesn't release by defer.
func (s *slots) touch(fn func()) (done bool) {
	if s.file == "" {
		fn()
		return true
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil && !s.isUnreadable(r) {
			panic(r)
		}
	}()
	fn()
	return true
}

// isUnreadable says whether a panic is about an address in the file.
func (s *slots) isUnreadable(r any) bool {
	fault, ok := r.(interface{ Addr() uintptr })
	if !ok {
		return false
	}
	first := uintptr(unsafe.Pointer(unsafe.SliceData(s.matrix)))
	return fault.Addr() >= first && fault.Addr() < first+4*uintptr(len(s.matrix))
}

// vectorOf copies the vector of a slot to dst, or what the database has of it if the file
// can't be read; false if that has none either.
func (x *Index) vectorOf(dst []float32, slot uint32) bool {
	if x.slots.touch(func() { copy(dst, x.slots.vector(slot)) }) {
		return true
	}
	if n := x.unreadable.Add(1); n&(n-1) == 0 {
		x.opts.Logger.Error("the file of a vector index can't be read in places; searches are slower by asking the database instead. See to the disk, then restart the server with the file removed",
			"file", x.slots.file, "vectors", n)
	}
	return x.readStored(dst, slot)
}

// scoreEach is what scoreExact does where the file can't be read.
func (x *Index) scoreEach(s *scratch, slots []uint32, out []float32) {
	vec := make([]float32, x.slots.stride)
	for i, slot := range slots {
		out[i] = math.MaxFloat32
		if x.vectorOf(vec, slot) {
			x.space.Distances(s.query, vec, []uint32{0}, out[i:i+1])
		}
	}
}
