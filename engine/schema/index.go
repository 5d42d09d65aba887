package schema

import (
	"fmt"
	"strings"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
)

// IndexType says how an index is organised and which questions it answers.
type IndexType string

const (
	// Equality and Range hold one term per value of one column, null included.
	// The terms are the same, so both answer eq, in, prefix, exists and ranges.
	Equality IndexType = "equality"
	Range    IndexType = "range"
	// Composite holds one term per combination of values of several columns.
	Composite IndexType = "composite"
	// Sparse is Equality without null.
	Sparse IndexType = "sparse"
	// TTL holds the time at which an entity expires.
	TTL IndexType = "ttl"
	// Geo holds the S2 leaf cell of each point.
	Geo IndexType = "geo"
	// Fulltext isn't available yet.
	Fulltext IndexType = "fulltext"
	// Vector has no terms: the vectors stand in a column family of their own.
	Vector IndexType = "vector"
)

// State is how far an index has got.
type State string

const (
	// StateBuilding indexes are maintained by writes but not yet complete.
	StateBuilding State = "building"
	StateReady    State = "ready"
)

// IndexDef defines one index. It is stored as JSON in the catalog.
type IndexDef struct {
	ID      uint32    `json:"id"`
	Table   string    `json:"table"`
	Columns []string  `json:"columns"`
	Type    IndexType `json:"type"`
	// Unique refuses a second entity with a term that Collides.
	Unique bool `json:"unique,omitzero"`
	// Vector is set for vector indexes only.
	Vector *VectorConfig `json:"vector,omitempty"`
	// TTLSeconds is added to the column's time to give the expiry.
	TTLSeconds int64 `json:"ttl_seconds,omitzero"`
	State      State `json:"state"`
}

// VectorConfig shapes a vector index. Zero fields take the server's defaults;
// a zero Dimension is that of the first vector.
type VectorConfig struct {
	Dimension      int    `json:"dimension,omitzero"`
	Metric         string `json:"metric,omitempty"`
	M              int    `json:"m,omitzero"`
	EfConstruction int    `json:"ef_construction,omitzero"`
	Ef             int    `json:"ef,omitzero"`
	// Quantization is what the graph is walked on: "none" (the vectors themselves),
	// "int8" (a byte for each dimension) or "fastscan" (that, and bits of each node's
	// neighbours). Distances in answers are those of the vectors with any of them.
	Quantization string `json:"quantization,omitempty"`
	// Engine says who answers searches: "cpu", "gpu" (a device whenever it can) or "auto"
	// (whoever is cheaper, if the server uses a device).
	Engine string `json:"engine,omitempty"`
}

// The engines of a VectorConfig.
const (
	EngineAuto = "auto"
	EngineCPU  = "cpu"
	EngineGPU  = "gpu"
)

// Limits of a definition. The graph parameters' are no wider than those of hnsw: an
// index that is defined without a dimension is opened by its first vector, which is too
// late to refuse it.
const (
	MaxCompositeColumns = 8
	maxM                = 128
	maxEf               = 10_000
	// maxTTLSeconds is about 1000 years: far from the end of int64 milliseconds.
	maxTTLSeconds = 1000 * 366 * 24 * 3600
)

// Validate checks a definition that a client sent. Errors point at fields of
// the body of /index/create.
func (d *IndexDef) Validate() error {
	if err := d.validateType(); err != nil {
		return err
	}
	if err := d.validateColumns(); err != nil {
		return err
	}
	if d.Unique && !d.uniquePossible() {
		return errs.Field("invalid_index", "/unique", "an index of type %s can't be unique; no index was made", d.Type)
	}
	if d.TTLSeconds != 0 && d.Type != TTL {
		return errs.Field("invalid_index", "/config/ttl_seconds", "ttl_seconds belongs to an index of type ttl, not %s; no index was made", d.Type)
	}
	if d.TTLSeconds < 0 || d.TTLSeconds > maxTTLSeconds {
		return errs.Field("invalid_index", "/config/ttl_seconds", "ttl_seconds must be 0 to %d; no index was made", int64(maxTTLSeconds))
	}
	if d.Vector == nil {
		return nil
	}
	if d.Type != Vector {
		return errs.Field("invalid_index", "/config", "a vector configuration belongs to an index of type vector, not %s; no index was made", d.Type)
	}
	return d.Vector.Validate()
}

func (d *IndexDef) validateType() error {
	switch d.Type {
	case Equality, Range, Composite, Sparse, TTL, Geo, Vector:
		return nil
	case Fulltext:
		return errs.New(errs.NotSupported, "not_supported", "fulltext indexes are not available yet; no index was made")
	}
	return errs.Field("invalid_index", "/type",
		"%q is no index type; use equality, range, composite, sparse, ttl, geo or vector", d.Type)
}

func (d *IndexDef) validateColumns() error {
	switch n := len(d.Columns); {
	case d.Type == Composite && (n < 2 || n > MaxCompositeColumns):
		return errs.Field("invalid_index", "/columns", "a composite index has 2 to %d columns, not %d; no index was made", MaxCompositeColumns, n)
	case d.Type != Composite && n != 1:
		return errs.Field("invalid_index", "/columns", "an index of type %s has one column, not %d; no index was made", d.Type, n)
	}
	seen := map[string]bool{}
	for i, column := range d.Columns {
		pointer := fmt.Sprintf("/columns/%d", i)
		if _, err := ParsePath(column); err != nil {
			return errs.Field("invalid_index", pointer, "%v; no index was made", err)
		}
		if seen[column] {
			return errs.Field("invalid_index", pointer, "the column %q is named twice; no index was made", column)
		}
		seen[column] = true
	}
	return nil
}

func (d *IndexDef) uniquePossible() bool {
	switch d.Type {
	case Equality, Range, Composite, Sparse:
		return true
	}
	return false
}

// Validate checks the configuration of a vector index. Errors point at fields
// of the body of /index/create.
func (c *VectorConfig) Validate() error {
	for _, f := range []struct {
		name       string
		value, max int
	}{
		{"dimension", c.Dimension, vecindex.MaxDimension},
		{"m", c.M, maxM},
		{"ef_construction", c.EfConstruction, maxEf},
		{"ef", c.Ef, maxEf},
	} {
		if f.value < 0 || f.value > f.max {
			return errs.Field("invalid_index", "/config/"+f.name, "%s must be 1 to %d, not %d; nothing was changed", f.name, f.max, f.value)
		}
	}
	if c.M == 1 {
		return errs.Field("invalid_index", "/config/m", "m must be at least 2, else the graph isn't connected; nothing was changed")
	}
	if err := oneOf("metric", c.Metric, "cosine", "l2", "dot"); err != nil {
		return err
	}
	if err := oneOf("quantization", c.Quantization, "none", "int8", "fastscan"); err != nil {
		return err
	}
	return oneOf("engine", c.Engine, EngineAuto, EngineCPU, EngineGPU)
}

// oneOf accepts the empty string, which takes the default.
func oneOf(field, value string, allowed ...string) error {
	if value == "" {
		return nil
	}
	for _, a := range allowed {
		if a == value {
			return nil
		}
	}
	return errs.Field("invalid_index", "/config/"+field, "%q is no %s; use %s", value, field, strings.Join(allowed, ", "))
}
