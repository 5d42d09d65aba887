package engine

import (
	"time"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/device"
)

// Vector indexes on a device
//
// An index whose searches a GPU may answer is wrapped (device.Index). What needs the
// graph itself asks cpu: checkpoints, loading, and whatever measures its recall. What
// searches, writes and counts asks current. An index gets its wrapper when it is made,
// loaded or told to by SetVectorConfig, with write held.

// GPUOptions say which vector indexes use a device, and how.
type GPUOptions struct {
	// Worker gives sessions on the device, see device.Supervised. It isn't asked for any
	// before an index uses it. nil where there is none; Unavailable then says why. It
	// outlives the engine.
	Worker      device.Worker
	Unavailable string
	// Auto lets indexes with the engine "auto" use the device, where that is cheaper.
	// Those with "gpu" use it in any case.
	Auto bool
	// Codes are what the device scans: "int8" (default) or "bf16".
	Codes string
}

type (
	// DeviceStats describe the device side of a vector index.
	DeviceStats = device.Stats
	// DeviceCurvePoint is what searches of a kind take on either engine.
	DeviceCurvePoint = device.CurvePoint
)

// DeviceReady is the state in which a device answers.
const DeviceReady = device.Ready

// DeviceIndex is a vector index that uses a device, or would if there were one.
type DeviceIndex struct {
	Table, Column string
	DeviceStats
}

// DeviceTotals are sums over indexes; GPU and CPU count the searches that each engine
// answered, by why (see DeviceReasons).
type DeviceTotals struct {
	Indexes, Ready, Uploaded, Dirty int
	Bytes                           int64
	GPU, CPU                        map[string]uint64
}

// DeviceReasons are the words for why a search was answered by the engine it was answered
// by.
func DeviceReasons() []string { return device.Reasons() }

// DeviceSearches is how many searches an engine answered, by the map of it.
func DeviceSearches(byReason map[string]uint64) uint64 { return device.Searches(byReason) }

// SearchDevice says which of two engines answered a search, and why.
type SearchDevice struct {
	Engine string `json:"engine" enum:"cpu,gpu"`
	Reason string `json:"reason"`
	// PredictedCPUMs and PredictedGPUMs are what the search was thought to take in the
	// index; absent if that isn't known.
	PredictedCPUMs float64 `json:"predicted_cpu_ms,omitzero" doc:"What the search of the index was thought to take on the CPU, in milliseconds; absent if unknown."`
	PredictedGPUMs float64 `json:"predicted_gpu_ms,omitzero" doc:"The same on the GPU."`
	// Batch is how many searches the device answered at once with this one.
	Batch    int     `json:"batch,omitzero" doc:"How many searches the GPU answered at once with this one; absent if it wasn't asked, or didn't answer."`
	QueuedMs float64 `json:"queued_ms,omitzero" doc:"How long the search waited for its turn on the GPU."`
	DeviceMs float64 `json:"device_ms,omitzero" doc:"How long the GPU took for the batch."`
}

// searchDevice is the part of a plan that tells of the engines, nil if there is only one.
func searchDevice(p *vecindex.Placement) *SearchDevice {
	if p.Engine == "" {
		return nil
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return &SearchDevice{
		Engine: p.Engine, Reason: p.Reason, PredictedCPUMs: ms(p.PredictedCPU), PredictedGPUMs: ms(p.PredictedGPU),
		Batch: p.Batch, QueuedMs: ms(p.Queued), DeviceMs: ms(p.Device),
	}
}

// cpu is the in-memory index without a device, nil while it has no dimension.
func (v *vectorIndex) cpu() vecindex.Source {
	switch x := v.current().(type) {
	case *device.Index:
		return x.Unwrap()
	case vecindex.Source:
		return x
	}
	return nil
}

// device is the index's device side, nil if it has none.
func (v *vectorIndex) device() *device.Index {
	d, _ := v.current().(*device.Index)
	return d
}

// usesDevice says whether the index is to have a device side.
func (v *vectorIndex) usesDevice() bool {
	engine := *v.engine.Load()
	return engine == schema.EngineGPU || engine == schema.EngineAuto && v.gpu.Auto
}

// placed is a CPU index with a device side, if it is to have one.
func (v *vectorIndex) placed(cpu vecindex.Source) vecindex.Index {
	if !v.usesDevice() {
		return cpu
	}
	return device.New(device.Options{
		CPU: cpu, Dimension: v.dimension(), Metric: v.metric,
		Worker: v.gpu.Worker, Unavailable: v.gpu.Unavailable, Always: *v.engine.Load() == schema.EngineGPU,
		Codes: v.gpu.Codes, Seed: uint64(v.id), Subject: v.subject, Logger: v.log,
	})
}

// place gives a loaded index its device side or takes it away, as its engine says.
func (v *vectorIndex) place() {
	if former := v.replace(); former != nil {
		former.Detach()
	}
}

// replace is place up to the end of what the index no longer uses, which it returns.
func (v *vectorIndex) replace() (former *device.Index) {
	v.write.Lock()
	defer v.write.Unlock()
	former = v.device()
	switch {
	case v.current() == nil || v.write.closed || v.loading.Load():
		return nil
	case former != nil && v.usesDevice():
		former.SetAlways(*v.engine.Load() == schema.EngineGPU)
		return nil
	case former == nil && !v.usesDevice():
		return nil
	}
	ix := v.placed(v.cpu())
	v.index.Store(&ix)
	return former
}

func (s *Stats) addDevice(d DeviceIndex) {
	s.Devices = append(s.Devices, d)
	t := &s.Device
	t.Indexes++
	if d.State == DeviceReady {
		t.Ready++
	}
	t.Uploaded += d.Uploaded
	t.Dirty += d.Dirty
	t.Bytes += d.Bytes
	t.GPU, t.CPU = addCounts(t.GPU, d.GPU), addCounts(t.CPU, d.CPU)
}

func addCounts(sum, more map[string]uint64) map[string]uint64 {
	if sum == nil {
		sum = map[string]uint64{}
	}
	for word, n := range more {
		sum[word] += n
	}
	return sum
}
