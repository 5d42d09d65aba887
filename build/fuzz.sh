#!/usr/bin/env bash
# Runs every fuzz target for a while: build/fuzz.sh [TIME]. A failing input is
# kept in the package's testdata/fuzz and is a test case from then on.
set -euo pipefail

time=${1:-30s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Until Go 1.27 a run that ends at its time may call that a failure
# (go.dev/issue/75804). It has found nothing then: no input was written.
fuzz() {
	go test -tags invariants -run '^$' -fuzz "^$2\$" -fuzztime "$time" "$1" </dev/null 2>&1 | tee "$log" && return
	grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log"
}

go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | while read -r package; do
	targets=$(go test -tags invariants -list '^Fuzz' "$package" | grep '^Fuzz' || true)
	for target in $targets; do
		printf '== %s %s\n' "$package" "$target"
		fuzz "$package" "$target"
	done
done
