package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/storage"
)

// verify checks all data and prints what it finds. It needs the data for itself,
// so the server must be stopped, and changes nothing of it: what has to be opened
// is a clone, which takes the room of the logs.
func verify(ctx context.Context, c *config.Config, stdout, stderr io.Writer) (err error) {
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	logger, _, err := logging.New(logging.Options{Level: c.Logging.Level, Format: c.Logging.Format, Output: stderr})
	if err != nil {
		return err
	}
	path := c.Storage.RocksDBPath
	if err := engine.FinishRestore(path); err != nil {
		return err
	}
	if findings := checkFiles(path); len(findings) > 0 {
		for _, finding := range findings {
			fmt.Fprintln(stdout, "✗", finding)
		}
		return fmt.Errorf("%d of the files in %s are damaged or missing; restore a snapshot or backup", len(findings), path)
	}
	clone, remove, err := storage.Clone(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	options := engineOptions(c, logger)
	options.Storage.Path, options.Storage.CreateIfMissing, options.Storage.WALArchivePath = clone, false, ""
	report, err := verifyOpened(ctx, options)
	if err != nil {
		// RocksDB names the clone's files; a reader wants to hear of the database's.
		return errors.New(strings.ReplaceAll(err.Error(), clone, path))
	}
	return printReport(stdout, report)
}

// checkFiles looks at the files of a database. A folder without one is the
// opening's to report.
func checkFiles(path string) []string {
	if tables, err := os.ReadDir(path); err != nil || len(tables) == 0 {
		return nil
	}
	findings, err := storage.CheckFiles(path)
	if err != nil {
		return []string{err.Error()}
	}
	return findings
}

// verifyOpened reads every block and checks all rows.
func verifyOpened(ctx context.Context, options engine.Options) (report *engine.CheckReport, err error) {
	db, err := engine.Open(ctx, options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.VerifyChecksums(); err != nil {
		return nil, err
	}
	if err := db.AwaitReady(ctx); err != nil {
		return nil, err
	}
	return db.Check(ctx)
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
