// Package wire is what the server and its GPU worker say to each other: the types
// of both ends, the frames that carry them over a socket pair, and the shared
// memory beside it. The worker is another process, and neither side trusts the
// other: whatever arrives is checked against fixed bounds before anything is
// allocated or read, so that a broken or hostile peer can end a session, but make
// nobody panic, run out of memory or read outside the shared memory.
//
// The package has no goroutines. A Reader and a Writer belong to one goroutine
// each; an Arena is safe for concurrent use, under its own lock, which is never
// held while another is taken. PROTOCOL.md describes every byte.
package wire

import (
	"context"
	"fmt"
	"time"
)

// Bounds that both ends hold.
const (
	// Version is the version of the protocol. Both ends speak one version only: they
	// are released together.
	Version = 1
	// MaxDim is the largest vector.
	MaxDim = 4096
	// MaxK is how many hits a search may ask for.
	MaxK = 2048
	// MaxBatch is how many queries one batch may have.
	MaxBatch = 4096
	// MaxText is how much of an error's text is carried.
	MaxText = 2048
)

// Metric is how the distance of two vectors is measured. Lower is nearer. The
// numbers are those of vecindex.Metric.
type Metric uint8

const (
	// Cosine is 1 - cos(a, b).
	Cosine Metric = iota
	// L2 is the squared Euclidean distance.
	L2
	// Dot is the negated inner product.
	Dot

	metrics
)

func (m Metric) String() string { return nameOf([]string{"cosine", "l2", "dot"}, "metric", m) }

// Codes is what the device scans.
type Codes uint8

const (
	// Int8 is a byte for each dimension, with a scale for each vector.
	Int8 Codes = iota
	// BF16 is a bfloat16 for each dimension.
	BF16

	codes
)

func (c Codes) String() string { return nameOf([]string{"int8", "bf16"}, "codes", c) }

// ParseCodes is the inverse of String.
func ParseCodes(s string) (Codes, bool) {
	for c := range codes {
		if c.String() == s {
			return c, true
		}
	}
	return 0, false
}

func nameOf[T ~uint8](names []string, kind string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", kind, uint8(v))
}

// DeviceInfo describes the worker's device.
type DeviceInfo struct {
	// Name is the product's: NVIDIA H100 80GB HBM3.
	Name string `json:"name"`
	// Driver is the version of the driver's programming interface, such as 12.4.
	Driver string `json:"driver"`
	// Kernels says which of the embedded binaries is used, such as sm_90.
	Kernels string `json:"kernels"`
	// ComputeMajor and ComputeMinor are the compute capability.
	ComputeMajor int `json:"compute_major"`
	ComputeMinor int `json:"compute_minor"`
	// Multiprocessors is how many streaming multiprocessors it has.
	Multiprocessors int `json:"multiprocessors"`
	// MemoryTotal and MemoryFree are bytes of the device, whoever uses it;
	// MemoryUsed is what this worker has allocated, and MemoryLimit up to where it may.
	MemoryTotal int64 `json:"memory_total_bytes"`
	MemoryFree  int64 `json:"memory_free_bytes"`
	MemoryUsed  int64 `json:"memory_used_bytes"`
	MemoryLimit int64 `json:"memory_limit_bytes"`
}

// IndexSpec is what an index on the device is made of.
type IndexSpec struct {
	// Dim is from 1 to MaxDim.
	Dim    int
	Metric Metric
	Codes  Codes
	// Seed decides on the rotation of the codes.
	Seed uint64
}

// Validate says what is wrong with a specification.
func (s IndexSpec) Validate() error {
	switch {
	case s.Dim < 1 || s.Dim > MaxDim:
		return Errorf(Invalid, "an index on the device has 1 to %d dimensions, not %d", MaxDim, s.Dim)
	case s.Metric >= metrics:
		return Errorf(Invalid, "the device knows no %v", s.Metric)
	case s.Codes >= codes:
		return Errorf(Invalid, "the device knows no %v", s.Codes)
	}
	return nil
}

// Hit is one vector found.
type Hit struct {
	ID uint32
	// Distance is under the index's metric, in float32 as the device computed it.
	Distance float32
}

// Search is one query.
type Search struct {
	// Vector has the index's dimension and finite values only.
	Vector []float32
	// K is how many hits are wanted, from 1 to MaxK.
	K int
	// Exact asks for a scan of the vectors instead of their codes.
	Exact bool
	// Background queries wait for those that aren't.
	Background bool
	// Allow restricts the hits: id is allowed if bit id%64 of word id/64 is set. Ids
	// beyond its end aren't; nil allows all.
	Allow []uint64
}

// Answer is what became of a query.
type Answer struct {
	// Hits are sorted by distance, then id; there are min(K, allowed and live).
	Hits []Hit
	// BatchSize is how many queries were answered at once.
	BatchSize int
	// Queued is how long the query waited in the worker, Device how long the device
	// took for its batch.
	Queued, Device time.Duration
	// First is set in one answer of each batch, so that batches can be counted.
	First bool
}

// IndexStats describes one index on the device.
type IndexStats struct {
	Index uint32
	// Rows is how many vectors can be found, Bytes what the index takes on the device.
	Rows, Bytes int64
}

// Code says what kind of error a worker reports, and so what to do about it.
type Code uint8

const (
	// Failed is an error of the device that concerns this request only.
	Failed Code = iota
	// Invalid is a request that can't be carried out by anyone.
	Invalid
	// OutOfMemory is memory of the device that isn't there, or above the limit.
	OutOfMemory
	// Lost is the end of the device or of its context; the worker ends too.
	Lost
	// Deadline is a request whose time was up before the device had it.
	Deadline
	// Cancelled is a request that its caller gave up.
	Cancelled
	// Unsupported is what this device or worker can't do.
	Unsupported
	// Busy is a request refused because too much waits already.
	Busy
	// NoIndex is an index that the worker doesn't have.
	NoIndex

	errorCodes
)

func (c Code) String() string {
	return nameOf([]string{
		Failed: "failed", Invalid: "invalid", OutOfMemory: "out_of_memory", Lost: "lost", Deadline: "deadline",
		Cancelled: "cancelled", Unsupported: "unsupported", Busy: "busy", NoIndex: "no_index",
	}, "code", c)
}

// Error is an error that crosses the border between server and worker. A Device
// returns it to say which kind it is; any other error counts as Failed.
type Error struct {
	Code Code
	// Text is a sentence for a person.
	Text string
}

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return "gpu: " + e.Text }

// Is lets errors.Is recognise what a context would have said.
func (e *Error) Is(target error) bool {
	return e.Code == Deadline && target == context.DeadlineExceeded || e.Code == Cancelled && target == context.Canceled
}
