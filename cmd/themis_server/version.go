package main

import (
	"cmp"
	"runtime/debug"
	"strings"

	"github.com/vccdb/vccdb/server/ops"
)

// A release is built with -ldflags "-X main.version=1.0.0 -X main.buildDate=2026-11-22
// -X main.commit=abc1234". Other builds take what the Go tool has noted down.
var (
	version   = "1.0.0"
	buildDate string
	commit    string
)

func thisBuild() ops.Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return buildFrom(info)
}

func buildFrom(info *debug.BuildInfo) ops.Build {
	var revision, date, dirty string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(7, len(s.Value))]
		case "vcs.time":
			date, _, _ = strings.Cut(s.Value, "T")
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if revision != "" {
		revision += dirty
	}
	return ops.Build{
		Version: version,
		Date:    cmp.Or(buildDate, date, "unknown"),
		Commit:  cmp.Or(commit, revision, "unknown"),
	}
}
