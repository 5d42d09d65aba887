// Package api is the database over REST: entities, tables, indexes, queries,
// vectors, the change feed and jobs, and the description of all that as OpenAPI
// and as a page.
//
// One file per resource holds its wire types, its routes and its handlers. A
// handler decodes the request into memory of its own, calls the Database and
// writes the answer; it decides nothing about data. A failed request is always
// answered as a problem document (package problem) and has changed nothing,
// unless the answer says otherwise: batches report per item, and a stream that
// breaks off says how far it came.
//
// The package starts no goroutines. Its only lock is the one of the record of
// idempotent answers.
package api

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/rest"
)

// Options configure an API. The zero value of each field means its default.
type Options struct {
	// Version is the product's, for the description.
	Version string
	// MaxLineBytes bounds one line of an NDJSON import; 10 MiB.
	MaxLineBytes int
	// ChunkTimeout bounds the writing of one chunk of an NDJSON import, which as
	// a whole may last as long as it likes. It is asked for each import; 30 s.
	ChunkTimeout func() time.Duration
	// MaxFeedReaders bounds the streams and waiting long polls of the change feed,
	// which hold no place among the requests at work; 4096. FeedHeartbeat is how
	// long a stream stays quiet at most; 15 s.
	MaxFeedReaders int
	FeedHeartbeat  time.Duration
	// Operations are the routes of other packages, for the description.
	Operations []openapi.Operation
	// Now is the clock, for tests.
	Now func() time.Time
}

func (o Options) ensureDefaults() Options {
	if o.MaxLineBytes == 0 {
		o.MaxLineBytes = 10 << 20
	}
	if o.ChunkTimeout == nil {
		o.ChunkTimeout = func() time.Duration { return 30 * time.Second }
	}
	if o.MaxFeedReaders == 0 {
		o.MaxFeedReaders = 4096
	}
	if o.FeedHeartbeat == 0 {
		o.FeedHeartbeat = heartbeatInterval
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// API serves a Database.
type API struct {
	db   Database
	opts Options
	once *onceStore
	// These are made when they are asked for first.
	description func() *openapi.Document
	spec        func() ([]byte, error)
	page        func() ([]byte, error)
	// feedReaders counts who holds a place for the change feed.
	feedReaders atomic.Int64
}

// New returns an API over db. It must be registered to answer anything.
func New(db Database, opts Options) *API {
	a := &API{db: db, opts: opts.ensureDefaults()}
	a.once = newOnceStore(a.opts.Now)
	a.description = sync.OnceValue(a.document)
	a.spec = sync.OnceValues(func() ([]byte, error) { return a.description().JSON() })
	a.page = sync.OnceValues(func() ([]byte, error) { return a.description().HTML() })
	return a
}

// Description is what /openapi.json says.
func (a *API) Description() *openapi.Document { return a.description() }

// Routes lists every route.
func (a *API) Routes() []rest.Route {
	var all []rest.Route
	for _, resource := range [][]rest.Route{
		a.entityRoutes(), a.batchRoutes(), a.tableRoutes(), a.indexRoutes(), a.queryRoutes(),
		a.searchRoutes(), a.vectorWriteRoutes(), a.vectorIndexRoutes(), a.feedRoutes(), a.jobRoutes(), a.descriptionRoutes(),
	} {
		all = append(all, resource...)
	}
	return all
}
