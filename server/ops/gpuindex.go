package ops

import (
	"time"

	"github.com/vccdb/vccdb/engine"
)

// GPUIndex is a vector index on the device, or one that would be there.
type GPUIndex struct {
	Table  string `json:"table"`
	Column string `json:"column"`
	// State is off, waiting, uploading, ready, too_large or distrusted. Reason says why
	// the device doesn't answer.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	// Always says that the device answers whenever it can, whatever it costs.
	Always bool `json:"always"`
	// Vectors are on the device, as they are now; Dirty of them, or of those that aren't
	// there, have yet to be sent. Bytes is what the copy takes there.
	Vectors int   `json:"vectors"`
	Dirty   int   `json:"dirty"`
	Bytes   int64 `json:"bytes"`
	// Recall is the share of the nearest that the last check of the device found.
	Recall  *float64  `json:"recall,omitempty"`
	Checked time.Time `json:"checked,omitzero"`
	// Searches counts those that the device answered, Fallbacks those of the CPU, by why.
	Searches  uint64            `json:"searches"`
	Fallbacks map[string]uint64 `json:"fallbacks"`
	// QueueSeconds is how long the device's searches waited, DeviceSeconds how long they
	// were worked on, in all; MeanBatch is how many shared a pass with each of them.
	QueueSeconds  float64 `json:"queue_seconds"`
	DeviceSeconds float64 `json:"device_seconds"`
	MeanBatch     float64 `json:"mean_batch"`
	// Fills counts how often all vectors were sent, Errors the uploads that failed.
	Fills  uint64 `json:"fills"`
	Errors uint64 `json:"errors"`
	// Curve is what searches take on each side.
	Curve []CurvePoint `json:"curve"`
}

// CurvePoint is what searches of a kind take.
type CurvePoint struct {
	// Exact searches have no ef; others have one from EfFrom to Ef, or a k if that is more.
	Exact  bool `json:"exact"`
	EfFrom int  `json:"ef_from"`
	Ef     int  `json:"ef"`
	// Their filter lets a share of the vectors through above ShareFrom, up to ShareTo;
	// both are 1 without a filter.
	ShareFrom float64 `json:"share_from"`
	ShareTo   float64 `json:"share_to"`
	CPU       Cost    `json:"cpu"`
	GPU       Cost    `json:"gpu"`
	// Choice is cpu or gpu; empty before the first search.
	Choice string `json:"choice"`
}

// Cost is what one side takes.
type Cost struct {
	// MedianUs is of the last searches, in microseconds; 0 without any.
	MedianUs float64 `json:"median_us"`
	Samples  uint64  `json:"samples"`
}

func gpuIndexes(list []engine.DeviceIndex) []GPUIndex {
	out := make([]GPUIndex, 0, len(list))
	for i := range list {
		out = append(out, gpuIndex(&list[i]))
	}
	return out
}

func gpuIndex(d *engine.DeviceIndex) GPUIndex {
	searches := engine.DeviceSearches(d.GPU)
	i := GPUIndex{
		Table: d.Table, Column: d.Column, State: string(d.State), Reason: d.Reason, Always: d.Always,
		Vectors: d.Uploaded, Dirty: d.Dirty, Bytes: d.Bytes, Checked: d.Checked,
		Searches: searches, Fallbacks: counted(d.CPU), QueueSeconds: d.Queued.Seconds(), DeviceSeconds: d.DeviceStats.Device.Seconds(),
		Fills: d.Fills, Errors: d.Errors, Curve: make([]CurvePoint, 0, len(d.Curve)),
	}
	if !d.Checked.IsZero() {
		i.Recall = &d.Recall
	}
	if searches > 0 {
		i.MeanBatch = float64(d.Batched) / float64(searches)
	}
	for _, p := range d.Curve {
		i.Curve = append(i.Curve, CurvePoint{
			Exact: p.Exact, EfFrom: p.EfFrom, Ef: p.Ef, ShareFrom: p.ShareFrom, ShareTo: p.ShareTo,
			CPU: cost(p.CPU.Median, p.CPU.Samples), GPU: cost(p.GPU.Median, p.GPU.Samples), Choice: p.Choice,
		})
	}
	return i
}

func cost(median time.Duration, samples uint64) Cost {
	return Cost{MedianUs: float64(median.Nanoseconds()) / 1000, Samples: samples}
}

// counted is never nil.
func counted(counts map[string]uint64) map[string]uint64 {
	if counts == nil {
		return map[string]uint64{}
	}
	return counts
}

// gpuFigures are those of the indexes that use a device; what the worker counts is
// the gpuCollector's.
func (c *engineCollector) gpuFigures() {
	gauge := func(name, help string, read func(*engine.DeviceTotals) int64) {
		c.gauge(name, help, func(s *engine.Stats, _ *VectorStats) float64 { return float64(read(&s.Device)) })
	}
	gauge("vccdb_gpu_indexes", "Vector indexes that use a GPU, or would if there were one.",
		func(t *engine.DeviceTotals) int64 { return int64(t.Indexes) })
	gauge("vccdb_gpu_indexes_ready", "Those of them that a GPU can answer for now.",
		func(t *engine.DeviceTotals) int64 { return int64(t.Ready) })
	gauge("vccdb_gpu_index_vectors", "Vectors on the device, as they are now.",
		func(t *engine.DeviceTotals) int64 { return int64(t.Uploaded) })
	gauge("vccdb_gpu_index_dirty", "Changes that the device doesn't have yet; searches know of them.",
		func(t *engine.DeviceTotals) int64 { return int64(t.Dirty) })
	gauge("vccdb_gpu_index_bytes", "Memory of the device that the vectors take.",
		func(t *engine.DeviceTotals) int64 { return t.Bytes })
	c.counter("vccdb_gpu_searches_total", "Searches that a GPU answered.",
		func(s *engine.Stats, _ *VectorStats) float64 { return float64(engine.DeviceSearches(s.Device.GPU)) })
}
