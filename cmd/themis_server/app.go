package main

import (
	"log/slog"
	"slices"
	"time"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/admin"
	"github.com/vccdb/vccdb/server/api"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
	"github.com/vccdb/vccdb/server/schedule"
)

// parts are what requests are answered from.
type parts struct {
	live    *config.Live
	db      *engine.Engine
	devices *gpu.Probe
	worker  *supervisor.Supervisor
	copies  *schedule.Schedule
	traffic *history.Traffic
	past    *history.History
	logger  *slog.Logger
	// entries are the newest that logger wrote.
	entries *logging.Entries
	audit   *auditLog
}

func newApp(p *parts) (app *server.Server, err error) {
	live, db, copies, c := p.live, p.db, p.copies, p.live.Config()
	operations := ops.New(ops.Options{
		Build: thisBuild(), Database: db, GPU: p.devices, Worker: p.worker, UseGPU: c.VectorIndex.UseGPU, Schedule: copies, Traffic: p.traffic, DataPath: c.Storage.RocksDBPath,
		Draining: func() bool { return app.Draining() },
		Warnings: func() []string { return live.Config().Server.Exposure() },
	})
	administration := admin.New(admin.Options{Database: db, Config: live, Schedule: copies, Workers: operations})
	work := api.New(db, api.Options{
		Version: thisBuild().Version, MaxLineBytes: int(c.Server.MaxRequestBytes()),
		ChunkTimeout: func() time.Duration { return live.Config().Server.RequestTimeout() },
		Operations:   slices.Concat(operations.Operations(), administration.Operations()),
	})
	options, err := serverOptions(&c.Server, operations, p.logger)
	if err != nil {
		return nil, err
	}
	options.Audit = p.audit.logger
	routes := []server.Routes{administration, work}
	if c.Console.Enabled {
		pages, err := newConsole(consolePages{parts: p, operations: operations, description: work.Description, app: func() *server.Server { return app }})
		if err != nil {
			return nil, err
		}
		options.Pages = server.Pages{Below: page.Prefix, Render: pages.Problem}
		if options.Sessions, err = newSessions(&c.Console, db); err != nil {
			return nil, err
		}
		routes = append(routes, pages)
	}
	app = server.New(options, operations, routes...)
	return app, nil
}
