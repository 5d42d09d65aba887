// Package vecindex defines what a vector index is: the Index interface, its
// metrics, queries and hits. The engines stand below it: flat (the exact scan
// that is the oracle for every other one) and hnsw (the graph).
//
// An index is a cache of what the database holds. It speaks entity ids, never
// keys, knows nothing of RocksDB and can be rebuilt from the stored vectors at
// any time. The package itself has no goroutines and no locks.
package vecindex

import (
	"context"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/vccdb/vccdb/internal/bitmap"
)

// Metric is how the distance of two vectors is measured. Lower is nearer.
type Metric uint8

const (
	// Cosine is 1 - cos(a, b), in [0, 2]. A zero vector has no direction and is
	// refused.
	Cosine Metric = iota
	// L2 is the squared Euclidean distance, as the field reports it.
	L2
	// Dot is the negated inner product.
	Dot
)

var metricNames = [...]string{Cosine: "cosine", L2: "l2", Dot: "dot"}

func (m Metric) String() string {
	if int(m) < len(metricNames) {
		return metricNames[m]
	}
	return fmt.Sprintf("metric(%d)", uint8(m))
}

// ParseMetric is the inverse of String.
func ParseMetric(s string) (Metric, bool) {
	for m, name := range metricNames {
		if name == s {
			return Metric(m), true
		}
	}
	return 0, false
}

// Score turns a distance into the same thing in higher-is-better form: cosine
// similarity, the inner product, or 1/(1+d) for l2.
func (m Metric) Score(distance float32) float32 {
	switch m {
	case Cosine:
		return 1 - distance
	case Dot:
		return -distance
	default:
		return 1 / (1 + distance)
	}
}

// Distance measures two vectors of the same length, in double precision. The
// engines have kernels of their own; this is for the odd single pair.
func (m Metric) Distance(a, b []float32) float32 {
	var dot, l2, normA, normB float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot += x * y
		l2 += (x - y) * (x - y)
		normA += x * x
		normB += y * y
	}
	switch m {
	case Cosine:
		return float32(1 - dot/math.Sqrt(normA*normB))
	case Dot:
		return float32(-dot)
	default:
		return float32(l2)
	}
}

// Quantization is what a graph keeps of the vectors in fast memory.
type Quantization uint8

const (
	// Unquantized keeps the float32 vectors themselves.
	Unquantized Quantization = iota
	// Int8 keeps a byte for each dimension; the vectors themselves may lie in a file
	// and are only read for the best hits.
	Int8
	// FastScan keeps, beside the bytes of Int8, a bit or two for each dimension of each
	// neighbour of a node, laid out so that all neighbours are judged at once.
	FastScan
)

var quantizationNames = [...]string{Unquantized: "none", Int8: "int8", FastScan: "fastscan"}

func (q Quantization) String() string {
	if int(q) < len(quantizationNames) {
		return quantizationNames[q]
	}
	return fmt.Sprintf("quantization(%d)", uint8(q))
}

// ParseQuantization is the inverse of String.
func ParseQuantization(s string) (Quantization, bool) {
	for q, name := range quantizationNames {
		if name == s {
			return Quantization(q), true
		}
	}
	return 0, false
}

// MaxDimension is the largest vector an index takes.
const MaxDimension = 4096

// Hit is one search result.
type Hit struct {
	// ID is the entity id the vector was put under.
	ID uint32
	// Distance under the index's metric; lower is nearer.
	Distance float32
	// Stamp is the one given to Put with the vector that was scored. The caller
	// compares it with what storage holds to recognise a stale hit.
	Stamp uint64
}

// Query is one k-nearest-neighbour search.
type Query struct {
	// Vector has the index's dimension; it isn't modified and needs no
	// normalisation.
	Vector []float32
	// K is how many hits are wanted, at least 1.
	K int
	// Ef is the width of the graph search; below K it counts as K. 0 takes the
	// index's default. Exact engines ignore it.
	Ef int
	// Slack ends a graph search early: what is more than Slack times as far as the
	// K-th nearest found is not looked at any closer. It makes easy queries cheaper
	// than hard ones, at the same Ef. 0 stands for no such end; the dot metric, which
	// is no distance, has none. Exact engines ignore it.
	Slack float32
	// Allow restricts the hits to these ids; nil allows all.
	Allow *bitmap.Set
	// Exact asks for a scan of every allowed vector instead of the graph.
	Exact bool
}

// Plan is how a search is carried out.
type Plan uint8

const (
	// PlanExact scores every allowed vector.
	PlanExact Plan = iota
	// PlanScan scores the code of every allowed vector, and the best by their vectors.
	PlanScan
	// PlanGraph walks the graph.
	PlanGraph
	// PlanFiltered walks it for what a filter lets through.
	PlanFiltered
	// PlanDevice scores the code of every allowed vector on a GPU, and the best by their
	// vectors.
	PlanDevice
)

func (p Plan) String() string {
	return [...]string{PlanExact: "exact", PlanScan: "scan", PlanGraph: "graph", PlanFiltered: "filtered_graph", PlanDevice: "gpu_scan"}[p]
}

// The engines that a search may have been answered by.
const (
	EngineCPU = "cpu"
	EngineGPU = "gpu"
)

// Placement says which of two engines answered a search, and why.
type Placement struct {
	// Engine is EngineCPU or EngineGPU; empty for an index that has only one.
	Engine string
	// Reason is a sentence.
	Reason string
	// PredictedCPU and PredictedGPU are what the search was thought to take; 0 is
	// unknown.
	PredictedCPU, PredictedGPU time.Duration
	// Batch is how many searches the device answered at once with this one, Queued how
	// long it waited for its turn, and Device how long the device took for its batch. All
	// are 0 if the device wasn't asked.
	Batch          int
	Queued, Device time.Duration
}

// SearchStats says what one search did.
type SearchStats struct {
	// Plan is how the search began; see ExactFallback.
	Plan Plan
	// Distances is how many vectors, or codes of vectors, were scored. Estimates from the
	// codes of neighbours don't count.
	Distances int
	// Visited is how many nodes of the graph's lowest level were met, let through or not.
	Visited int
	// Hops is how many graph nodes were expanded.
	Hops int
	// Pending is how many vectors, not yet linked into the graph, were scored
	// exactly.
	Pending int
	// ExactFallback is set when the walk was given up for a scan of all that is allowed,
	// because it had cost as much or would have, or because it found fewer than
	// min(K, allowed).
	ExactFallback bool
	// Placement is set by an index that has a copy on a device.
	Placement Placement
}

// Stats describes an index as a whole.
type Stats struct {
	Engine    string
	Kernel    string
	Dimension int
	Metric    Metric
	// Live counts the vectors that can be found, Tombstones the dead slots that
	// still take room, Pending the live ones not yet linked into the graph.
	Live, Tombstones, Pending int
	// Levels[i] counts the linked nodes whose top level is i.
	Levels []int
	// DegreeHistogram[d] counts the nodes with d links on level 0.
	DegreeHistogram []int
	// Bytes by part; those of Usage are their sum. "vectors" are in memory, ColdVectors
	// in a file; "codes" are what a quantized graph is walked on, with the "neighbours"
	// that fastscan has beside them; "links" are the graph, "ids" all else.
	Bytes map[string]int64
}

// ColdVectors is the part of Stats.Bytes that lies in a file.
const ColdVectors = "cold_vectors"

// Usage is the part of Stats that is known without going over the index, so that
// it can be asked for every few seconds.
type Usage struct {
	Live, Tombstones, Pending int
	// Bytes is what all parts take, Cold how much of that lies in a file, which needs no
	// memory that the system can't take back.
	Bytes, Cold int64
}

// Memory is Bytes without what lies in a file.
func (u Usage) Memory() int64 { return u.Bytes - u.Cold }

// Index is a mutable vector index over one metric and dimension.
//
// Put and Delete may be called concurrently with Search and with each other
// for different ids; calls for one id must be ordered by the caller. What Put
// returned is found by every Search that starts afterwards, and what Delete
// returned is found by none.
type Index interface {
	// Put makes vec searchable under id, replacing id's previous vector. It
	// copies vec and returns quickly: linking into a graph goes on in the
	// background, and until then the vector is searched exactly. len(vec) is the
	// index's dimension (else an error, and nothing changes).
	Put(id uint32, stamp uint64, vec []float32) error
	// Delete makes id unfindable; a no-op if it isn't there.
	Delete(id uint32)
	// Admit blocks while the backlog of unlinked vectors is over the index's
	// bound, so that writers slow down instead of memory growing.
	Admit(ctx context.Context) error
	// AllowBacklog makes Admit bear the backlog there is, and a little more,
	// until it has been worked off. For the end of a bulk load.
	AllowBacklog()
	// Search appends the hits to dst, nearest first, ties by id. It returns
	// min(K, allowed and live) hits, never fewer.
	Search(ctx context.Context, q Query, dst []Hit) ([]Hit, SearchStats, error)
	// Stamp returns the stamp of the vector that id has; false if it has none.
	Stamp(id uint32) (uint64, bool)
	// Drain blocks until nothing is pending.
	Drain(ctx context.Context) error
	// Len is the number of live vectors; cheaper than Stats.
	Len() int
	Stats() Stats
	Usage() Usage
	// MemoryWith is the memory that the index will have once more vectors are put under
	// new ids, what lies in a file excepted.
	MemoryWith(more int) int64
	// Check verifies the index's own invariants while no writer is active.
	Check() error
	// Close stops the background work, waits for it and frees all memory.
	// Searches under way finish first.
	Close() error
}

// Source is an Index that can be copied to elsewhere, and what was found there be held
// against it.
type Source interface {
	Index
	// IDs yields the ids that have a vector, each once. It may or may not see what
	// changes meanwhile. The index isn't closed until it ends.
	IDs() iter.Seq[uint32]
	// Vector copies the vector of id to dst, which has the index's dimension: normalised
	// under cosine. False if it has none, or one that can't be read.
	Vector(dst []float32, id uint32) bool
	// SearchAmong is an exact Search among ids, which are distinct; those that have no
	// vector, or that the query doesn't allow, are left out. Its distances are those
	// that Search gives, to the bit.
	SearchAmong(ctx context.Context, q Query, ids []uint32, dst []Hit) ([]Hit, SearchStats, error)
}
