package engine

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/invariants"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/flat"
	"github.com/vccdb/vccdb/vecindex/hnsw"
)

// vectorIndex is the in-memory index behind one vector column. Storage holds
// the vectors; this is a cache of them that is loaded at each start, see
// vectorload.go.
//
// write serialises everything that changes the contents: the committer and, at
// a start, the loader. dimensionMu serialises the one moment at which an index
// that was created without a dimension gets one. Searches take neither.
type vectorIndex struct {
	id      uint32
	subject string
	config  schema.VectorConfig
	metric  vecindex.Metric
	// quantization is the definition's; a definition without one is from before there
	// was any.
	quantization vecindex.Quantization
	opts         VectorOptions
	gpu          GPUOptions
	log          *slog.Logger
	store        *storage.Store
	dir          string // for its files

	dimensionMu sync.Mutex
	// index is nil until the dimension is known.
	index atomic.Pointer[vecindex.Index]
	// fixedDimension is set before index.
	fixedDimension atomic.Int64
	// ef is the index's own search width, 0 while it goes by defaultEf, which is
	// the engine's.
	ef        atomic.Int64
	defaultEf *atomic.Int64
	// engine is who answers searches, see schema.VectorConfig.
	engine atomic.Pointer[string]

	write struct {
		sync.Mutex
		// touched holds the ids that changed while the loader was under way: what
		// it still finds in its snapshot for them is old. Nil when nothing loads.
		touched *bitmap.Set
		// loaded is the newest stamp of those that the loader put. Writes that were under
		// way may tell of them again, also when it has ended.
		loaded uint64
		// failed holds the ids whose vectors there was no room for. They are tried again;
		// until then the index isn't saved.
		failed *bitmap.Set
		// closed says that the index was dropped, or the engine is closing.
		closed bool
	}
	// loading is set until the stored vectors are in.
	loading      atomic.Bool
	checkpoints  checkpoints
	calibrations calibrations
	// claimed is how many vectors writes under way are about to put.
	claimed atomic.Int64
	// probe is what its recall was last found to be, nil if nobody looked.
	probe atomic.Pointer[RecallProbe]
}

// vectorEvent is one committed change for a vector index; vector is nil for a
// removal.
type vectorEvent struct {
	index  *vectorIndex
	id     uint32
	stamp  uint64
	vector []float32
}

const (
	defaultMetric = "cosine"
	defaultEngine = schema.EngineAuto
)

// newVectorIndex makes the index of a definition: empty, or to be loaded.
func (e *Engine) newVectorIndex(def *schema.IndexDef, load bool) (*vectorIndex, error) {
	c := def.Vector
	metric, ok := vecindex.ParseMetric(c.Metric)
	if !ok {
		return nil, errs.New(errs.Invalid, "invalid_index", "%q is no metric; use cosine, l2 or dot", c.Metric)
	}
	quantization, ok := vecindex.ParseQuantization(cmp.Or(c.Quantization, vecindex.Unquantized.String()))
	if !ok {
		return nil, errs.New(errs.Invalid, "invalid_index", "%q is no quantization; use none, int8 or fastscan", c.Quantization)
	}
	v := &vectorIndex{
		id: def.ID, subject: indexSubject(def), config: *c, metric: metric, quantization: quantization, opts: e.opts.Vector, gpu: e.opts.GPU, log: e.log, defaultEf: &e.defaultEf,
		store: e.store, dir: e.indexFolder(def.ID),
	}
	v.ef.Store(int64(c.Ef))
	engine := cmp.Or(c.Engine, defaultEngine)
	v.engine.Store(&engine)
	switch {
	case load:
		v.fixedDimension.Store(int64(c.Dimension))
	case c.Dimension > 0:
		if err := v.open(e, c.Dimension); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// open makes the empty in-memory index.
func (v *vectorIndex) open(e *Engine, dimension int) error {
	cpu, err := v.newIndex(dimension)
	if err != nil {
		return err
	}
	if v.opts.Engine != "flat" {
		if err := v.openFolder(e); err != nil {
			return errors.Join(err, cpu.Close())
		}
	}
	v.fixedDimension.Store(int64(dimension))
	ix := v.placed(cpu)
	v.write.Lock()
	defer v.write.Unlock()
	if v.write.closed { // by a Close that a write with the first vector was still under way for
		return errors.Join(errs.New(errs.Unavailable, "storage_closed", "the database is closing"), ix.Close())
	}
	v.index.Store(&ix)
	return nil
}

// newIndex makes an empty index and the folder for its files.
func (v *vectorIndex) newIndex(dimension int) (vecindex.Source, error) {
	if v.opts.Engine == "flat" {
		return flat.New(v.metric, dimension, flat.Options{})
	}
	if err := os.MkdirAll(v.dir, 0o750); err != nil {
		return nil, errs.Wrap(err, errs.Unavailable, "vector_folder_failed", "the folder for the files of %s can't be made", v.subject)
	}
	return hnsw.New(v.graphOptions(dimension))
}

func (v *vectorIndex) graphOptions(dimension int) hnsw.Options {
	return hnsw.Options{
		Dimension: dimension, Metric: v.metric, Quantization: v.quantization, Dir: v.dir, Restore: v.restoreVector,
		M: v.config.M, EfConstruction: v.config.EfConstruction, Ef: v.width(),
		Workers: v.opts.Workers, Logger: v.log,
	}
}

// current returns the in-memory index, nil while it has no dimension.
func (v *vectorIndex) current() vecindex.Index {
	if p := v.index.Load(); p != nil {
		return *p
	}
	return nil
}

// width is how many candidates a search keeps that doesn't say.
func (v *vectorIndex) width() int {
	return int(cmp.Or(v.ef.Load(), v.defaultEf.Load()))
}

// VectorDefaults are what a vector index gets whose definition doesn't say.
func (e *Engine) VectorDefaults() schema.VectorConfig {
	return schema.VectorConfig{
		Metric: defaultMetric, M: e.opts.Vector.M, EfConstruction: e.opts.Vector.EfConstruction,
		Ef: int(e.defaultEf.Load()), Quantization: e.opts.Vector.Quantization, Engine: defaultEngine,
	}
}

// SetDefaultEf changes the search width of all vector indexes that have none of
// their own, from the next search on. Invalid unless it is 1 to MaxK.
func (e *Engine) SetDefaultEf(ef int) error {
	if ef < 1 || ef > MaxK {
		return errs.New(errs.Invalid, "invalid_ef", "ef_search is %d; it must be 1 to %d; nothing was changed", ef, MaxK)
	}
	e.defaultEf.Store(int64(ef))
	return nil
}

// dimension is 0 until it is known.
func (v *vectorIndex) dimension() int { return int(v.fixedDimension.Load()) }

// admit waits while the index has more unlinked vectors than it wants.
func (v *vectorIndex) admit(ctx context.Context) error {
	if ix := v.current(); ix != nil {
		return ix.Admit(ctx)
	}
	return nil
}

// vectorText is the JSON of the column that b indexes, a part of the document;
// nil if the document has none there.
func (b *boundIndex) vectorText(x *schema.Extracted) []byte {
	if raw := x.Raw(b.columns[0]); raw != nil && string(raw) != "null" {
		return raw
	}
	return nil
}

// parse reads a vector and holds it against the index. An index without a
// dimension takes that of the first vector of the batch, noted in dimensions.
func (ix *index) parse(raw []byte, dimensions map[*index]int) ([]float32, error) {
	v, column := ix.vector, ix.def.Columns[0]
	vector, err := schema.ParseVector(raw)
	if err != nil {
		return nil, errs.Field("invalid_vector", columnPointer(column), "the column %q isn't a vector: %v; the entity was not kept", column, err)
	}
	dimension := v.dimension()
	if dimension == 0 {
		dimension = dimensions[ix]
	}
	if dimension == 0 && len(vector) > 0 && len(vector) <= vecindex.MaxDimension {
		dimension = len(vector)
		dimensions[ix] = dimension
	}
	if err := checkVector(vector, dimension, v.metric); err != nil {
		err.Fields = []errs.FieldError{{Pointer: columnPointer(column), Detail: err.Detail}}
		return nil, err
	}
	return vector, nil
}

// checkVector says what is wrong with a vector for an index of that dimension
// and metric, nil if nothing.
func checkVector(vector []float32, dimension int, metric vecindex.Metric) *errs.Error {
	switch {
	case len(vector) == 0:
		return errs.New(errs.Invalid, "invalid_vector", "the vector is empty")
	case len(vector) > vecindex.MaxDimension:
		return errs.New(errs.Invalid, "dimension_too_large", "the vector has %d dimensions; at most %d are supported", len(vector), vecindex.MaxDimension)
	case len(vector) != dimension:
		return errs.New(errs.Invalid, "dimension_mismatch", "the vector has %d dimensions, the index has %d", len(vector), dimension)
	}
	var norm float64
	for _, x := range vector {
		norm += float64(x) * float64(x)
	}
	switch {
	case metric != vecindex.Cosine && norm > vecindex.MaxSquaredLength || norm > math.MaxFloat32:
		return errs.New(errs.Invalid, "vector_out_of_range", "the vector is too long for 32-bit distances")
	case metric == vecindex.Cosine && norm == 0:
		return errs.New(errs.Invalid, "zero_vector", "a zero vector has no direction, so cosine can't compare it")
	}
	return nil
}

func columnPointer(column string) string { return "/" + strings.ReplaceAll(column, ".", "/") }

// currentDef is storedDef with the search width that is in force.
func (ix *index) currentDef() *schema.IndexDef {
	def := ix.storedDef()
	if ix.vector != nil {
		def.Vector.Ef = ix.vector.width()
	}
	return def
}

// storedDef is the definition with what has changed since the index was made: a
// dimension taken from the first vector, an ef of its own, and the engine.
func (ix *index) storedDef() *schema.IndexDef {
	def := *ix.def
	if ix.vector != nil {
		config := *def.Vector
		config.Dimension = ix.vector.dimension()
		config.Ef = int(ix.vector.ef.Load())
		config.Engine = *ix.vector.engine.Load()
		def.Vector = &config
	}
	return &def
}

// fixDimension gives ix the dimension of its first vector, for good. A writer
// that comes second with another one is refused.
func (e *Engine) fixDimension(ix *index, dimension int) error {
	v := ix.vector
	v.dimensionMu.Lock()
	defer v.dimensionMu.Unlock()
	if have := v.dimension(); have != 0 {
		if have != dimension {
			return errs.New(errs.Conflict, "dimension_mismatch",
				"the index %s was given dimension %d at the same moment; this batch has %d and was not kept",
				v.subject, have, dimension)
		}
		return nil
	}
	def := ix.storedDef()
	def.Vector.Dimension = dimension
	var b storage.Batch
	putIndexDef(&b, def)
	if _, err := e.store.Commit(&b, storage.CommitOptions{}); err != nil {
		return err
	}
	return v.open(e, dimension)
}

// apply makes a committed change visible to searches.
func (ev vectorEvent) apply(log *slog.Logger) {
	v := ev.index
	v.write.Lock()
	defer v.write.Unlock()
	v.checkpoints.changes.Add(1)
	if v.write.touched != nil {
		v.write.touched.Add(ev.id)
	}
	ix := v.current()
	if ix == nil {
		return
	}
	if ev.vector == nil {
		ix.Delete(ev.id)
		return
	}
	have, _ := ix.Stamp(ev.id)
	if have == ev.stamp && have <= v.write.loaded {
		return // the loader found it in storage before the event came
	}
	invariants.Check(ev.stamp > have, "the vector of id %d in %s goes from write %d back to %d", ev.id, v.subject, have, ev.stamp)
	if err := ix.Put(ev.id, ev.stamp, ev.vector); err != nil {
		// The vector is safe in storage; the room for it isn't to be had.
		if v.write.failed == nil {
			v.write.failed = &bitmap.Set{}
			log.Error("there is no room for a stored vector in its index; it is tried again, and isn't found meanwhile",
				"component", "vector", "index", v.subject, "error", err)
		}
		v.write.failed.Add(ev.id)
		ix.Delete(ev.id) // what it had is no longer true
	}
}

// decodeVector appends the little-endian float32s of raw to dst.
func decodeVector(dst []float32, raw []byte) []float32 {
	for ; len(raw) >= 4; raw = raw[4:] {
		dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	return dst
}

// closeIndex gives back what is in memory of an index that was dropped.
func (e *Engine) closeIndex(ix *index) {
	e.sets.forget(ix.def.ID)
	ix.close(e.log)
	if ix.vector != nil {
		ix.vector.removeFolder()
	}
}

func (ix *index) close(log *slog.Logger) {
	if ix.vector == nil {
		return
	}
	ix.vector.write.Lock()
	ix.vector.write.closed = true // from here on none is opened
	ix.vector.write.Unlock()
	if v := ix.vector.current(); v != nil {
		if err := v.Close(); err != nil {
			log.Error("closing a vector index failed", "component", "vector", "index", ix.subject(), "error", err)
		}
	}
}
