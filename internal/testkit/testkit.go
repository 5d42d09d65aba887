// Package testkit opens databases for tests. Every database it hands out is
// checked as a whole when the test ends: a test that leaves an entity and an
// index in disagreement fails, whatever it looked at itself.
package testkit

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/storage"
)

// DB is an open engine with short forms of its calls that end the test on an
// error.
type DB struct {
	*engine.Engine
	t    testing.TB
	opts engine.Options
}

// Options are those of a small database in dir that doesn't sync, since tests
// of durability kill processes, not machines.
func Options(dir string) engine.Options {
	return engine.Options{
		Storage: storage.Options{
			Path: dir, CreateIfMissing: true, Durability: storage.DurabilityNone,
			MemtableSizeMB: 4, BlockCacheSizeMB: 16,
		},
		SweepInterval: time.Hour,
		Logger:        slog.New(slog.DiscardHandler),
	}
}

// Open opens a database in a folder of the test's own.
func Open(t testing.TB) *DB { return OpenWith(t, Options(t.TempDir())) }

// OpenWith opens a database as opts say.
func OpenWith(t testing.TB, opts engine.Options) *DB {
	t.Helper()
	db := &DB{t: t, opts: opts}
	db.open()
	t.Cleanup(func() {
		db.Check()
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func (db *DB) open() {
	db.t.Helper()
	e, err := engine.Open(context.Background(), db.opts)
	if err != nil {
		db.t.Fatalf("open: %v", err)
	}
	db.Engine = e
	db.WaitReady()
}

// WaitReady waits until stored vectors are loaded.
func (db *DB) WaitReady() {
	db.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := db.AwaitReady(ctx); err != nil {
		db.t.Fatalf("not ready: %v", err)
	}
}

// Reopen checks, closes and opens the database.
func (db *DB) Reopen() {
	db.t.Helper()
	db.Check()
	if err := db.Close(); err != nil {
		db.t.Fatalf("close: %v", err)
	}
	db.open()
}

// SetOptions changes what the next Reopen opens the database with.
func (db *DB) SetOptions(change func(o *engine.Options)) { change(&db.opts) }

// Check fails the test on any finding of Engine.Check.
func (db *DB) Check() {
	db.t.Helper()
	report, err := db.Engine.Check(context.Background())
	if err != nil {
		db.t.Fatalf("check: %v", err)
	}
	for _, f := range report.Findings {
		db.t.Errorf("check: %s", f)
	}
}

// Do applies ops that must all succeed.
func (db *DB) Do(ops ...engine.Op) []engine.OpResult {
	db.t.Helper()
	results, err := db.Apply(db.t.Context(), ops, true)
	if err != nil {
		db.t.Fatalf("apply: %v", err)
	}
	return results
}

// Put stores doc, a JSON text or anything that encodes as an object.
func (db *DB) Put(key string, doc any) engine.OpResult {
	db.t.Helper()
	return db.Do(Put(key, doc))[0]
}

// Delete removes an entity that exists.
func (db *DB) Delete(key string) {
	db.t.Helper()
	db.Do(engine.Op{Kind: engine.OpDelete, Key: Key(key)})
}

// Put is the op that stores doc.
func Put(key string, doc any) engine.Op {
	return engine.Op{Kind: engine.OpPut, Key: Key(key), Doc: JSON(doc)}
}

// Key parses a key that is known to be good.
func Key(s string) engine.Key {
	k, err := engine.ParseKey(s)
	if err != nil {
		panic(err)
	}
	return k
}

// JSON encodes doc; a string is taken as JSON already.
func JSON(doc any) []byte {
	if text, ok := doc.(string); ok {
		return []byte(text)
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return raw
}

// GetDoc returns an entity's document, "" if there is none.
func (db *DB) GetDoc(key string) string {
	db.t.Helper()
	found, err := db.Get(db.t.Context(), []engine.Key{Key(key)}, true)
	if err != nil {
		db.t.Fatalf("get %s: %v", key, err)
	}
	if found[0] == nil {
		return ""
	}
	return string(found[0].Doc)
}

// Index creates an index and waits until it is built.
func (db *DB) Index(def schema.IndexDef) {
	db.t.Helper()
	job, err := db.CreateIndex(db.t.Context(), def)
	if err == nil {
		err = job.Wait(db.t.Context())
	}
	if err != nil {
		db.t.Fatalf("index %+v: %v", def, err)
	}
}
