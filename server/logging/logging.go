// Package logging makes the server's logger: log/slog as text or JSON, to
// standard error or to a rotating file, with a level below debug for tracing.
// Parts of the server add their name as the attribute Component.
//
// A rotating file starts one goroutine at its first rotation, which compresses
// nothing and removes old files; it lives as long as the process.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/natefinch/lumberjack.v2"
)

// LevelTrace is below slog.LevelDebug: single steps of single requests.
const LevelTrace = slog.Level(-8)

// Component is the key of the attribute that names the part of the server.
const Component = "component"

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

// New makes a logger. The closer belongs to its file, if there is one.
func New(o Options) (*slog.Logger, io.Closer, error) {
	level, err := ParseLevel(o.Level)
	if err != nil {
		return nil, nil, err
	}
	out, closer, err := o.open()
	if err != nil {
		return nil, nil, err
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: nameTrace}
	if o.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, options)), closer, nil
	}
	return slog.New(slog.NewTextHandler(out, options)), closer, nil
}

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

func (o *Options) open() (io.Writer, io.Closer, error) {
	if o.File == "" {
		if o.Output != nil {
			return o.Output, io.NopCloser(nil), nil
		}
		return os.Stderr, io.NopCloser(nil), nil
	}
	if err := tryFile(o.File); err != nil {
		return nil, nil, fmt.Errorf("the log file can't be opened: %w", err)
	}
	file := &lumberjack.Logger{Filename: o.File, MaxSize: o.RotationSizeMB, MaxBackups: o.MaxFiles}
	return file, file, nil
}

// tryFile opens the file once, so that a bad path stops the start instead of
// losing the log.
func tryFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// nameTrace prints LevelTrace by its name.
func nameTrace(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey && a.Value.Any() == LevelTrace {
		a.Value = slog.StringValue("TRACE")
	}
	return a
}
