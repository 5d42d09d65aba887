// Package admin is what operators do to a running server over REST: read and
// change its configuration, take snapshots and backups, flush and compact.
// Everything in it needs the role admin.
//
// One file per subject holds its wire types, its routes and its handlers. The
// package decides nothing about data or settings; it asks the engine and the
// live configuration. It owns no goroutines and no locks.
package admin

import (
	"slices"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/server/schedule"
)

// Tag groups the operations in the description.
const tag = "Operations"

// Options are what an Admin serves.
type Options struct {
	// Database is what is copied and kept in order.
	Database *engine.Engine
	// Config is the live configuration; nil serves none.
	Config *config.Live
	// Schedule makes copies by itself; nil serves none.
	Schedule *schedule.Schedule
	// Workers has the GPU's worker; nil serves none.
	Workers Workers
}

// Admin serves the routes of operators.
type Admin struct {
	o Options
}

// New returns an Admin. It must be registered to answer anything.
func New(o Options) *Admin { return &Admin{o: o} }

// Routes lists every route.
func (a *Admin) Routes() []rest.Route {
	return slices.Concat(a.configRoutes(), a.snapshotRoutes(), a.backupRoutes(), a.scheduleRoutes(), a.maintenanceRoutes(), a.slowRoutes(), a.gpuRoutes())
}

// Operations describes the routes.
func (a *Admin) Operations() []openapi.Operation { return rest.Operations(a.Routes()) }
