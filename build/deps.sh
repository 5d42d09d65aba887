#!/usr/bin/env bash
# Makes sure that Themis can be built here: a C compiler, RocksDB 7.8 with what
# it links to, and npm for the console's libraries. Does nothing when they are
# there, installs them with apt where that has them, and elsewhere says what is
# missing. --compilers leaves npm out; --npm and --browser see to nothing but npm,
# or a Chromium, which tests drive; --peers to the libraries that benchmarks compare
# with. Calls at the same time wait for each other.
set -euo pipefail

# grocksdb, the Go binding, is written against one minor release of RocksDB.
readonly WANT='7.8'
readonly PACKAGES=(gcc g++ libc6-dev librocksdb-dev libsnappy-dev liblz4-dev libzstd-dev libbz2-dev zlib1g-dev)

# What the tests of the documents run besides.
readonly TOOLS=(curl jq openssl)

say() { printf 'deps: %s\n' "$*" >&2; }

# CGO_CFLAGS, CGO_CXXFLAGS and CGO_LDFLAGS are lists, split into words on purpose.
# shellcheck disable=SC2086
# What the Go build will ask of the compilers: the C header and grocksdb's libraries,
# and the C++ headers for storage/rocks.
links() {
	local dir status=0
	dir=$(mktemp -d)
	printf '#include <rocksdb/db.h>\n#include <rocksdb/listener.h>\nint main() { return 0; }\n' >"$dir/probe.cc"
	printf '#include <rocksdb/c.h>\nint main(void) { rocksdb_options_destroy(rocksdb_options_create()); return 0; }\n' >"$dir/probe.c"
	"${CC:-gcc}" ${CGO_CFLAGS:-} -o "$dir/probe" "$dir/probe.c" ${CGO_LDFLAGS:-} \
		-lrocksdb -pthread -lstdc++ -ldl -lm -lzstd -llz4 -lz -lsnappy >"$dir/log" 2>&1 || status=$?
	"${CXX:-g++}" ${CGO_CXXFLAGS:-} -std=c++17 -fsyntax-only "$dir/probe.cc" >>"$dir/log" 2>&1 || status=$?
	[ "$status" -eq 0 ] || [ -z "${1:-}" ] || cat "$dir/log" >&2
	rm -r "$dir"
	return "$status"
}

# shellcheck disable=SC2086
# The release of the RocksDB whose header the compiler finds, as 7.8.
release() {
	local header
	header=$(printf '#include <rocksdb/c.h>\n' | "${CC:-gcc}" ${CGO_CFLAGS:-} -E -x c - 2>/dev/null |
		sed -n 's/^# 1 "\(.*\)rocksdb\/c\.h".*/\1rocksdb\/version.h/p' | head -n 1) || true
	[ -r "$header" ] || return 0
	sed -n 's/^#define ROCKSDB_\(MAJOR\|MINOR\) \([0-9]*\).*/\2/p' "$header" | paste -s -d .
}

present() { links && [ "$(release)" = "$WANT" ]; }

# Installs the packages given.
install() {
	local sudo=()
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || {
			say "installing needs root, and sudo isn't here. As root: apt-get install $*"
			return 1
		}
		sudo=(sudo)
	fi
	# apt fails at once if another one runs.
	exec 9>"${TMPDIR:-/tmp}/themis-deps-$(id -u).lock"
	flock 9
	say "installing with apt: $*"
	quietly "${sudo[@]}" apt-get update &&
		quietly "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# Building goes on without the tools.
tools() {
	local tool missing=()
	for tool in "${TOOLS[@]}"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
	[ "${#missing[@]}" -gt 0 ] || return 0
	if ! { command -v apt-get >/dev/null && install "${missing[@]}"; }; then
		say "the tests of the documents need ${missing[*]}, which aren't here."
	fi
}

# The console's libraries come from npm.
javascript() {
	if command -v npm >/dev/null && command -v node >/dev/null; then return 0; fi
	command -v apt-get >/dev/null || {
		say "the console's libraries come from npm, which isn't here. Install Node.js 18 or newer, which has it."
		return 1
	}
	install npm
}

# A browser of Debian's, with a font for what it draws.
browser() {
	if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then return 0; fi
	command -v apt-get >/dev/null || {
		say "the test of the console needs Chromium, which isn't here."
		return 1
	}
	install chromium fonts-dejavu-core
}

# The libraries that benchmarks compare with; those that are missing are left out.
peers() {
	printf '#include <hnswlib/hnswlib.h>\n#include <faiss/IndexHNSW.h>\n' |
		"${CXX:-g++}" -std=c++17 -fopenmp -fsyntax-only -x c++ - >/dev/null 2>&1 && return 0
	command -v apt-get >/dev/null && install g++ libhnswlib-dev libfaiss-dev && return 0
	say "hnswlib and FAISS with their headers aren't here; the benchmarks leave out what is missing."
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

elsewhere() {
	say "$1"
	say "Themis needs a C and a C++ compiler, RocksDB $WANT with its headers, and snappy, lz4, zstd, bz2 and zlib."
	say "Debian 12 has them as packages and this task installs them there. On another system, install or"
	say "build RocksDB $WANT, name its place in CGO_CFLAGS=-I..., CGO_CXXFLAGS=-I... and CGO_LDFLAGS=-L..., and run the task again."
	exit 1
}

case ${1:-} in
'') ;;
--compilers) readonly NPM=no ;;
--npm)
	javascript
	exit
	;;
--browser)
	browser
	exit
	;;
--peers)
	peers
	exit
	;;
*) say "there is no option $1" && exit 1 ;;
esac

tools
[ -n "${NPM:-}" ] || javascript
if present; then exit 0; fi
if ! command -v apt-get >/dev/null; then elsewhere "this system has no apt, and RocksDB $WANT isn't installed."; fi
found=$(release)
[ -z "$found" ] || [ "$found" = "$WANT" ] || elsewhere "this system has RocksDB $found."
install "${PACKAGES[@]}" || exit 1
found=$(release)
[ "$found" = "$WANT" ] || elsewhere "apt on this system has RocksDB ${found:-in a place where the compiler does not find it}."
links verbose || elsewhere "RocksDB $WANT is installed, but a program doesn't link with it (the compiler's words are above)."
