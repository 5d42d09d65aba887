package ops

import "time"

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
	// Exact searches have no ef; others have one above EfFrom, up to Ef.
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
