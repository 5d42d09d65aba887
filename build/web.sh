#!/usr/bin/env bash
# Bundles the console's scripts and styles into web/dist, which the server embeds.
# The libraries come from npm, in the versions of web/package-lock.json.
set -euo pipefail
cd "$(dirname "$0")/.."

# What npm installed last; it takes seconds even if there is nothing to do.
readonly INSTALLED=web/node_modules/.installed

if ! cmp -s web/package-lock.json "$INSTALLED"; then
	(cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) || {
		echo "web: the console's libraries didn't come from npm; its words are above. The server builds without them: go build ./cmd/themis_server" >&2
		exit 1
	}
	cp web/package-lock.json "$INSTALLED"
fi
go tool bundle web
