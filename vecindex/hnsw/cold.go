package hnsw

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

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
// many to be read at a start. One that is wrong is restored from the database.

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
	x.restoring.Lock()
	defer x.restoring.Unlock()
	if !x.slots.suspect.has(slot) {
		return true
	}
	if x.slots.sum(slot) != *x.slots.sums.At(slot) && !x.restore(slot) {
		return false
	}
	x.slots.suspect.clear(slot)
	return true
}

// restore writes the vector of a slot anew. The slot is suspect, so nobody reads it.
func (x *Index) restore(slot uint32) bool {
	if x.opts.Restore == nil {
		return false
	}
	id, stamp := *x.slots.ids.At(slot), *x.slots.stamps.At(slot)
	vec, ok := x.opts.Restore(nil, id, stamp)
	if !ok || x.space.Prepare(x.slots.vector(slot), vec) != nil {
		return false
	}
	if n := x.restored.Add(1); n&(n-1) == 0 { // not a line for each of a million
		x.opts.Logger.Error("the file of a vector index had lost vectors; they were read anew from the database",
			"file", x.slots.file, "vectors", n)
	}
	return true
}
