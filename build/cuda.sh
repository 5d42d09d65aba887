#!/usr/bin/env bash
# Builds the GPU worker, themis_gpu, into a folder (bin). It needs CUDA's header and a
# libcuda to link with, but no device and no nvcc: the kernels are in the source as nvcc
# made them (build/kernels.sh). Where those are missing it installs
# nvidia-cuda-toolkit with apt, for which it adds the component that has it to the
# apt sources that are there.
#
# --present says by its exit status whether the worker can be built here already,
# --install only installs, nvcc too, and --sources only adds the component. Calls at
# the same time wait for each other.
set -euo pipefail

readonly PACKAGE=nvidia-cuda-toolkit
# Debian has the toolkit in non-free, and what it needs in contrib as well.
readonly COMPONENTS='contrib non-free'
readonly ETC=${APT_ETC:-/etc/apt}
# What the loader may be asked for: the driver, and parts of the C library.
readonly NEEDED='^(libcuda\.so\.1|(libc|libm|libdl|libpthread|libresolv|librt|ld-linux-[a-z0-9-]+)\.so\.[0-9])$'

say() { printf 'cuda: %s\n' "$*" >&2; }
die() { say "$*" && exit 1; }

# CGO_CFLAGS and CGO_LDFLAGS are lists, split into words on purpose. The folders are
# those of NVIDIA's own packages, which have a libcuda for linking only (stubs).
# shellcheck disable=SC2086
links() {
	local dir status=0
	dir=$(mktemp -d)
	printf '#include <cuda.h>\nint main(void) { return cuInit(0); }\n' >"$dir/probe.c"
	"${CC:-gcc}" ${CGO_CFLAGS:-} -I/usr/local/cuda/include -o "$dir/probe" "$dir/probe.c" \
		${CGO_LDFLAGS:-} -L/usr/local/cuda/lib64 -L/usr/local/cuda/lib64/stubs -lcuda >"$dir/log" 2>&1 || status=$?
	[ "$status" -eq 0 ] || [ -z "${1:-}" ] || cat "$dir/log" >&2
	rm -r "$dir"
	return "$status"
}

# The suites of the system itself, as a pattern: bookworm, bookworm-updates.
suites() {
	local codename
	codename=$(sed -n 's/^VERSION_CODENAME=//p' "${OS_RELEASE:-/etc/os-release}")
	[ -n "$codename" ] || die 'this system does not say which release it is; install CUDA 11.8 or newer yourself'
	printf '^(%s|stable)(-updates|-security|-backports|-proposed-updates|/updates)?$' "$codename"
}

# Filters that add the components to the sources of these suites which have main, in
# either format, and leave all else as it is.
one_line() {
	awk -v suites="$1" -v wanted="$COMPONENTS" '
		/^[ \t]*deb[ \t]/ {
			at = 2
			if ($2 ~ /^\[/) { while (at <= NF && $at !~ /\]$/) at++; at++ }
			ours = $(at + 1) ~ suites; main = 0; line = $0
			split(wanted, add, " ")
			for (i = at + 2; i <= NF && $i !~ /^#/; i++) {
				if ($i == "main") main = 1
				for (w in add) if ($i == add[w]) delete add[w]
			}
			if (ours && main) {
				comment = ""
				if (match(line, /[ \t]*#.*/)) { comment = substr(line, RSTART); line = substr(line, 1, RSTART - 1) }
				n = split(wanted, order, " ")
				for (w = 1; w <= n; w++) for (a in add) if (add[a] == order[w]) line = line " " order[w]
				print line comment
				next
			}
		}
		{ print }'
}

deb822() {
	awk -v suites="$1" -v wanted="$COMPONENTS" '
		function flush(   i, n, w, ours, main, parts, order, has, c) {
			for (i = 1; i <= lines; i++) {
				if (tolower(text[i]) ~ /^suites:/) {
					n = split(text[i], parts, /[ \t]+/)
					for (w = 2; w <= n; w++) if (parts[w] ~ suites) ours = 1
				}
			}
			for (i = 1; i <= lines; i++) {
				if (ours && tolower(text[i]) ~ /^components:/ && (" " text[i] " ") ~ /[ \t]main[ \t]/) {
					n = split(wanted, order, " ")
					for (w = 1; w <= n; w++) if (index(" " text[i] " ", " " order[w] " ") == 0) text[i] = text[i] " " order[w]
				}
				print text[i]
			}
			lines = 0
		}
		{ text[++lines] = $0 }
		/^[ \t]*$/ { flush() }
		END { flush() }'
}

# Adds the components to the files of apt, and keeps what was.
sources() {
	local file format pattern changed
	pattern=$(suites)
	for file in "$ETC"/sources.list "$ETC"/sources.list.d/*.list "$ETC"/sources.list.d/*.sources; do
		[ -f "$file" ] || continue
		format=one_line
		[ "${file%.sources}" = "$file" ] || format=deb822
		changed=$(mktemp)
		"$format" "$pattern" <"$file" >"$changed"
		if ! cmp -s "$changed" "$file"; then
			say "$file gets the components $COMPONENTS; as it was, it is in $file.save"
			"${SUDO[@]}" cp -p "$file" "$file.save"
			"${SUDO[@]}" cp "$changed" "$file"
		fi
		rm "$changed"
	done
}

# Runs a command and shows what it said only if it fails.
quietly() {
	local log status=0
	log=$(mktemp)
	"$@" >"$log" 2>&1 || status=$?
	[ "$status" -eq 0 ] || cat "$log" >&2
	rm "$log"
	return "$status"
}

install() {
	command -v apt-get >/dev/null ||
		die 'this system has no apt. Install CUDA 11.8 or newer, and name its place in CGO_CFLAGS=-I... and CGO_LDFLAGS=-L...'
	[ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
		die "installing needs root, and sudo isn't here. As root: $0"
	# apt fails at once if another one runs.
	exec 9>"${TMPDIR:-/tmp}/themis-deps-$(id -u).lock"
	flock 9
	quietly "${SUDO[@]}" apt-get update
	if ! available; then
		sources
		quietly "${SUDO[@]}" apt-get update
		available || die "apt has no $PACKAGE in $COMPONENTS. Install CUDA 11.8 or newer, and name its place in CGO_CFLAGS=-I... and CGO_LDFLAGS=-L..."
	fi
	say "installing with apt: $PACKAGE (5.5 GB)"
	quietly "${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$PACKAGE"
}

# apt has a version of the package to install; it says (none) of one that others only name.
available() { [ -n "$(apt-cache policy "$PACKAGE" | sed -n 's/^ *Candidate: *\([^ (]\)/\1/p')" ]; }

build() {
	local needed
	mkdir -p "$1"
	GOWORK=off CGO_ENABLED=1 CGO_CFLAGS="${CGO_CFLAGS:--O2 -g} -Wno-deprecated-declarations" \
		CGO_LDFLAGS="${CGO_LDFLAGS:-} -L/usr/local/cuda/lib64/stubs" \
		go build -tags cuda -trimpath -buildvcs=false -o "$1/themis_gpu" \
		-ldflags "-s -w -buildid= -X main.commit=$COMMIT -X main.buildDate=$DATE" ./cmd/themis_gpu
	needed=$(objdump -p "$1/themis_gpu" | awk '$1 == "NEEDED" {print $2}' | grep -Ev "$NEEDED" || true)
	[ -z "$needed" ] || die "themis_gpu needs $needed"
	say "$1/themis_gpu: $(du -h "$1/themis_gpu" | cut -f 1)"
}

SUDO=()
[ "$(id -u)" -eq 0 ] || SUDO=(sudo)
COMMIT=${COMMIT:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}
DATE=${DATE:-$(date -u -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}" +%Y-%m-%d)}

case ${1:-} in
--present) links ;;
--sources) sources ;;
--install) { links && command -v nvcc >/dev/null; } || install ;;
-*) die "there is no option $1" ;;
*)
	links || install
	links verbose || die "CUDA is installed, but a program doesn't link with it (the compiler's words are above)"
	build "${1:-bin}"
	;;
esac
