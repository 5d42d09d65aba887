#!/usr/bin/env bash
# Runs every fuzz target for a while: build/fuzz.sh [TIME]. A failing input is
# kept in the package's testdata/fuzz and is a test case from then on.
set -euo pipefail

time=${1:-30s}
# GOFLAGS may hold tags; the tests of a fuzzed package are built as in the test task.
go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | while read -r package; do
	targets=$(go test -tags invariants -list '^Fuzz' "$package" | grep '^Fuzz' || true)
	for target in $targets; do
		printf '== %s %s\n' "$package" "$target"
		go test -tags invariants -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" </dev/null
	done
done
