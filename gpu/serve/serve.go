// Package serve is the worker's side of the GPU engine: it speaks the protocol of
// package wire with the server and gives what arrives to a Device, which it knows
// nothing else of.
//
// Queries are answered in batches that form by themselves: a stream that is idle takes
// what waits, at once, and while all streams are busy more comes together for the next.
// A batch has queries of one index, one kind (exact or not) and one priority, in the
// order in which they came. It is no larger than MaxBatch, and not so large that the
// device is expected to need longer than LatencyCap for it, by what batches of that
// index took before. What has expired or was cancelled never reaches the device.
// Background queries are taken when no others wait, but every eighth batch is theirs if
// any wait, and one stream is always left to the others.
//
// Updates (making and dropping indexes, puts, deletes) are carried out one at a time in
// the order in which they came, and exclude the searches of their index only. Between
// two updates each stream that becomes free may take what waited.
//
// Run's goroutines: the caller's reads; one for each stream, one for updates and one
// that writes. The queue's lock guards everything that they share; the device is called
// without it.
package serve

import (
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

// Device is an opened device. Its methods are called by one goroutine at a time.
//
// An error of a Device or an Index is a *wire.Error if its kind is known; every
// other error counts as wire.Failed and concerns one request. wire.Lost says that
// the device or its context is gone: the worker answers what it can and ends.
type Device interface {
	// Info describes the device as it is now.
	Info() wire.DeviceInfo
	// Pin makes the shared memory known to the device (page-locks it), so that copies
	// from it are fast. It is called once, before any index exists; arena stays mapped
	// until after Close.
	Pin(arena []byte) error
	// NewIndex makes an empty index. The specification is valid.
	NewIndex(spec wire.IndexSpec) (Index, error)
	// Close frees everything. All indexes were closed before.
	Close() error
}

// Index is one index on a device. Put, Delete and Close never overlap with any
// other call on the same index; calls of Search may overlap with each other, as many
// as there are streams, and with calls on other indexes.
type Index interface {
	// Put stores vectors[i*Dim:(i+1)*Dim] as id ids[i]'s, replacing what the id had. The
	// ids are ascending and distinct, the values are finite unless the server is
	// broken; both slices may lie in the shared memory and are the caller's again when
	// Put returns. On an error each row may have been stored or not.
	Put(ids []uint32, vectors []float32) error
	// Delete makes ids unfindable; unknown ones are fine. They are ascending.
	Delete(ids []uint32) error
	// Search fills Hits of each query and DeviceTime, or returns an error for the whole
	// batch.
	Search(b *Batch) error
	// Len is how many vectors can be found, Bytes what the index takes on the device.
	Len() int
	Bytes() int64
	Close() error
}

// Batch is what a device answers in one go.
type Batch struct {
	// Exact asks for a scan of the vectors instead of their codes.
	Exact bool
	// Queries are from 1 to Options.MaxBatch.
	Queries []Query
	// DeviceTime is set by Search: how long the device worked. Left at zero, the time
	// that Search took is used.
	DeviceTime time.Duration
}

// Query is one query of a batch.
type Query struct {
	// Vector has the index's dimension. It isn't normalised.
	Vector []float32
	// K is from 1 to wire.MaxK.
	K int
	// Allow restricts the hits: id is allowed if bit id%64 of word id/64 is set; ids
	// beyond its end aren't. nil allows all. It lies in the shared memory, on a multiple
	// of 64 bytes.
	Allow []uint64
	// Hits is set by Search: sorted by (distance, id), min(K, allowed and live) of them.
	Hits []wire.Hit
}
