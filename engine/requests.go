package engine

import (
	"time"

	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/vecindex"
)

// Readiness says whether the engine answers at full quality.
type Readiness struct {
	Ready bool `json:"ready"`
	// Failed says that waiting won't help: the disk failed, or the stored vectors
	// couldn't be loaded.
	Failed bool `json:"failed"`
	// Reason is a sentence; empty when ready.
	Reason string `json:"reason,omitempty"`
	// Done of Total vectors are loaded from storage.
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
}

// TableInfo describes one table.
type TableInfo struct {
	Name     string `json:"name"`
	Entities uint64 `json:"entities"`
	// SizeBytes is RocksDB's estimate of what the table's entities and indexes
	// take, memtables included.
	SizeBytes uint64      `json:"size_bytes"`
	Indexes   []IndexInfo `json:"indexes"`
}

// ColdVectors is the part of VectorStats.Bytes that lies in a file, not in memory.
const ColdVectors = vecindex.ColdVectors

// IndexInfo describes one index.
type IndexInfo struct {
	schema.IndexDef
	// EntryCount is exact: terms, or vectors of a vector index.
	EntryCount uint64 `json:"entry_count"`
	SizeBytes  uint64 `json:"size_bytes"`
	// JobID is the job that builds the index, while that goes on; Rebuild says that
	// it will take the place of the one that serves meanwhile.
	JobID   string `json:"-"`
	Rebuild bool   `json:"-"`
	// Loading says that a vector index is being filled from storage after a start;
	// EfByDefault that it has no ef of its own.
	Loading     bool `json:"-"`
	EfByDefault bool `json:"-"`
	// Usage is set for a vector index that has vectors or had some; VectorStats
	// too, by the method of that name, which goes over the graph for it.
	Usage       *vecindex.Usage `json:"-"`
	VectorStats *vecindex.Stats `json:"-"`
	// MemoryLimit is how much memory a vector index may take, 0 if there is no limit.
	MemoryLimit int64 `json:"-"`
	// Checkpoint is set for a vector index that was saved, or tried to be; Recall for
	// one whose recall was measured in the background.
	Checkpoint *CheckpointInfo `json:"-"`
	Recall     *RecallProbe    `json:"-"`
	// Device is set for a vector index that uses a device, or would if there were one.
	Device *DeviceStats `json:"-"`
}

// ScrollPage is one page of a table in id order.
type ScrollPage struct {
	Entities []Entity
	// NextCursor resumes after this page; empty when it was the last.
	NextCursor string
}

// Return selects what a query answers with.
type Return string

const (
	ReturnEntities Return = "entities"
	ReturnKeys     Return = "keys"
	ReturnCount    Return = "count"
)

// QueryRequest asks for the entities of a table that match a filter.
type QueryRequest struct {
	Table string
	// Filter is nil for all entities.
	Filter *query.Expr
	// Order sorts the answer; without it the order is that of the internal ids,
	// which is stable.
	Order []query.Order
	// Limit is the page size; 0 is 100. ReturnCount ignores it.
	Limit  int
	Cursor string
	// Return is ReturnEntities when empty.
	Return Return
	// Fields, if any, reduces each entity to these columns.
	Fields []string
	// Explain asks for the plan in the answer.
	Explain bool
	// ForbidFullScan makes a query that no index serves fail with Invalid
	// "full_scan_refused" instead of reading the whole table.
	ForbidFullScan bool
}

// QueryResult is one page of matches.
type QueryResult struct {
	Count int
	// Entities or Keys, as Return asked.
	Entities   []Entity
	Keys       []string
	NextCursor string
	Took       time.Duration
	// Plan is set when Explain was.
	Plan *PlanReport
}

// PlanReport is a query plan with what its execution did.
type PlanReport struct {
	*query.Plan
	// RowsScanned is how many entities were read to answer.
	RowsScanned int `json:"rows_scanned"`
	// Advice are the indexes that would have spared most of that.
	Advice []query.Advice `json:"advice,omitempty"`
}

// SearchRequest asks for the nearest vectors.
type SearchRequest struct {
	// Table and Column name the vector index; both may be empty while only one
	// vector index exists, Column while the table has only one.
	Table, Column string
	// Vectors are the queries, one result each; or Key names an entity of the
	// table whose own vector is the query (it isn't among its own hits).
	Vectors [][]float32
	Key     *Key
	// K is 10 when 0; at most MaxK.
	K int
	// Ef is the index's own when 0.
	Ef int
	// Recall, MinRecall to MaxRecall, is the part of the true nearest that is wanted on
	// average, in place of Ef; 0 is none.
	Recall float64
	Filter *query.Expr
	// Return is ReturnEntities when empty; ReturnCount isn't allowed.
	Return Return
	Fields []string
	// IncludeVectors keeps vector columns in the entities of the answer.
	IncludeVectors bool
	// MaxDistance drops hits farther away.
	MaxDistance *float32
	// Exact scans every vector that the filter allows.
	Exact   bool
	Explain bool
	// Cursor continues where an earlier page of the same single query ended.
	Cursor string
}

// MaxK is the most hits one search returns.
const MaxK = 10_000

// SearchHit is one neighbour.
type SearchHit struct {
	Key             Key
	Distance, Score float32
	// Doc is nil when only keys were asked for.
	Doc []byte
}

// SearchResult answers one query vector.
type SearchResult struct {
	Hits []SearchHit
	// NextCursor asks for the next K hits; empty when there are none.
	NextCursor string
	// Plan is set when Explain was.
	Plan *SearchPlan
}

// SearchPlan says how one vector search was answered.
type SearchPlan struct {
	// Mode is "graph", "filtered_graph", "scan", "gpu_scan", "exact" or "empty".
	Mode string `json:"mode"`
	// Reason says why that mode was chosen.
	Reason string `json:"reason"`
	// Matching ids S of Live vectors N pass the filter.
	Matching int `json:"matching"`
	Live     int `json:"live"`
	Ef       int `json:"ef"`
	// Recall is the target that ef and slack were chosen for, if the request has one;
	// Calibration says by which measurement. With a slack, a graph search ends at what is
	// so many times as far as the k-th found.
	Recall      float64 `json:"recall,omitzero"`
	Slack       float32 `json:"slack,omitzero"`
	Calibration string  `json:"calibration,omitempty"`
	// Distances were computed over Hops expanded nodes, Visited nodes were looked at;
	// Pending vectors were scored exactly because they weren't in the graph yet.
	Distances int `json:"distances"`
	Visited   int `json:"visited"`
	Hops      int `json:"hops"`
	Pending   int `json:"pending"`
	// ExactFallback is set when the graph search was finished by a scan.
	ExactFallback bool `json:"exact_fallback"`
	// StaleDropped hits had changed since they were scored; Refills counts the
	// searches repeated because of that.
	StaleDropped int `json:"stale_dropped"`
	Refills      int `json:"refills"`
	// Device says who answered; nil for an index that uses no device.
	Device *SearchDevice `json:"device,omitempty"`
	// Filter is the plan that turned the filter into ids; nil without a filter.
	Filter *PlanReport `json:"filter,omitempty"`
}

// RecallRequest asks how good a vector index's approximate search is.
type RecallRequest struct {
	Table, Column string
	// Sample is how many stored vectors serve as queries; 100 when 0.
	Sample int
	// K is 10 when 0; Ef the index's own when 0.
	K, Ef int
}

// RecallReport is the outcome of a recall measurement.
type RecallReport struct {
	Sample int     `json:"sample"`
	K      int     `json:"k"`
	Ef     int     `json:"ef"`
	Recall float64 `json:"recall"`
	// Latencies are of the bare index search, without storage, in milliseconds.
	ApproxP50Ms float64 `json:"approx_p50_ms"`
	ApproxP99Ms float64 `json:"approx_p99_ms"`
	ExactP50Ms  float64 `json:"exact_p50_ms"`
	ExactP99Ms  float64 `json:"exact_p99_ms"`
}

// Stats are the engine's figures for /stats and /metrics.
type Stats struct {
	Storage storage.Properties
	// Health says whether the storage takes writes.
	Health  storage.Health
	Archive storage.ArchiveStats
	Copies  CopyStats
	Tables  int
	// VectorIndexes counts them; Vectors is the sum over all of them.
	VectorIndexes int
	Vectors       vecindex.Usage
	// Planner counts queries by plan mode, vector searches by search mode.
	QueryModes  map[string]uint64
	SearchModes map[string]uint64
	// IndexRebuilds, their time and the entities they went over.
	IndexRebuilds        uint64
	IndexRebuildMs       uint64
	IndexRebuildEntities uint64
	CursorAnchorHits     uint64
	RangeScanSteps       uint64
	// SlowQueries took longer than the threshold.
	SlowQueries           uint64
	ExpiredEntitiesSwept  uint64
	OplogFirst, OplogLast uint64
	Feed                  FeedStats
	Checkpoints           CheckpointStats
	// Recall has the vector indexes whose recall was measured in the background.
	Recall []RecallProbe
	// TermSets are the bitmaps kept for filters.
	TermSets TermSetStats
	// Devices has the vector indexes that use a device, or would if there were one;
	// Device is the sum over them.
	Devices []DeviceIndex
	Device  DeviceTotals
}
