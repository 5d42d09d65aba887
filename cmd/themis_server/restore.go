package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/storage"
)

// restoreFlags are the flags of --restore.
type restoreFlags struct {
	source, target string
	force          bool
	until, archive string
}

func (f *restoreFlags) check() error {
	switch {
	case f.source == "" && *f != restoreFlags{}:
		return errors.New("--target, --force, --until and --archive belong to --restore")
	case f.source != "" && f.target == "":
		return errors.New("--restore needs --target, the folder to restore to")
	case f.archive != "" && f.until == "":
		return errors.New("--archive belongs to --until")
	}
	return nil
}

// overlayName is the file that settings changed over REST are kept in, in the
// folder of the data; it isn't part of the data.
const overlayName = "config-overlay.json"

// restore puts a snapshot or backup in the place of a stopped server's data.
func restore(ctx context.Context, f *restoreFlags, c *config.Config, stdout, stderr io.Writer) error {
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	logger, _, err := logging.New(logging.Options{Level: c.Logging.Level, Format: c.Logging.Format, Output: stderr})
	if err != nil {
		return err
	}
	o := engine.RestoreOptions{
		Source: f.source, Target: f.target, Force: f.force, Keep: []string{overlayName},
		Logger: logger, Progress: printSteps(stdout),
	}
	if f.until != "" {
		until, err := storage.ParseUntil(f.until)
		if err != nil {
			return err
		}
		o.Until, o.Archive = &until, cmp.Or(f.archive, c.Storage.WALArchivePath)
		if o.Archive == "" {
			return errors.New("--until needs the archive of writes: set storage.wal_archive_path or give --archive DIR")
		}
	}
	report, err := engine.Restore(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "✓ Restored to %s: sequence %d", f.target, report.Seq)
	if !report.LastCommit.IsZero() {
		fmt.Fprintf(stdout, ", the newest commit was made at %s", report.LastCommit.Format(time.RFC3339Nano))
	}
	fmt.Fprintln(stdout)
	if o.Until != nil || c.Storage.EnableWALArchival {
		fmt.Fprintln(stdout, "  From here on it has a history of its own: take a snapshot once the server runs.")
	}
	return nil
}

// printSteps prints each step when it begins.
func printSteps(w io.Writer) func(step string, done, total uint64) {
	last := ""
	return func(step string, _, _ uint64) {
		if step != last {
			fmt.Fprintln(w, "… "+step)
			last = step
		}
	}
}
