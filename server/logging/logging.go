// Package logging makes the server's logger: log/slog as text or JSON, to
// standard error or to a rotating file, with a level below debug for tracing.
// Level and format can change at any time.
//
// Parts of the server add their name as the attribute Component; an entry that
// has none is given one, so that every line can be picked by it:
//
//	grep component=storage themis.log
//	jq 'select(.component == "storage")' themis.log
//
// Files rotate by themselves. Where another program moves them away, as logrotate
// does, Reopen makes the next entry go to a new file.
//
// A rotating file starts one goroutine at its first rotation, which compresses
// nothing and removes old files; it lives as long as the process. A lock keeps
// entries from mixing.
package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"gopkg.in/natefinch/lumberjack.v2"
)

// LevelTrace is below slog.LevelDebug: single steps of single requests.
const LevelTrace = slog.Level(-8)

// Component is the key of the attribute that names the part of the server.
const Component = "component"

// unnamed is the component of entries without one.
const unnamed = "main"

// Options describe a logger. The zero value logs text from info to Output.
type Options struct {
	// Level is trace, debug, info (default), warn or error.
	Level string
	// Format is text (default) or json.
	Format string
	// File is the path of the log file; empty logs to Output.
	File string
	// RotationSizeMB is the size at which the file is put aside; MaxFiles is how
	// many put aside are kept.
	RotationSizeMB, MaxFiles int
	// Output is where logs go without a file; nil is standard error.
	Output io.Writer
}

// Log is what a logger writes to.
type Log struct {
	level slog.LevelVar
	json  atomic.Bool

	mu  sync.Mutex
	out io.Writer
	// file is nil without one.
	file *lumberjack.Logger
}

// New makes a logger.
func New(o Options) (*slog.Logger, *Log, error) {
	l := &Log{out: o.Output}
	if l.out == nil {
		l.out = os.Stderr
	}
	if err := l.SetLevel(o.Level); err != nil {
		return nil, nil, err
	}
	if err := l.SetFormat(o.Format); err != nil {
		return nil, nil, err
	}
	if o.File != "" {
		if err := l.open(o.File, o.RotationSizeMB, o.MaxFiles); err != nil {
			return nil, nil, fmt.Errorf("the log file can't be opened: %w", err)
		}
	}
	return l.logger(), l, nil
}

// OpenAudit opens an audit log: a file of JSON lines that only the server's user
// can read and that rotates as log files do. Its level doesn't change.
func OpenAudit(file string, rotationSizeMB, maxFiles int) (*slog.Logger, *Log, error) {
	l := &Log{}
	l.json.Store(true)
	err := l.open(file, rotationSizeMB, maxFiles)
	if err == nil {
		err = os.Chmod(file, 0o600)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the audit file can't be opened: %w", err)
	}
	return l.logger().With(Component, "audit"), l, nil
}

// Unfiltered returns a logger into the same log whose entries no level leaves
// out, as an audit log needs.
func Unfiltered(l *slog.Logger) *slog.Logger { return slog.New(unfiltered{l.Handler()}) }

type unfiltered struct{ slog.Handler }

func (unfiltered) Enabled(context.Context, slog.Level) bool { return true }

func (u unfiltered) WithAttrs(attrs []slog.Attr) slog.Handler {
	return unfiltered{u.Handler.WithAttrs(attrs)}
}

func (u unfiltered) WithGroup(name string) slog.Handler { return unfiltered{u.Handler.WithGroup(name)} }

func (l *Log) logger() *slog.Logger {
	options := &slog.HandlerOptions{Level: &l.level, ReplaceAttr: nameTrace}
	return slog.New(&handler{log: l, text: slog.NewTextHandler(l, options), json: slog.NewJSONHandler(l, options)})
}

// SetLevel changes the least level that is logged; empty is info.
func (l *Log) SetLevel(name string) error {
	level, err := ParseLevel(name)
	if err != nil {
		return err
	}
	l.level.Set(level)
	return nil
}

// SetFormat changes the format, text or json; empty is text.
func (l *Log) SetFormat(name string) error {
	switch name {
	case "", "text":
		l.json.Store(false)
	case "json":
		l.json.Store(true)
	default:
		return fmt.Errorf("%q is no log format; it must be text or json", name)
	}
	return nil
}

// Write writes one entry.
func (l *Log) Write(entry []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(entry)
}

// Reopen closes the file, so that the next entry opens or makes it again.
// Without a file it does nothing.
func (l *Log) Reopen() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Close closes the file.
func (l *Log) Close() error { return l.Reopen() }

// ParseLevel reads a level's name; empty is info.
func ParseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "trace":
		return LevelTrace, nil
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q is no log level; it must be trace, debug, info, warn or error", name)
}

// open opens the file once before it is needed, so that a bad path stops the
// start instead of losing the log.
func (l *Log) open(path string, rotationSizeMB, maxFiles int) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	l.file = &lumberjack.Logger{Filename: path, MaxSize: rotationSizeMB, MaxBackups: maxFiles}
	l.out = l.file
	return file.Close()
}

// handler writes entries in the format of the moment. It carries both forms of
// what With has added.
type handler struct {
	log        *Log
	text, json slog.Handler
	// named is set once a component is among the attributes.
	named bool
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.level.Level()
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if !h.named && !namesComponent(r) {
		r = r.Clone()
		r.AddAttrs(slog.String(Component, unnamed))
	}
	if h.log.json.Load() {
		return h.json.Handle(ctx, r)
	}
	return h.text.Handle(ctx, r)
}

func namesComponent(r slog.Record) bool {
	found := false
	r.Attrs(func(a slog.Attr) bool {
		found = a.Key == Component
		return !found
	})
	return found
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.text, with.json = h.text.WithAttrs(attrs), h.json.WithAttrs(attrs)
	for _, a := range attrs {
		with.named = with.named || a.Key == Component
	}
	return &with
}

// WithGroup names the component first, as what follows is inside the group.
func (h *handler) WithGroup(name string) slog.Handler {
	with := *h
	if !h.named {
		with = *h.WithAttrs([]slog.Attr{slog.String(Component, unnamed)}).(*handler)
	}
	with.text, with.json = with.text.WithGroup(name), with.json.WithGroup(name)
	return &with
}

// nameTrace prints LevelTrace by its name.
func nameTrace(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey && a.Value.Any() == LevelTrace {
		a.Value = slog.StringValue("TRACE")
	}
	return a
}
