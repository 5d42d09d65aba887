package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/storage"
)

// backup adds a backup of a stopped server's data to a folder.
func backup(_ context.Context, dir string, c *config.Config, stdout, stderr io.Writer) (err error) {
	logger, _, err := logging.New(logging.Options{Level: c.Logging.Level, Format: c.Logging.Format, Output: stderr})
	if err != nil {
		return err
	}
	o := storageOptions(&c.Storage, logger)
	o.CreateIfMissing = false
	o.Feed = c.Features.CDC // as the server has it, or the feed would break off
	store, err := storage.Open(o)
	if errs.CodeOf(err) == "storage_locked" {
		return fmt.Errorf("another process has the data at %s open. If that is the server, ask it instead: POST /admin/backup", c.Storage.RocksDBPath)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	b, err := store.Backup(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "✓ Backup %d in %s: sequence %d, %d files, %d bytes\n", b.ID, dir, store.LastSeq(), len(b.Files), b.Bytes)
	return nil
}
