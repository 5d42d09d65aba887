package api

import (
	"context"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
)

// Database is what the API serves; *engine.Engine is one. Errors are errs.Error
// values, whose kind decides the status, or those of ctx.
type Database interface {
	Entities
	Indexes
	Queries
	Vectors
	Feed
	Jobs() *jobs.Registry
}

// Feed reads the change feed. While it is off everything but FeedStats and
// FollowFeed fails with NotSupported "feature_disabled".
type Feed interface {
	// ReadFeed returns a page of the events after from: Gone if they aren't kept.
	ReadFeed(ctx context.Context, from uint64, limit int, filter engine.FeedFilter) (engine.FeedPage, error)
	// WaitFeed waits until there may be events after from.
	WaitFeed(ctx context.Context, from uint64, most time.Duration) (news bool, err error)
	// FollowFeed counts a stream until done is called.
	FollowFeed() (done func(slow bool))
	FeedStats() (engine.FeedStats, error)
	// FeedTimeline names the history that sequences belong to.
	FeedTimeline() (string, error)
	// TrimFeed removes the events with sequences below before.
	TrimFeed(before uint64) (removed uint64, err error)
}

// Entities reads and writes entities and tables.
type Entities interface {
	// Get returns the entities in the order of keys, nil where absent.
	Get(ctx context.Context, keys []engine.Key, withVectors bool) ([]*engine.Entity, error)
	// Apply returns one result per op. It fails as a whole only if nothing was
	// applied; then the results, if any, say which ops are to blame.
	Apply(ctx context.Context, ops []engine.Op, atomic bool) ([]engine.OpResult, error)
	Scroll(ctx context.Context, table, cursor string, limit int, withVectors bool) (engine.ScrollPage, error)
	Tables(ctx context.Context) ([]engine.TableInfo, error)
	Table(ctx context.Context, name string) (*engine.TableInfo, error)
	DropTable(ctx context.Context, name string) error
}

// Indexes manages secondary and vector indexes.
type Indexes interface {
	CreateIndex(ctx context.Context, def schema.IndexDef) (*jobs.Job, error)
	DropIndex(ctx context.Context, table string, columns []string, kind schema.IndexType) error
	RebuildIndex(ctx context.Context, table string, columns []string, kind schema.IndexType) (*jobs.Job, error)
	Reindex(ctx context.Context, table string) (*jobs.Job, error)
	// IndexStats lists the indexes of a table, of all tables when it is empty.
	IndexStats(ctx context.Context, table string) ([]engine.IndexInfo, error)
}

// Queries reads by filter and by vector.
type Queries interface {
	Query(ctx context.Context, req engine.QueryRequest) (*engine.QueryResult, error)
	Search(ctx context.Context, req engine.SearchRequest) ([]engine.SearchResult, error)
}

// Vectors manages vector indexes and deletes in bulk. Where a table and column
// name a vector index they may be empty, as in engine.SearchRequest.
type Vectors interface {
	// VectorConfig resolves a vector index: NotFound "index_not_found" if there is
	// none, Invalid "ambiguous_index" if several fit.
	VectorConfig(ctx context.Context, table, column string) (schema.IndexDef, error)
	// SetVectorConfig changes what is set in change and safe to change live (ef, engine).
	SetVectorConfig(ctx context.Context, table, column string, change schema.VectorConfig) (schema.IndexDef, error)
	// VectorStats lists the vector indexes that fit, with VectorStats set.
	VectorStats(ctx context.Context, table, column string) ([]engine.IndexInfo, error)
	VectorRecall(ctx context.Context, req engine.RecallRequest) (engine.RecallReport, error)
	// SaveVectors makes checkpoints of the vector indexes that fit.
	SaveVectors(ctx context.Context, table, column string) ([]engine.Checkpoint, error)
	StartRecallCurve(req engine.RecallCurveRequest) (*jobs.Job, error)
	// DeleteWhere deletes the entities of a table that match, DeletePrefix those
	// whose primary key starts with prefix.
	DeleteWhere(ctx context.Context, table string, filter *query.Expr) (deleted int, err error)
	DeletePrefix(ctx context.Context, table, prefix string) (deleted int, err error)
}
