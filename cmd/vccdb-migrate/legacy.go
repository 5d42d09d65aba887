package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/storage"
)

// A batch is written when it has so many rows or bytes. Memory is bounded by
// that, whatever the number of rows.
const (
	batchRows  = 1000
	batchBytes = 4 << 20
)

// importer writes legacy rows as entities.
type importer struct {
	*migration
	db       *engine.Engine
	ops      []engine.Op
	bytes    int
	entities uint64
}

// importLegacy makes entities of the rows of version 0.9.
func (m *migration) importLegacy(ctx context.Context, dir string) (report *engine.CheckReport, err error) {
	old, err := storage.OpenLegacy(m.from)
	if err != nil {
		return nil, err
	}
	defer old.Close()
	db, err := openTarget(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	im := &importer{migration: m, db: db}
	rows, p := uint64(0), progress{out: m.out, unit: "rows", total: old.EstimatedRows()}
	err = old.Each(func(key, value []byte) error {
		if err := im.row(ctx, key, value); err != nil {
			return err
		}
		rows++
		p.report(rows)
		return nil
	})
	if err == nil {
		err = im.flush(ctx)
	}
	if err := errors.Join(err, m.rejects.close()); err != nil {
		return nil, err
	}
	p.end(rows)
	if m.rejects.count > 0 && !m.skipInvalid {
		return nil, fmt.Errorf("these rows can't be taken over: %s. They are listed in %s; nothing was made. "+
			"Mend them in the old data, or leave them out with --skip-invalid", m.rejects.summary(), m.rejects.path)
	}
	if report, err = m.check(ctx, db); err != nil {
		return nil, err
	}
	if report.Entities != im.entities || im.entities+m.rejects.count != rows {
		return nil, fmt.Errorf("%d rows were read and %d rejected, but there are %d entities; nothing was made of it",
			rows, m.rejects.count, report.Entities)
	}
	return report, nil
}

// row takes one row over or rejects it.
func (im *importer) row(ctx context.Context, key, value []byte) error {
	k, err := engine.ParseKey(string(key))
	if err != nil {
		return im.rejects.add(string(key), err)
	}
	im.ops = append(im.ops, engine.Op{Kind: engine.OpPut, Key: k, Doc: bytes.Clone(value)})
	im.bytes += len(value)
	if len(im.ops) < batchRows && im.bytes < batchBytes {
		return nil
	}
	return im.flush(ctx)
}

// flush writes the rows that wait.
func (im *importer) flush(ctx context.Context) error {
	results, err := im.db.Apply(ctx, im.ops, false)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Err == nil {
			im.entities++
		} else if err := im.rejects.add(r.Key.String(), r.Err); err != nil {
			return err
		}
	}
	im.ops, im.bytes = im.ops[:0], 0
	return nil
}
