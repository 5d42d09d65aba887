package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
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
