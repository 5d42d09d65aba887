package main

import (
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
)

// verify checks all data and prints what it finds. It needs the data for itself,
// so the server must be stopped.
func verify(ctx context.Context, c *config.Config, stdout, stderr io.Writer) (err error) {
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	logger, _, err := logging.New(logging.Options{Level: c.Logging.Level, Format: c.Logging.Format, Output: stderr})
	if err != nil {
		return err
	}
	options := engineOptions(c, logger)
	options.Storage.CreateIfMissing = false
	db, err := engine.Open(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.VerifyChecksums(); err != nil {
		return err
	}
	if err := untilReady(ctx, db); err != nil {
		return err
	}
	report, err := db.Check(ctx)
	if err != nil {
		return err
	}
	return printReport(stdout, report)
}

// untilReady waits until the vector indexes are loaded, so that they are checked
// too.
func untilReady(ctx context.Context, db *engine.Engine) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		switch r := db.Readiness(); {
		case r.Ready:
			return nil
		case r.Failed:
			return errors.New(r.Reason)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func printReport(w io.Writer, r *engine.CheckReport) error {
	for _, finding := range r.Findings {
		fmt.Fprintln(w, "✗", finding)
	}
	summary := fmt.Sprintf("%d tables, %d entities, %d index entries, %d vectors", r.Tables, r.Entities, r.Terms, r.Vectors)
	if r.Total > 0 {
		return fmt.Errorf("%d findings in %s; the first %d are listed", r.Total, summary, len(r.Findings))
	}
	fmt.Fprintln(w, "✓ All data is sound:", summary)
	return nil
}
