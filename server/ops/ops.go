// Package ops answers what operators and their tools ask a running server:
// /health, /livez, /readyz, /version, /stats and /metrics. It also measures the
// requests, which the server tells it about.
//
// The routes are registered ahead of the server's limits, so they answer under
// any load. Everything is read when it is asked for; nothing runs in between.
// It starts no goroutines; its one lock is that of the request rate.
package ops

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/ops/history"
	"github.com/vccdb/vccdb/server/problem"
)

// Database is what ops asks about; *engine.Engine is one.
type Database interface {
	Readiness() engine.Readiness
	Stats() (engine.Stats, error)
	Jobs() *jobs.Registry
}

// Build names the program.
type Build struct {
	// Version is without a leading v.
	Version string
	// Date is the day of the build, as 2026-11-22.
	Date   string
	Commit string
}

// String is what --version prints.
func (b Build) String() string {
	return fmt.Sprintf("THEMIS v%s (build: %s, commit: %s)", b.Version, b.Date, b.Commit)
}

// Options configure an Ops.
type Options struct {
	Build    Build
	Database Database
	// Draining reports whether the server is shutting down; nil is never.
	Draining func() bool
	// Warnings are sentences about a state that works but shouldn't stay; nil is
	// none.
	Warnings func() []string
	// GPU tells which devices there are; nil is none. Worker searches on one; nil is
	// none. UseGPU says that indexes use it unless they say otherwise.
	GPU    GPU
	Worker Worker
	UseGPU bool
	// Schedule makes copies of the database; nil makes none.
	Schedule Schedule
	// Traffic is told of each request too; nil is nobody.
	Traffic *history.Traffic
	// DataPath is the folder whose file system's space is shown; empty is none.
	DataPath string
	// Now is the clock, for tests; time.Now when nil.
	Now func() time.Time
}

// Ops serves the operational endpoints.
type Ops struct {
	o       Options
	started time.Time
	*metrics
}

// New returns an Ops. Its uptime begins now.
func New(o Options) *Ops {
	if o.Draining == nil {
		o.Draining = func() bool { return false }
	}
	if o.Warnings == nil {
		o.Warnings = func() []string { return nil }
	}
	if o.Traffic == nil {
		o.Traffic = &history.Traffic{}
	}
	if o.GPU == nil {
		o.GPU = noGPU{}
	}
	if o.Worker == nil {
		o.Worker = noWorker{}
	}
	if o.Schedule == nil {
		o.Schedule = noSchedule{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	ops := &Ops{o: o, started: o.Now()}
	ops.metrics = newMetrics(&ops.o, ops.uptime)
	return ops
}

// Build is the program that runs.
func (o *Ops) Build() Build { return o.o.Build }

func (o *Ops) uptime() time.Duration { return o.o.Now().Sub(o.started) }

// Health is the answer of /health: always a 200, with what is wrong inside.
type Health struct {
	// Status is ok or degraded.
	Status  string `json:"status"`
	Version string `json:"version"`
	// Database is ready, or a sentence that says why it isn't.
	Database      string `json:"database"`
	UptimeSeconds int64  `json:"uptime_seconds"`
	// Warnings say what works but shouldn't stay as it is, such as a server that
	// anybody may write to.
	Warnings []string `json:"warnings"`
}

// Health is what /health answers.
func (o *Ops) Health() Health {
	h := Health{
		Status: "ok", Version: o.o.Build.Version, Database: "ready", UptimeSeconds: int64(o.uptime().Seconds()),
		Warnings: append([]string{}, o.o.Warnings()...),
	}
	if r := o.Readiness(); !r.Ready {
		h.Status, h.Database = "degraded", r.Reason
	}
	return h
}

func (o *Ops) health(c fiber.Ctx) error { return answer(c, http.StatusOK, o.Health()) }

// Live is the answer of /livez and, when all is well, of /readyz.
type Live struct {
	Status string `json:"status"`
}

func (o *Ops) livez(c fiber.Ctx) error { return answer(c, http.StatusOK, Live{"ok"}) }

// Unready is the 503 of /readyz: a problem document with the progress.
type Unready struct {
	problem.Problem
	// Done of Total vectors are loaded from storage.
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
}

func (o *Ops) readyz(c fiber.Ctx) error {
	r := o.Readiness()
	if r.Ready {
		return answer(c, http.StatusOK, Live{"ready"})
	}
	u := Unready{Problem: problem.Of(errs.New(errs.Unavailable, "not_ready", "%s", r.Reason)), Done: r.Done, Total: r.Total}
	u.RequestID = c.GetRespHeader(fiber.HeaderXRequestID)
	if err := answer(c, u.Status, u); err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, problem.ContentType)
	c.Set(fiber.HeaderRetryAfter, "1")
	return nil
}

// Readiness is the database's, unless the server itself is on its way out.
func (o *Ops) Readiness() engine.Readiness {
	if o.o.Draining() {
		return engine.Readiness{Reason: "the server is shutting down"}
	}
	return o.o.Database.Readiness()
}

// Version is the answer of /version.
type Version struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Build   string `json:"build"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func (o *Ops) version(c fiber.Ctx) error {
	b := o.o.Build
	return answer(c, http.StatusOK, Version{"THEMIS", b.Version, b.Date, b.Commit, runtime.Version()})
}

// Stats is the answer of /stats.
type Stats struct {
	Server  ServerStats  `json:"server"`
	Storage StorageStats `json:"storage"`
	Query   QueryStats   `json:"query"`
	Vector  VectorStats  `json:"vector"`
	Feed    FeedStats    `json:"feed"`
	GPU     GPUStats     `json:"gpu"`
}

// ServerStats count since the start.
type ServerStats struct {
	UptimeSeconds int64  `json:"uptime_seconds"`
	TotalRequests uint64 `json:"total_requests"`
	// TotalErrors are the answers from 500 up.
	TotalErrors uint64 `json:"total_errors"`
	// QueriesPerSecond is the mean of the last ten seconds.
	QueriesPerSecond float64 `json:"queries_per_second"`
	// Threads run Go code at the same time.
	Threads int `json:"threads"`
}

// StorageStats are the figures of what is on disk.
type StorageStats struct {
	RocksDB RocksDB      `json:"rocksdb"`
	Health  HealthStats  `json:"health"`
	Archive ArchiveStats `json:"archive"`
	Copies  CopyStats    `json:"copies"`
}

// QueryStats count queries by plan mode since the start.
type QueryStats struct {
	Tables int               `json:"tables"`
	Modes  map[string]uint64 `json:"modes"`
}

// VectorStats are the sums over all vector indexes.
type VectorStats struct {
	Indexes int `json:"indexes"`
	// Live vectors can be found; Pending of them aren't in the graph yet;
	// Tombstones are dead slots that still take memory.
	Live        int   `json:"live"`
	Pending     int   `json:"pending"`
	Tombstones  int   `json:"tombstones"`
	MemoryBytes int64 `json:"memory_bytes"`
	// FileBytes are of vectors that lie in files.
	FileBytes int64 `json:"file_bytes"`
	// SearchModes count searches by plan mode since the start.
	SearchModes map[string]uint64 `json:"search_modes"`
}

// Stats is what /stats answers.
func (o *Ops) Stats(ctx context.Context) (Stats, error) {
	s, err := o.o.Database.Stats()
	if err != nil {
		return Stats{}, err
	}
	requests, failures := o.totals()
	return Stats{
		Server: ServerStats{
			UptimeSeconds: int64(o.uptime().Seconds()), TotalRequests: requests, TotalErrors: failures,
			QueriesPerSecond: o.rate.perSecond(), Threads: runtime.GOMAXPROCS(0),
		},
		Storage: storageStats(&s),
		Query:   QueryStats{s.Tables, s.QueryModes},
		Vector:  vectorStats(&s),
		Feed:    feedStats(&s.Feed),
		GPU:     o.gpuStats(ctx, &s),
	}, nil
}

func (o *Ops) stats(c fiber.Ctx) error {
	s, err := o.Stats(c.Context())
	if err != nil {
		return problem.Write(c, err)
	}
	return answer(c, http.StatusOK, s)
}

func vectorStats(s *engine.Stats) VectorStats {
	return VectorStats{
		Indexes: s.VectorIndexes, Live: s.Vectors.Live, Pending: s.Vectors.Pending, Tombstones: s.Vectors.Tombstones,
		MemoryBytes: s.Vectors.Memory(), FileBytes: s.Vectors.Cold, SearchModes: s.SearchModes,
	}
}

func answer(c fiber.Ctx, status int, v any) error {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/json")
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Status(status).Send(body)
}
