package logging

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func entriesOf(list *Entries) []*Entry {
	var all []*Entry
	for _, item := range list.After(0, 1<<20, nil).Items {
		all = append(all, item.Value)
	}
	return all
}

func attrText(e *Entry) string {
	var out []string
	for _, a := range e.Attrs {
		out = append(out, a.Key+"="+a.Value)
	}
	return strings.Join(out, " ")
}

func TestKeep(t *testing.T) {
	var out bytes.Buffer
	plain, log, err := New(Options{Level: "info", Format: "json", Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	list := NewEntries()
	logger := Keep(plain, list)
	logger.Debug("left out by the level")
	logger.Info("plain", "n", 1, "took", 1500*time.Millisecond, "share", 0.25, "error", errors.New("it broke"),
		"at", netip.MustParseAddr("127.0.0.1"), "raw", []byte("bytes"), slog.Group("g", "x", true))
	storage := logger.With(Component, "storage").With("path", "/data")
	storage.Warn("with", "n", 2)
	storage.WithGroup("deep").With("a", 1).WithGroup("er").Error("grouped", "b", 2)
	if err := log.SetLevel("trace"); err != nil {
		t.Fatal(err)
	}
	logger.Log(t.Context(), LevelTrace, "tiny", Component, "api", slog.Attr{})

	want := []string{
		"info main plain: n=1 took=1.5s share=0.25 error=it broke at=127.0.0.1 raw=bytes g.x=true",
		"warn storage with: path=/data n=2",
		"error storage grouped: path=/data deep.a=1 deep.er.b=2",
		"trace api tiny: ",
	}
	var got []string
	for _, e := range entriesOf(list) {
		got = append(got, fmt.Sprintf("%s %s %s: %s", LevelName(e.Level), e.Component, e.Message, attrText(e)))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("kept\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := strings.Count(out.String(), "\n"); n != len(want) {
		t.Errorf("%d lines are in the log, %d entries were kept", n, len(want))
	}
	e := entriesOf(list)[1]
	for text, found := range map[string]bool{"with": true, "/data": true, "storage": true, "nothing": false} {
		if e.Contains(text) != found {
			t.Errorf("the search for %q finds: %v", text, !found)
		}
	}
	if e.Get("path") != "/data" || e.Get("none") != "" {
		t.Error("attributes by name")
	}
}

// TestKeptTextIsItsOwn: what is logged of a request lies in memory that is used
// again.
func TestKeptTextIsItsOwn(t *testing.T) {
	buffer := []byte("/entities/t:1")
	borrowed := unsafe.String(&buffer[0], len(buffer))
	list := NewEntries()
	Keep(slog.New(slog.NewTextHandler(&bytes.Buffer{}, nil)), list).Info(borrowed, "path", borrowed)
	copy(buffer, "XXXXXXXXXXXXX")
	if e := entriesOf(list)[0]; e.Message != "/entities/t:1" || e.Attrs[0].Value != "/entities/t:1" {
		t.Errorf("kept %q %q", e.Message, e.Attrs[0].Value)
	}
}

func TestKeptEntriesAreBounded(t *testing.T) {
	list := NewEntries()
	logger := Keep(slog.New(slog.NewTextHandler(io.Discard, nil)), list)
	long := strings.Repeat("größe ", 4_000)
	var many []any
	for i := range 1000 {
		many = append(many, fmt.Sprint("k", i), i)
	}
	for range 600 {
		logger.Info(long, "also", long)
	}
	logger.Info("attributes", many...)
	logger.Info("broken \xff text")
	all := entriesOf(list)
	if len(all) > 300 || len(all) < 100 {
		t.Errorf("%d entries of 16 KB are kept", len(all))
	}
	if first := all[0]; len(first.Message) > entryBytes+3 || !strings.HasSuffix(first.Message, "…") || first.Attrs[0].Value != "…" {
		t.Errorf("a long entry: %d bytes", len(first.Message))
	}
	if n := len(all[len(all)-2].Attrs); n != entryAttrs {
		t.Errorf("%d attributes are kept", n)
	}
	if text := all[len(all)-1].Message; text != "broken \uFFFD text" {
		t.Errorf("kept %q", text)
	}
}

// TestPreload: what was written is read as it was kept.
func TestPreload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	list := NewEntries()
	if err := Preload(list, path); err != nil || list.Last() != 0 {
		t.Errorf("no file: %v", err)
	}
	plain, file, err := OpenAudit(path, 100, 1)
	if err != nil {
		t.Fatal(err)
	}
	written := NewEntries()
	logger := Keep(plain, written)
	const n = 6000 // more than is read
	for i := range n {
		logger.Info("audit", "request_id", fmt.Sprint("r", i), "target", "/entities/\"t\":<1>", "took_ms", 0.5, slog.Group("g", "x", true, slog.Group("h", "y", []int{1, 2})))
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	half, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := half.WriteString("not JSON\n[1]\n{\"a\":1}\n{\"time\":\"2026-01-02T03:04:05Z\",\"lev"); err != nil {
		t.Fatal(err)
	}
	if err := half.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Preload(list, path); err != nil {
		t.Fatal(err)
	}
	got, want := entriesOf(list), entriesOf(written)
	if len(got) < 1000 || got[len(got)-1].Get("request_id") != fmt.Sprint("r", n-1) {
		t.Fatalf("%d entries were read, the last is %s", len(got), attrText(got[len(got)-1]))
	}
	a, b := got[len(got)-1], want[len(want)-1]
	if a.Component != "audit" || a.Message != b.Message || a.Level != b.Level || !a.Time.Equal(b.Time) {
		t.Errorf("read %+v, written %+v", a, b)
	}
	if text := attrText(a); text != `request_id=r5999 target=/entities/"t":<1> took_ms=0.5 g.x=true g.h.y=[1,2]` {
		t.Errorf("read %s", text)
	}
}
