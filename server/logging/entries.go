package logging

import (
	"context"
	"encoding"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/internal/recent"
)

// Entry is one entry of a log, kept in memory for people who look at it.
type Entry struct {
	Time      time.Time
	Level     slog.Level
	Component string
	Message   string
	// Attrs are in the order of the log, those of groups under dotted names.
	Attrs []Attr
}

// Attr is an attribute of an entry, as text.
type Attr struct{ Key, Value string }

// Get returns the value of an attribute, empty if there is none.
func (e *Entry) Get(key string) string {
	for _, a := range e.Attrs {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// Contains says whether the text stands anywhere in the entry, in any case of its
// letters. The text is in lower case.
func (e *Entry) Contains(text string) bool {
	if strings.Contains(strings.ToLower(e.Message), text) || strings.Contains(strings.ToLower(e.Component), text) {
		return true
	}
	for _, a := range e.Attrs {
		if strings.Contains(strings.ToLower(a.Value), text) || strings.Contains(strings.ToLower(a.Key), text) {
			return true
		}
	}
	return false
}

// Entries are the newest entries of a log.
type Entries = recent.List[*Entry]

const (
	kept      = 2000
	keptBytes = 4 << 20
	// entryBytes bounds one entry, and entryAttrs its attributes: a stack trace fits.
	entryBytes = 16 << 10
	entryAttrs = 64
)

// NewEntries returns an empty list of the usual size.
func NewEntries() *Entries { return recent.New[*Entry](kept, keptBytes) }

// Keep returns a logger into the same log that keeps its entries in the list
// too, those that the level lets through.
func Keep(l *slog.Logger, list *Entries) *slog.Logger {
	return slog.New(&keeper{next: l.Handler(), list: list, component: unnamed})
}

// keeper carries what With has added.
type keeper struct {
	next      slog.Handler
	list      *Entries
	component string
	attrs     []Attr
	// prefix are the open groups, dotted.
	prefix string
}

func (k *keeper) Enabled(ctx context.Context, level slog.Level) bool {
	return k.next.Enabled(ctx, level)
}

func (k *keeper) Handle(ctx context.Context, r slog.Record) error {
	e := &entryBuilder{Entry: Entry{Time: r.Time, Level: r.Level, Component: k.component}}
	e.Message = e.text(r.Message)
	for _, a := range k.attrs {
		e.put(a.Key, a.Value)
	}
	r.Attrs(func(a slog.Attr) bool {
		e.add(k.prefix, a)
		return true
	})
	k.list.Add(&e.Entry, e.size())
	return k.next.Handle(ctx, r)
}

func (k *keeper) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *k
	e := &entryBuilder{Entry: Entry{Component: k.component, Attrs: k.attrs[:len(k.attrs):len(k.attrs)]}}
	for _, a := range attrs {
		e.add(k.prefix, a)
	}
	with.next, with.component, with.attrs = k.next.WithAttrs(attrs), e.Component, e.Attrs
	return &with
}

func (k *keeper) WithGroup(name string) slog.Handler {
	with := *k
	with.next = k.next.WithGroup(name)
	if name != "" {
		with.prefix += name + "."
	}
	return &with
}

// entryBuilder makes an entry of bounded size.
type entryBuilder struct {
	Entry
	bytes int
}

// size is about what the entry takes.
func (e *entryBuilder) size() int { return 128 + 32*len(e.Attrs) + e.bytes }

// text keeps as much of a text as the entry has room for, in memory of its own:
// what is logged of a request lies in buffers that the next request reuses.
func (e *entryBuilder) text(s string) string {
	tail := ""
	if room := max(entryBytes-e.bytes, 0); len(s) > room {
		for room > 0 && !utf8.RuneStart(s[room]) {
			room--
		}
		s, tail = s[:room], "…"
	}
	s = strings.Clone(strings.ToValidUTF8(s, "\uFFFD") + tail)
	e.bytes += len(s)
	return s
}

func (e *entryBuilder) put(key, value string) {
	if len(e.Attrs) < entryAttrs {
		e.Attrs = append(e.Attrs, Attr{e.text(key), e.text(value)})
	}
}

// add adds an attribute as text.
func (e *entryBuilder) add(prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}): // as log/slog asks handlers to
	case value.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range value.Group() {
			e.add(prefix, member)
		}
	case prefix == "" && a.Key == Component:
		e.Component = e.text(value.String())
	default:
		e.put(prefix+a.Key, valueText(value))
	}
}

func valueText(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindFloat64:
		return strconv.FormatFloat(v.Float64(), 'g', -1, 64)
	case slog.KindAny:
		return anyText(v.Any())
	}
	return v.String()
}

func anyText(x any) string {
	switch x := x.(type) {
	case error:
		return x.Error()
	case encoding.TextMarshaler:
		if text, err := x.MarshalText(); err == nil {
			return string(text)
		}
	case []byte:
		return string(x)
	}
	return fmt.Sprintf("%+v", x)
}

// preloadBytes is how much of the end of a file Preload reads.
const preloadBytes = 1 << 20

// Preload adds the last entries of a log file of JSON lines to the list; a file
// that isn't there has none. Lines that aren't entries are left out.
func Preload(list *Entries, path string) error {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	from := max(0, info.Size()-preloadBytes)
	content, err := io.ReadAll(io.NewSectionReader(file, from, preloadBytes))
	if err != nil {
		return err
	}
	text := string(content)
	if from > 0 { // it begins within a line
		_, text, _ = strings.Cut(text, "\n")
	}
	for line := range strings.Lines(text) {
		if e, ok := parseEntry(line); ok {
			list.Add(&e.Entry, e.size())
		}
	}
	return nil
}

// parseEntry reads what a logger has written as JSON.
func parseEntry(line string) (e entryBuilder, ok bool) {
	d := jsontext.NewDecoder(strings.NewReader(line), jsontext.AllowInvalidUTF8(true))
	if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
		return e, false
	}
	e.Component = unnamed
	if !e.members(d, "") {
		return e, false
	}
	return e, !e.Time.IsZero()
}

// members reads the members of an object up to its end.
func (e *entryBuilder) members(d *jsontext.Decoder, prefix string) bool {
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return false
		}
		key := prefix + name.String()
		if d.PeekKind() == '{' && d.StackDepth() < entryAttrs {
			if _, err := d.ReadToken(); err != nil || !e.members(d, key+".") {
				return false
			}
			continue
		}
		value, err := d.ReadValue()
		if err != nil {
			return false
		}
		e.member(key, value)
	}
	_, err := d.ReadToken()
	return err == nil
}

func (e *entryBuilder) member(key string, value jsontext.Value) {
	text := string(value)
	if value.Kind() == '"' {
		if plain, err := jsontext.AppendUnquote(nil, value); err == nil {
			text = string(plain)
		}
	}
	switch key {
	case slog.TimeKey:
		e.Time, _ = time.Parse(time.RFC3339Nano, text) // without one it is no entry
	case slog.LevelKey:
		e.Level, _ = ParseLevel(text) // as far as it is one of ours
	case slog.MessageKey:
		e.Message = e.text(text)
	case Component:
		e.Component = e.text(text)
	default:
		e.put(key, text)
	}
}

// LevelName is the name of a level as it is written in the configuration.
func LevelName(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "error"
	case level >= slog.LevelWarn:
		return "warn"
	case level >= slog.LevelInfo:
		return "info"
	case level >= slog.LevelDebug:
		return "debug"
	}
	return "trace"
}
