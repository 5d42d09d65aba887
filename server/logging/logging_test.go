package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestLevels(t *testing.T) {
	want := map[string]string{
		"trace": "TRACE DEBUG INFO WARN ERROR", "debug": "DEBUG INFO WARN ERROR",
		"": "INFO WARN ERROR", "info": "INFO WARN ERROR", "warn": "WARN ERROR", "error": "ERROR",
	}
	for level, levels := range want {
		var out bytes.Buffer
		logger, _, err := New(Options{Level: level, Format: "json", Output: &out})
		if err != nil {
			t.Fatal(err)
		}
		logger.Log(context.Background(), LevelTrace, "m")
		logger.Debug("m")
		logger.Info("m")
		logger.Warn("m")
		logger.With(Component, "test").Error("m")
		var got []string
		decoder := json.NewDecoder(&out)
		for decoder.More() {
			var record struct{ Level, Msg, Component string }
			if err := decoder.Decode(&record); err != nil {
				t.Fatal(err)
			}
			if record.Level == "ERROR" && record.Component != "test" {
				t.Errorf("component = %q", record.Component)
			}
			got = append(got, record.Level)
		}
		if strings.Join(got, " ") != levels {
			t.Errorf("level %q logs %v, want %s", level, got, levels)
		}
	}
	if _, _, err := New(Options{Level: "loud"}); err == nil {
		t.Error("an unknown level is accepted")
	}
}

func TestText(t *testing.T) {
	var out bytes.Buffer
	logger, _, err := New(Options{Level: "trace", Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	logger.Log(context.Background(), LevelTrace, "step", "path", "a\nb")
	if got := out.String(); !strings.Contains(got, `level=TRACE msg=step path="a\nb"`) {
		t.Errorf("got %q", got)
	}
}

func TestFileRotates(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "logs", "themis.log")
	logger, closer, err := New(Options{File: path, RotationSizeMB: 1, MaxFiles: 3})
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 100<<10)
	for range 15 {
		logger.Info(line)
	}
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("1.5 MB made %d files, want one full and one current", len(entries))
	}
	for _, entry := range entries {
		if info, _ := entry.Info(); info.Size() > 1<<20 {
			t.Errorf("%s has %d bytes", entry.Name(), info.Size())
		}
	}
}

func TestBadFileStopsTheStart(t *testing.T) {
	if _, _, err := New(Options{File: filepath.Join(t.TempDir(), "x") + "/"}); err == nil {
		t.Error("a folder as log file is accepted")
	}
	if _, _, err := New(Options{File: "/dev/null/log"}); err == nil {
		t.Error("a path through a file is accepted")
	}
}

// TestLiveChanges switches level and format under writers: every line is whole,
// has a component, and what was made before the switch follows it.
func TestLiveChanges(t *testing.T) {
	var out bytes.Buffer
	logger, log, err := New(Options{Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	part := logger.With(Component, "part").With("n", 1).WithGroup("g")
	part.Debug("hidden")
	part.Info("one", "k", "v")
	log.SetFormat("json")
	log.SetLevel("debug")
	part.Debug("two", "k", "v")
	log.SetLevel("error")
	part.Warn("hidden")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "msg=one component=part n=1 g.k=v") ||
		!strings.HasSuffix(lines[1], `"msg":"two","component":"part","n":1,"g":{"k":"v"}}`) {
		t.Errorf("got %q", lines)
	}
	if log.SetFormat("xml") == nil || log.SetLevel("loud") == nil {
		t.Error("an unknown format or level is accepted")
	}

	out.Reset()
	log.SetLevel("info")
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 100 {
				logger.Info("m")
				part.Info("m")
			}
		})
	}
	for i := range 100 {
		log.SetFormat([]string{"text", "json"}[i%2])
	}
	writers.Wait()
	lines = strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 800 {
		t.Errorf("%d lines of 800", len(lines))
	}
	for _, line := range lines {
		isText := strings.HasPrefix(line, "time=") && strings.Contains(line, " component=")
		if !isText && !(json.Valid([]byte(line)) && strings.Contains(line, `"component":"`)) {
			t.Fatalf("not a line with a component: %q", line)
		}
	}
}

func TestEveryLineHasOneComponent(t *testing.T) {
	var out bytes.Buffer
	logger, _, err := New(Options{Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("m")
	logger.Info("m", Component, "x")
	logger.WithGroup("g").Info("m", "k", "v")
	logger.With("k", "v").Info("m")
	for line, want := range map[int]string{0: "component=main", 1: "component=x", 2: "component=main g.k=v", 3: "k=v component=main"} {
		got := strings.Split(out.String(), "\n")[line]
		if !strings.HasSuffix(got, want) || strings.Count(got, "component=") != 1 {
			t.Errorf("line %d is %q, want it to end in %q", line, got, want)
		}
	}
}

// TestReopen moves the file away, as logrotate does.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "themis.log")
	logger, log, err := New(Options{File: path, RotationSizeMB: 1, MaxFiles: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	logger.Info("one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	logger.Info("two")
	if err := log.Reopen(); err != nil {
		t.Fatal(err)
	}
	logger.Info("three")
	old, _ := os.ReadFile(path + ".1")
	new, _ := os.ReadFile(path)
	if strings.Count(string(old), "\n") != 2 || strings.Count(string(new), "\n") != 1 || !strings.Contains(string(new), "three") {
		t.Errorf("the old file has %q, the new one %q", old, new)
	}
}

func TestAudit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit", "audit.log")
	os.Mkdir(filepath.Dir(path), 0o755)
	os.WriteFile(path, nil, 0o644)
	audit, log, err := OpenAudit(path, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 100<<10)
	for range 15 {
		audit.Info("call", "who", line)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 2 {
		t.Errorf("1.5 MB made %d files, want 2", len(entries))
	}
	for _, entry := range entries {
		info, _ := entry.Info()
		content, _ := os.ReadFile(filepath.Join(filepath.Dir(path), entry.Name()))
		first, _, _ := bytes.Cut(content, []byte("\n"))
		if info.Mode().Perm() != 0o600 || !json.Valid(first) || !strings.Contains(string(first), `"component":"audit"`) {
			t.Errorf("%s: mode %v, %.80s", entry.Name(), info.Mode(), first)
		}
	}
	if _, _, err := OpenAudit("/dev/null/x", 1, 1); err == nil {
		t.Error("a path through a file is accepted")
	}
}

// An audit log inside the log stays complete, whatever level the log has.
func TestUnfiltered(t *testing.T) {
	var out bytes.Buffer
	logger, _, err := New(Options{Level: "error", Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	audit := Unfiltered(logger).With(Component, "audit").WithGroup("call")
	audit.Info("denied", "status", 403)
	logger.Info("hidden")
	if got := out.String(); !strings.Contains(got, "component=audit") || !strings.Contains(got, "call.status=403") || strings.Contains(got, "hidden") {
		t.Errorf("got %q", got)
	}
}
