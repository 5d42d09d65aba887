#!/usr/bin/env bash
# Formats the templates of the console and generates their Go code, which is
# committed with them. With --check it changes nothing, and says what isn't as it
# would be.
set -euo pipefail
cd "$(dirname "$0")/.."

templ=$(go tool -n templ)

# One folder at a time: the names of the templates that stand in the code are
# relative to what templ is told to work on.
generate() {
	local folder log
	log=$(mktemp)
	find console -name '*.templ' -printf '%h\n' | sort -u | while read -r folder; do
		{ "$templ" fmt "$folder" && "$templ" generate -path "$folder"; } >"$log" 2>&1 || {
			cat "$log" >&2
			exit 1
		}
	done
	rm "$log"
}

check() {
	local work name status=0
	work=$(mktemp -d)
	find console -name '*.templ' -exec cp --parents {} "$work" \;
	cp go.mod go.sum "$work"
	(cd "$work" && generate)
	while read -r name; do
		cmp -s "$name" "$work/$name" || { printf '%s\n' "$name" >&2 && status=1; }
	done < <({ cd "$work" && find console -type f; cd "$OLDPWD" && find console -name '*_templ.go'; } | sort -u)
	rm -r "$work"
	[ "$status" -eq 0 ] || echo 'These are not what templ makes of the templates: run go tool task templ.' >&2
	return "$status"
}

case ${1:-} in
'') generate ;;
--check) check ;;
*) echo "templ.sh: there is no option $1" >&2 && exit 1 ;;
esac
