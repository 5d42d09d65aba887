package main

import (
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/copies"
	"github.com/vccdb/vccdb/console/devices"
	"github.com/vccdb/vccdb/console/feed"
	"github.com/vccdb/vccdb/console/indexes"
	"github.com/vccdb/vccdb/console/joblist"
	"github.com/vccdb/vccdb/console/logs"
	"github.com/vccdb/vccdb/console/overview"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/query"
	"github.com/vccdb/vccdb/console/reference"
	"github.com/vccdb/vccdb/console/search"
	"github.com/vccdb/vccdb/console/session"
	"github.com/vccdb/vccdb/console/settings"
	"github.com/vccdb/vccdb/console/system"
	"github.com/vccdb/vccdb/console/tables"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/web"
)

// consolePages are what the pages of the console show and steer.
type consolePages struct {
	*parts
	operations  *ops.Ops
	description func() *openapi.Document
	// app is a function because the server isn't there yet when its routes are made.
	app func() *server.Server
}

// newConsole gathers the pages of the console.
func newConsole(p consolePages) (*console.Console, error) {
	live := p.live
	assets, err := web.Open()
	if err != nil {
		return nil, err
	}
	frame := page.New(page.Options{
		Assets:   assets,
		AuthOff:  func() bool { return !live.Config().Server.EnableAuth },
		Warnings: func() []string { return live.Config().Server.Exposure() },
		SignIn:   session.InPlaceOf,
	})
	return console.New(frame,
		session.New(frame, session.Options{
			SignIn:  func(c fiber.Ctx, key string) (auth.Principal, error) { return p.app().SignIn(c, key) },
			SignOut: func(c fiber.Ctx) { p.app().SignOut(c) },
			AuthOff: func() bool { return !live.Config().Server.EnableAuth },
		}),
		overview.New(frame, overview.Options{Database: p.db, Ops: p.operations, History: p.past, Config: live}),
		system.New(frame, system.Options{Database: p.db, Ops: p.operations, History: p.past, Licences: assets.Licences()}),
		devices.New(frame, devices.Options{Ops: p.operations, History: p.past, Device: live.Config().GPU.Device}),
		reference.New(frame, p.description),
		settings.New(frame, settings.Options{Config: p.live}),
		copies.New(frame, copies.Options{Database: p.db, Schedule: p.copies, Config: p.live}),
		indexes.New(frame, indexes.Options{Database: p.db}),
		joblist.New(frame, joblist.Options{Jobs: p.db.Jobs()}),
		query.New(frame, p.db),
		search.New(frame, p.db),
		tables.New(frame, tables.Options{
			Database: p.db, MaxLineBytes: int(live.Config().Server.MaxRequestBytes()),
			ChunkTimeout: func() time.Duration { return live.Config().Server.RequestTimeout() },
		}),
		feed.New(frame, feed.Options{Database: p.db, Config: live}),
		logs.New(frame, logs.Options{Database: p.db, Config: live, Entries: p.entries, Audit: p.audit.entries}),
	), nil
}
