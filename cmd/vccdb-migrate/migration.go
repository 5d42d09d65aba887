package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/storage"
)

// migration is one run of the program.
type migration struct {
	from, to, version, target string
	skipInvalid               bool
	rejects                   rejects
	out                       io.Writer
}

// run migrates. Whatever fails, the old data are as they were and the target is
// as it was.
func (m *migration) run(ctx context.Context) (err error) {
	release, err := storage.HoldClosed(m.from)
	if err != nil {
		return err
	}
	defer release()
	format, err := m.format()
	if err != nil {
		return err
	}
	s, err := openStage(m.to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := vacant(m.to); err != nil {
		return err
	}
	fmt.Fprintf(m.out, "Migrating %s from version %s to %s, into %s\n", m.from, format.Release(), today.Release(), m.to)
	do := m.upgrade
	if format == storage.FormatLegacy {
		do = m.importLegacy
	}
	report, err := do(ctx, s.data)
	if err != nil {
		return err
	}
	if err := s.place(m.to); err != nil {
		return err
	}
	m.summary(format, report)
	return nil
}

// format is that of the old data, which --version has to agree with.
func (m *migration) format() (storage.Format, error) {
	format, err := storage.Inspect(m.from)
	switch {
	case err != nil:
		return 0, err
	case format == today:
		return 0, fmt.Errorf("the data at %s are of version %s already; there is nothing to migrate", m.from, today.Release())
	case format > today:
		return 0, fmt.Errorf("the data at %s have format %d, of a version newer than %s; use the vccdb-migrate of that version",
			m.from, format, today.Release())
	case m.version != "" && m.version != format.Release():
		return 0, fmt.Errorf("the data at %s are of version %s, not %s as --version says", m.from, format.Release(), m.version)
	}
	return format, nil
}

// vacant refuses a target with something in it, and one that nothing could take
// the place of in the end.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s isn't empty; name a folder that is, or that isn't there", dir)
	}
	var own, parent syscall.Stat_t
	if err := errors.Join(syscall.Stat(dir, &own), syscall.Stat(filepath.Dir(dir), &parent)); err != nil {
		return err
	}
	if own.Dev != parent.Dev {
		return fmt.Errorf("%s is the root of a file system; name a folder in it", dir)
	}
	return nil
}

// openTarget opens the database that is being made.
func openTarget(ctx context.Context, dir string) (*engine.Engine, error) {
	return engine.Open(ctx, engine.Options{
		Storage: storage.Options{
			Path: dir, CreateIfMissing: true, BlockCacheSizeMB: 256,
			// Nothing counts before the rename, and all is synced before that.
			Durability: storage.DurabilityNone,
		},
		// What has expired meanwhile is the server's to sweep, after the counting.
		SweepInterval: 24 * time.Hour,
		Logger:        slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
}

// check reads everything back and proves that it agrees.
func (m *migration) check(ctx context.Context, db *engine.Engine) (*engine.CheckReport, error) {
	fmt.Fprintln(m.out, "Checking the migrated data")
	if err := db.Flush(); err != nil {
		return nil, err
	}
	if err := db.VerifyChecksums(); err != nil {
		return nil, err
	}
	if err := db.AwaitReady(ctx); err != nil {
		return nil, err
	}
	report, err := db.Check(ctx)
	if err != nil {
		return nil, err
	}
	if report.Total > 0 {
		return nil, fmt.Errorf("the check of the migrated data has %d findings; nothing was made of it: %s",
			report.Total, strings.Join(report.Findings, "; "))
	}
	return report, nil
}

func (m *migration) summary(format storage.Format, report *engine.CheckReport) {
	fmt.Fprintf(m.out, "✓ Migrated and checked: %d tables, %d entities, %d index entries, %d vectors\n",
		report.Tables, report.Entities, report.Terms, report.Vectors)
	if m.rejects.count > 0 {
		fmt.Fprintf(m.out, "  Left out: %s; they are listed in %s\n", m.rejects.summary(), m.rejects.path)
	}
	fmt.Fprintf(m.out, "Next: set storage.rocksdb_path to %s and start themis_server. The old data in %s are as they were.\n", m.to, m.from)
	if format == storage.FormatLegacy {
		fmt.Fprintf(m.out, "Version %s had no indexes to take over; create the ones you need with POST /index/create.\n", format.Release())
	}
}

// stage is the folder beside the target in which it is made.
type stage struct {
	dir, data string
	marker    *os.File
}

// suffix is what the stage's name has after the target's.
const suffix = ".migrating"

// openStage makes the folder, or takes the one over that a killed migration left
// and empties it. The lock on the marker keeps a second migration out.
func openStage(target string) (*stage, error) {
	s := &stage{dir: target + suffix}
	s.data = filepath.Join(s.dir, "data")
	name := filepath.Join(s.dir, "MIGRATING")
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if _, err := os.Stat(name); len(entries) > 0 && err != nil {
		return nil, fmt.Errorf("%s isn't empty, and no migration left it; move it away", s.dir)
	}
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return nil, err
	}
	if s.marker, err = os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o640); err != nil {
		return nil, err
	}
	if err := lock(s.marker); err != nil {
		return nil, errors.Join(fmt.Errorf("another migration to %s is under way", target), s.marker.Close())
	}
	if err := os.RemoveAll(s.data); err != nil {
		return nil, errors.Join(err, s.marker.Close())
	}
	return s, nil
}

// place gives the finished data its name.
func (s *stage) place(target string) error {
	if err := syncTree(s.data); err != nil {
		return err
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) { // it is empty
		return err
	}
	if err := os.Rename(s.data, target); err != nil {
		return err
	}
	return syncFile(filepath.Dir(target))
}

// close removes the folder and what is left in it.
func (s *stage) close() error {
	return errors.Join(os.RemoveAll(s.dir), s.marker.Close())
}

func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncFile(name)
	})
}

func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
