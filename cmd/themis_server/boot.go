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
	"syscall"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/ops/history"
	"github.com/vccdb/vccdb/server/schedule"
	"github.com/vccdb/vccdb/vecindex/device"
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
	devices := gpu.New(gpu.Options{})
	defer devices.Close()
	worker := supervisor.New(workerOptions(&c.GPU, config.ThisMachine().Program, devices, logger))
	defer worker.Close() // the database is closed by then
	options := engineOptions(c, logger)
	options.GPU.Worker = device.Supervised(worker)
	db, err := engine.Open(ctx, options)
	if err != nil {
		return err
	}
	copies := schedule.New(schedule.Options{
		Database: db, Plan: copyPlan(&c.Storage), Logger: logger.With(logging.Component, "schedule"),
	})
	traffic := &history.Traffic{}
	past := history.New(history.Options{Database: db, Traffic: traffic.Counts, GPU: devices, DataPath: c.Storage.RocksDBPath})
	app, err := newApp(&parts{live, db, devices, worker, copies, traffic, past, logger, entries, audit})
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
