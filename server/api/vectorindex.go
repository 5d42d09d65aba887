package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of vector indexes.
type (
	vectorConfig struct {
		Table  string      `json:"table"`
		Column string      `json:"column"`
		State  string      `json:"state" enum:"building,ready"`
		Config indexConfig `json:"config"`
	}
	setVectorConfigRequest struct {
		Table  string `json:"table,omitzero"`
		Column string `json:"column,omitzero"`
		Ef     *int   `json:"ef,omitzero" min:"1" max:"10000" doc:"The width of a search that doesn't say."`
		Engine string `json:"engine,omitzero" enum:"auto,cpu,gpu" doc:"Who answers searches; see /index/create."`
	}
	vectorStats struct {
		Table           string           `json:"table"`
		Column          string           `json:"column"`
		State           string           `json:"state" enum:"building,ready"`
		Engine          string           `json:"engine" doc:"hnsw or flat."`
		Device          string           `json:"device" enum:"cpu,gpu" doc:"gpu if a GPU can be asked now."`
		GPU             *vectorGPU       `json:"gpu,omitzero" doc:"The copy on a GPU; absent if the index uses none."`
		Kernel          string           `json:"kernel" doc:"The instruction set of the distance kernels."`
		Dimension       int              `json:"dimension"`
		Metric          string           `json:"metric"`
		Live            int              `json:"live" doc:"Vectors that can be found."`
		Tombstones      int              `json:"tombstones" doc:"Deleted or replaced vectors that still take room."`
		Pending         int              `json:"pending" doc:"Live vectors not yet linked into the graph; they are searched exactly."`
		Levels          []int            `json:"levels" doc:"Nodes by their top level."`
		DegreeHistogram []int            `json:"degree_histogram" doc:"Nodes by their number of links on level 0."`
		Bytes           map[string]int64 `json:"bytes" doc:"What the index takes, by part: codes (what the graph is walked on), links, neighbours (of fastscan), vectors, ids and bookkeeping; cold_vectors lie in a file, all else in memory."`
		MemoryBytes     int64            `json:"memory_bytes" doc:"The sum of bytes, cold_vectors excepted."`
		MemoryLimit     int64            `json:"memory_limit_bytes,omitzero" doc:"vector_index.memory_limit_mb; vectors that would need more are refused. Absent if there is none."`
		StoredBytes     uint64           `json:"stored_bytes" doc:"What the vectors take in storage."`
		Checkpoint      *checkpointState `json:"checkpoint,omitzero" doc:"The checkpoint that the next start loads; absent if none was made or tried."`
		RecallProbe     *recallProbe     `json:"recall_probe,omitzero" doc:"The recall as last measured in the background; absent if vector_index.recall_probe_interval_minutes is 0, or nothing was measured yet."`
	}
	recallProbe struct {
		Recall   float64   `json:"recall" doc:"The part of the k nearest that was found."`
		K        int       `json:"k"`
		Ef       int       `json:"ef" doc:"The index's own at that time."`
		Queries  int       `json:"queries"`
		Sent     int       `json:"sent" doc:"Queries that clients had sent; the others are stored vectors, moved a little."`
		Measured time.Time `json:"measured"`
	}
	vectorGPU struct {
		State        string            `json:"state" enum:"off,waiting,uploading,ready,too_large,distrusted" doc:"ready: the GPU answers; waiting: there is no worker now; too_large: its memory is too small; distrusted: it gave wrong answers."`
		Reason       string            `json:"reason,omitzero" doc:"Why it doesn't answer."`
		Uploaded     int               `json:"uploaded" doc:"Vectors that the GPU has as they are now."`
		Dirty        int               `json:"dirty" doc:"Changes that are not there yet; searches look at them on the CPU."`
		Bytes        int64             `json:"bytes" doc:"What the copy takes there."`
		Recall       float64           `json:"recall,omitzero" doc:"The part of the nearest to a few stored vectors that the last check found."`
		Checked      time.Time         `json:"checked,omitzero" doc:"When that was."`
		GPUSearches  map[string]uint64 `json:"gpu_searches" doc:"Searches that the GPU answered, by why."`
		CPUSearches  map[string]uint64 `json:"cpu_searches" doc:"Searches that the CPU answered, by why."`
		QueueSeconds float64           `json:"queue_seconds" doc:"How long those that the GPU answered waited for their turn, in all."`
		GPUSeconds   float64           `json:"gpu_seconds" doc:"How long their batches took, in all."`
		MeanBatch    float64           `json:"mean_batch" doc:"How many searches were answered at once, for one of them on average."`
		Curve        []vectorCost      `json:"curve" doc:"What searches take on either, by kind."`
	}
	vectorCost struct {
		Exact      bool    `json:"exact"`
		EfFrom     int     `json:"ef_from,omitzero" doc:"Searches with an ef, or a k if that is more, from this."`
		EfTo       int     `json:"ef_to,omitzero" doc:"And up to this."`
		ShareFrom  float64 `json:"share_from" doc:"The filter lets more than this part of the vectors through. Both are 1 without a filter."`
		ShareTo    float64 `json:"share_to" doc:"And this part at most."`
		CPUMs      float64 `json:"cpu_ms" doc:"The median of the last searches on the CPU, 0 without any."`
		CPUSamples uint64  `json:"cpu_samples"`
		GPUMs      float64 `json:"gpu_ms"`
		GPUSamples uint64  `json:"gpu_samples"`
		Choice     string  `json:"choice,omitzero" enum:"cpu,gpu" doc:"Who answers such searches; absent before the first, and where the GPU always does."`
	}
	checkpointState struct {
		Epoch    uint64    `json:"epoch" doc:"Its number; 0 if there is none."`
		Sequence uint64    `json:"sequence" doc:"All changes of the database up to this one are in it."`
		Behind   uint64    `json:"behind" doc:"Changes of the database since, which a start reads from the oplog."`
		Saved    time.Time `json:"saved,omitzero" doc:"Absent if that was before the server started."`
		Bytes    int64     `json:"bytes" doc:"Its size."`
		Source   string    `json:"source" enum:"checkpoint,storage" doc:"Where the index came from when the server started."`
		Failures uint64    `json:"failures" doc:"Checkpoints that could not be made since the start."`
		Problem  string    `json:"problem,omitzero" doc:"Why the last one could not be made; absent if it was."`
	}
	vectorStatsList struct {
		Indexes []vectorStats `json:"indexes"`
	}
	recallRequest struct {
		Table  string `json:"table,omitzero"`
		Column string `json:"column,omitzero"`
		Sample *int   `json:"sample,omitzero" min:"1" max:"10000" default:"100" doc:"Stored vectors that serve as queries."`
		K      *int   `json:"k,omitzero" min:"1" max:"1000" default:"10"`
		Ef     *int   `json:"ef,omitzero" min:"1" max:"10000" doc:"The index's own if absent."`
	}
	recallCurveRequest struct {
		Table  string `json:"table,omitzero"`
		Column string `json:"column,omitzero"`
		Sample *int   `json:"sample,omitzero" min:"1" max:"2000" default:"100" doc:"Stored vectors that serve as queries."`
		K      *int   `json:"k,omitzero" min:"1" max:"1000" default:"10"`
		Efs    []int  `json:"efs,omitzero" doc:"The values of ef to measure, at most 20; k times 1, 2, 4 and so on to 32 and the index's own if absent."`
	}
	// recallCurveWork is a curve and the job that measures it.
	recallCurveWork struct {
		Curve *engine.RecallCurve `json:"curve,omitzero" doc:"Absent while nothing is measured yet."`
		Job   jobs.Status         `json:"job" doc:"Its result is the curve as far as it is measured."`
	}
	saveRequest struct {
		Table  string `json:"table,omitzero"`
		Column string `json:"column,omitzero"`
	}
	savedIndex struct {
		Table        string `json:"table"`
		Column       string `json:"column"`
		Epoch        uint64 `json:"epoch" doc:"The checkpoint's number."`
		Sequence     uint64 `json:"sequence" doc:"All changes of the database up to this one are in it."`
		Bytes        int64  `json:"bytes" doc:"Its size."`
		WrittenBytes int64  `json:"written_bytes" doc:"What of that had changed since the checkpoint before."`
		TookMs       int64  `json:"took_ms"`
	}
	saveAnswer struct {
		Saved []savedIndex `json:"saved"`
	}
)

const (
	maxSample  = 10_000
	maxRecallK = 1000

	whichNote = "Table and column may be left out while they aren't needed to tell vector indexes apart."

	exampleVectorConfig = `{"table":"users","column":"embedding","state":"ready","config":{"dimension":3,"metric":"cosine","m":16,"ef_construction":200,"ef":128,"quantization":"int8","engine":"auto"}}`
	exampleCurve        = `{"table":"users","column":"embedding","vectors":20000,"pending":0,"ef":64,"k":10,"sample":100,"exact_p50_ms":1.9,"exact_p99_ms":2.4,"points":[` +
		`{"ef":16,"recall":0.91,"p50_ms":0.03,"p99_ms":0.08,"distances":310.5},{"ef":64,"recall":0.992,"p50_ms":0.05,"p99_ms":0.12,"distances":820.2}]}`
	exampleCurveJob = `{"id":"7f0c2a5e-0000-4000-8000-000000000000","kind":"recall_curve","subject":"users.embedding (vector)","state":"running","done":100,"total":400,"unit":"searches","started":"2026-11-22T10:00:00Z"}`
)

var whichParams = []openapi.Param{
	{Name: "table", In: "query", Description: "The table of the index."},
	{Name: "column", In: "query", Description: "The column of the index."},
}

func (a *API) vectorIndexRoutes() []rest.Route {
	config := []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[vectorConfig](exampleVectorConfig)}}}
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "GET", Path: "/vector/index/config", Role: auth.ReadOnly, ID: "getVectorConfig", Tag: tagVectors,
			Summary: "Read the configuration of a vector index", Description: whichNote,
			Params: whichParams, Answers: config,
		}, Handle: a.getVectorConfig},
		{Operation: openapi.Operation{
			Method: "PUT", Path: "/vector/index/config", Role: auth.ReadWrite, ID: "setVectorConfig", Tag: tagVectors,
			Summary:     "Change what can be changed live: ef and engine",
			Description: "The other settings shape the graph; for those, drop the index and create it anew. " + whichNote,
			Body:        []openapi.Media{openapi.JSON[setVectorConfigRequest](`{"table":"users","ef":128}`)}, Answers: config,
		}, Handle: a.setVectorConfig},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/vector/index/stats", Role: auth.ReadOnly, ID: "vectorStats", Tag: tagVectors,
			Summary: "Describe the vector indexes from inside", Description: "All of them, or those of a table and column.",
			Params: whichParams,
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[vectorStatsList](
				`{"indexes":[{"table":"users","column":"embedding","state":"ready","engine":"hnsw","device":"gpu","kernel":"avx2","dimension":3,"metric":"cosine","live":2,"tombstones":0,"pending":0,"levels":[2],"degree_histogram":[0,2],"bytes":{"codes":64,"links":256,"ids":16,"cold_vectors":24},"memory_bytes":336,"stored_bytes":2048,"gpu":{"state":"ready","uploaded":2,"dirty":0,"bytes":4096,"recall":1,"checked":"2026-11-22T10:00:00Z","gpu_searches":{"cheaper":930},"cpu_searches":{"cheaper":61,"uploading":9},"queue_seconds":0.01,"gpu_seconds":0.4,"mean_batch":3.1,"curve":[{"exact":false,"ef_from":33,"ef_to":64,"share_from":1,"share_to":1,"cpu_ms":0.41,"cpu_samples":64,"gpu_ms":0.29,"gpu_samples":930,"choice":"gpu"}]},"checkpoint":{"epoch":3,"sequence":1200,"behind":17,"saved":"2026-11-22T10:00:00Z","bytes":52480,"source":"checkpoint","failures":0}}]}`)}}},
		}, Handle: a.vectorStats},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/vector/index/recall", Role: auth.ReadOnly, ID: "measureRecall", Tag: tagVectors,
			Summary:     "Measure how much of the exact answer the graph search finds",
			Description: "Takes stored vectors as queries, searches each both ways and compares. " + whichNote,
			Body:        []openapi.Media{openapi.JSON[recallRequest](`{"table":"users","sample":100,"k":10,"ef":64}`)},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[engine.RecallReport](
				`{"sample":100,"k":10,"ef":64,"recall":0.992,"approx_p50_ms":0.05,"approx_p99_ms":0.12,"exact_p50_ms":1.9,"exact_p99_ms":2.4}`)}}},
		}, Handle: a.measureRecall},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/vector/index/recall/curve", Role: auth.ReadWrite, ID: "measureRecallCurve", Tag: tagVectors,
			Summary:     "Measure recall and latency by ef",
			Description: "Searches stored vectors exactly and then with each ef, as a job: one at a time, for it keeps a processor busy. " + whichNote + " " + waitNote,
			Params:      []openapi.Param{waitParam},
			Body:        []openapi.Media{openapi.JSON[recallCurveRequest](`{"table":"users","sample":100,"k":10,"efs":[16,64,256]}`)},
			Answers: []openapi.Answer{
				{Status: 200, Description: "It is done.", Media: []openapi.Media{openapi.JSON[recallCurveWork](`{"curve":` + exampleCurve + `,"job":` + strings.Replace(exampleCurveJob, `"running"`, `"done"`, 1) + `}`)}},
				{Status: 202, Description: "It goes on as a job.", Media: []openapi.Media{openapi.JSON[recallCurveWork](`{"job":` + exampleCurveJob + `}`)}},
			},
		}, Handle: a.measureRecallCurve},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/vector/index/save", Role: auth.ReadWrite, ID: "saveVectorIndex", Tag: tagVectors,
			Summary: "Make checkpoints of vector indexes now",
			Description: "Of all of them, or those of a table and column. The server makes them by itself; a fresh one shortens the next start. " +
				"Vectors are durable as soon as they are acknowledged, with or without. An index that is an exact scan has none.",
			Body: []openapi.Media{openapi.JSON[saveRequest](`{"table":"users"}`)}, OptionalBody: true,
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[saveAnswer](
				`{"saved":[{"table":"users","column":"embedding","epoch":3,"sequence":1200,"bytes":52480,"written_bytes":4096,"took_ms":12}]}`)}}},
		}, Handle: a.saveVectorIndex},
	}
}

func (a *API) getVectorConfig(c fiber.Ctx) error {
	def, err := a.db.VectorConfig(c.Context(), rest.QueryText(c, "table"), rest.QueryText(c, "column"))
	if err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, vectorConfigOf(&def))
}

func (a *API) setVectorConfig(c fiber.Ctx) error {
	req, err := rest.Decode[setVectorConfigRequest](c.BodyRaw())
	if err != nil {
		return err
	}
	if req.Ef == nil && req.Engine == "" {
		return errs.Field("missing_field", "/ef", "is required, or engine is; nothing was changed")
	}
	ef, err := rest.Bounded(req.Ef, "/ef", 0, 1, maxEf)
	if err != nil {
		return err
	}
	answers, err := rest.OneOf(req.Engine, "/engine", "", "", schema.EngineAuto, schema.EngineCPU, schema.EngineGPU)
	if err != nil {
		return err
	}
	def, err := a.db.SetVectorConfig(c.Context(), req.Table, req.Column, schema.VectorConfig{Ef: ef, Engine: answers})
	if err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, vectorConfigOf(&def))
}

func vectorConfigOf(def *schema.IndexDef) vectorConfig {
	out := vectorConfig{Table: def.Table, Column: def.Columns[0], State: string(def.State)}
	if config := configOf(def); config != nil {
		out.Config = *config
	}
	return out
}

func (a *API) vectorStats(c fiber.Ctx) error {
	infos, err := a.db.VectorStats(c.Context(), rest.QueryText(c, "table"), rest.QueryText(c, "column"))
	if err != nil {
		return err
	}
	out := vectorStatsList{Indexes: []vectorStats{}}
	for i := range infos {
		out.Indexes = append(out.Indexes, vectorStatsOf(&infos[i]))
	}
	return rest.Answer(c, http.StatusOK, out)
}

func vectorStatsOf(info *engine.IndexInfo) vectorStats {
	out := vectorStats{
		Table: info.Table, Column: info.Columns[0], State: string(info.State), Device: "cpu", StoredBytes: info.SizeBytes,
	}
	if s := info.VectorStats; s != nil {
		out.Engine, out.Kernel, out.Dimension, out.Metric = s.Engine, s.Kernel, s.Dimension, s.Metric.String()
		out.Live, out.Tombstones, out.Pending = s.Live, s.Tombstones, s.Pending
		out.Levels, out.DegreeHistogram, out.Bytes = s.Levels, s.DegreeHistogram, s.Bytes
		for part, bytes := range s.Bytes {
			if part != engine.ColdVectors {
				out.MemoryBytes += bytes
			}
		}
	}
	out.MemoryLimit = info.MemoryLimit
	if c := info.Checkpoint; c != nil {
		out.Checkpoint = &checkpointState{
			Epoch: c.Epoch, Sequence: c.Sequence, Behind: c.Behind, Saved: c.Saved, Bytes: c.Bytes, Source: c.Source,
			Failures: c.Failures, Problem: c.Problem,
		}
	}
	if d := info.Device; d != nil {
		out.GPU = vectorGPUOf(d)
		if d.State == engine.DeviceReady {
			out.Device = "gpu"
		}
	}
	if p := info.Recall; p != nil {
		out.RecallProbe = &recallProbe{Recall: p.Recall, K: p.K, Ef: p.Ef, Queries: p.Queries, Sent: p.Sent, Measured: p.Measured}
	}
	return out
}

func vectorGPUOf(d *engine.DeviceStats) *vectorGPU {
	out := &vectorGPU{
		State: string(d.State), Reason: d.Reason, Uploaded: d.Uploaded, Dirty: d.Dirty, Bytes: d.Bytes, Recall: d.Recall, Checked: d.Checked,
		GPUSearches: d.GPU, CPUSearches: d.CPU, QueueSeconds: d.Queued.Seconds(), GPUSeconds: d.Device.Seconds(), Curve: []vectorCost{},
	}
	if n := engine.DeviceSearches(d.GPU); n > 0 {
		out.MeanBatch = float64(d.Batched) / float64(n)
	}
	for _, p := range d.Curve {
		out.Curve = append(out.Curve, vectorCost{
			Exact: p.Exact, EfFrom: p.EfFrom, EfTo: p.Ef, ShareFrom: p.ShareFrom, ShareTo: p.ShareTo, Choice: p.Choice,
			CPUMs: p.CPU.Median.Seconds() * 1000, CPUSamples: p.CPU.Samples, GPUMs: p.GPU.Median.Seconds() * 1000, GPUSamples: p.GPU.Samples,
		})
	}
	return out
}

func (a *API) measureRecall(c fiber.Ctx) error {
	wire, err := rest.Decode[recallRequest](c.BodyRaw())
	if err != nil {
		return err
	}
	req := engine.RecallRequest{Table: wire.Table, Column: wire.Column}
	if req.Sample, err = rest.Bounded(wire.Sample, "/sample", 100, 1, maxSample); err != nil {
		return err
	}
	if req.K, err = rest.Bounded(wire.K, "/k", 10, 1, maxRecallK); err != nil {
		return err
	}
	if req.Ef, err = rest.Bounded(wire.Ef, "/ef", 0, 1, maxEf); err != nil {
		return err
	}
	report, err := a.db.VectorRecall(c.Context(), req)
	if err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, report)
}

func (a *API) measureRecallCurve(c fiber.Ctx) error {
	wait, err := rest.QueryBool(c, "wait", true)
	if err != nil {
		return err
	}
	wire, err := rest.Decode[recallCurveRequest](c.BodyRaw())
	if err != nil {
		return err
	}
	req := engine.RecallCurveRequest{Table: wire.Table, Column: wire.Column, Efs: wire.Efs}
	if req.Sample, err = rest.Bounded(wire.Sample, "/sample", 100, 1, engine.MaxCurveSample); err != nil {
		return err
	}
	if req.K, err = rest.Bounded(wire.K, "/k", 10, 1, maxRecallK); err != nil {
		return err
	}
	job, err := a.db.StartRecallCurve(req)
	if err != nil {
		return err
	}
	status, err := waitFor(c, wait, job)
	if err != nil {
		return err
	}
	out := recallCurveWork{Job: job.Status()}
	if out.Job.Result != nil {
		out.Curve = &engine.RecallCurve{}
		if err := json.Unmarshal(out.Job.Result, out.Curve); err != nil {
			return errs.Wrap(err, errs.Internal, "internal", "the result of the job could not be read")
		}
	}
	return rest.Answer(c, status, out)
}

func (a *API) saveVectorIndex(c fiber.Ctx) error {
	var req saveRequest
	if body := c.BodyRaw(); len(body) > 0 {
		wire, err := rest.Decode[saveRequest](body)
		if err != nil {
			return err
		}
		req = *wire
	}
	made, err := a.db.SaveVectors(c.Context(), req.Table, req.Column)
	if err != nil {
		return err
	}
	out := saveAnswer{Saved: []savedIndex{}}
	for _, m := range made {
		out.Saved = append(out.Saved, savedIndex{
			Table: m.Table, Column: m.Column, Epoch: m.Epoch, Sequence: m.Sequence,
			Bytes: m.Bytes, WrittenBytes: m.Written, TookMs: m.Took.Milliseconds(),
		})
	}
	return rest.Answer(c, http.StatusOK, out)
}
