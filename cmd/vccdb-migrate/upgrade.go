package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/storage"
)

// upgrade copies the files of the format before today's and changes the copy.
func (m *migration) upgrade(ctx context.Context, dir string) (report *engine.CheckReport, err error) {
	if err := m.copyFiles(ctx, dir); err != nil {
		return nil, err
	}
	if err := storage.Upgrade(storage.Options{Path: dir}); err != nil {
		return nil, err
	}
	if err := sameRows(m.from, dir); err != nil {
		return nil, err
	}
	db, err := openTarget(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return m.check(ctx, db)
}

// copyFiles copies the files of a RocksDB folder. Folders in it hold no data.
func (m *migration) copyFiles(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(m.from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	p := progress{out: m.out, unit: "bytes"}
	var names []string
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name := entry.Name()
		// The lock and RocksDB's own log are about the old place.
		if name == "LOCK" || name == "LOG" || strings.HasPrefix(name, "LOG.old.") {
			continue
		}
		if !info.Mode().IsRegular() { // such as lost+found
			fmt.Fprintf(m.out, "  left out: %s, which isn't a file\n", name)
			continue
		}
		names = append(names, name)
		p.total += uint64(info.Size())
	}
	done := uint64(0)
	for _, name := range names {
		if err := copyFile(ctx, filepath.Join(m.from, name), filepath.Join(dir, name), func(n int64) {
			done += uint64(n)
			p.report(done)
		}); err != nil {
			return err
		}
	}
	p.end(done)
	return nil
}

// copyBytes is what is copied between two looks at the context.
const copyBytes = 16 << 20

func copyFile(ctx context.Context, from, to string, copied func(int64)) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(out, in, copyBytes)
		copied(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sameRows holds that the copy has every row of the old data.
func sameRows(from, to string) error {
	old, err := storage.CountRows(from)
	if err != nil {
		return err
	}
	migrated, err := storage.CountRows(to)
	if err != nil {
		return err
	}
	for family, n := range old {
		if migrated[family] != n {
			return fmt.Errorf("the column family %s has %d rows in the old data and %d in the migrated; nothing was made of it",
				family, n, migrated[family])
		}
	}
	return nil
}
