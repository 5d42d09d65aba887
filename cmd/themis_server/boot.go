package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/admin"
	"github.com/vccdb/vccdb/server/api"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
	"github.com/vccdb/vccdb/server/schedule"
)

// drainTimeout is how long requests under way may take to finish. With the time
// they get to notice that it is over, it stays below the 30 s after which
// Kubernetes kills.
const drainTimeout = 20 * time.Second

// serve runs the database until a signal or a failure.
func serve(ctx context.Context, live *config.Live, system *systemd, stderr io.Writer) (err error) {
	c := live.Config()
	logOptions := loggingOptions(&c.Logging)
	logOptions.Output = stderr
	plain, log, err := logging.New(logOptions)
	if err != nil {
		return err
	}
	defer log.Close()
	entries := logging.NewEntries()
	logger := logging.Keep(plain, entries)
	configLogger := logger.With(logging.Component, "config")
	live.SetLogger(configLogger)
	for _, warning := range c.Warnings {
		configLogger.Warn(warning)
	}
	// The first signal stops the server in order, a second one kills it.
	ctx, release := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(signals)
	if c.Server.WorkerThreads > 0 {
		runtime.GOMAXPROCS(c.Server.WorkerThreads)
	}
	defer pace()()
	audit, err := newAudit(c, plain)
	if err != nil {
		return err
	}
	defer audit.file.Close()
	profiles, err := startProfiles(c.Server.PprofPort, logger)
	if err != nil {
		return err
	}
	defer profiles.Close()
	if o := tlsOptions(&c.Server); o != nil {
		if err := o.Validate(); err != nil {
			return err
		}
	}
	// The port is claimed first: opening the data may take a while, and is no use
	// if another process has the port.
	listener, err := net.Listen("tcp", c.Server.Address())
	if err != nil {
		return fmt.Errorf("%w; stop what listens there or set server.port", err)
	}
	defer listener.Close()
	if err := engine.FinishRestore(c.Storage.RocksDBPath); err != nil {
		return err
	}
	db, err := engine.Open(ctx, engineOptions(c, logger))
	if err != nil {
		return err
	}
	devices := gpu.New(gpu.Options{})
	defer devices.Close()
	copies := schedule.New(schedule.Options{
		Database: db, Plan: copyPlan(&c.Storage), Logger: logger.With(logging.Component, "schedule"),
	})
	traffic := &history.Traffic{}
	past := history.New(history.Options{Database: db, Traffic: traffic.Counts, GPU: devices, DataPath: c.Storage.RocksDBPath})
	app, err := newApp(&parts{live, db, devices, copies, traffic, past, logger, entries, audit})
	if err != nil {
		copies.Close()
		past.Close()
		return errors.Join(err, db.Close())
	}
	follow(live, db, app, copies, log)
	served := make(chan error, 1)
	go func() { served <- app.Serve(listener) }()
	logger.Info("themis_server runs", "version", thisBuild().Version, "address", listener.Addr().String(),
		"data", c.Storage.RocksDBPath, "threads", runtime.GOMAXPROCS(0))
	system.ready()
	err = wait(ctx, served, signals, &hangup{live, []*logging.Log{log, audit.file}, configLogger}, system, logger)
	system.stopping()
	copies.Close()
	past.Close()
	return stop(app, db, err, logger)
}

// parts are what requests are answered from.
type parts struct {
	live    *config.Live
	db      *engine.Engine
	devices *gpu.Probe
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
		Build: thisBuild(), Database: db, GPU: p.devices, Schedule: copies, Traffic: p.traffic, DataPath: c.Storage.RocksDBPath,
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

// wait returns when the server should stop: nil if it was told to, or why it
// can't go on.
func wait(ctx context.Context, served <-chan error, signals <-chan os.Signal, hangup *hangup, system *systemd, logger *slog.Logger) error {
	alive, stopTicker := system.watchdog()
	defer stopTicker()
	for {
		select {
		case <-ctx.Done():
			logger.Info("stopping; requests under way are finished first")
			return nil
		case err := <-served:
			return fmt.Errorf("the listener failed: %w", err)
		case sig := <-signals:
			hangup.handle(sig)
		case <-alive:
			system.alive()
		}
	}
}

// stop is the shutdown list: requests, then the database. Data is safe without
// it: what was acknowledged is on disk.
func stop(app *server.Server, db *engine.Engine, reason error, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := app.Shutdown(ctx); err != nil {
		// Handlers still use the database, so it can't be closed under them.
		return fmt.Errorf("the server did not drain: %w", err)
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("the database was not closed cleanly: %w", err)
	}
	logger.Info("stopped")
	return reason
}
