package main

import (
	"log/slog"
	"os"
	"reflect"
	"syscall"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/schedule"
)

// follow makes the parts of the server follow the configuration. The change feed
// comes first: switching it writes to storage, which may fail.
func follow(live *config.Live, db *engine.Engine, app *server.Server, copies *schedule.Schedule, log *logging.Log) {
	live.Subscribe(config.Subscriber{Apply: func(before, after *config.Config) error {
		if feedOptions(before) == feedOptions(after) {
			return nil
		}
		return db.SetFeed(feedOptions(after))
	}})
	live.Subscribe(config.Subscriber{Apply: func(_, after *config.Config) error {
		db.SetSlowThreshold(slowThreshold(after))
		return db.SetDefaultEf(after.VectorIndex.EfSearch)
	}})
	live.Subscribe(config.Subscriber{Apply: func(_, after *config.Config) error {
		copies.Set(copyPlan(&after.Storage))
		return nil
	}})
	live.Subscribe(config.Subscriber{Apply: func(before, after *config.Config) error {
		app.SetRequestTimeout(after.Server.RequestTimeout())
		app.SetRateLimits(rateLimits(&after.Server))
		sessions := sessionOptions(&after.Console, "")
		app.SetSessionLimits(sessions.Idle, sessions.MaxAge)
		if reflect.DeepEqual(before.Server.APIKeys, after.Server.APIKeys) {
			return nil
		}
		keys, err := authKeys(&after.Server)
		if err == nil {
			app.SetKeys(keys)
		}
		return err
	}})
	live.Subscribe(config.Subscriber{Apply: func(_, after *config.Config) error {
		if err := log.SetLevel(after.Logging.Level); err != nil {
			return err
		}
		return log.SetFormat(after.Logging.Format)
	}})
}

// hangup is what signals do to a running server: SIGHUP reads the configuration
// again, and both it and SIGUSR1 open the log files again, which another program
// may have moved away.
type hangup struct {
	live   *config.Live
	logs   []*logging.Log
	logger *slog.Logger
}

func (h *hangup) handle(sig os.Signal) {
	for _, log := range h.logs {
		if err := log.Reopen(); err != nil {
			h.logger.Error("a log file could not be closed", "error", err)
		}
	}
	if sig != syscall.SIGHUP {
		return
	}
	switch outcome, err := h.live.Reload("SIGHUP"); {
	case err != nil:
		h.logger.Error("the configuration was not reloaded", "error", err)
	default:
		h.logger.Info("the configuration was reloaded", "changes", len(outcome.Changes))
	}
}
